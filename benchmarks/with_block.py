"""A ``with`` block: what does it cost to enter and leave three context managers?"""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Callable

from contestants import DEFAULT_POOL, UNBOUNDED, UNBOUNDED_POOL, start_thread
from measuring import MICROSECONDS, OURS, Report, main, taking_turns

from parallel import parallel

ROUNDS_AND_TIMES = {"full": (301, 50), "quick": (15, 25), "tiny": (2, 2)}

GOALS = {UNBOUNDED_POOL: 1.0}


class Manager:
    """A context manager that does nothing."""

    def __enter__(self) -> int:
        return 1

    def __exit__(self, *_: object) -> None:
        pass


ONE, TWO, THREE = Manager(), Manager(), Manager()

Start = Callable[..., "Future[int]"]


def in_parallel() -> None:
    """The library."""
    with parallel(ONE).parallel(TWO).parallel(THREE) as (_one, _two, _three):
        pass


def one_after_the_other() -> None:
    """No threads at all."""
    with ONE as _one, TWO as _two, THREE as _three:
        pass


def by_hand(pool: Executor) -> Callable[[], None]:
    """What can be done with a pool: all enters at once, the exits in turn; no error is handled."""

    def enter_and_leave() -> None:
        submit = pool.submit
        one, two, three = submit(ONE.__enter__), submit(TWO.__enter__), submit(THREE.__enter__)
        _one, _two, _three = one.result(), two.result(), three.result()
        submit(THREE.__exit__, None, None, None).result()
        submit(TWO.__exit__, None, None, None).result()
        submit(ONE.__exit__, None, None, None).result()

    return enter_and_leave


def with_new_threads() -> None:
    """What can be done with a new thread for each enter and each exit."""
    one, two, three = start_thread(ONE.__enter__), start_thread(TWO.__enter__), start_thread(THREE.__enter__)
    _one, _two, _three = one.result(), two.result(), three.result()
    for manager in (THREE, TWO, ONE):
        start_thread(lambda manager=manager: manager.__exit__(None, None, None)).result()  # type: ignore[misc]  # Its result is None.


BLOCKS: dict[str, Callable[[], Callable[[], None]]] = {
    OURS: lambda: in_parallel,
    UNBOUNDED_POOL: lambda: by_hand(ThreadPoolExecutor(UNBOUNDED)),
    DEFAULT_POOL: lambda: by_hand(ThreadPoolExecutor()),
    "threading.Thread per enter and exit": lambda: with_new_threads,
    "an ordinary with, no threads": lambda: one_after_the_other,
}
"""Makes what enters and leaves a block, by the name of the contestant."""


def time_blocks(enter_and_leave: Callable[[], None], times: int) -> float:
    """How many seconds ``times`` blocks take, one after the other."""
    enter_and_leave()
    began = perf_counter()
    for _ in range(times):
        enter_and_leave()
    return perf_counter() - began


def measure(size: str) -> Report:
    """Enters and leaves three managers that do nothing."""
    rounds, times = ROUNDS_AND_TIMES[size]
    report = Report("with_block", "what does it cost to enter and leave three context managers?")
    pairs = taking_turns({name: partial(time_blocks, make(), times) for name, make in BLOCKS.items()}, rounds)
    report.add_figures("with of 3", pairs, f"{MICROSECONDS} per block", scale=1e6 / times)
    report.add_ratios("with of 3", pairs, GOALS)
    return report


if __name__ == "__main__":
    main(measure, on_one_core=True)
