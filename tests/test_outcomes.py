"""``_outcomes``: what several threads that handle one exception leave of its traceback."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Callable

from parallel._outcomes import call_handling


class WatchedError(ValueError):
    """Tells once when its traceback has been changed."""

    on_change: Callable[[], object] | None = None

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "__traceback__" and self.on_change is not None:
            on_change, self.on_change = self.on_change, None
            on_change()


def names_of_frames(error: BaseException) -> list[str]:
    names = []
    traceback = error.__traceback__
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


def frame_of_call_handling() -> FrameType:
    return call_handling(ValueError(), lambda: sys._getframe(1))


def raise_on_another_thread(error: BaseException) -> None:
    def raise_it() -> None:
        with suppress(ValueError):
            raise error

    thread = threading.Thread(target=raise_it)
    thread.start()
    thread.join()


def test_what_another_thread_raises_meanwhile_keeps_its_frames() -> None:
    error = WatchedError()
    # Two more threads have begun to handle it, and not yet taken their frames off.
    for _ in range(2):
        error.__traceback__ = TracebackType(error.__traceback__, frame_of_call_handling(), 0, 1)
    error.on_change = lambda: raise_on_another_thread(error)
    seen = call_handling(error, lambda: names_of_frames(error))
    assert seen == names_of_frames(error) == ["raise_it"]


def test_the_frames_of_all_threads_that_handle_an_error_are_taken_off_wherever_they_are() -> None:
    error = ValueError()
    for times in [2, 1, 2]:
        for _ in range(times):
            error.__traceback__ = TracebackType(error.__traceback__, frame_of_call_handling(), 0, 1)
        raise_on_another_thread(error)
    assert call_handling(error, lambda: names_of_frames(error)) == ["raise_it"] * 3
