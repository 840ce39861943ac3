"""A call has a decimal context of its own."""

from __future__ import annotations

import decimal

from helpers import LIMIT
from parallel import ParallelExecutor, parallel, parallel_map


def set_precision(digits: int) -> int:
    """Changes the precision for good, and returns what it was before."""
    before = decimal.getcontext().prec
    decimal.getcontext().prec = digits
    return before


def test_call_starts_with_the_callers_decimal_context_and_leaves_it_alone() -> None:
    with decimal.localcontext() as own:
        own.prec = 11
        assert parallel(set_precision)(3).parallel(set_precision)(4).results() == (11, 11)
        assert parallel_map(set_precision, [5, 6]).results() == (11, 11)
        assert ParallelExecutor().submit(set_precision, 7).result(LIMIT) == 11
        assert decimal.getcontext().prec == 11
        assert decimal.getcontext() is own


def test_nested_call_starts_with_the_decimal_context_of_the_call_around_it() -> None:
    def outer() -> tuple[int, int]:
        decimal.getcontext().prec = 12
        (inner,) = parallel(set_precision)(3).results()
        return inner, decimal.getcontext().prec

    with decimal.localcontext():
        assert parallel(outer)().results() == ((12, 12),)


def test_decimal_context_of_a_call_is_not_there_for_the_next_on_its_thread() -> None:
    with decimal.localcontext() as own:
        own.prec = 13
        assert [ParallelExecutor.execute_one(set_precision, digits).result(LIMIT) for digits in (3, 4)] == [13, 13]
