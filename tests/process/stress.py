"""Everything at once, from several threads: every call runs once, every manager that was entered is left once.

``python tests/process/stress.py --seconds 600`` runs it for ten minutes. It prints what it did and saw how often, and
exits with 1 if a promise was broken. The same ``--seed`` makes the same programs, though never the same interleaving.

Threads come and go all the time: they end when they have been idle for milliseconds. They are switched as often as the
interpreter can.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import InvalidStateError
from typing import Any, Callable

from parallel import ParallelExecutor, ReturnWhen, _threads, parallel, parallel_contexts, parallel_map

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

DRIVERS = 4
SECONDS_OF_A_ROUND = 1.0
LIMIT = 60.0
"""For how many seconds anything may take that must happen."""


COUNTED = {
    "make_call",
    "make_chain",
    "make_map",
    "make_nested_calls",
    "enter_block",
    "give_up_entering",
    "use_executor",
    "set_future",
    "forks",
    "calls",
    "managers",
    "errors taken",
    "groups taken",
    "timeouts taken",
    "errors reported: call",
    "errors reported: call of a set future",
    "errors reported: callback",
    "errors reported: enter",
    "errors reported: exit",
}
"""What there is some of in each run: it goes on until there is, however slow the machine is."""


class StressError(Exception):
    """What the stress test raises itself."""


class Books:
    """What was started, what ran, what was entered and what was left; and what should not have happened."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.ran: list[int] = []
        self.entered: list[int] = []
        self.left: list[int] = []
        self.wrong: list[str] = []
        self.totals: Counter[str] = Counter()

    def close_round(self) -> None:
        """Compares the sides of the books, when everything has ended, and begins new ones."""
        for kind, expected, found in [("calls", self.started, self.ran), ("managers", self.entered, self.left)]:
            self.totals[kind] += len(expected)
            if Counter(expected) != Counter(found):
                missing, surplus = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
                self.wrong.append(f"{kind}: {len(missing)} not ended, {len(surplus)} more often than begun")
            expected.clear()
            found.clear()


class Manager:
    """A manager that is slow or fails as its dice fall."""

    def __init__(self, driver: Driver) -> None:
        self._books = driver.books
        self._number = driver.next_number()
        self._pause = driver.pause()
        self._fails_to_enter = driver.dice.random() < 0.05
        self._fails_to_exit = driver.dice.random() < 0.1
        self._suppresses = driver.dice.random() < 0.1

    def __enter__(self) -> int:
        self._thread = threading.get_ident()
        time.sleep(self._pause)
        if self._fails_to_enter:
            raise StressError("enter")
        self._books.entered.append(self._number)
        return self._number

    def __exit__(self, *_: object) -> bool:
        self._books.left.append(self._number)
        if threading.get_ident() != self._thread:
            self._books.wrong.append("a manager was exited on another thread than it was entered on")
        if self._fails_to_exit:
            raise StressError("exit")
        return self._suppresses


class LateManager(Manager):
    """A manager that enters when it is not waited for any more, and fails."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._fails_to_enter = driver.dice.random() < 0.5
        self._fails_to_exit = True
        self.go_on = threading.Event()

    def __enter__(self) -> int:
        self.go_on.wait(LIMIT)
        return super().__enter__()


class Driver:
    """A thread that uses the library in all ways, as its dice fall."""

    def __init__(self, books: Books, seed: int, number: int) -> None:
        self.books = books
        self.dice = random.Random(f"{seed} {number}")  # noqa: S311  # Nothing secret.
        self._numbers = iter(range(number, 10**15, DRIVERS))
        self._ways: list[Callable[[], None]] = [
            self.make_call,
            self.make_chain,
            self.make_map,
            self.make_nested_calls,
            self.enter_block,
            self.give_up_entering,
            self.use_executor,
            self.set_future,
        ]
        self._may_fork = number == 0 and hasattr(os, "fork")

    def next_number(self) -> int:
        return next(self._numbers)

    def pause(self) -> float:
        return self.dice.choice([0, 0, 0, 0.0001, 0.003])

    def drive(self, end: float) -> None:
        """Uses the library until then."""
        if self._may_fork:
            self.fork()  # Once at least, however slow the machine.
        while time.monotonic() < end:
            way = self.dice.choice(self._ways)
            self.books.totals[way.__name__] += 1
            try:
                if self._may_fork and self.dice.random() < 0.01:
                    self.fork()
                way()
            except TimeoutError:
                self.books.totals["timeouts taken"] += 1
            except (StressError, SystemExit):  # A callback of a future that is done raises here.
                self.books.totals["errors taken"] += 1
            except BaseExceptionGroup as group:
                self.books.totals["groups taken"] += 1
                unexpected = group.split((StressError, TimeoutError))[1]
                if unexpected is not None:
                    self.books.wrong.append(f"{way.__name__}: {unexpected!r}")
            except BaseException as error:
                self.books.wrong.append(f"{way.__name__}: {error!r}")
            if self.dice.random() < 0.02:
                time.sleep(0.005)

    def call(self, what: str = "call", *, may_fail: bool = True) -> Callable[..., int]:
        """A function that notes that it ran, and fails or takes its time as the dice fall."""
        number, pause, fails = self.next_number(), self.pause(), may_fail and self.dice.random() < 0.3

        def call(*_: object) -> int:
            self.books.ran.append(number)
            if pause:
                time.sleep(pause)
            if fails:
                raise StressError(what)
            return number

        self.books.started.append(number)
        return call

    def make_call(self) -> None:
        future = ParallelExecutor.execute_one(self.call())
        if self.dice.random() < 0.5:
            future.add_done_callback(self.callback())
        if self.dice.random() < 0.7:
            future.result(LIMIT)

    def callback(self) -> Callable[[object], None]:
        outcome = self.dice.choice([None, None, StressError("callback"), SystemExit("callback")])
        call = self.call(may_fail=False)

        def callback(_: object) -> None:
            call()
            if outcome is not None:
                raise outcome

        return callback

    def make_chain(self) -> None:
        calls: Any = parallel(self.call())()
        for _ in range(self.dice.randrange(8)):
            calls = calls.parallel(self.call())()
        self.ask(calls)

    def ask(self, calls: Any) -> None:
        way = self.dice.randrange(5)
        if way == 0:
            return  # Dropped: what fails is reported.
        if way == 1:
            calls.results(timeout=self.pause())
        elif way == 2:
            calls.results(return_when=ReturnWhen.FIRST_EXCEPTION, timeout=LIMIT)
        else:
            calls.results(timeout=LIMIT)

    def make_map(self) -> None:
        number = self.dice.randrange(30)
        call = self.call(may_fail=False)
        # The same function for all items, so its first run is noted by the call above.
        self.books.started.extend([-1] * number)
        calls = parallel_map(lambda _: self.books.ran.append(-1), range(number))
        call()
        self.ask(calls)

    def make_nested_calls(self) -> None:
        def nest(depth: int, calls: list[Callable[..., int]]) -> None:
            if depth:
                ParallelExecutor.execute_one(nest, depth - 1, calls).result(LIMIT)
            calls[depth]()

        depth = self.dice.randrange(4)
        nest(depth, [self.call(may_fail=False) for _ in range(depth + 1)])

    def enter_block(self) -> None:
        managers = [Manager(self) for _ in range(self.dice.randrange(1, 5))]
        timeout = self.dice.choice([None, None, LIMIT, 0.001])
        inside = self.call(may_fail=False)
        reached = False
        try:
            with parallel_contexts(managers, timeout=timeout, parallel_exit=self.dice.random() < 0.5):
                reached = True
                parallel(inside)().results(timeout=LIMIT)
                if self.dice.random() < 0.2:
                    raise StressError("body")
        finally:
            if not reached:
                inside()

    def give_up_entering(self) -> None:
        manager = LateManager(self)
        try:
            with parallel(manager, timeout=0).parallel(Manager(self)):
                self.books.wrong.append("a block was entered that could not be")
        finally:
            manager.go_on.set()

    def use_executor(self) -> None:
        with ParallelExecutor() as executor:
            for _ in range(self.dice.randrange(5)):
                executor.submit(self.call()).add_done_callback(self.callback())

    def set_future(self) -> None:
        future = ParallelExecutor.execute_one(self.call("call of a set future"))
        try:
            future.set_result(0)
        except InvalidStateError:
            pass  # The call was quicker.

    def fork(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            self.be_a_child()
        self.books.totals["forks"] += 1
        _, status = os.waitpid(child, 0)
        if status != 0:
            self.books.wrong.append(f"a forked child ended with {status}")

    @staticmethod
    def be_a_child() -> None:
        """Uses the library in a forked process, and ends it."""
        code = 1
        try:
            signal.alarm(30)  # Ends it should it hang.
            if parallel_map(abs, range(5)).results(timeout=20) == (0, 1, 2, 3, 4):
                with parallel(threading.Lock()).parallel(threading.Lock()):
                    code = 0
        finally:
            os._exit(code)


def wait_until(condition: Callable[[], object], what: str, books: Books) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            books.wrong.append(what)
            return
        time.sleep(0.001)


def run_round(drivers: list[Driver], books: Books, seconds: float, threads_before: int) -> None:
    """Lets all drivers drive, and then checks that nothing is left of what they did."""
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=driver.drive, args=(end,)) for driver in drivers[1:]]
    for thread in threads:
        thread.start()
    drivers[0].drive(end)  # Signals and forks are the main thread's.
    for thread in threads:
        thread.join()
    gc.collect()
    wait_until(lambda: threading.active_count() == threads_before, "threads did not end", books)
    books.close_round()


def told(report: Any) -> str:
    """Gives what a hook has been told, with its traceback."""
    return "".join(traceback.format_exception(report.exc_type, report.exc_value, report.exc_traceback))


def run(seconds: float, seed: int) -> Books:
    """Runs for about ``seconds`` seconds, until something goes wrong."""
    books = Books()
    drivers = [Driver(books, seed, number) for number in range(DRIVERS)]

    def note_uncaught(report: Any) -> None:
        if isinstance(report.exc_value, (StressError, SystemExit, TimeoutError)):
            kind = "timeout" if isinstance(report.exc_value, TimeoutError) else report.exc_value
            books.totals[f"errors reported: {kind}"] += 1
        else:
            books.wrong.append(f"uncaught: {told(report)}")

    threading.excepthook = note_uncaught
    sys.unraisablehook = lambda report: books.wrong.append(f"unraisable: {told(report)}")
    logging.getLogger("concurrent.futures").disabled = True  # It logs every failed callback.
    _threads.IDLE_SECONDS = 0.003  # The only private name here, without which they would be idle for ten seconds.
    sys.setswitchinterval(1e-6)
    threads_before = threading.active_count()
    end = time.monotonic() + seconds
    while (time.monotonic() < end or not all(books.totals[each] for each in COUNTED)) and not books.wrong:
        if time.monotonic() > end + LIMIT:
            books.wrong.append(f"there was none of {[each for each in COUNTED if not books.totals[each]]}")
        run_round(drivers, books, min(SECONDS_OF_A_ROUND, seconds), threads_before)
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
