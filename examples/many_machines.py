"""Runs one chain of calls on threads, on processes or on a Dask cluster, and prints the same results from each."""

from __future__ import annotations

import argparse
import random
from collections import Counter
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from multiprocessing import get_context
from typing import Any

from parallel import ParallelExecutor, parallel, parallel_map

TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness"


def count_primes(below: int) -> int:
    """Counts primes, by sieve."""
    sieve = bytearray([1]) * below
    sieve[:2] = bytes(2)
    for number in range(2, int(below**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, below, number)))
    return sum(sieve)


def most_frequent_word(text: str) -> str:
    """Finds the word that occurs most, the first one of several."""
    return Counter(text.replace(",", "").lower().split()).most_common(1)[0][0]


def points_in_circle(points: int, *, seed: int) -> int:
    """Throws points at a square, and counts those in the quarter circle within it."""
    numbers = random.Random(seed)  # noqa: S311  # No secrets here.
    return sum(numbers.random() ** 2 + numbers.random() ** 2 < 1 for _ in range(points))


def count_for_seed(seed: int) -> int:
    """Throws a fifth of all points."""
    return points_in_circle(20_000, seed=seed)


def executor_on(where: str, scheduler: str | None, stack: ExitStack) -> Executor:
    """Makes the executor of that kind, which ``stack`` shuts down."""
    if where == "threads":
        return stack.enter_context(ParallelExecutor())
    if where == "processes":
        # Forked from a program with threads, a process may hang.
        return stack.enter_context(ProcessPoolExecutor(mp_context=get_context("spawn")))
    try:
        distributed: Any = import_module("distributed")
    except ModuleNotFoundError:
        raise SystemExit(
            "This needs Dask: uv run --group integrations python examples/many_machines.py --on dask"
        ) from None
    cluster: Any = scheduler
    if scheduler is None:
        cluster = stack.enter_context(distributed.LocalCluster(dashboard_address=None))
    client: Any = stack.enter_context(distributed.Client(cluster))
    # As Dask has it otherwise, calls of one function with the same arguments are only one call.
    executor: Executor = stack.enter_context(client.get_executor(pure=False))
    return executor


def main() -> None:
    """Prints what the calls returned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--on", choices=["threads", "processes", "dask"], default="threads", help="default: %(default)s"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster's; without, one is started here")
    options = parser.parse_args()
    if options.scheduler and options.on != "dask":
        parser.error("--scheduler is for --on dask")

    with ExitStack() as stack:
        executor = executor_on(options.on, options.scheduler, stack)
        chain = parallel(count_primes, executor=executor)(100_000).parallel(most_frequent_word)(TEXT)
        primes, word = chain.results()
        counts = parallel_map(count_for_seed, range(5), executor=executor).results()
    print(
        f"{primes:,} primes below 100,000\nmost frequent word: {word.upper()}\npi is about {4 * sum(counts) / 100_000}"
    )


if __name__ == "__main__":
    main()
