from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from parallel.parallel import parallel


def to_string(number: int) -> str:
    return ("zero", "one", "two", "three", "four")[number]


three, four, five = (
    parallel(lambda: 1 + 2)()
    .parallel(to_string)(4)
    .parallel(lambda: 1 + 4)()
).results()  # fmt: skip

assert three == 3
assert four == "four"
assert five == 5


@contextmanager
def one_ctx() -> Generator[int, None, None]:
    yield 1


@contextmanager
def two_ctx() -> Generator[str, None, None]:
    yield "two"


with parallel(one_ctx()).parallel(two_ctx()) as (one, two):
    # one and two will have the correct type: int and str
    assert one == 1
    assert two == "two"
