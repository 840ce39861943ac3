"""Every place that the names can be imported from. Read by checkers only; see test_typing.py."""

from __future__ import annotations

from typing_extensions import assert_type

import parallel
import parallel as package
import parallel.future_collection
import parallel.parallel_executor
from parallel import FutureCollection, FutureContextCollection, ParallelExecutor, ReturnWhen
from parallel.future_collection import FutureCollection as FutureCollectionOfModule
from parallel.future_context_collection import FutureContextCollection as FutureContextCollectionOfModule
from parallel.parallel import FutureCollection as FutureCollectionOfOther
from parallel.parallel import FutureContextCollection as FutureContextCollectionOfOther
from parallel.parallel import parallel as parallel_of_module
from parallel.parallel_executor import ParallelExecutor as ParallelExecutorOfModule
from parallel.return_when import ReturnWhen as ReturnWhenOfModule


def function_of_the_package() -> None:
    """`import parallel` and `parallel.parallel(...)`"""
    assert_type(parallel.parallel(len)("x"), FutureCollection[int])
    assert_type(package.parallel(len)("x"), FutureCollection[int])


def function_of_the_module() -> None:
    """`from parallel.parallel import parallel`"""
    assert_type(parallel_of_module(len)("x"), FutureCollection[int])


def modules() -> None:
    """modules of the package"""
    assert_type(parallel.future_collection.FutureCollection.create(len)("x"), FutureCollection[int])
    assert_type(parallel.parallel_executor.ParallelExecutor(), ParallelExecutor)


def collections(
    calls: FutureCollectionOfModule[int],
    calls_of_other: FutureCollectionOfOther[str],
    chain: FutureContextCollectionOfModule[int],
    chain_of_other: FutureContextCollectionOfOther[str],
) -> None:
    """the classes of the two kinds of chains"""
    assert_type(calls, FutureCollection[int])
    assert_type(calls_of_other, FutureCollection[str])
    assert_type(chain, FutureContextCollection[int])
    assert_type(chain_of_other, FutureContextCollection[str])


def others() -> None:
    """`ParallelExecutor` and `ReturnWhen`"""
    assert_type(ParallelExecutorOfModule(), ParallelExecutor)
    assert_type(ReturnWhenOfModule("ALL_COMPLETED"), ReturnWhen)
