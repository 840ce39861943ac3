from __future__ import annotations

import threading
from typing import Any

import pytest

from conftest import LIMIT, wait_until
from parallel import ParallelExecutor, parallel_map
from parallel._gate import Countdown, Gate


class InterruptError(BaseException):
    """What a signal handler raises."""


class ScriptedLock:
    """A gate's lock. Once three wait, the gate is opened, and this thread gets through first, or is interrupted."""

    def __init__(self, gate: Gate, *, interrupt: str = "") -> None:
        self.waiting: list[None] = []
        self._gate = gate
        self._lock = gate._lock
        self._interrupt = interrupt
        self._taken = False
        self._main = threading.get_ident()
        vars(gate)["_lock"] = self

    def acquire(self, *arguments: Any) -> bool:
        if threading.get_ident() != self._main:
            self.waiting.append(None)
            return bool(self._lock.acquire(*arguments))
        wait_until(lambda: len(self.waiting) == 3)
        self._taken = True  # What is opened now, this thread closes at once.
        self._gate.open()
        self._interrupt_at("acquire")
        return True

    def release(self) -> None:
        if self._taken:
            self._taken = False
        else:
            self._interrupt_at("release")
            self._lock.release()

    def _interrupt_at(self, moment: str) -> None:
        if self._interrupt == moment:
            self._interrupt = ""
            raise InterruptError


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_closed_gate_is_waited_at_for_that_long(timeout: float) -> None:
    gate = Gate()
    assert gate.wait(timeout) is False
    gate.open()
    assert gate.wait(timeout) is True
    assert gate.wait(timeout) is True


def test_an_open_gate_may_be_opened_again() -> None:
    gate = Gate()
    for _ in range(3):
        gate.open()
    assert gate.is_open
    assert gate.wait(0)


def test_a_signal_handler_gets_through_while_its_own_thread_is_on_its_way() -> None:
    gate = Gate()
    gate.open()
    assert gate._lock.acquire(False)  # As the thread has it that has just got through.
    assert ParallelExecutor.execute_one(gate.wait).result(LIMIT / 3)


def test_all_who_wait_get_through() -> None:
    gate = Gate()
    ScriptedLock(gate)
    others = parallel_map(gate.wait, [LIMIT] * 3)
    assert gate.wait(LIMIT)
    assert others.results(timeout=LIMIT / 3) == (True,) * 3


@pytest.mark.parametrize("moment", ["acquire", "release"])
def test_who_is_interrupted_on_the_way_through_holds_nobody_up(moment: str) -> None:
    gate = Gate()
    ScriptedLock(gate, interrupt=moment)
    others = parallel_map(gate.wait, [LIMIT] * 3)
    with pytest.raises(InterruptError):
        gate.wait(LIMIT)
    assert others.results(timeout=LIMIT / 3) == (True,) * 3
    assert gate.wait(0)


def test_a_countdown_opens_at_the_last_count() -> None:
    countdown = Countdown(3)
    waiting = ParallelExecutor.execute_one(countdown.wait, LIMIT)
    for _ in range(2):
        countdown.count()
        assert not countdown.wait(0)
    assert not waiting.done()
    countdown.count()
    assert waiting.result(LIMIT)


def test_a_countdown_from_nothing_is_open() -> None:
    assert Countdown(0).is_open


def test_a_countdown_may_be_opened_early_and_counts_on() -> None:
    countdown = Countdown(2)
    countdown.open()
    assert countdown.wait(0)
    for _ in range(3):
        countdown.count()
    assert countdown.wait(0)
