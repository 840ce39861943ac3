"""Errors that the library raises, and what their tracebacks show of the library: a program for child processes.

``python traceback_scenarios.py [frozen]`` prints, as JSON, the functions of the library in the traceback of each error,
each with whether it is hidden from pytest, and the functions of the program. With ``frozen``, the library's code has
relative file names, as in applications made by PyInstaller and the like.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, NoReturn

PATIENCE = 10.0


class FrozenLoader(importlib.machinery.SourceFileLoader):
    """Compiles sources with file names that are relative to the folder of the package."""

    folder = ""

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        relative = os.path.relpath(path, self.folder)
        return compile(self.get_data(path), relative, "exec", dont_inherit=True)


class FrozenFinder:
    """Finds the modules of one package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.origin is not None:
            spec.loader = FrozenLoader(fullname, spec.origin)
        return spec


if __name__ == "__main__" and "frozen" in sys.argv[1:]:
    found = importlib.util.find_spec("parallel")
    assert found is not None
    assert found.origin is not None
    FrozenLoader.folder = str(Path(found.origin).parent.parent)
    sys.meta_path.insert(0, FrozenFinder("parallel"))  # type: ignore[arg-type, unused-ignore]  # It has what is needed.

from parallel import ParallelExecutor, ReturnWhen, parallel, parallel_map  # noqa: E402  # How it is found stands above.

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

Seen = Dict[str, Any]


class ScenarioError(Exception):
    pass


def fail() -> NoReturn:
    raise ScenarioError


class Manager:
    def __init__(self, *, enter: bool = False, leave: bool = False) -> None:
        self.enter, self.leave = enter, leave

    def __enter__(self) -> None:
        if self.enter:
            fail()

    def __exit__(self, *_: object) -> None:
        if self.leave:
            fail()


class StuckManager(Manager):
    def __enter__(self) -> None:
        release.wait(PATIENCE)


release = threading.Event()


def one_failure() -> None:
    parallel(fail)().parallel(int)().results()


def group_of_failures() -> None:
    parallel(fail)().parallel(int)().parallel(fail)().results()


def first_failure() -> None:
    parallel(release.wait)(PATIENCE).parallel(fail)().results(return_when=ReturnWhen.FIRST_EXCEPTION)


def failure_of_a_map() -> None:
    parallel_map(lambda _: fail(), [1]).results()


def failure_on_another_executor() -> None:
    with ThreadPoolExecutor() as executor:
        parallel(fail, executor=executor)().results()


def failure_in_an_except_block() -> None:
    try:
        raise LookupError
    except LookupError:
        one_failure()


def arguments_beside_the_function() -> None:
    parallel(fail, 1)  # type: ignore[call-overload]  # The mistake.


def arguments_beside_a_chained_function() -> None:
    parallel(int)().parallel(fail, 1)  # type: ignore[call-arg]  # The mistake.


def something_else_than_a_function() -> None:
    ParallelExecutor.execute_one(None)  # type: ignore[arg-type]  # The mistake.


def something_else_than_a_manager() -> None:
    parallel(Manager()).parallel(fail)  # type: ignore[arg-type]  # The mistake.


def consumed_chain() -> None:
    calls = parallel(int)()
    calls.parallel(int)().results()
    calls.results()


def result_of_a_future() -> None:
    ParallelExecutor.execute_one(fail).result(PATIENCE)


def time_limit_of_calls() -> None:
    parallel(release.wait)(PATIENCE).results(timeout=0)


def time_limit_of_first_failure() -> None:
    parallel(release.wait)(PATIENCE).results(timeout=0, return_when=ReturnWhen.FIRST_EXCEPTION)


def failed_enter() -> None:
    with parallel(Manager()).parallel(Manager(enter=True)):
        pass


def failed_enter_of_exits_at_once() -> None:
    with parallel(Manager(), parallel_exit=True).parallel(Manager(enter=True)):
        pass


def failed_enter_in_an_except_block() -> None:
    try:
        raise LookupError
    except LookupError:
        failed_enter()


def failed_enters() -> None:
    with parallel(Manager(enter=True)).parallel(Manager(enter=True)):
        pass


def time_limit_of_enters() -> None:
    with parallel(StuckManager(), timeout=0).parallel(Manager()):
        pass


def failed_exit() -> None:
    with parallel(Manager()).parallel(Manager(leave=True)):
        pass


def failed_exits_at_once() -> None:
    with parallel(Manager(leave=True), parallel_exit=True).parallel(Manager(leave=True)):
        pass


def failed_exit_at_once() -> None:
    with parallel(Manager(leave=True), parallel_exit=True).parallel(Manager()):
        pass


def failed_body() -> None:
    with parallel(Manager()).parallel(Manager()):
        fail()


def awaited_failure() -> None:
    async def main() -> None:
        await parallel(fail)()

    asyncio.run(main())


def awaited_group() -> None:
    async def main() -> None:
        await parallel(fail)().parallel(fail)()

    asyncio.run(main())


def failed_enter_on_an_event_loop() -> None:
    async def main() -> None:
        async with parallel(Manager()).parallel(Manager(enter=True)):
            pass

    asyncio.run(main())


def failed_exit_on_an_event_loop() -> None:
    async def main() -> None:
        async with parallel(Manager()).parallel(Manager(leave=True)):
            pass

    asyncio.run(main())


SCENARIOS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        one_failure,
        group_of_failures,
        first_failure,
        failure_of_a_map,
        failure_on_another_executor,
        failure_in_an_except_block,
        arguments_beside_the_function,
        arguments_beside_a_chained_function,
        something_else_than_a_function,
        something_else_than_a_manager,
        consumed_chain,
        result_of_a_future,
        time_limit_of_calls,
        time_limit_of_first_failure,
        failed_enter,
        failed_enter_of_exits_at_once,
        failed_enter_in_an_except_block,
        failed_enters,
        time_limit_of_enters,
        failed_exit,
        failed_exits_at_once,
        failed_exit_at_once,
        failed_body,
        awaited_failure,
        awaited_group,
        failed_enter_on_an_event_loop,
        failed_exit_on_an_event_loop,
    )
}


def frames_of(entries: Any) -> Seen:
    """The frames of a traceback: those of the library, each with whether it is hidden, and those of this program."""
    library: list[tuple[str, bool]] = []
    program: list[str] = []
    for frame, _ in traceback.walk_tb(entries):
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] == "parallel":
            library.append((frame.f_code.co_name, bool(frame.f_locals.get("__tracebackhide__"))))
        elif module == __name__:
            program.append(frame.f_code.co_name)
    return {"library": library, "program": program}


def seen_in(scenario: Callable[[], None]) -> Seen:
    """The tracebacks of the error of a scenario: its own, and those of the members of a group."""
    try:
        scenario()
    except BaseException as error:
        members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        return {
            "error": type(error).__name__,
            **frames_of(error.__traceback__),
            "members": [frames_of(member.__traceback__) for member in members],
        }
    raise AssertionError("nothing was raised")


def seen_in_report() -> Seen:
    """The traceback that is reported for a chain that is dropped."""
    reports: list[Any] = []
    told = threading.Event()

    def note(report: Any) -> None:
        reports.append(frames_of(report.exc_traceback))
        told.set()

    before, threading.excepthook = threading.excepthook, note
    try:
        parallel(fail)()
        gc.collect()
        assert told.wait(PATIENCE), "nothing was reported"
    finally:
        threading.excepthook = before
    return {"error": ScenarioError.__name__, **reports[0], "members": []}


def main() -> None:
    """Prints what is seen of the library."""
    threading.excepthook = lambda _: None  # What is not taken here is of no interest.
    seen = {}
    for name, scenario in SCENARIOS.items():
        release.clear()
        seen[name] = seen_in(scenario)
        release.set()
    seen["reported_failure"] = seen_in_report()
    absolute = Path(parallel.__code__.co_filename).is_absolute()
    print(json.dumps({"seen": seen, "absolute": absolute}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
