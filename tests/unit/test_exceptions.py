"""Chains, groups and tracebacks of exceptions, also of classes that refuse attributes or define truth and equality."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Callable

import pytest

from helpers import PYPY
from parallel import _exceptions
from parallel._compat import BaseExceptionGroup, ExceptionGroup
from parallel._exceptions import (
    append_context,
    being_handled,
    context_of,
    contexts_of,
    one_or_group,
    raise_unchanged,
    remove_own_frames,
    set_traceback,
    traceback_of,
    with_traceback_from_here,
)


class PlainError(Exception):
    """An exception like most."""


@dataclass(frozen=True)
class FrozenError(Exception):
    """An exception whose attributes cannot be set, and that is equal to others."""

    number: int = 0


# PyPy itself reads the others by way of the class when it raises an exception.
REFUSED = {"with_traceback"} if PYPY else {"__traceback__", "__context__", "__cause__", "with_traceback"}


class RefusingError(Exception):
    """An exception that refuses everything that its class can refuse."""

    __hash__ = None  # type: ignore[assignment]  # Such classes exist.

    def __getattribute__(self, name: str) -> Any:
        if name in REFUSED:
            raise AssertionError(f"{name} is read")
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AssertionError(f"{name} is set")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("it is compared")

    def __bool__(self) -> bool:
        raise AssertionError("its truth is asked for")


@pytest.fixture(params=[PlainError, FrozenError, RefusingError])
def cls(request: pytest.FixtureRequest) -> Any:
    return request.param


def set_context(error: BaseException, context: BaseException | None) -> None:
    _exceptions._context.__set__(error, context)


def chain(cls: Callable[[], BaseException], number: int, end: BaseException | None = None) -> list[BaseException]:
    """Makes exceptions, each with the next as its context, and the last one with ``end``."""
    errors = [cls() for _ in range(number)]
    for error, context in zip(errors, [*errors[1:], end]):
        set_context(error, context)
    return errors


def same(some: Any, others: Any) -> bool:
    """Whether the objects are the same ones in the same order."""
    return [id(each) for each in some] == [id(each) for each in others]


def names_of_frames(error: BaseException) -> list[str]:
    names = []
    traceback = traceback_of(error)
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


def raise_it(error: BaseException) -> None:
    raise error


def caught(func: Callable[..., object], *args: Any) -> BaseException:
    """Returns what ``func`` raises, without the entry of this function."""
    try:
        func(*args)
    except BaseException as error:
        traceback = traceback_of(error)
        assert traceback is not None
        set_traceback(error, traceback.tb_next)
        return error
    pytest.fail("nothing is raised")


# contexts_of


def test_no_exception_has_no_contexts() -> None:
    assert list(contexts_of(None)) == []


def test_contexts_come_in_order_each_once(cls: Any) -> None:
    errors = chain(cls, 3)
    assert same(contexts_of(errors[0]), errors)
    assert same(contexts_of(errors[2]), errors[2:])


def test_contexts_of_a_cycle_come_once(cls: Any) -> None:
    errors = chain(cls, 4)
    set_context(errors[3], errors[1])
    assert same(contexts_of(errors[0]), errors)
    set_context(errors[0], errors[0])
    assert same(contexts_of(errors[0]), errors[:1])


# append_context


def test_context_is_put_at_the_end_of_the_chain(cls: Any) -> None:
    for number in [1, 3]:
        errors, contexts = chain(cls, number), chain(cls, 2)
        append_context(errors[0], contexts[0])
        assert same(contexts_of(errors[0]), errors + contexts)


def test_no_context_changes_nothing(cls: Any) -> None:
    errors = chain(cls, 2)
    append_context(errors[0], None)
    assert same(contexts_of(errors[0]), errors)


@pytest.mark.parametrize("number", range(3))
def test_context_that_is_in_the_chain_changes_nothing(cls: Any, number: int) -> None:
    errors = chain(cls, 3)
    append_context(errors[0], errors[number])
    assert same(contexts_of(errors[0]), errors)


def test_exception_in_the_chain_of_its_context_changes_nothing(cls: Any) -> None:
    errors = chain(cls, 3)
    append_context(errors[2], errors[0])
    assert same(contexts_of(errors[0]), errors)
    assert context_of(errors[2]) is None


def test_context_goes_in_front_of_an_end_that_both_chains_share(cls: Any) -> None:
    end = chain(cls, 2)
    errors, contexts = chain(cls, 2, end[0]), chain(cls, 2, end[0])
    append_context(errors[0], contexts[0])
    assert same(contexts_of(errors[0]), errors + contexts + end)


def test_chain_that_ends_in_a_cycle_is_left_as_it_is(cls: Any) -> None:
    errors, context = chain(cls, 3), cls()
    set_context(errors[2], errors[1])
    append_context(errors[0], context)
    assert same(contexts_of(errors[0]), errors)
    assert context_of(context) is None


def test_context_with_a_cycle_is_put_at_the_end(cls: Any) -> None:
    error, contexts = cls(), chain(cls, 3)
    set_context(contexts[2], contexts[1])
    append_context(error, contexts[0])
    assert same(contexts_of(error), [error, *contexts])


def test_context_goes_in_front_of_a_cycle_that_both_chains_share(cls: Any) -> None:
    cycle = chain(cls, 2)
    set_context(cycle[1], cycle[0])
    error, context = chain(cls, 1, cycle[0])[0], chain(cls, 1, cycle[1])[0]
    append_context(error, context)
    assert same(contexts_of(error), [error, context, cycle[1], cycle[0]])


def test_cost_of_a_context_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[None] = []

    def count_and_read(error: BaseException) -> BaseException | None:
        reads.append(None)
        return context_of(error)

    def cost(number: int) -> int:
        end = chain(PlainError, number)
        errors, contexts = chain(PlainError, number, end[0]), chain(PlainError, number, end[0])
        reads.clear()
        append_context(errors[0], contexts[0])
        return len(reads)

    monkeypatch.setattr(_exceptions, "context_of", count_and_read)
    assert cost(1_000) == pytest.approx(10 * cost(100), rel=0.05)


# one_or_group


def test_single_failure_is_itself(cls: Any) -> None:
    error = cls()
    set_traceback(error, None)
    assert one_or_group([error], "message") is error
    assert one_or_group([error, error, error], "message") is error
    assert traceback_of(error) is None


def test_several_failures_are_a_group_of_each_once(cls: Any) -> None:
    failures = [cls(), cls()]
    group = one_or_group([failures[0], failures[1], failures[0]], "2 of 3")
    assert isinstance(group, ExceptionGroup)
    assert group.message == "2 of 3"
    assert same(group.exceptions, failures)
    assert all(traceback_of(failure) is None and context_of(failure) is None for failure in failures)


def test_group_of_more_than_exceptions_is_no_exception(cls: Any) -> None:
    group = one_or_group([cls(), KeyboardInterrupt()], "message")
    assert isinstance(group, BaseExceptionGroup)
    assert not isinstance(group, Exception)


def test_group_has_a_traceback_and_what_is_being_handled_as_context(cls: Any) -> None:
    handled = cls()
    try:
        raise handled
    except Exception:
        group = one_or_group([cls(), cls()], "message")
    assert context_of(group) is handled
    assert traceback_of(group) is not None


def test_new_exception_gets_what_a_raise_gives_it(cls: Any) -> None:
    error, handled = cls(), cls()
    try:
        raise handled
    except Exception:
        assert with_traceback_from_here(error) is error
    assert context_of(error) is handled
    assert names_of_frames(error) == ["with_traceback_from_here"]


# raise_unchanged


def test_raise_leaves_the_context_as_it_is(cls: Any) -> None:
    error, handled = chain(cls, 3), chain(cls, 2)

    def handle_and_raise() -> None:
        try:
            raise handled[0]
        except Exception:
            set_context(handled[0], handled[1])
            raise_unchanged(error[0])

    assert caught(handle_and_raise) is error[0]
    assert same(contexts_of(error[0]), error)
    assert same(contexts_of(handled[0]), handled)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_raise_leaves_the_chain_that_it_is_in_as_it_is(cls: Any, number: int) -> None:
    errors = chain(cls, 3)

    def handle_and_raise() -> None:
        try:
            raise errors[0]
        except Exception:
            raise_unchanged(errors[number])

    assert caught(handle_and_raise) is errors[number]
    assert same(contexts_of(errors[0]), errors)


def own_function(source: str, **others: object) -> Any:
    """Makes a function ``own`` whose frames look like the library's."""
    namespace: dict[str, Any] = {"__package__": "parallel", **others}
    exec(source, namespace)  # noqa: S102  # The source stands where it is used.
    return namespace["own"]


def test_raise_replaces_the_librarys_entries_at_the_start_by_its_own(cls: Any) -> None:
    own = own_function("def own(error): call(error)", call=raise_it)
    error = caught(own, cls())
    assert names_of_frames(error) == ["own", "raise_it"]
    assert caught(raise_unchanged, error) is error
    assert names_of_frames(error) == ["raise_unchanged", "raise_it"]


@pytest.mark.skipif(PYPY, reason="PyPy frees nothing without a collection")
def test_raised_exception_is_in_no_cycle_of_references() -> None:
    class NotedError(Exception):
        """An exception that can be weakly referenced."""

    def handle_and_raise() -> weakref.ref[BaseException]:
        error = NotedError()
        noted: weakref.ref[BaseException] = weakref.ref(error)
        try:
            try:
                raise NotedError
            except NotedError:
                raise_unchanged(error)
        except NotedError:
            pass
        finally:
            del error
        return noted

    gc.collect()
    gc.disable()
    try:
        assert handle_and_raise()() is None
    finally:
        gc.enable()


# being_handled


def test_function_runs_while_the_exception_is_being_handled(cls: Any) -> None:
    error = cls()
    assert being_handled(error, lambda: sys.exc_info()[1]) is error
    assert sys.exc_info()[1] is None


def test_function_runs_alone_where_nothing_is_being_handled() -> None:
    assert being_handled(None, lambda: (sys.exc_info()[1], "result")) == (None, "result")


def test_handling_restores_the_traceback(cls: Any) -> None:
    error = cls()
    assert being_handled(error, lambda: names_of_frames(error)) == []
    assert traceback_of(error) is None
    caught(raise_it, error)
    before = traceback_of(error)
    assert being_handled(error, lambda: names_of_frames(error)) == ["raise_it"]
    assert traceback_of(error) is before


def test_exception_that_is_being_handled_becomes_the_context(cls: Any) -> None:
    error, raised = chain(cls, 2), cls()
    assert caught(being_handled, error[0], lambda: raise_it(raised)) is raised
    assert same(contexts_of(raised), [raised, *error])
    assert traceback_of(error[0]) is None


def test_bare_raise_raises_what_is_being_handled(cls: Any) -> None:
    error = cls()

    def raise_again() -> None:
        raise  # noqa: PLE0704  # Of what is being handled.

    assert caught(being_handled, error, raise_again) is error
    assert context_of(error) is None


@pytest.mark.skipif(PYPY, reason="PyPy frees nothing without a collection")
def test_handled_exception_is_in_no_cycle_of_references() -> None:
    error = PlainError()
    noted = weakref.ref(error)
    gc.collect()
    gc.disable()
    try:
        being_handled(error, int)
        del error
        assert noted() is None
    finally:
        gc.enable()


def entry_of_another_thread(error: BaseException) -> TracebackType:
    """Makes the entry that a thread has added that has begun to handle ``error``."""
    frame: FrameType = being_handled(PlainError(), lambda: sys._getframe(1))
    return TracebackType(traceback_of(error), frame, 0, 1)


def raise_on_another_thread(error: BaseException) -> None:
    def raise_and_catch() -> None:
        with suppress(Exception):
            raise error

    thread = threading.Thread(target=raise_and_catch)
    thread.start()
    thread.join()


def test_entries_that_another_thread_adds_meanwhile_stay(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    error = cls()
    # Two more threads have begun to handle it, and have not removed their entries yet.
    for _ in range(2):
        set_traceback(error, entry_of_another_thread(error))
    raises = [raise_on_another_thread]

    def set_and_raise(error: BaseException, traceback: TracebackType | None) -> None:
        set_traceback(error, traceback)
        if raises:
            raises.pop()(error)

    monkeypatch.setattr(_exceptions, "set_traceback", set_and_raise)
    assert being_handled(error, lambda: names_of_frames(error)) == ["raise_and_catch"]
    assert names_of_frames(error) == ["raise_and_catch"]


def test_entries_of_all_handling_threads_are_removed_wherever_they_are(cls: Any) -> None:
    error = cls()
    for times in [2, 1, 2]:
        for _ in range(times):
            set_traceback(error, entry_of_another_thread(error))
        raise_on_another_thread(error)
    assert being_handled(error, lambda: names_of_frames(error)) == ["raise_and_catch"] * 3


# remove_own_frames


def test_librarys_entries_are_removed_from_the_start(cls: Any) -> None:
    inner = own_function("def own(error): raise error")

    def others(error: BaseException) -> None:
        inner(error)

    error = caught(own_function("def own(error): call(error)", call=others), cls())
    assert names_of_frames(error) == ["own", "others", "own"]
    assert remove_own_frames(error) is error
    assert names_of_frames(error) == ["others", "own"]


def test_traceback_of_library_entries_alone_is_kept(cls: Any) -> None:
    error = caught(own_function("def own(error): raise error"), cls())
    for _ in range(2):
        assert names_of_frames(remove_own_frames(error)) == ["own"]


def test_exception_without_traceback_stays_without(cls: Any) -> None:
    assert traceback_of(remove_own_frames(cls())) is None
