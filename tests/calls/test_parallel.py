from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from typing import Any

import pytest

import parallel as package
from helpers import LIMIT
from parallel import FutureCollection, FutureContextCollection, parallel, parallel_contexts, parallel_map

NAMES = {
    "parallel": ["parallel", "parallel.parallel"],
    "ParallelExecutor": ["parallel", "parallel.parallel_executor"],
    "FutureCollection": ["parallel", "parallel.parallel", "parallel.future_collection"],
    "FutureContextCollection": ["parallel", "parallel.parallel", "parallel.future_context_collection"],
    "ReturnWhen": ["parallel", "parallel.return_when"],
    "CallFuture": ["parallel"],
    "parallel_map": ["parallel"],
    "parallel_contexts": ["parallel"],
    "cancellation": ["parallel"],
    "Cancellation": ["parallel"],
}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    return done.stdout


@pytest.mark.parametrize(("name", "module"), [(name, module) for name, modules in NAMES.items() for module in modules])
def test_every_name_can_be_imported_from_where_it_is_promised(name: str, module: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"from {module} import {name} as found", namespace)  # noqa: S102  # Nothing else imports by name as users do.
    assert namespace["found"] is getattr(package, name)


def test_the_package_exports_its_names_and_no_others() -> None:
    assert sorted(package.__all__) == sorted(NAMES)


def test_parallel_is_the_function_in_whatever_order_submodules_are_imported() -> None:
    modules = ["parallel.parallel", "parallel.parallel_executor", "parallel.future_collection", "parallel.return_when"]
    orders = ["; ".join(f"import {name}" for name in order) for order in itertools.permutations(modules, 2)]
    code = "import sys\n"
    for order in orders:
        code += "for name in [name for name in sys.modules if name.startswith('parallel')]: del sys.modules[name]\n"
        code += f"{order}\nfrom parallel import parallel\nassert callable(parallel), {order!r}\n"
        code += "from parallel.parallel import parallel as again\nassert parallel is again\n"
    run_python(code)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before 3.11 two packages stand in for what typing lacks")
def test_importing_imports_the_standard_library_only() -> None:
    code = (
        "import os, sys, parallel\n"
        "for name, module in list(sys.modules.items()):\n"
        # Linux distributions add a module of their own, which is in no list.
        "    if os.path.dirname(getattr(module, '__file__', None) or '') != os.path.dirname(os.__file__):\n"
        "        print(name.partition('.')[0])"
    )
    loaded = set(run_python(code).split()) - set(run_python("import sys; print(*sys.modules)").split())
    assert loaded - sys.stdlib_module_names <= {"parallel"}
    assert "asyncio" not in loaded


class Both:
    def __enter__(self) -> str:
        return "entered"

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self) -> str:
        return "called"


def test_a_context_manager_that_is_callable_is_entered() -> None:
    both = Both()
    with parallel(both) as (entered,):
        assert entered == "entered"
    assert parallel(lambda: both())().results() == ("called",)


def test_a_class_of_context_managers_is_called() -> None:
    (made,) = parallel(Both)().results()
    assert isinstance(made, Both)


def test_the_methods_are_looked_up_on_the_type() -> None:
    class Callable:
        def __call__(self) -> str:
            return "called"

    callable_object: Any = Callable()
    callable_object.__enter__ = callable_object.__exit__ = lambda *_: None
    assert parallel(callable_object)().results() == ("called",)


def test_create_does_what_parallel_does() -> None:
    assert FutureCollection.create(str)(1).results() == ("1",)
    with FutureContextCollection.create(Both(), timeout=LIMIT, parallel_exit=True) as (entered,):
        assert entered == "entered"


# parallel_map


def test_map_calls_the_function_for_each_item_at_once() -> None:
    barrier = threading.Barrier(5)

    def meet(number: int) -> int:
        barrier.wait(LIMIT)
        return number * number

    assert parallel_map(meet, range(5)).results() == (0, 1, 4, 9, 16)


def test_map_takes_arguments_from_several_iterables() -> None:
    assert parallel_map(pow, [2, 3], iter([3, 2])).results() == (8, 9)
    assert parallel_map(lambda *args: args, "ab", "cd", "ef", "gh", "ij", "kl", "mn").results() == (
        tuple("acegikm"),
        tuple("bdfhjln"),
    )


def test_the_chain_goes_on_from_a_map() -> None:
    assert parallel_map(str, [1, 2]).parallel(len)("abc").results() == ("1", "2", 3)


def test_a_map_of_nothing_has_no_results() -> None:
    calls = parallel_map(str, [])
    assert calls.results() == ()
    assert calls.results(return_when=package.ReturnWhen.FIRST_EXCEPTION) == ()
    assert calls.futures == ()
    assert repr(calls) == "<FutureCollection: empty>"
    assert calls.parallel(str)(1).results() == ("1",)


def test_unequal_iterables_are_named_and_nothing_is_started() -> None:
    called: list[int] = []
    with pytest.raises(ValueError, match="these have 3, 2 items"):
        parallel_map(lambda a, _: called.append(a), [1, 2, 3], [1, 2])
    assert called == []


def test_a_map_starts_all_calls_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_three(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_three)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        # More than are idle from other tests.
        parallel_map(called.append, range(3000))
    monkeypatch.undo()
    assert called == []
    assert parallel_map(str, range(3)).results() == ("0", "1", "2")


# parallel_contexts


def test_any_number_of_contexts_is_entered_at_once() -> None:
    barrier = threading.Barrier(4)

    class Meeting:
        def __init__(self, number: int) -> None:
            self.number = number

        def __enter__(self) -> int:
            barrier.wait(LIMIT)
            return self.number

        def __exit__(self, *_: object) -> None:
            pass

    with parallel_contexts(Meeting(number) for number in range(4)) as values:
        assert values == (0, 1, 2, 3)
    with parallel_contexts([Meeting(1), Meeting(2), Meeting(3)], parallel_exit=True).parallel(Meeting(4)) as values:
        assert values == (1, 2, 3, 4)


def test_no_contexts_give_no_values() -> None:
    none: list[Both] = []
    with parallel_contexts(none) as values:
        assert values == ()
    with pytest.raises(ValueError, match="body"), parallel_contexts([], parallel_exit=True):
        raise ValueError("body")
