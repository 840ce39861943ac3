"""What one sees of the library at run time: reprs, ``help()``, IPython's ``?``."""

from __future__ import annotations

import gc
import inspect
import os
import pydoc
import re
import subprocess
import sys
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Callable, Generator, Iterator, TypeVar

import pytest

import parallel as parallel_package
from helpers import LIMIT, Gate, Uncaught, wait_until
from parallel import (
    Cancellation,
    FutureCollection,
    FutureContextCollection,
    ParallelExecutor,
    cancellation,
    parallel,
    parallel_contexts,
    parallel_map,
)
from parallel.parallel import parallel as parallel_function

T = TypeVar("T")

TERMINAL_WIDTH = 80
HELP_INDENT = 4
"""What ``help(calls.results)`` puts before each line."""


@dataclass
class User:
    """Somebody with a name."""

    name: str

    def greet(self, other: str, *, loud: bool = False) -> str:
        """Says hello to somebody else."""
        return f"{self.name}{other}{loud}"


class Parser:
    """Parses numbers."""

    def __call__(self, text: str, base: int = 10) -> int:
        return int(text, base)


def load_user(number: int, name: str = "anon", *, strict: bool = False) -> User:
    """Loads a user by number.

    Args:
        number: Which one.
        name: What to call them.
        strict: Whether to refuse strangers.
    """
    return User(f"{number}{name}{strict}")


def measure(error: BaseException) -> None:
    raise error


@contextmanager
def connect(host: str) -> Generator[str, None, None]:
    """Connects to a host."""
    yield host


class Proxy:
    """Has every attribute, each one a proxy again, as that of a remote object may (``xmlrpc.client.ServerProxy``)."""

    def __getattr__(self, name: str) -> Proxy:
        return Proxy()

    def __call__(self) -> int:
        return 1


class Unbound:
    """Raises when it is looked at, as a proxy may that stands for nothing just now."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"unbound: {name}")

    def __repr__(self) -> str:
        raise RuntimeError("unbound")

    def __call__(self) -> int:
        return 1


class UnboundManager(Unbound):
    """The same for a context manager."""

    def __enter__(self) -> int:
        return 1

    def __exit__(self, *_: object) -> None:
        pass


class UnprintableError(Exception):
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("unprintable")

    __str__ = __repr__


# Calls


def test_repr_of_calls_says_in_what_state_each_is() -> None:
    with Gate() as gate:
        calls = parallel(load_user)(7).parallel(gate.call)().parallel(measure)(OSError())
        loading, fetching, measuring = calls.futures
        wait([loading, measuring], LIMIT)
        assert repr(calls) == "<FutureCollection: load_user finished, Gate.call running, measure failed: OSError>"
        gate.__exit__()
        wait([fetching], LIMIT)
        assert repr(calls) == "<FutureCollection: load_user finished, Gate.call finished, measure failed: OSError>"


def test_repr_of_calls_on_an_executor_tells_what_has_not_begun_from_what_runs() -> None:
    with Gate() as gate, ThreadPoolExecutor(1) as executor:
        calls = parallel(gate.call, executor=executor)().parallel(load_user)(7)
        assert gate.inside.wait(LIMIT)
        assert repr(calls) == "<FutureCollection: Gate.call running, load_user pending>"
        calls.futures[1].cancel()
        assert repr(calls) == "<FutureCollection: Gate.call running, load_user cancelled>"
        gate.__exit__()


def test_repr_of_a_consumed_chain_says_by_what() -> None:
    calls = parallel(load_user)(7)
    calls.parallel(Parser())("7").results()
    assert repr(calls) == "<FutureCollection: consumed by .parallel(Parser)(...)>"


def test_repr_of_no_calls_says_so() -> None:
    assert repr(parallel_map(load_user, [])) == "<FutureCollection: empty>"


def test_repr_of_many_calls_stays_short() -> None:
    calls = parallel_map(str, range(30))
    wait(calls.futures, LIMIT)
    assert repr(calls) == f"<FutureCollection: {'str finished, ' * 10}and 20 more>"


def test_repr_of_calls_can_be_asked_for_in_a_done_callback() -> None:
    seen: list[str] = []
    with Gate() as gate:
        calls = parallel(gate.call)()
        (future,) = calls.futures
        told = threading.Event()

        def tell(_: Future[Any]) -> None:
            seen.append(repr(calls))
            told.set()

        future.add_done_callback(tell)
    assert told.wait(LIMIT)
    assert seen == ["<FutureCollection: Gate.call finished>"]


def test_repr_of_calls_does_not_change_the_error_that_is_being_handled() -> None:
    """Debuggers and pretty tracebacks show all local variables while an error is on its way."""
    calls = parallel(measure)(OSError())
    with pytest.raises(OSError) as raised:
        calls.results()
    frames = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert repr(calls) == "<FutureCollection: measure failed: OSError>"
    assert [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)] == frames
    assert frames[-1] == "measure"


def test_repr_of_calls_takes_no_error(uncaught: list[Uncaught]) -> None:
    calls = [parallel(measure)(OSError())]
    wait_until(lambda: repr(calls) == "[<FutureCollection: measure failed: OSError>]")
    calls.clear()
    gc.collect()
    wait_until(lambda: uncaught)
    assert [type(each.exc_value) for each in uncaught] == [OSError]


def test_repr_of_calls_shows_neither_arguments_nor_results_nor_errors() -> None:
    calls = parallel(lambda *_: Unbound())(Unbound()).parallel(measure)(UnprintableError())
    wait(calls.futures, LIMIT)
    assert repr(calls) == "<FutureCollection: <lambda> finished, measure failed: UnprintableError>"


@pytest.mark.parametrize("proxy", [Proxy(), Unbound()], ids=["every attribute", "no attribute"])
def test_what_cannot_be_looked_at_is_called_and_shown_by_its_type(proxy: Any) -> None:
    name = type(proxy).__name__
    prepared = parallel(lambda: 1)().parallel(proxy)
    assert prepared.__name__ == name
    calls = prepared()
    assert calls.results() == (1, 1)
    assert repr(calls) == f"<FutureCollection: <lambda> finished, {name} finished>"
    assert ParallelExecutor.execute_one(proxy).result(LIMIT) == 1
    assert parallel_map(lambda _, call: call(), [1], [proxy]).results() == (1,)


# Context managers


def test_repr_of_context_managers_says_whether_they_are_entered() -> None:
    contexts = parallel(connect("localhost")).parallel(nullcontext(2))
    assert repr(contexts) == "<FutureContextCollection: connect, nullcontext>"
    with contexts:
        assert repr(contexts) == "<FutureContextCollection: connect, nullcontext (entered)>"
    assert repr(contexts) == "<FutureContextCollection: connect, nullcontext>"


def test_repr_of_many_context_managers_stays_short() -> None:
    contexts = parallel_contexts([nullcontext(number) for number in range(30)])
    assert repr(contexts) == f"<FutureContextCollection: {'nullcontext, ' * 10}and 20 more>"
    assert repr(parallel_contexts([])) == "<FutureContextCollection: empty>"


def test_opaque_context_managers_are_entered_and_shown_by_their_type() -> None:
    contexts = parallel(UnboundManager())
    assert repr(contexts) == "<FutureContextCollection: UnboundManager>"
    with contexts as (one,):
        assert one == 1


# Executors


def test_repr_of_an_executor_says_how_many_calls_run_and_whether_it_is_shut_down() -> None:
    executor = ParallelExecutor()
    assert repr(executor) == "<ParallelExecutor: no calls running>"
    with Gate() as gate:
        executor.submit(gate.call)
        assert repr(executor) == "<ParallelExecutor: 1 call running>"
        executor.submit(gate.call)
        assert repr(executor) == "<ParallelExecutor: 2 calls running>"
        executor.shutdown(wait=False)
        assert repr(executor) == "<ParallelExecutor: shut down, 2 calls running>"
    executor.shutdown()
    assert repr(executor) == "<ParallelExecutor: shut down>"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_repr_of_an_executor_counts_no_calls_of_the_parent_process() -> None:
    program = """
import os, threading
from parallel import ParallelExecutor

go = threading.Event()
executor = ParallelExecutor()
executor.submit(go.wait, 30)
child = os.fork()
if child == 0:
    print(executor, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(executor, flush=True)
go.set()
"""
    # Newer versions warn of forks with threads, which is what this is about.
    command = [sys.executable, "-W", "ignore", "-c", program]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    assert shown.splitlines() == ["<ParallelExecutor: no calls running>", "<ParallelExecutor: 1 call running>"]


# Prepared calls


def chained(func: Callable[..., Any]) -> Callable[..., Any]:
    return parallel(int)().parallel(func)


PREPARE = pytest.mark.parametrize("prepare", [parallel, chained, FutureCollection.create])


@PREPARE
@pytest.mark.parametrize(
    ("func", "signature"),
    [
        (load_user, "(number, name='anon', *, strict=False)"),
        (User("").greet, "(other, *, loud=False)"),
        (User, "(name)"),
        (Parser(), "(text, base=10)"),
        (partial(load_user, 7, strict=True), "(name='anon', *, strict=True)"),
        (lambda text, *rest: (text, rest), "(text, *rest)"),
        (sorted, "(iterable, /, *, key=None, reverse=False)"),
    ],
)
def test_signature_of_a_prepared_call_is_the_functions(prepare: Any, func: Any, signature: str) -> None:
    prepared = prepare(func)
    shown = inspect.signature(prepared)
    assert shown == inspect.signature(func)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in shown.parameters.values()]
    assert str(inspect.Signature(bare)) == signature


@PREPARE
def test_help_on_a_prepared_call_is_the_functions(prepare: Any) -> None:
    page = page_of(prepare(load_user))
    assert page == page_of(load_user)
    assert "load_user(number" in page
    assert "strict: Whether to refuse strangers." in page


@pytest.mark.parametrize(
    ("func", "name", "doc"),
    [
        (User("").greet, "greet", "Says hello to somebody else."),
        (User, "User", "Somebody with a name."),
        (Parser(), "Parser", "Parses numbers."),
        (partial(load_user, 7), "load_user", "partial application"),
        (sorted, "sorted", (inspect.getdoc(sorted) or "").splitlines()[0]),
    ],
)
def test_help_on_a_prepared_call_has_the_name_and_the_docstring(func: Any, name: str, doc: str) -> None:
    page = page_of(parallel(func))
    assert f"\n{name}(" in page
    assert doc in page


def test_ipython_shows_a_prepared_call_as_the_function() -> None:
    """What ``load_user?`` shows."""
    ipython = pytest.importorskip("IPython", reason="IPython is not installed")
    oinspect = pytest.importorskip("IPython.core.oinspect")
    inspector = oinspect.Inspector(**({"theme_name": "nocolor"} if ipython.version_info >= (9,) else {}))
    for prepare in (parallel, chained, FutureCollection.create):
        shown = inspector.info(prepare(load_user), oname="load_user")
        expected = inspector.info(load_user, oname="load_user")
        for field in ("definition", "docstring", "file", "type_name"):
            assert shown[field] == expected[field], field
        assert "strict" in shown["definition"]
        assert shown["docstring"].startswith("Loads a user by number.")


def test_ipython_shows_chains_by_their_reprs() -> None:
    pretty = pytest.importorskip("IPython.lib.pretty", reason="IPython is not installed").pretty
    calls = parallel(load_user)(7)
    calls.results()
    for shown in (calls, parallel(connect("localhost")), ParallelExecutor()):
        assert pretty(shown) == repr(shown)


# The library's own docstrings in a terminal

READ_OFTEN = pytest.mark.parametrize(
    "target",
    [parallel_function, FutureCollection.parallel, FutureCollection.results],
    ids=["parallel", "FutureCollection.parallel", "FutureCollection.results"],
)


def public_callables() -> Iterator[Any]:
    """What one can call, by name: the functions, and the classes' own methods."""
    for public in (getattr(parallel_package, name) for name in parallel_package.__all__):
        if inspect.isfunction(public):
            yield public
        elif not issubclass(public, Enum):
            for name in vars(public):
                if not name.startswith("_") and callable(getattr(public, name)):
                    yield getattr(public, name)


EACH_PUBLIC = pytest.mark.parametrize(
    "target", [pytest.param(each, id=each.__qualname__) for each in public_callables()]
)


def parameters_of(target: Any) -> list[str]:
    return [name for name in inspect.signature(target).parameters if name != "self"]


def page_of(target: Any) -> str:
    page: str = pydoc.render_doc(target, renderer=pydoc.plaintext)  # type: ignore[attr-defined]  # Undocumented, but there.
    return page


@READ_OFTEN
def test_docstring_fits_a_terminal(target: Any) -> None:
    doc = inspect.getdoc(target) or ""
    assert max(len(line) for line in doc.splitlines()) <= TERMINAL_WIDTH - HELP_INDENT


@EACH_PUBLIC
def test_docstring_begins_with_a_line_of_its_own_and_has_its_sections(target: Any) -> None:
    summary, _, rest = (inspect.getdoc(target) or "").partition("\n\n")
    assert "\n" not in summary
    assert summary.endswith(".")
    returns = inspect.signature(target).return_annotation not in (None, "None")
    sections = ["Args:", "Returns:", "Raises:"] if returns else ["Args:", "Raises:"]
    if target in (Cancellation.is_set, cancellation):
        sections.remove("Raises:")
    assert [line for line in rest.splitlines() if line in ("Args:", "Returns:", "Raises:")] == (
        sections if parameters_of(target) else sections[1:]
    )


@EACH_PUBLIC
def test_docstring_tells_of_every_parameter(target: Any) -> None:
    told = re.findall(r"^    \*{0,2}(\w+): ", inspect.getdoc(target) or "", re.MULTILINE)
    assert [name for name in told if not name[0].isupper()] == parameters_of(target)


@pytest.mark.parametrize("cls", [FutureCollection, FutureContextCollection, ParallelExecutor])
def test_help_on_a_class_can_be_made(cls: type) -> None:
    assert (inspect.getdoc(cls) or "").splitlines()[0] in page_of(cls)
