"""Signal handlers that raise exceptions of all classes, at random moments, while calls are made and blocks run.

``python tests/process/stress_signals.py --seconds 600`` runs it for ten minutes. Every alarm must come out of the
statement that it interrupts, every manager that was entered must be exited once, every result must come, nothing may be
reported, and no thread may be left. It prints what came how often, and exits with 1 if a promise was broken. The same
``--seed`` throws the same dice, though alarms never come at the same moments again.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import time
from collections import Counter

from parallel import ParallelExecutor
from raising_handlers import (
    CLASSES,
    LIMIT,
    LIMIT_OF_THREADS,
    SCENARIOS,
    Alarms,
    Books,
    count_threads,
    longest_of,
    use_everything,
    wait_until,
)

RUNS = 50
"""How often a scenario is run with a class before the dice are thrown again."""

LEFT_OUT = {"AttributeError", "IndexError", "KeyError", "ValueError", "TypeError", "StopIteration"}
"""Classes that only ``--all-classes`` raises."""


def run(seconds: float, seed: int, kinds: list[str], scenarios: list[str]) -> tuple[Books, Counter[str]]:
    """Runs for about ``seconds`` seconds, until something goes wrong."""
    dice = random.Random(seed)  # noqa: S311  # Nothing secret.
    books = Books()
    totals: Counter[str] = Counter()
    longest = {name: longest_of(scene, books) for name, scene in SCENARIOS.items()}
    sys.setswitchinterval(1e-5)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not books.wrong:
        name, kind = dice.choice(scenarios), dice.choice(kinds)
        alarms = Alarms(books, CLASSES[kind], dice, longest[name])
        for _ in range(RUNS):
            SCENARIOS[name](books, alarms)
            books.close()
            if books.reported:
                books.complain(f"reported {books.reported}")
            if books.wrong:
                books.complain(f"that was {name} with {kind}")
                break
        use_everything(books)
        if alarms.raised != alarms.came_out:
            books.complain(f"{alarms.raised} alarms were raised, {alarms.came_out} came out")
        totals[kind] += alarms.raised
        totals[name] += alarms.raised
    return books, totals


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long it runs (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="what the dice begin with (%(default)s)")
    parser.add_argument("--without", nargs="*", default=[], choices=SCENARIOS, help="scenarios to leave out")
    parser.add_argument("--all-classes", action="store_true", help="raise what containers raise, too")
    arguments = parser.parse_args()
    faulthandler.dump_traceback_later(arguments.seconds + 6 * LIMIT, exit=True)
    before = count_threads()
    kinds = [kind for kind in CLASSES if arguments.all_classes or kind not in LEFT_OUT]
    scenarios = [name for name in SCENARIOS if name not in arguments.without]
    books, totals = run(arguments.seconds, arguments.seed, kinds, scenarios)
    books.close()
    books.close_for_good()
    ParallelExecutor().shutdown()  # Its end ends idle threads too.
    if not wait_until(lambda: count_threads() == before, LIMIT_OF_THREADS):
        books.complain(f"{count_threads() - before} threads are left")
    for what, number in sorted(totals.items()):
        print(f"{number:>10} {what}")
    return 1 if books.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
