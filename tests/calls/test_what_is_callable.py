"""An object that is both callable and a context manager is what is done with it: called, a call; entered, a manager.

A proxy is what it stands for: a function, even if the class of the proxy has ``__enter__`` and ``__exit__``, or a lock.
"""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ContextDecorator, asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any, AsyncIterator, Callable, Iterator
from unittest import mock

import pytest

from helpers import Manager
from parallel import FutureCollection, FutureContextCollection, parallel, parallel_contexts, parallel_map


def load(number: int) -> str:
    return f"user {number}"


def save(number: int, *, name: str = "") -> str:
    return f"saved {number}{name}"


class Client:
    """Is called for an answer, and entered for a session."""

    is_entered = False

    def __call__(self, number: int) -> str:
        return f"answer {number}"

    def __enter__(self) -> str:
        self.is_entered = True
        return "session"

    def __exit__(self, *_: object) -> None:
        self.is_entered = False


class Decorator(ContextDecorator):
    def __enter__(self) -> str:
        return "decorator"

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def connect(host: str) -> Iterator[str]:
    yield host


def magic_mock() -> Any:
    made = mock.MagicMock(return_value="mocked")
    made.__enter__.return_value = "entered mock"
    return made


def mocked_client() -> Any:
    made = mock.create_autospec(Client)
    made.return_value = "a client"
    made.__enter__.return_value = "entered mock"
    return made


def mocked_instance() -> Any:
    made = mock.create_autospec(Client(), spec_set=True)
    made.return_value = "an answer"
    made.__enter__.return_value = "entered mock"
    return made


def proxied(target: object) -> dict[str, Callable[[], Any]]:
    """Ways to make a proxy of ``target``."""

    def wrapt_proxy() -> Any:
        wrapt = pytest.importorskip("wrapt", reason="wrapt is not installed")
        return wrapt.CallableObjectProxy(target)

    def wrapt_function() -> Any:
        wrapt = pytest.importorskip("wrapt", reason="wrapt is not installed")
        return wrapt.FunctionWrapper(target, lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))

    def local_proxy() -> Any:
        local = pytest.importorskip("werkzeug.local", reason="werkzeug is not installed")
        return local.LocalProxy(lambda: target)

    def lazy_proxy() -> Any:
        lazy = pytest.importorskip("lazy_object_proxy", reason="lazy-object-proxy is not installed")
        return lazy.Proxy(lambda: target)

    return {
        "wrapt.CallableObjectProxy": wrapt_proxy,
        "wrapt.FunctionWrapper": wrapt_function,
        "LocalProxy": local_proxy,
        "lazy_object_proxy": lazy_proxy,
    }


def frozen_time() -> Any:
    freezegun = pytest.importorskip("freezegun", reason="freezegun is not installed")
    return freezegun.freeze_time("2020-02-02")


def patched() -> Any:
    return mock.patch.object(SimpleNamespace(name="old"), "name", "new")


FUNCTIONS: dict[str, tuple[Callable[[], Any], Any]] = {
    "create_autospec": (lambda: mock.create_autospec(load, return_value="mocked"), "mocked"),
    "Mock": (lambda: mock.Mock(return_value="mocked"), "mocked"),
    "a mock of a function": (lambda: mock.MagicMock(spec=load, return_value="mocked"), "mocked"),
    **{f"{name} of a function": (make, "user 7") for name, make in proxied(load).items()},
}
BOTH: dict[str, tuple[Callable[[], Any], Any, Any]] = {
    "MagicMock": (magic_mock, "mocked", "entered mock"),
    "create_autospec of a class": (mocked_client, "a client", "entered mock"),
    "create_autospec of an instance": (mocked_instance, "an answer", "entered mock"),
    "a client": (Client, "answer 7", "session"),
    **{f"{name} of a client": (make, "answer 7", "session") for name, make in proxied(Client()).items()},
}
DECORATORS: dict[str, tuple[Callable[[], Any], Any]] = {
    "ContextDecorator": (Decorator, "decorator"),
    "@contextmanager": (lambda: connect("host"), "host"),
    "mock.patch.object": (patched, "new"),
    "freezegun.freeze_time": (frozen_time, None),
}
CALLED: dict[str, tuple[Callable[[], Any], Any]] = {
    **FUNCTIONS,
    **{name: (make, answer) for name, (make, answer, _) in BOTH.items()},
}
ENTERED: dict[str, tuple[Callable[[], Any], Any]] = {
    **{name: (make, value) for name, (make, _, value) in BOTH.items()},
    **DECORATORS,
}


def cases(table: dict[str, tuple[Any, ...]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("make", "expected"), [pytest.param(*each, id=name) for name, each in table.items()])


@cases(CALLED)
def test_called_as_the_first_link_it_is_a_call(make: Any, expected: object) -> None:
    assert parallel(make())(7).results() == (expected,)
    assert parallel(make())(7).parallel(load)(8).parallel(make())(7).results() == (expected, "user 8", expected)


@cases(CALLED)
def test_chained_onto_calls_it_is_a_call(make: Any, expected: object) -> None:
    assert parallel(load)(8).parallel(make())(7).parallel(save)(9).results() == ("user 8", expected, "saved 9")


@cases(CALLED)
def test_wherever_only_calls_are_made_it_is_a_call(make: Any, expected: object) -> None:
    with ThreadPoolExecutor(1) as executor:
        assert parallel(make(), executor=executor)(7).results() == (expected,)
    assert FutureCollection.create(make())(7).results() == (expected,)
    assert parallel_map(make(), [7, 7]).results() == (expected, expected)


@cases(ENTERED)
def test_entered_it_is_a_context_manager(make: Any, expected: object) -> None:
    with parallel(make()) as (value,):
        assert expected in (value, None)
    with parallel(make(), timeout=30, parallel_exit=True) as (value,):
        assert expected in (value, None)


@cases(ENTERED)
def test_chained_onto_managers_and_managers_onto_it_it_is_a_manager(make: Any, expected: object) -> None:
    with parallel(make()).parallel(Manager("other")).parallel(make()) as (first, other, last):
        assert expected in (first, None)
        assert other == "other"
        assert expected in (last, None)
    with parallel(Manager("other")).parallel(make()) as (_, value):
        assert expected in (value, None)
    with FutureContextCollection.create(make()), parallel_contexts([make(), make()]) as values:
        assert len(values) == len("ab")


@cases(DECORATORS)
def test_called_it_decorates_on_a_thread(make: Any, expected: object) -> None:
    for calls in (parallel(make())(load), parallel(load)(1).parallel(make())(load)):
        decorated: Any = calls.results()[-1]
        assert decorated(7) == "user 7"


@pytest.mark.parametrize("name", ["wrapt", "LocalProxy", "lazy_object_proxy"])
def test_proxy_of_a_lock_is_a_context_manager(name: str) -> None:
    lock = threading.RLock()
    if name == "wrapt":
        proxy = pytest.importorskip("wrapt", reason="wrapt is not installed").ObjectProxy(lock)
    else:
        proxy = proxied(lock)[name]()
    with parallel(proxy).parallel(Manager("other")) as (entered, _):
        assert entered is True
        assert not lock.acquire(blocking=False)
    with parallel(Manager("other")).parallel(proxy) as (_, entered):
        assert entered is True
    assert lock.acquire(blocking=False)
    lock.release()


@pytest.mark.parametrize("name", proxied(load))
def test_proxy_of_a_function_is_not_entered(name: str) -> None:
    proxy = proxied(load)[name]()
    with pytest.raises(TypeError, match="context manager"):
        parallel(Manager()).parallel(proxy)
    with pytest.raises(TypeError, match=r"timeout= is for context managers.*results\(timeout"):
        parallel(proxy, timeout=3)


class OfManagers(type):
    """A metaclass whose classes, but not their instances, are context managers."""

    def __enter__(cls) -> str:
        return cls.__name__

    def __exit__(cls, *_: object) -> None:
        pass


class Managed(metaclass=OfManagers):
    def __call__(self, number: int) -> str:
        return f"called {number}"


class NotEntered(Manager):
    __enter__ = None  # type: ignore[assignment]  # As in a class that takes back what it inherits.


def test_methods_count_where_with_looks_them_up() -> None:
    assert parallel(Managed())(7).results() == ("called 7",)
    with parallel(Managed) as (name,):
        assert name == "Managed"
    with pytest.raises(TypeError, match="context manager"):
        parallel(Manager()).parallel(Managed())  # type: ignore[arg-type]  # The mistake.
    with pytest.raises(TypeError, match="NotEntered"):
        parallel(NotEntered())  # type: ignore[call-overload]  # The mistake.


class Anything(type):
    """A metaclass whose classes have every attribute."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name not in ("__enter__", "__exit__"):
            raise AttributeError(name)
        return print


def test_attributes_that_a_metaclass_makes_up_are_no_methods() -> None:
    made: Any = Anything("made", (), {"__call__": lambda self: "called"})()
    assert parallel(made)().results() == ("called",)


# What is left of either


def test_mock_is_told_of_the_call_on_another_thread() -> None:
    threads: list[int] = []
    made: Any = mock.MagicMock(side_effect=lambda *_, **__: threads.append(threading.get_ident()))
    parallel(made)(7, name="x").results()
    made.assert_called_once_with(7, name="x")
    assert threads != [threading.get_ident()]
    assert not made.__enter__.called


def test_signature_of_what_can_be_called_is_its_own() -> None:
    either: Any = parallel(Client())
    assert inspect.signature(either) == inspect.signature(Client())


def test_what_can_be_called_is_callable_and_other_managers_are_not() -> None:
    assert callable(parallel(Client()))
    assert not callable(parallel(Manager()))
    assert not callable(parallel(Client()).parallel(Manager()))


def test_it_is_shown_as_a_chain_of_managers() -> None:
    assert repr(parallel(Client())) == "<FutureContextCollection: Client>"
    assert isinstance(parallel(Client()), FutureContextCollection)


def test_options_of_managers_are_refused_for_the_call() -> None:
    either: Any = parallel(Client(), timeout=3)
    with pytest.raises(TypeError, match=r"timeout= is for context managers, and .*Client is called.*results\(timeout"):
        either(7)
    either = parallel(Client(), parallel_exit=True)
    with pytest.raises(TypeError, match="parallel_exit= is for context managers"):
        either(7)


class AsyncClient(Client):
    async def __call__(self, number: int) -> str:  # type: ignore[override]  # As some clients have it.
        return f"answer {number}"


def test_coroutine_function_that_can_be_entered_is_only_entered() -> None:
    either: Any = parallel(AsyncClient())
    with pytest.raises(TypeError, match="coroutine function"):
        either(7)
    with either as (session,):
        assert session == "session"


class AsyncSession:
    """Is called, or entered with ``async with``."""

    def __call__(self, number: int) -> str:
        return f"answer {number}"

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


@asynccontextmanager
async def connect_asynchronously() -> AsyncIterator[int]:
    yield 1


def test_asynchronous_manager_that_can_be_called_is_a_call() -> None:
    assert parallel(AsyncSession())(7).parallel(AsyncSession())(8).results() == ("answer 7", "answer 8")


def test_asynchronous_manager_that_only_decorates_is_refused() -> None:
    entries: list[Any] = [parallel, parallel(load)(1).parallel]
    for entry in entries:
        with pytest.raises(TypeError, match="asynchronous context manager.*`async with`"):
            entry(connect_asynchronously())
