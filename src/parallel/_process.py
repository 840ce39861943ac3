"""``Pool``: the threads of this process and interpreter; its end, and forks of it.

What
    Has one ``Threads`` for each stack size that ``threading.stack_size()`` had when a call was started. The threads are
    daemons, so that idle ones, and managers of a block that is never exited, do not hold the program up. When the main
    thread has ended, an ordinary thread waits for calls, and the interpreter joins that thread. Where daemons are not
    allowed (in subinterpreters), that thread also ends the others.

Guarantees
    The end of the program waits until every runnable has ended or is suspended, before ``atexit`` handlers run. A
    forked child has a pool of its own.

Invariant
    A runnable is in ``unfinished`` from before it can begin until its thread is idle again. A thread that waits for a
    runnable registers a latch, then looks at ``unfinished``; a thread that ends a runnable changes ``unfinished``, then
    opens the latch. A thread that starts a runnable adds it, then looks whether the main thread has ended; the main
    thread sets that it has, then looks at ``unfinished``. So at least one of the two sees the other.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Callable, Iterable, Sequence

from parallel._compat import register_at_main_thread_end
from parallel._sync import Latch
from parallel._thread import ReusableThread, Runnable, is_raised_by_threading, own_threads
from parallel._threads import MOST_IDLE, R, Threads

SWITCH_INTERVAL = 0.5
"""The interpreter's switch interval, in seconds, while the end of the program waits for more than ``MOST_IDLE`` calls.

Each thread that waits for the GIL asks for it again after this time. With 5 ms, which is the default, the end of 8,000
calls that return together takes 1.4 s in the median and up to 28 s; with 0.5 s, 0.4 s and up to 2 s (CPython 3.11).
"""


class Pool:
    """All threads of one process and interpreter; also stands for the process in comparisons."""

    def __init__(self) -> None:
        self.unfinished: set[Runnable] = set()
        self._awaited: dict[Runnable, Latch] = {}
        self._daemon = _are_daemons_allowed()
        self._stack_size = 0
        self._set_stack_size = threading.stack_size if _can_set_stack_size() else int
        # Functions to call when a runnable has been added: none until the main thread has ended.
        self._on_added: list[Callable[[], object]] = []
        self._threads = self._make_threads()
        self._by_stack_size: dict[int, Threads] = {0: self._threads}
        self._is_main_thread_over = False
        self._is_exit_held = False

    def start(self, make: Callable[..., R], *args: Any, accept: Callable[[], object] | None = None) -> R:
        """Makes a runnable and performs it on a thread of its own, at once. See ``Threads.start``."""
        return self._threads_of_stack_size().start(make, args, accept)

    def start_all(self, runnables: Sequence[Runnable], accept: Callable[[], object] | None = None) -> None:
        """Performs each of ``runnables`` on a thread of its own, at once. See ``Threads.start_all``."""
        self._threads_of_stack_size().start_all(runnables, accept)

    def wake_several(self, number: int) -> None:
        """Wakes up to ``number`` idle threads at once."""
        self._threads.wake_several(number)

    def add(self, runnables: Iterable[Runnable]) -> None:
        """Has the end of the program wait for runnables, or raises an exception if it cannot."""
        self.unfinished.update(runnables)
        for function in self._on_added:
            function()

    def remove(self, runnable: Runnable) -> None:
        """Removes what ``add`` has added, when it has ended or will not begin."""
        self.unfinished.discard(runnable)
        latch = self._awaited.get(runnable)
        if latch is not None:
            latch.open()

    def wait_for(self, runnable: Runnable) -> None:
        """Blocks until ``runnable`` has ended and its thread is idle, or it is suspended."""
        while runnable in self.unfinished and not runnable.is_suspended:
            latch = self._awaited.setdefault(runnable, Latch())
            try:
                if runnable in self.unfinished and not runnable.is_suspended:
                    latch.wait()
            finally:
                self._awaited.pop(runnable, None)
                # Others may wait at the same latch: they register again.
                latch.open()

    def note_suspended(self) -> None:
        """Has all who wait for a runnable look once more whether it is suspended."""
        for latch in list(self._awaited.values()):
            latch.open()

    @property
    def refuses_caller(self) -> bool:
        """Whether an ``atexit`` handler asks, or a finalizer even later: a thread might never get to run."""
        return self._is_main_thread_over and threading.get_ident() == threading.main_thread().ident

    def join_idle(self) -> None:
        """Ends all threads that are idle, and joins them."""
        if sys.is_finalizing():
            return  # Daemon threads do not run any more.
        for order in [threads.end_idle() for threads in list(self._by_stack_size.values())]:
            order.wait()
        for thread in threading.enumerate():
            if isinstance(thread, ReusableThread) and thread.is_ending and thread is not threading.current_thread():
                thread.join()

    def keep_none_idle(self) -> None:
        """Has all threads end that are idle, or will be."""
        for threads in list(self._by_stack_size.values()):
            threads.keep_none_idle()

    def end_with_main_thread(self) -> None:
        """Has the end of the interpreter wait for what is unfinished, when the main thread has ended."""
        self._is_main_thread_over = True
        self._on_added.append(self._check_at_exit)
        if not threading.main_thread().is_alive():
            self._finish()  # It is `atexit` that calls this: the interpreter does not join threads any more.
        elif not self._daemon or self._busy():
            try:
                self._hold_exit()
            except (RuntimeError, MemoryError) as error:
                if not is_raised_by_threading(error):
                    raise
                # The system has no thread left, or refuses it, as Python 3.12.0 to 3.12.2 do now. So the main thread
                # itself waits: a call that waits for the main thread to end waits until Ctrl-C.
                self._finish()

    def _threads_of_stack_size(self) -> Threads:
        """Returns those with the stack size that a new thread would have.

        ``threading.stack_size`` returns it only when it changes it. So this sets the size of the last time, and puts
        another one back.
        """
        size = self._set_stack_size(self._stack_size)
        if size != self._stack_size:
            threading.stack_size(size)
            self._threads = self._by_stack_size.setdefault(size, self._make_threads())
            self._stack_size = size
        return self._threads

    def _make_threads(self) -> Threads:
        return Threads(self.unfinished, self._awaited, self._on_added, daemon=self._daemon)

    def _check_at_exit(self) -> None:
        """Has the end of the interpreter wait for what has been added, or raises an exception if it cannot."""
        if self.refuses_caller:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self._hold_exit()

    def _hold_exit(self) -> None:
        """Starts an ordinary thread that ends when nothing is busy, unless there is one: the interpreter joins it.

        Ctrl-C ends that wait, as it does for any thread.
        """
        if self._is_exit_held:
            return
        self._is_exit_held = True
        thread = ReusableThread("parallel (exit)", lambda _: self._finish(), daemon=False)
        try:
            thread.start()
        except BaseException:
            self._is_exit_held = thread.is_alive()
            raise

    def _finish(self) -> None:
        """Waits until nothing is busy; where threads are not daemons, ends them too."""
        interval = sys.getswitchinterval()
        if len(self._busy()) > MOST_IDLE:
            sys.setswitchinterval(max(interval, SWITCH_INTERVAL))
        try:
            self._wait_for_busy()
        finally:
            sys.setswitchinterval(interval)
        if not self._daemon:
            for runnable in list(self.unfinished):
                runnable.dismiss()
            self.keep_none_idle()

    def _wait_for_busy(self) -> None:
        while True:
            for runnable in self._busy():
                self.wait_for(runnable)
            if not self._daemon and _join_users_threads():
                continue
            # Clear, then look. A thread that adds a runnable adds it, then looks. So one of the two sees the other.
            self._is_exit_held = False
            if not self._busy():
                break
            self._is_exit_held = True

    def _busy(self) -> list[Runnable]:
        return [runnable for runnable in list(self.unfinished) if not runnable.is_suspended]


def _can_set_stack_size() -> bool:
    try:
        threading.stack_size(threading.stack_size())
    except (RuntimeError, ValueError):
        return False
    return True


def _join_users_threads() -> bool:
    """Waits for all threads that could still use the library; returns whether there were any."""
    users = [each for each in threading.enumerate() if not isinstance(each, ReusableThread) and not each.daemon]
    users = [each for each in users if each not in (threading.main_thread(), threading.current_thread())]
    for thread in users:
        thread.join()
    return bool(users)


def _are_daemons_allowed() -> bool:
    try:
        threading.Thread(daemon=True)
    except RuntimeError:
        return False  # This is a subinterpreter.
    return True


pool = Pool()
"""The pool of this process and interpreter; a forked child has another."""


def _end_with_main_thread() -> None:
    pool.end_with_main_thread()


def _replace_in_child() -> None:
    global pool  # noqa: PLW0603  # One per process; the threads of the old one exist in the parent only.
    pool = Pool()
    thread = own_threads.get(threading.get_ident())
    own_threads.clear()  # The others exist in the parent only.
    if thread is not None:
        own_threads[threading.get_ident()] = thread
        # Its queue exists in the parent only. When its call returns, only the child's own calls keep the child alive.
        thread.is_ending = True
        thread.on_end = pool.keep_none_idle


register_at_main_thread_end(_end_with_main_thread)
if hasattr(os, "register_at_fork"):  # Windows cannot fork.
    os.register_at_fork(after_in_child=_replace_in_child)
