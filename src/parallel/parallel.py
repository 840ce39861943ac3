"""``parallel()``: the start of a chain, of calls or of context managers; and for any number of them."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, Callable, ContextManager, Iterable, TypeVar, overload

from parallel._checks import (
    check_context_manager,
    check_function,
    check_parallel_exit,
    check_timeout,
    describe,
    hint_for_non_callable,
    is_async_context_manager,
    is_context_manager,
    is_plain_function,
)
from parallel._compat import ParamSpec, Unpack
from parallel.future_collection import FutureCollection, prepared, start_map, start_of
from parallel.future_context_collection import FutureContextCollection

__all__ = ["FutureCollection", "FutureContextCollection", "parallel", "parallel_contexts", "parallel_map"]

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")


@overload
def parallel(
    context_manager: ContextManager[T], /, *, timeout: float | None = None, parallel_exit: bool = False
) -> FutureContextCollection[T]:
    """Prepares to enter a context manager in parallel with others.

    Chain the others and enter them all with ``with``, which gives a tuple of what their ``__enter__`` returned.

    >>> from tempfile import TemporaryDirectory, TemporaryFile
    >>> with parallel(TemporaryDirectory()).parallel(TemporaryFile()) as (folder, file):
    ...     written = file.write(folder.encode())

    Args:
        context_manager: What to enter, on a thread of its own.
        timeout: For how many seconds to wait for all enters together at most; without, for as long as it takes.
        parallel_exit: Whether to exit all managers at once, rather than from the last to the first.

    Returns:
        The chain, to be entered or to be gone on with: ``.parallel(context_manager)``.

    Raises:
        TypeError: It is not a context manager, or ``timeout`` is not a number, or ``parallel_exit`` is not a truth
            value.
        ValueError: ``timeout`` is NaN.
    """


@overload
def parallel(func: Callable[P, T], /) -> Callable[P, FutureCollection[T]]:
    """Prepares to call a function in parallel with others and with the caller.

    Call what it returns with the arguments of the function: that starts the call, on a thread of its own, at once, and
    returns the chain. Start more calls with ``.parallel(func)(...)``, and ask for all results.

    >>> parallel(len)("four").parallel("-".join)(["a", "b"]).results()
    (4, 'a-b')

    Args:
        func: What to call.

    Returns:
        A function with the parameters of ``func`` that starts the call and returns the chain. It raises a
        ``RuntimeError`` or a ``MemoryError`` if no thread can be had.

    Raises:
        TypeError: ``func`` is not callable, or is a coroutine function.
    """


# An overload of its own: with an optional executor=, mypy would keep only the first overload of an overloaded func.
@overload
def parallel(func: Callable[P, T], /, *, executor: Executor | None) -> Callable[P, FutureCollection[T]]:
    """Prepares to call a function on an executor, in parallel with others and with the caller.

    Call what it returns with the arguments of the function: that submits the call to the executor, and returns the
    chain, whose other calls are submitted to it too.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor() as threads:
    ...     parallel(len, executor=threads)("four").parallel("-".join)(["a", "b"]).results()
    (4, 'a-b')

    Args:
        func: What to call.
        executor: What runs the calls of the chain; ``None`` for threads of their own.

    Returns:
        A function with the parameters of ``func`` that starts the call and returns the chain. It raises what
        ``executor.submit`` raises.

    Raises:
        TypeError: ``func`` is not callable, or is a coroutine function, or ``executor`` is not an executor.
    """


def parallel(
    target: Any,
    /,
    *,
    executor: Executor | None = None,
    timeout: float | None = None,
    parallel_exit: bool = False,
) -> Any:
    """Starts a chain of calls or of context managers that run in parallel.

    A function: the chain's calls start at once, each on a thread of its own,
    and ``results()`` gives their results.

    >>> parallel(len)("four").parallel("-".join)(["a", "b"]).results()
    (4, 'a-b')

    A context manager: the chain's managers are entered at once by ``with``,
    each on a thread of its own.

    >>> from tempfile import TemporaryDirectory, TemporaryFile
    >>> both = parallel(TemporaryDirectory()).parallel(TemporaryFile())
    >>> with both as (folder, file):
    ...     written = file.write(folder.encode())

    It may be called from any thread at any time.

    Args:
        target: A function or another callable, or a context manager. What is
            both is taken as a context manager; wrap it in a lambda to call it.
        executor: For calls, what runs them instead of threads of their own.
        timeout: For context managers, for how many seconds to wait for all
            enters together at most.
        parallel_exit: For context managers, whether to exit them all at once
            rather than from the last to the first.

    Returns:
        For a function, one with the same parameters that starts the call and
        returns a ``FutureCollection``, or raises a ``RuntimeError`` or a
        ``MemoryError`` if no thread can be had, or what the executor raises;
        for a context manager, a ``FutureContextCollection``.

    Raises:
        TypeError: ``target`` is neither, or is a coroutine function, or an
            option belongs to the other kind or is of a wrong type.
        ValueError: ``timeout`` is NaN.
    """
    if is_plain_function(target) and timeout is None and not parallel_exit:
        return prepared(target, None, start_of(executor))
    if is_context_manager(target):
        if executor is not None:
            raise TypeError("executor= is for calls: a context manager always has a thread of its own")
        check_parallel_exit(parallel_exit)
        chain: FutureContextCollection[Any] = FutureContextCollection((target,), check_timeout(timeout), parallel_exit)
        return chain
    if is_async_context_manager(target):
        check_context_manager(target, "parallel()")  # It says how to enter this one.
    if not callable(target):
        raise TypeError(
            f"parallel() takes a function or a context manager, not {describe(target)}{hint_for_non_callable(target)}"
        )
    check_function(target, "parallel()")
    if timeout is not None or parallel_exit:
        option = "timeout" if timeout is not None else "parallel_exit"
        hint = f"; for calls, give it to results({option}=...)" if timeout is not None else ""
        raise TypeError(f"{option}= is for context managers, and {describe(target)} is not one{hint}")
    return prepared(target, None, start_of(executor))


@overload
def parallel_map(
    func: Callable[[A], T], iterable: Iterable[A], /, *, executor: Executor | None = None
) -> FutureCollection[Unpack[tuple[T, ...]]]:
    """Starts one call of a function for each item, all at once, each on a thread of its own; all or none of them.

    Args:
        func: What to call.
        iterable: The first arguments, and so on for as many iterables as ``func`` takes arguments; all equally long.
        executor: What runs the calls of the chain, instead of threads of their own. Calls that it has begun when it
            refuses one run on; the others are cancelled.

    Returns:
        The chain of the calls, in the order of the items.

    Raises:
        TypeError: ``func`` cannot be called on a thread, or an argument is not iterable, or ``executor`` is not an
            executor.
        ValueError: The iterables are not equally long. Nothing has been started.
        RuntimeError: Not enough threads could be started. Nothing has been started.
        MemoryError: There is no memory for so many threads. Nothing has been started.
        BaseException: What an iterable, or ``executor.submit``, raised.
    """


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


def parallel_map(
    func: Callable[..., T], /, *iterables: Iterable[Any], executor: Executor | None = None
) -> FutureCollection[Unpack[tuple[T, ...]]]:
    """Starts one call of a function for each item, all at once, each on a thread of its own; all or none of them.

    The chain that it returns is like any other: ask for the ``results()``, or go on with ``.parallel(...)``.

    >>> parallel_map(len, ["one", "three"]).results()
    (3, 5)

    It may be called from any thread at any time.

    Args:
        func: What to call.
        *iterables: The first arguments, the second ones and so on. They are read to their ends before any call starts.
        executor: What runs the calls of the chain, instead of threads of their own. Calls that it has begun when it
            refuses one run on; the others are cancelled.

    Returns:
        The chain of the calls, in the order of the items.

    Raises:
        TypeError: ``func`` is not callable, or is a coroutine function; or an argument is not iterable, or there is
            none; or ``executor`` is not an executor.
        ValueError: The iterables are not equally long. Nothing has been started.
        RuntimeError: Not enough threads could be started, or the interpreter is shutting down. Nothing has been
            started.
        MemoryError: There is no memory for so many threads. Nothing has been started.
        BaseException: What an iterable, or ``executor.submit``, raised.
    """
    check_function(func, "parallel_map()")
    if not iterables:
        raise TypeError("parallel_map() takes a function and at least one iterable of arguments")
    columns = [list(iterable) for iterable in iterables]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"parallel_map() takes iterables of one length, but these have {', '.join(map(str, lengths))} items"
        )
    return start_map(func, list(zip(*columns)), executor)


def parallel_contexts(
    context_managers: Iterable[ContextManager[T]],
    /,
    *,
    timeout: float | None = None,
    parallel_exit: bool = False,
) -> FutureContextCollection[Unpack[tuple[T, ...]]]:
    """Prepares to enter any number of context managers in parallel.

    It is what chaining them with ``parallel()`` makes, for when they are not known one by one. It may be called from
    any thread at any time.

    >>> from tempfile import TemporaryDirectory
    >>> with parallel_contexts(TemporaryDirectory() for _ in range(3)) as folders:
    ...     len(folders)
    3

    Args:
        context_managers: What to enter, each on a thread of its own.
        timeout: For how many seconds to wait for all enters together at most; without, for as long as it takes.
        parallel_exit: Whether to exit all managers at once, rather than from the last to the first.

    Returns:
        The chain, to be entered: ``with`` gives a tuple of what the managers' ``__enter__`` returned.

    Raises:
        TypeError: ``context_managers`` is not iterable, or one of them is not a context manager, or ``timeout`` is not
            a number, or ``parallel_exit`` is not a truth value.
        ValueError: ``timeout`` is NaN.
        BaseException: What the iterable raised.
    """
    managers = tuple(context_managers)
    for manager in managers:
        check_context_manager(manager, "parallel_contexts()")
    check_parallel_exit(parallel_exit)
    return FutureContextCollection(managers, check_timeout(timeout), parallel_exit)
