"""Makes calls of different types, then enters context managers, in parallel."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from threading import Barrier
from typing import Generator, TypeVar

from parallel import parallel

T = TypeVar("T")

# Opens when three calls wait at it: made one after the other, none of them would get past it.
all_three = Barrier(3, timeout=10)


def add(first: int, second: int) -> int:
    """Adds two numbers, when all three calls are there."""
    all_three.wait()
    return first + second


def spell(number: int) -> str:
    """Writes a small number out, when all three calls are there."""
    all_three.wait()
    return ("zero", "one", "two", "three", "four")[number]


@contextmanager
def opened(value: T) -> Generator[T, None, None]:
    """Gives the value, and says when it is left."""
    yield value
    print(f"closed {value!r}")


def main() -> None:
    """Prints what the calls returned and what the context managers gave."""
    argparse.ArgumentParser(description=__doc__).parse_args()

    three, four, five = parallel(add)(1, 2).parallel(spell)(4).parallel(add)(1, second=4).results()
    print(f"{three=} {four=} {five=}")

    with parallel(opened(1)).parallel(opened("two")) as (one, two):
        print(f"{one=} {two=}")


if __name__ == "__main__":
    main()
