"""``parallel()``: the start of a chain, of calls or of context managers; and for any number of them."""

from __future__ import annotations

from concurrent.futures import Executor
from types import FunctionType, TracebackType
from typing import Any, Callable, ContextManager, Iterable, Protocol, TypeVar, overload

from parallel._callable_manager import CallableContexts, refuse_options_of_contexts
from parallel._chained_call import START_ON_OWN_THREAD, submitter
from parallel._checks import (
    check_context_manager,
    check_function,
    check_iterable,
    check_parallel_exit,
    check_several,
    check_timeout,
    is_context_manager,
)
from parallel._compat import ParamSpec, Unpack
from parallel._mistakes import explain_arguments
from parallel.future_collection import FutureCollection, prepare_call, start_map
from parallel.future_context_collection import FutureContextCollection

# The names that are promised here. Editors offer each of them a second time, so it has no others.
__all__ = ["FutureCollection", "FutureContextCollection", "parallel"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")


class CallableContextManager(Protocol[P, T_co, R_co]):
    """An object that is both a context manager and callable, such as a client."""

    def __enter__(self, /) -> T_co:
        """Enters."""
        ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        """Exits."""
        ...

    @property
    def __call__(self) -> Callable[P, R_co]:
        """A property, so that no checker takes a class of context managers for one of them."""
        ...


# In this order, pyright tells a class of context managers from its instances, wherever it has seen the one before the
# other. Callable context managers come first because they are functions as well. The first of them are those that
# decorate functions, such as what `@contextmanager` makes: nobody means to call these on a thread.
@overload
def parallel(  # type: ignore[overload-overlap]  # A callable context manager is no function here.
    context_manager: CallableContextManager[[Callable[..., Any]], T, Callable[..., Any]],
    /,
    *,
    timeout: float | None = None,
    parallel_exit: bool = False,
) -> FutureContextCollection[T]:
    """Starts a chain of context managers, which ``with`` enters in parallel."""


@overload
def parallel(
    context_manager: CallableContextManager[P, T, R], /, *, timeout: float | None = None, parallel_exit: bool = False
) -> CallableContexts[P, T, R]:
    """Starts a chain of context managers, or, if it is called, of calls."""


@overload
def parallel(func: Callable[P, T], /) -> Callable[P, FutureCollection[T]]:
    """Prepares the first call of a chain: call what it returns with the arguments of ``func``."""


# An overload of its own: with an optional executor=, mypy would keep only the first overload of an overloaded func.
@overload
def parallel(func: Callable[P, T], /, *, executor: Executor | None) -> Callable[P, FutureCollection[T]]:
    """Prepares the first call of a chain whose calls run on ``executor``."""


@overload
def parallel(
    context_manager: ContextManager[T], /, *, timeout: float | None = None, parallel_exit: bool = False
) -> FutureContextCollection[T]:
    """Starts a chain of context managers, which ``with`` enters in parallel."""


@explain_arguments
def parallel(
    target: Any,
    /,
    *,
    executor: Executor | None = None,
    timeout: float | None = None,
    parallel_exit: bool = False,
) -> Any:
    """Starts a chain of calls, or of context managers, that run in parallel.

    A function: call what this returns with the function's arguments. The call
    starts at once, on a thread of its own. Chain more calls with
    ``.parallel(func)(...)``; ``results()`` returns their results.

    >>> parallel(len)("four").parallel("-".join)(["a", "b"]).results()
    (4, 'a-b')

    A context manager: chain more with ``.parallel(context_manager)``. ``with``
    enters all at once, each on a thread of its own.

    >>> from tempfile import TemporaryDirectory, TemporaryFile
    >>> both = parallel(TemporaryDirectory()).parallel(TemporaryFile())
    >>> with both as (folder, file):
    ...     written = file.write(folder.encode())

    Any thread may call it at any time.

    Args:
        target: A function or another callable, or a context manager. An object
            that is both may be called or entered: what this returns can be
            called, entered, and chained onto either way.
        executor: For calls: runs them instead of threads of their own.
        timeout: For context managers: how many seconds all of them together may
            take to enter; ``None`` for no limit.
        parallel_exit: For context managers: exits all at once, instead of from
            the last to the first.

    Returns:
        For a function, one with the same parameters that starts the call and
        returns a ``FutureCollection``. It raises a ``RuntimeError`` or a
        ``MemoryError`` if no thread can be started, or what
        ``executor.submit`` raises. For a context manager, a
        ``FutureContextCollection``.

    Raises:
        TypeError: ``target`` is neither, or is a coroutine function, or an
            option belongs to the other kind or has a wrong type.
        ValueError: ``timeout`` is NaN.
    """
    is_manager = type(target) is not FunctionType and is_context_manager(target)
    if is_manager and not (callable(target) and executor is not None):
        if executor is not None:
            raise TypeError("executor= is for calls: a context manager always has a thread of its own")
        check_parallel_exit(parallel_exit)
        kind: Any = CallableContexts if callable(target) else FutureContextCollection
        return kind((target,), check_timeout(timeout), parallel_exit)
    name = check_function(target, "parallel()", "a function or a context manager")
    if timeout is not None or parallel_exit:
        refuse_options_of_contexts(target, timeout)
    return prepare_call(target, name, None, START_ON_OWN_THREAD if executor is None else submitter(executor))


@overload
def parallel_map(
    func: Callable[[A], T], iterable: Iterable[A], /, *, executor: Executor | None = None
) -> FutureCollection[Unpack[tuple[T, ...]]]:
    """Starts one call of a function for each item, all at once."""


@overload
def parallel_map(
    func: Callable[[A, B], T], iterable: Iterable[A], iterable2: Iterable[B], /, *, executor: Executor | None = None
) -> FutureCollection[Unpack[tuple[T, ...]]]: ...


@overload
def parallel_map(
    func: Callable[[A, B, C], T],
    iterable: Iterable[A],
    iterable2: Iterable[B],
    iterable3: Iterable[C],
    /,
    *,
    executor: Executor | None = None,
) -> FutureCollection[Unpack[tuple[T, ...]]]: ...


@overload
def parallel_map(
    func: Callable[[A, B, C, D], T],
    iterable: Iterable[A],
    iterable2: Iterable[B],
    iterable3: Iterable[C],
    iterable4: Iterable[D],
    /,
    *,
    executor: Executor | None = None,
) -> FutureCollection[Unpack[tuple[T, ...]]]: ...


@overload
def parallel_map(
    func: Callable[[A, B, C, D, E], T],
    iterable: Iterable[A],
    iterable2: Iterable[B],
    iterable3: Iterable[C],
    iterable4: Iterable[D],
    iterable5: Iterable[E],
    /,
    *,
    executor: Executor | None = None,
) -> FutureCollection[Unpack[tuple[T, ...]]]: ...


@overload
def parallel_map(
    func: Callable[..., T],
    iterable: Iterable[Any],
    iterable2: Iterable[Any],
    iterable3: Iterable[Any],
    iterable4: Iterable[Any],
    iterable5: Iterable[Any],
    iterable6: Iterable[Any],
    /,
    *iterables: Iterable[Any],
    executor: Executor | None = None,
) -> FutureCollection[Unpack[tuple[T, ...]]]: ...


@explain_arguments
def parallel_map(
    func: Callable[..., T], /, *iterables: Iterable[Any], executor: Executor | None = None
) -> FutureCollection[Unpack[tuple[T, ...]]]:
    """Starts one call of a function for each item, all at once, each on a thread of its own.

    Starts all calls or none. The chain that it returns is like any other. Any thread may call it at any time.

    >>> parallel_map(len, ["one", "three"]).results()
    (3, 5)

    Args:
        func: The function to call.
        *iterables: The first arguments, the second arguments and so on. They are read to their ends before any call
            starts.
        executor: Runs the calls instead of threads of their own. If it refuses one, those that it has begun continue,
            and the others are cancelled.

    Returns:
        The chain of the calls, in the order of the items.

    Raises:
        TypeError: ``func`` is not callable, or is a coroutine function; or an argument is not iterable, or there is
            none; or ``executor`` is not an executor.
        ValueError: The iterables are not equally long.
        RuntimeError: Not enough threads could be started, or the interpreter is shutting down.
        MemoryError: There is no memory for so many threads.
        BaseException: The exception that an iterable, or ``executor.submit``, raised.
    """
    name = check_function(func, "parallel_map()")
    if not iterables:
        raise TypeError("parallel_map() takes a function and at least one iterable of arguments")
    for position, iterable in enumerate(iterables, 2):
        check_iterable(iterable, position)
    columns = [list(iterable) for iterable in iterables]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"parallel_map() takes iterables of one length, but these have {', '.join(map(str, lengths))} items"
        )
    return start_map(func, name, list(zip(*columns)), executor)


@explain_arguments
def parallel_contexts(
    context_managers: Iterable[ContextManager[T]],
    /,
    *,
    timeout: float | None = None,
    parallel_exit: bool = False,
) -> FutureContextCollection[Unpack[tuple[T, ...]]]:
    """Starts a chain of any number of context managers.

    Equivalent to chaining them with ``parallel()``, for when their number is only known at run time. Any thread may
    call it at any time.

    >>> from tempfile import TemporaryDirectory
    >>> with parallel_contexts(TemporaryDirectory() for _ in range(3)) as folders:
    ...     len(folders)
    3

    Args:
        context_managers: The context managers to enter, each on a thread of its own.
        timeout: How many seconds all of them together may take to enter; ``None`` for no limit.
        parallel_exit: Exits all at once, instead of from the last to the first.

    Returns:
        The chain. ``with`` gives a tuple of what the managers' ``__enter__`` returned.

    Raises:
        TypeError: ``context_managers`` is not iterable, or one of them is not a context manager, or ``timeout`` is not
            a number, or ``parallel_exit`` is not a ``bool``.
        ValueError: ``timeout`` is NaN.
        BaseException: The exception that the iterable raised.
    """
    check_several(context_managers)
    managers = tuple(context_managers)
    for manager in managers:
        check_context_manager(manager, "parallel_contexts()")
    check_parallel_exit(parallel_exit)
    return FutureContextCollection(managers, check_timeout(timeout), parallel_exit)
