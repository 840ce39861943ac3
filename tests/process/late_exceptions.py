"""Programs that exhaust the stack inside the library, or send exceptions to threads whose calls have ended.

``python late_exceptions.py PROGRAM [CLASS]`` prints a line that begins with ``WRONG`` for each broken promise.
"""

from __future__ import annotations

import ctypes
import faulthandler
import functools
import os
import sys
import threading
import time
import traceback
from concurrent.futures import Future
from typing import Any, Callable

from parallel import ParallelExecutor, ReturnWhen, parallel, parallel_map

LIMIT = 6.0
"""For how many seconds a call may take: less than the ten seconds after which idle threads wake up by themselves."""

LIMIT_OF_THREADS = 15.0
"""For how many seconds idle threads may be there."""

FRAMES = 60
"""From how many frames below the limit of recursion on the library is used."""

wrong: list[str] = []


class LateError(Exception):
    """As packages send it that limit the time of calls."""


CLASSES: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (LateError, TimeoutError, SystemExit, KeyboardInterrupt, RuntimeError, IndexError)
}


def complain(what: str) -> None:
    wrong.append(what)
    print("WRONG:", what, flush=True)


class Manager:
    """Counts its enters and exits."""

    def __init__(self) -> None:
        self.entered = self.exited = 0

    def __enter__(self) -> Manager:
        self.entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.exited += 1


def use_everything(times: int) -> None:
    """Ordinary calls, blocks and results, which work whatever happened before."""
    for number in range(times):
        if ParallelExecutor.execute_one(abs, -number).result(LIMIT) != number:
            complain("a call gives something else")
        if parallel(abs)(-number).parallel(str)(number).results(timeout=LIMIT) != (number, str(number)):
            complain("a chain gives something else")
        with parallel(Manager(), timeout=LIMIT).parallel(Manager()) as managers:
            if [manager.entered for manager in managers] != [1, 1]:
                complain("a block enters something else")
        if [manager.exited for manager in managers] != [1, 1]:
            complain("a block exits something else")


def descend(frames: int, func: Callable[[], Any]) -> Any:
    """Calls a function that many frames further down."""
    return func() if frames == 0 else descend(frames - 1, func)


def deepest() -> int:
    """How many frames there are."""
    frames = 100
    while True:
        try:
            descend(frames, int)
        except RecursionError:
            return frames
        frames += 1


def check_chain(calls: Any, distance: int) -> None:
    """A chain is usable after a call could not be chained, or its results could not be had."""
    try:
        results = calls.results(timeout=LIMIT)
    except Exception as error:
        complain(f"the chain is lost, {distance} frames below the limit: {error!r}")
    else:
        if results != (1, 2):
            complain("a chain gives something else")


def check_outcome(way: str, outcome: Any) -> None:
    """A call that could be started ends, and so do those after it."""
    expected: dict[str, object] = {"start": (1,), "map": (0, 1, 2, 3, 4), "chained": (1, 2, 3)}
    expected.update({"execute_one": 1, "submit": 1})
    if way not in expected:
        return
    # A call that nobody waits for must not need the next one to begin.
    results = outcome.result(LIMIT) if isinstance(outcome, Future) else outcome.results(timeout=LIMIT)
    if results != expected[way]:
        complain("a call gives something else")


class Round:
    """One use of the library, and what becomes of it."""

    def __init__(self) -> None:
        self.calls = parallel(abs)(-1).parallel(abs)(-2)
        self.prepared = self.calls.parallel(abs)
        self.managers = Manager(), Manager()
        self.block = parallel(self.managers[0], timeout=LIMIT).parallel(self.managers[1])
        self.outcome: Any = None

    def use(self, way: str) -> Any:
        ways: dict[str, Callable[[], Any]] = {
            "start": lambda: parallel(abs)(-1),
            "start_and_results": lambda: parallel(abs)(-1).results(),
            "execute_one": lambda: ParallelExecutor.execute_one(abs, -1),
            "execute_one_and_result": lambda: ParallelExecutor.execute_one(abs, -1).result(),
            "map": lambda: parallel_map(abs, range(5)),
            "submit": lambda: ParallelExecutor().submit(abs, -1),
            "chained": lambda: self.prepared(-3),
            "results": self.calls.results,
            "first_exception": lambda: self.calls.results(return_when=ReturnWhen.FIRST_EXCEPTION),
            "enter": self.block.__enter__,
        }
        return ways[way]

    def check(self, way: str, distance: int) -> None:
        if self.outcome is None:
            check_chain(self.calls, distance)
        elif way == "enter":
            if self.outcome != self.managers:
                complain("a block enters something else")
            self.block.__exit__(None, None, None)
        else:
            check_outcome(way, self.outcome)


def run_out_of_frames(way: str, *, in_between: bool) -> None:
    """Uses the library at every depth up to the limit, in one of the ways."""
    limit = deepest()
    use_everything(1)
    rounds = {frames: Round() for frames in range(limit - FRAMES, limit + 1)}
    for frames, each in rounds.items():
        wait_until_others_wait()  # So that the call has somebody to wake up.
        try:
            each.outcome = descend(frames, each.use(way))
        except RecursionError:
            pass
        if in_between:
            each.check(way, limit - frames)
            use_everything(2)
    use_everything(50)
    if not in_between:
        for frames, each in rounds.items():
            each.check(way, limit - frames)
    raised = sum(each.outcome is None for each in rounds.values())
    if raised == 0:
        complain("the stack was deep enough for everything")
    print("raised", raised, "times")


def send(ident: int, kind: type[BaseException]) -> None:
    """Has an exception raised in a thread as soon as it executes Python again."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))


def wait_until_others_wait() -> None:
    """Waits until each other thread has been seen in the same place a few times."""
    end = time.monotonic() + LIMIT
    before: object = None
    same = 0
    while same < 3 and time.monotonic() < end:
        time.sleep(0.001)
        frames = sys._current_frames()  # noqa: SLF001  # As documented.
        del frames[threading.get_ident()]
        places = {ident: (frame.f_code, frame.f_lasti) for ident, frame in frames.items()}
        same = same + 1 if places == before else 0
        before = places


def ident_after_call(moment: str) -> int:
    """Makes a call, and names its thread when the call has ended."""
    if moment != "callback":
        ident = ParallelExecutor.execute_one(threading.get_ident).result(LIMIT)
        if moment == "idle":
            wait_until_others_wait()
        return ident
    told: Future[int] = Future()
    go = threading.Event()
    future = ParallelExecutor.execute_one(go.wait, LIMIT)
    # A done-callback runs on the thread of the call, after it.
    future.add_done_callback(lambda _: told.set_result(threading.get_ident()))
    go.set()
    return told.result(LIMIT)


def check_report(report: Any, kind: type[BaseException]) -> None:
    """What was sent may be reported, and nothing else."""
    if not isinstance(report.exc_value, kind):
        complain(f"reported {report.exc_value!r}")


def send_late(kind: type[BaseException], moment: str) -> None:
    """Sends exceptions to threads whose calls have ended, and makes many calls."""
    threading.excepthook = sys.unraisablehook = functools.partial(check_report, kind=kind)
    before = threading.active_count()
    for _ in range(50):
        send(ident_after_call(moment), kind)
    futures = [ParallelExecutor.execute_one(abs, -number) for number in range(200)]
    if [future.result(LIMIT) for future in futures] != list(range(200)):
        complain("calls give something else")
    if parallel_map(abs, range(50)).results(timeout=LIMIT) != tuple(range(50)):
        complain("a map gives something else")
    use_everything(50)
    ParallelExecutor().shutdown()  # Its end ends idle threads too.
    end = time.monotonic() + LIMIT_OF_THREADS
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.001)
    if threading.active_count() > before:
        complain(f"{threading.active_count() - before} threads are left")


def main(program: str, argument: str) -> int:
    """The program."""
    faulthandler.dump_traceback_later(90.0, exit=True)
    try:
        if program == "frames":
            run_out_of_frames(argument, in_between=False)
            run_out_of_frames(argument, in_between=True)
        else:
            send_late(CLASSES[argument], program)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # The end of the interpreter would wait for calls that never begin.
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
