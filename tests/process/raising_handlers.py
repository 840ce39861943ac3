"""Programs in which an exception arrives at every moment at which a signal handler could raise it.

``python raising_handlers.py MOMENTS SCENARIO CLASS`` runs a scenario again and again. In the first run, the exception
is raised at the first moment; in the second run, at the second; and so on, until a run ends before its moment has come.
The program prints where it raises the exception, and then each broken promise in a line that begins with ``WRONG``.

The moments:

``lines``
    Each line of the library that the main thread executes.
``calls``
    The interpreter runs signal handlers when a function begins, when a call of a function in C has returned, and while
    a lock is waited for. From Python 3.10 on it runs them nowhere else but at the ends of loops.
``alarms``
    Random moments, by a timer of the system. The exception comes inside the standard library too.

The scenarios use the public interface only. Nothing here knows how the library is made inside, but for its folder.
"""

from __future__ import annotations

import _weakrefset
import argparse
import dis
import faulthandler
import functools
import gc
import os
import random
import signal
import sys
import threading
import time
import traceback
import weakref
from collections import Counter
from contextlib import contextmanager
from types import CodeType, FrameType, TracebackType
from typing import Any, Callable, Iterator, Protocol

import parallel as library
from parallel import ParallelExecutor, ReturnWhen, parallel, parallel_map

LIBRARY = os.path.dirname(library.__file__) + os.sep  # noqa: PTH120  # As code objects have it.

LIMIT = 6.0
"""For how many seconds anything may take: less than the ten seconds after which idle threads wake up by themselves."""

LIMIT_OF_THREADS = 15.0
"""For how many seconds idle threads may be there."""

MOST_WRONG = 20
"""After how many broken promises a program ends."""

LAST_RUNS = 3
"""How many runs in a row must end before their moment: no two runs have quite the same number of moments."""


class AlarmError(Exception):
    """As packages raise it that limit the time of something."""


class InterruptError(BaseException):
    """As Ctrl-C raises it."""


CLASSES: dict[str, type[BaseException]] = {
    kind.__name__: kind
    for kind in [
        RuntimeError,
        RecursionError,
        MemoryError,
        OSError,
        TimeoutError,
        KeyboardInterrupt,
        AlarmError,
        InterruptError,
        AttributeError,
        IndexError,
        KeyError,
        ValueError,
        TypeError,
        StopIteration,
    ]
}
"""What handlers raise."""


def is_of_library(code: CodeType) -> bool:
    return code.co_filename.startswith(LIBRARY)


def callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


@functools.lru_cache(maxsize=None)
def first_call(code: CodeType) -> int:
    """Where in a function its first call stands."""
    return next((each.offset for each in dis.get_instructions(code) if "CALL" in each.opname), sys.maxsize)


def loses_any_exit(frame: FrameType) -> bool:
    """Whether what is raised now keeps a manager from being exited in any ``with``: its exit has done nothing yet."""
    return frame.f_code.co_name in {"__exit__", "__aexit__"} and frame.f_lasti <= first_call(frame.f_code)


def is_in_finalizer(frame: FrameType) -> bool:
    """Whether what is raised now is reported and dropped by the interpreter."""
    return any(each.f_code.co_name == "__del__" for each in callers(frame))


def is_callback_of_weak_reference(trace: TracebackType | None) -> bool:
    """Whether an exception was raised in what the standard library has weak references call."""
    return trace is not None and trace.tb_frame.f_code.co_filename in {weakref.__file__, _weakrefset.__file__}


def is_of_new_thread(trace: TracebackType | None) -> bool:
    """Whether an exception was raised in what the standard library does before or after a thread's own code."""
    return trace is not None and trace.tb_frame.f_code.co_filename == threading.__file__


def description(error: BaseException | None) -> str:
    if error is None:
        return "nothing"
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


class Moments:
    """Raises an exception at the given moment of the library's code on this thread, once."""

    def __init__(self, error: BaseException, number: int) -> None:
        self.error = error
        self.where = ""
        self._left = number

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def come(self, frame: FrameType) -> None:
        """The next moment is here."""
        self._left -= 1
        if self._left >= 0 or self.where or is_in_finalizer(frame) or loses_any_exit(frame):
            return
        code = frame.f_code
        self.where = f"{code.co_filename[len(LIBRARY) :]}:{frame.f_lineno} {code.co_name}"
        print("at", self.where, flush=True)
        raise self.error


class Lines(Moments):
    """Every line."""

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, _: str, __: object) -> Any:
        return self._trace_lines if is_of_library(frame.f_code) else None

    def _trace_lines(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            self.come(frame)
        return self._trace_lines


class Calls(Moments):
    """Every moment at which the interpreter runs signal handlers, as far as it tells of them."""

    def __enter__(self) -> None:
        sys.setprofile(self._profile)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, what: Any) -> None:
        if is_of_library(frame.f_code) and (
            event in {"call", "c_return"} or (event == "c_call" and what.__name__ == "acquire")
        ):
            self.come(frame)


MOMENTS: dict[str, type[Moments]] = {"lines": Lines, "calls": Calls}


class Books:
    """Which managers were entered and exited, what was reported, and what went wrong."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.exited: list[int] = []
        self._missing = 0
        self.reported: list[BaseException | None] = []
        self.wrong: list[str] = []
        # What a handler raises while the interpreter calls a weak reference's callback ends there.
        self.dropped: list[BaseException | None] = []
        self._numbers = iter(range(10**9))
        threading.excepthook = self._note_report
        sys.unraisablehook = self._note_unraisable

    def _note_report(self, report: Any) -> None:
        self.reported.append(report.exc_value)

    def _note_unraisable(self, report: Any) -> None:
        if is_callback_of_weak_reference(report.exc_traceback):
            self.dropped.append(report.exc_value)
            return
        if report.exc_type in {KeyError, RuntimeError} and is_of_new_thread(report.exc_traceback):
            # A handler raised inside Thread.start(), which took the thread off the list of those about to begin, or
            # left the lock of its condition to no one.
            return
        told = "".join(traceback.format_exception(report.exc_type, report.exc_value, report.exc_traceback))
        self.complain(f"unraisable, in {report.object!r}: {told}")

    def complain(self, what: str) -> None:
        self.wrong.append(what)
        print("WRONG:", what.replace("\n", "\n    "), flush=True)

    def next_number(self) -> int:
        return next(self._numbers)

    def _has_balance(self) -> bool:
        return len(self.exited) + self._missing == len(self.entered)

    def close(self) -> None:
        """Compares how many managers were entered and exited, once everything has ended."""
        # A manager that enters late may do so after this: nothing is cleared.
        if not wait_until(self._has_balance):
            self.complain(f"{len(self.entered)} managers were entered, {len(self.exited)} exited")
            self._missing = len(self.entered) - len(self.exited)

    def close_for_good(self) -> None:
        """Compares which managers were entered and exited, in the end."""
        entered, exited = Counter(self.entered), Counter(self.exited)
        if entered != exited:
            self.complain(f"not exited: {list(entered - exited)}, exited too often: {list(exited - entered)}")


def wait_until(condition: Callable[[], object], limit: float = LIMIT) -> bool:
    """Waits for what no event tells of; says whether it came."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.0002)
    return True


class Manager:
    """Keeps books of its enters and exits."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._number = books.next_number()

    def __enter__(self) -> int:
        self._books.entered.append(self._number)
        return self._number

    def __exit__(self, *_: object) -> None:
        self._books.exited.append(self._number)


@contextmanager
def generator_manager(books: Books) -> Iterator[int]:
    """Keeps books as ``Manager`` does."""
    with Manager(books) as number:
        yield number


class NamelessCall:
    """Can be called, and has no name of its own."""

    def __call__(self, number: int) -> int:
        return number + 1


def add(first: int, second: int) -> int:
    return first + second


class ScenarioError(Exception):
    """What fails in a scenario."""


def fail() -> None:
    raise ScenarioError


class Interrupt(Protocol):
    """Calls a function during which the exception comes."""

    def __call__(self, func: Callable[[], Any], out: list[BaseException] | None = None, /) -> bool:
        """Adds the exception that came out to ``out``, and says whether the exception came."""


Scenario = Callable[[Books, Interrupt], None]
"""Keeps its books and has itself interrupted."""

SCENARIOS: dict[str, Scenario] = {}


def scenario(func: Scenario) -> Scenario:
    SCENARIOS[func.__name__] = func
    return func


@scenario
def chain(_: Books, interrupt: Interrupt) -> None:
    """Three calls, and their results."""

    def make_calls() -> None:
        calls = parallel(add)(1, 2).parallel(abs)(-4).parallel(NamelessCall())(4)
        if calls.results() != (3, 4, 5):
            raise AssertionError

    interrupt(make_calls)


@scenario
def other_calls(_: Books, interrupt: Interrupt) -> None:
    """The other ways to make calls."""

    def make_calls() -> None:
        futures = [ParallelExecutor.execute_one(abs, -1), *ParallelExecutor.execute(int, functools.partial(add, 1, 2))]
        if [future.result() for future in futures] != [1, 0, 3] or parallel_map(abs, [-1, 2]).results() != (1, 2):
            raise AssertionError
        with ParallelExecutor() as executor:
            if executor.submit(NamelessCall(), 1).result() != 2:
                raise AssertionError

    interrupt(make_calls)


def enter_and_exit(books: Books, interrupt: Interrupt, **options: bool) -> None:
    def run_block() -> None:
        block = parallel(Manager(books), **options).parallel(generator_manager(books)).parallel(threading.Lock())
        with block.parallel(Manager(books)):
            pass

    interrupt(run_block)


@scenario
def block(books: Books, interrupt: Interrupt) -> None:
    """Managers that are exited in turn."""
    enter_and_exit(books, interrupt)


@scenario
def block_with_parallel_exit(books: Books, interrupt: Interrupt) -> None:
    """Managers that are exited at once."""
    enter_and_exit(books, interrupt, parallel_exit=True)


class Ask:
    """Asks a chain for its results in one of the ways to do so."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __call__(self, _: Books, interrupt: Interrupt) -> None:
        """The exception comes while the results are asked for, which may then be asked again."""
        calls = parallel(add)(1, 2).parallel(abs)(-4)
        interrupt(functools.partial(calls.results, **self.options))
        for options in [self.options, {}]:
            if calls.results(**options) != (3, 4):
                raise AssertionError


class AskForFailure(Ask):
    """Asks a chain in which a call fails."""

    def __call__(self, books: Books, interrupt: Interrupt) -> None:
        """The failure is raised when it is asked for again, and reported once if it is not."""
        calls: list[Any] = [parallel(add)(1, 2).parallel(fail)(), parallel(fail)().parallel(add)(1, 2)]
        failure = calls[0].futures[1].exception(LIMIT)
        taken: list[bool] = []
        interrupt(functools.partial(self.ask, calls[0], taken))
        taken.clear()
        try:
            calls[0].results(**self.options)
        except ScenarioError as error:
            if error is not failure:
                raise AssertionError from error
        else:
            raise AssertionError
        # Nobody has read the futures of this one, so the chain still answers for the error.
        out: list[BaseException] = []
        came = interrupt(functools.partial(self.ask, calls[1], taken), out)
        chain = weakref.ref(calls[1])
        calls.clear()
        if came:
            seen = taken or any(isinstance(each, ScenarioError) for error in out for each in contexts_of(error))
            out.clear()  # Its traceback holds the chain.
            # The report of its error, which the books keep, may hold the chain by way of the traceback's frames.
            if not wait_until(lambda: chain() is None or books.reported or collect_garbage()):
                books.complain("the chain is kept alive")
            if not seen and not wait_until(lambda: books.reported):
                books.complain("the error of a call was lost")
        if [type(error) for error in books.reported] not in ([], [ScenarioError]):
            books.complain(f"reported {books.reported}")
        books.reported.clear()

    def ask(self, calls: Any, taken: list[bool]) -> None:
        try:
            calls.results(**self.options)
        except ScenarioError:
            taken.append(True)


def collect_garbage() -> bool:
    """Collects garbage, unless another thread does so at this moment: then ``gc`` does nothing."""
    gc.collect()
    return False


def contexts_of(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those during whose handling it was raised."""
    seen: list[int] = []
    while error is not None and id(error) not in seen:
        seen.append(id(error))
        yield error
        error = error.__context__


QUESTIONS: dict[str, dict[str, Any]] = {
    "results": {},
    "results_with_timeout": {"timeout": LIMIT},
    "results_at_first_exception": {"return_when": ReturnWhen.FIRST_EXCEPTION},
}
for name, options in QUESTIONS.items():
    SCENARIOS[name] = Ask(**options)
    SCENARIOS["failed_" + name] = AskForFailure(**options)


def partial_append(items: list[Any], make: Callable[[], Any]) -> Callable[[], None]:
    return lambda: items.append(make())


@scenario
def chained_call(books: Books, interrupt: Interrupt) -> None:
    """A chain gets one more call, which fails: neither the chain nor the error is lost."""
    ran: list[int] = []
    new: list[Any] = []

    def note_and_fail() -> None:
        ran.append(1)
        fail()

    old = parallel(add)(1, 2).parallel(abs)(-4)
    prepared = old.parallel(note_and_fail)
    came = interrupt(partial_append(new, prepared))
    if new:
        new.clear()  # Which drops the chain: it reports the error.
        ran_at_least = 1
    else:
        ran_at_least = 0
        try:
            results: Any = old.results(timeout=LIMIT)
        except Exception as error:
            results = error
        if came and results != (3, 4):
            books.complain(f"the chain is lost: {results!r}")
    del prepared, old
    # A call that was started has begun by the time that later ones of its kind have ended, or soon.
    if not wait_until(lambda: len(books.reported) == len(ran) >= ran_at_least or collect_garbage()):
        books.complain(f"the new call ran {len(ran)} times, its error was reported {len(books.reported)} times")
    books.reported.clear()


def use_everything(books: Books) -> None:
    """What must work whatever happened before."""
    if parallel(add)(1, 2).parallel(abs)(-4).results(timeout=LIMIT) != (3, 4):
        books.complain("later calls give something else")
    with parallel(Manager(books), timeout=LIMIT).parallel(Manager(books)):
        pass


def run_at_every_moment(books: Books, moments: type[Moments], scene: Scenario, kind: type[BaseException]) -> int:
    """Runs the scenario once for each moment; returns for how many."""
    runs_in_vain = number = raised = 0
    while runs_in_vain < LAST_RUNS and len(books.wrong) < MOST_WRONG:
        came = Came(books, moments, kind, number)
        scene(books, came)
        raised += came.count
        runs_in_vain = 0 if came.count else runs_in_vain + 1
        number += 1
        books.close()
        use_everything(books)
        if books.reported:
            books.complain(f"reported {books.reported}, raised at {came.where}")
            books.reported.clear()
    return raised


class Came:
    """Calls functions during which the exception comes."""

    def __init__(self, books: Books, moments: type[Moments], kind: type[BaseException], number: int) -> None:
        self._books = books
        self._moments = moments
        self._kind = kind
        self._number = number
        self.count = 0
        self.where = ""

    def __call__(self, func: Callable[[], Any], out: list[BaseException] | None = None, /) -> bool:
        error = self._kind("by a signal handler")
        moments = self._moments(error, self._number)
        came_out: BaseException | None = None
        try:
            with moments:
                func()
        except BaseException as raised:
            came_out = raised
        if out is not None and came_out is not None:
            out.append(came_out)
        if moments.where:
            self.count += 1
            self.where = moments.where
        if came_out is not (error if moments.where else None):
            told = description(came_out)
            self._books.complain(f"raised at {moments.where or 'no moment'}, came out: {told}")
        return bool(moments.where)


class Alarms:
    """A handler that raises once each time that it is armed, at a random moment."""

    def __init__(self, books: Books, kind: type[BaseException], dice: random.Random, longest: float) -> None:
        self._books = books
        self._kind = kind
        self._dice = dice
        self._longest = longest
        self._armed = False
        self._error: BaseException | None = None
        self.raised = self.came_out = 0
        signal.signal(signal.SIGALRM, self._handle)

    def _handle(self, _: int, frame: FrameType | None) -> None:
        if not self._armed or frame is None:
            return
        if loses_in_standard_library(frame) or is_at_door(frame) or is_in_finalizer(frame):
            signal.setitimer(signal.ITIMER_REAL, 0.00005)  # Once more, a moment later.
            return
        self._armed = False
        self.raised += 1
        self._error = self._kind("by a signal handler")
        raise self._error

    def __call__(self, func: Callable[[], Any], out: list[BaseException] | None = None, /) -> bool:
        self._error = None
        came_out: BaseException | None = None
        try:
            try:
                self._armed = True
                signal.setitimer(signal.ITIMER_REAL, self._dice.uniform(0.00001, self._longest))
                func()
                self._armed = False
            finally:
                self._armed = False
        except BaseException as raised:
            came_out = unwrapped(raised)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if came_out is None and self._books.dropped:
            came_out = self._books.dropped[0]
        self._books.dropped.clear()
        self.came_out += came_out is not None
        if came_out is not self._error:
            told = description(came_out)
            self._books.complain(f"raised {self._error!r}, came out: {told}")
        if out is not None and came_out is not None:
            out.append(came_out)
        has_raised = self._error is not None
        self._error = None  # Its traceback holds the frames of the scenario.
        return has_raised


def is_at_door(frame: FrameType) -> bool:
    """Whether an exit has just been called: what is raised now loses it in any ``with``."""
    return frame.f_code.co_name in {"__exit__", "__aexit__"} and frame.f_lineno == frame.f_code.co_firstlineno


def loses_in_standard_library(frame: FrameType) -> bool:
    """Whether the standard library itself breaks if a handler raises just here.

    ``Condition.__enter__`` may hold its lock already, and then nobody releases it. Nor does ``enumerate`` from 3.14 on:
    the interpreter may run the handler after ``with`` has acquired the lock, and before its block. Right after
    ``Thread.start`` has started the thread, it takes the thread out of a list in which the thread then looks for itself
    in vain.
    """
    code = frame.f_code
    return code.co_filename == threading.__file__ and code.co_name in {"__enter__", "enumerate", "start"}


def unwrapped(error: BaseException) -> BaseException:
    """Gives what a handler raised inside ``Condition.wait``, which replaces it by an error of its own.

    It is raised after the lock has been released there, and before it is acquired again.
    """
    if type(error) is RuntimeError and str(error) in {"release unlocked lock", "cannot release un-acquired lock"}:
        return error.__context__ or error
    return error


def run_with_alarms(books: Books, scene: Scenario, kind: type[BaseException], number: int, seed: int) -> int:
    """Runs the scenario until ``number`` alarms have been raised, each at a random moment of a run."""
    alarms = Alarms(books, kind, random.Random(seed), longest_of(scene, books))  # noqa: S311  # Nothing secret.
    while alarms.raised < number and not books.wrong:
        scene(books, alarms)
        books.close()
        if books.reported:
            books.complain(f"reported {books.reported}")
    use_everything(books)
    if alarms.raised != alarms.came_out:
        books.complain(f"{alarms.raised} alarms were raised, {alarms.came_out} came out")
    return alarms.raised


def longest_of(scene: Scenario, books: Books) -> float:
    """How long the scenario takes, by the slowest of a few runs."""
    times: list[float] = []

    def measure(func: Callable[[], Any], _: object = None, /) -> bool:
        begun = time.perf_counter()
        func()
        times.append(time.perf_counter() - begun)
        return False

    for _ in range(20):
        scene(books, measure)
    return sorted(times)[-3] * 1.5


def count_threads() -> int:
    """Counts threads that run. ``threading`` also lists those whose start an alarm interrupted before it began."""
    return sum(thread.is_alive() for thread in threading.enumerate())


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("moments", choices=[*MOMENTS, "alarms"])
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("kind", choices=CLASSES, metavar="CLASS")
    parser.add_argument("--alarms", type=int, default=100, help="how many alarms are raised (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="what the dice begin with (%(default)s)")
    parser.add_argument("--limit", type=float, default=40.0, help="after how many seconds it has hung (%(default)s)")
    parser.add_argument("--threads", action="store_true", help="see in the end whether threads are left")
    arguments = parser.parse_args()
    faulthandler.dump_traceback_later(arguments.limit, exit=True)
    before = count_threads()
    books = Books()
    scene, kind = SCENARIOS[arguments.scenario], CLASSES[arguments.kind]
    if arguments.moments == "alarms":
        count = run_with_alarms(books, scene, kind, arguments.alarms, arguments.seed)
    else:
        count = run_at_every_moment(books, MOMENTS[arguments.moments], scene, kind)
    books.close()
    books.close_for_good()
    print("raised", count, "times")
    if arguments.threads:
        ParallelExecutor().shutdown()  # Its end ends idle threads too.
        if not wait_until(lambda: count_threads() == before, LIMIT_OF_THREADS):
            books.complain(f"{count_threads() - before} threads are left: {threading.enumerate()}")
    return 1 if books.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
