"""Random cancels and abandons from several threads: every call ends, with an outcome that is accounted for.

``python tests/process/stress_cancel.py --seconds 600`` runs it for ten minutes. It prints how often there was what,
and exits with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, wait
from typing import Any

from parallel import ParallelExecutor, _threads, cancellation, parallel, parallel_map

DRIVERS = 4
LIMIT = 60.0
"""For how many seconds anything may take that must happen."""


class StressError(Exception):
    """What the calls raise themselves."""


class Books:
    """What was begun, how it ended, and what should not have happened."""

    def __init__(self) -> None:
        self.begun: list[None] = []
        self.ended: list[str] = []
        self.registered: list[int] = []
        self.called: list[int] = []
        self.wrong: list[str] = []
        self.totals: Counter[str] = Counter()

    def close_round(self) -> None:
        """Compares the two sides, when everything has ended, and begins new ones."""
        if len(self.begun) != len(self.ended):
            self.wrong.append(f"{len(self.begun)} calls began, {len(self.ended)} ended")
        if set(self.called) - set(self.registered) or len(set(self.called)) != len(self.called):
            self.wrong.append("a callback was called that was not registered, or twice")
        self.totals.update(self.ended)
        self.totals["callbacks"] += len(self.called)
        for book in (self.begun, self.ended, self.registered, self.called):
            book.clear()


class Driver:
    """A thread that starts chains, and asks them to stop as its dice fall."""

    def __init__(self, books: Books, seed: int, number: int) -> None:
        self._books = books
        self._dice = random.Random(f"{seed} {number}")  # noqa: S311  # Nothing secret.

    def drive(self, end: float) -> None:
        """Starts chains until then."""
        while time.monotonic() < end:
            try:
                self._drive_once()
            except BaseException as error:
                self._books.wrong.append(f"driver: {error!r}")

    def _drive_once(self) -> None:
        dice = self._dice
        seeds = [dice.random() for _ in range(dice.randrange(1, 5))]
        executor = ParallelExecutor() if dice.random() < 0.3 else None
        calls: Any = parallel_map(self._call, seeds, [dice.randrange(3)] * len(seeds), executor=executor)
        others = [threading.Thread(target=self._ask, args=(calls, dice.random())) for _ in range(dice.randrange(3))]
        for other in others:
            other.start()
        for _ in range(dice.randrange(3)):
            time.sleep(dice.choice([0, 0, 0.0005]))
            self._ask(calls, dice.random())
        if dice.random() < 0.2:
            calls.abandon()
        else:
            calls.cancel()  # So that all end that wait for it.
        if executor is not None:
            executor.shutdown(wait=dice.random() < 0.5)
        for other in others:
            other.join()
        futures = calls.futures
        if wait(futures, LIMIT).not_done:
            self._books.wrong.append(f"did not end: {calls!r}")
        self._check(calls)

    def _ask(self, calls: Any, dice: float) -> None:
        if dice < 0.3:
            calls.cancel()
        elif dice < 0.4:
            calls.abandon()
        elif dice < 0.7:
            for future in calls.futures:
                if future.cancel():
                    self._books.wrong.append("a call could be cancelled")

    def _check(self, calls: Any) -> None:
        """Compares what results() makes of the calls with what their futures hold."""
        errors = [future.exception(0) for future in calls.futures]
        failures = [error for error in errors if error is not None and not isinstance(error, CancelledError)]
        raised: BaseException | None = None
        try:
            calls.results(timeout=LIMIT)
        except BaseException as error:
            raised = error
        if len(failures) > 1:
            is_right = list(getattr(raised, "exceptions", [])) == failures
        else:
            is_right = raised is next(iter([*failures, *filter(None, errors)]), None)
        if not is_right:
            self._books.wrong.append(f"{errors} became {raised!r}")
        if repr(calls).count(" cancelled") != sum(isinstance(error, CancelledError) for error in errors):
            self._books.wrong.append(f"{errors} are shown as {calls!r}")

    def _call(self, seed: float, depth: int) -> None:
        dice = random.Random(seed)  # noqa: S311  # Nothing secret.
        books = self._books
        books.begun.append(None)
        outcome = "broken"
        try:
            it = cancellation()
            if depth and dice.random() < 0.5:
                inner: Any = parallel(self._call)(dice.random(), depth - 1)
                if dice.random() < 0.3:
                    inner.cancel()
                wait(inner.futures, LIMIT)
                self._check(inner)
            way = dice.randrange(5)
            if way == 0:
                outcome = "returned at once"
            elif way == 1:
                outcome = "raised"
                raise StressError
            elif way == 2:
                stopped = threading.Event()
                number = id(stopped), threading.get_ident(), dice.random()
                books.registered.append(hash(number))
                with it.callback(self._note_callback, stopped, hash(number)):
                    if not stopped.wait(LIMIT):
                        books.wrong.append("a callback was not called")
                outcome = "stopped by a callback"
                it.check()
            elif way == 3:
                if not it.wait(LIMIT):
                    books.wrong.append("a call was not asked")
                outcome = "stopped by a wait"
                it.check()
            else:
                while not it.is_set():
                    time.sleep(0)
                outcome = "returned when asked"
        finally:
            books.ended.append(outcome)

    def _note_callback(self, stopped: threading.Event, number: int) -> None:
        self._books.called.append(number)
        stopped.set()


def wait_until_ended(books: Books, threads_before: int) -> None:
    """Waits until no call and no thread is left of a round."""
    end = time.monotonic() + LIMIT
    while threading.active_count() != threads_before:
        if time.monotonic() > end:
            books.wrong.append(f"left: {threading.enumerate()}")
            return
        time.sleep(0.001)


def run(seconds: float, seed: int) -> Books:
    """Runs for so many seconds, or until something goes wrong."""
    books = Books()
    drivers = [Driver(books, seed, number) for number in range(DRIVERS)]
    threading.excepthook = lambda report: books.wrong.append(f"uncaught: {report.exc_value!r}")
    _threads.IDLE_SECONDS = 0.003  # The only private name here, without which they would be idle for ten seconds.
    sys.setswitchinterval(1e-6)
    threads_before = threading.active_count()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not books.wrong:
        round_end = min(end, time.monotonic() + 1)
        threads = [threading.Thread(target=driver.drive, args=(round_end,)) for driver in drivers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until_ended(books, threads_before)
        books.close_round()
    return books


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long it runs (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="what the dice begin with (%(default)s)")
    arguments = parser.parse_args()
    faulthandler.dump_traceback_later(arguments.seconds + 3 * LIMIT, exit=True)
    books = run(arguments.seconds, arguments.seed)
    for what, number in sorted(books.totals.items()):
        print(f"{number:>10} {what}")
    for wrong in books.wrong:
        print("WRONG:", wrong)
    return 1 if books.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
