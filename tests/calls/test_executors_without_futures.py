"""An executor whose ``submit`` returns no future is named at the line that used it, and no call is lost."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from helpers import LIMIT
from parallel import parallel, parallel_map


class Ticket:
    """An answer of an executor that is no future."""


class ForgetfulExecutor(Executor):
    """Runs calls at once; from a number of calls on, it returns something else than a future."""

    def __init__(self, answer: object, *, from_call: int = 0) -> None:
        self.answer = answer
        self.futures_left = from_call

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not self.futures_left:
            return self.answer
        self.futures_left -= 1
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


answers = pytest.mark.parametrize(
    ("answer", "named"),
    [(None, "None"), (Ticket(), "Ticket"), (7, "int"), ([Future()], "list"), (Future, "Future"), (object(), "object")],
    ids=lambda each: each if isinstance(each, str) else "",
)


@answers
def test_answer_that_is_no_future_is_a_type_error_that_names_both(answer: object, named: str) -> None:
    with pytest.raises(TypeError) as caught:
        parallel(int, executor=ForgetfulExecutor(answer))()
    assert "ForgetfulExecutor" in str(caught.value)
    assert "submit" in str(caught.value)
    assert named in str(caught.value).replace("ForgetfulExecutor", "")


@answers
def test_map_names_an_answer_that_is_no_future(answer: object, named: str) -> None:
    for from_call in (0, 2):
        with pytest.raises(TypeError, match="ForgetfulExecutor") as caught:
            parallel_map(int, range(4), executor=ForgetfulExecutor(answer, from_call=from_call))
        assert named in str(caught.value)


def test_chain_stays_usable_after_an_answer_that_is_no_future() -> None:
    executor = ForgetfulExecutor(None, from_call=2)
    calls = parallel(str, executor=executor)(1).parallel(str)(2)
    for _ in range(2):
        with pytest.raises(TypeError, match="ForgetfulExecutor"):
            calls.parallel(str)(3)
        assert calls.results(timeout=LIMIT) == ("1", "2")
    executor.futures_left = 1
    assert calls.parallel(str)(3).results(timeout=LIMIT) == ("1", "2", "3")


def test_chain_has_a_display_after_an_answer_that_is_no_future() -> None:
    calls = parallel(str, executor=ForgetfulExecutor(None, from_call=1))(1)
    with pytest.raises(TypeError):
        calls.parallel(str)(2)
    assert repr(calls).count("finished") == 1


def test_subclass_of_future_is_a_future() -> None:
    class OtherFuture(Future):  # type: ignore[type-arg]  # Below 3.9 it cannot be subscribed.
        pass

    future: Future[Any] = OtherFuture()
    future.set_result("done")
    assert parallel(str, executor=ForgetfulExecutor(future))(1).results(timeout=LIMIT) == ("done",)
