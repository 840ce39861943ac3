# ruff: noqa: B023, PERF401  # The calls may see a later i, and the loop stands for one that does more.
from __future__ import annotations

from concurrent.futures import Future, wait

from parallel.parallel_executor import ParallelExecutor

futures: list[Future[int]] = []
for i in range(10):
    futures.append(ParallelExecutor.execute_one(lambda: i))
done, not_done = wait(futures)
