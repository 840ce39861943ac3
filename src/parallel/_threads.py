"""Threads: started, reused, ended; at the exit of the interpreter and across a fork. The only file that starts one.

``current.start`` runs a piece of work on a thread of its own, at once. What is run and what becomes of its outcome is
left to ``parallel_executor`` and ``_context_thread``.

The invariant
    Works that no thread has taken yet wait in one queue, from which every thread takes. Let A be the threads that run
    nothing (waiting, or just started) and Q the works not yet taken. ``_tokens`` holds T = A - Q tokens:

    =======================================  =====  =====  =====
    what happens                             A      Q      T
    =======================================  =====  =====  =====
    a token is taken                                       -1
    or else a thread is started              +1            +1 -1
    then the work is put                            +1
    or a thread is started to begin with it
    a thread takes a work                    -1     -1
    a thread has ended its work              +1            +1
    a thread ends                            -1            -1
    =======================================  =====  =====  =====

    A work is put only for a token, and a thread ends only for a token, so T >= 0 and every work has a thread free for
    it: nothing ever waits for another work to end. A thread that is done early may take the next work without a switch.

Idle threads
    A thread ends when no work came for ``IDLE_SECONDS``. All that a light load does not need do so, since the queue
    wakes whoever came last. Of many that became idle together, each waits ``SECONDS_APART`` longer than the one before,
    so that they do not end together. Whoever becomes idle while ``MOST_IDLE`` are ends at once.

The exit of the interpreter
    Threads are daemons, so that idle ones, and managers that nobody leaves, hold nothing up. When the main thread has
    ended, an ordinary thread, which the interpreter joins, waits for the works that are not finished. Where daemons are
    not allowed (subinterpreters), the threads are told to end then, once nobody is left who could have work for them.

Thread-safety
    Everything here may be called from any thread at any time, also from a signal handler or a finalizer that runs in
    the middle of this very code. There is no lock to be held: ``deque``, ``set`` and ``dict`` are each atomic for one
    operation, with the global interpreter lock and in free-threaded builds. A signal handler that raises in the middle
    of a start loses nothing but, at worst, a token: then one idle thread more never ends. A finalizer that runs on an
    idle thread of these must not wait for the work that it starts: that very thread may be the one that is free for it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import Callable, Protocol, Sequence, Sized

from parallel._compat import getprofile, gettrace, register_at_main_thread_end
from parallel._work_queue import WorkQueue, new_signal

IDLE_SECONDS = 10.0
"""For how many seconds a thread waits for work before it ends."""

MOST_IDLE = 1_000
"""While more threads than these are idle, one that has ended its work ends at once.

Waiting is not free, since the lists in which the system keeps the waiters become longer (see ``_work_queue``). Of 10,
100, 1,000, 3,000 and 10,000 idle threads, one makes a call and waits for its result in 7.5, 7.7, 9, 13 and 50 us, on
CPython 3.11, 3.13 and 3.14 alike.
"""

SECONDS_APART = 0.0005
"""By how many seconds the ends of threads that became idle together are apart.

Threads that wake up at one moment all queue for the global interpreter lock, each asking for it anew every 5 ms. When
10,000 ended together, that kept the main thread from running for 19 s on CPython 3.14, and took 54 s of processor time;
now it is 5 ms and 1 s. Ending one takes 0.1 ms; this leaves time for slower machines and for the other threads.
"""

PATIENCE = 0.05
"""For how many seconds a thread that runs may keep its starter waiting before it begins its work."""

IDLE_NAME = "parallel (idle)"
"""The name of a thread that runs nothing."""


process: object = object()
"""Stands for this process: in a forked child it is another one. Asking the system takes a tenth of a microsecond."""


class Work(Protocol):
    """What a thread can run."""

    name: str
    """The thread's name while it runs the work."""

    def run(self) -> None:
        """Does the work."""


def report(error: BaseException, thread: threading.Thread | None = None) -> None:
    """Reports an error that nobody can be given, as threads do with theirs: to ``threading.excepthook``.

    ``thread`` is the one that is named, the current one by default. ``SystemExit`` is ignored by the default hook.
    """
    arguments = (type(error), error, error.__traceback__, thread or threading.current_thread())
    try:
        threading.excepthook(threading.ExceptHookArgs(arguments))
    except BaseException as broken:
        # A broken hook gets what it gets from a broken hook of an ordinary thread.
        sys.excepthook(type(broken), broken, broken.__traceback__)
    finally:
        del arguments, error


class _Start:
    """What ``Thread.start`` waits for, in place of the standard's event: the thread is about to begin its work.

    The event is set before the thread has noted itself as running. Who waits for it is woken then, finds the global
    interpreter lock taken, and must wait once more, often until the first work waits for something itself. Here ``set``
    only says that the thread runs, and ``let_go`` wakes who waits, once. For each of 10,000 calls that are held, that
    is 2.4 switches between threads in place of 2.9 on CPython 3.14, 2.0 in place of 2.6 on 3.13, and a tenth less time
    spent in Python. Having neither a condition nor a queue, it also takes 1.3 KiB less.

    The thread may be kept from getting there by something that the starter holds: the lock of ``threading.enumerate``,
    if a signal handler starts a call in the middle of that, or one that a trace function asks for. So once the thread
    runs, it is waited for no longer than ``PATIENCE``: nothing is lost by going on, as the event would have had it.
    """

    __slots__ = ("_gate", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def let_go(self) -> None:
        self._gate.release()

    def wait(self) -> None:
        while not self._gate.acquire(True, PATIENCE):
            if self._is_set:
                return

    def _at_fork_reinit(self) -> None:
        """Nothing: in a forked child, nobody waits."""

    _reset_internal_locks = _at_fork_reinit  # Its name in Python 3.8.


class _NoContext:
    """Stands in for the ``Context`` that threads run in from Python 3.14 on: there is none.

    Every work runs in one of its own. Another around it would hold the starter's variables on free-threaded builds, and
    take more of the stack: a page of 4 KiB for each call that is held, on CPython 3.14.
    """

    def run(self, func: Callable[[], object]) -> None:
        func()


_NO_CONTEXT = _NoContext()


class _Thread(threading.Thread):
    """A thread of the library's own, to be told from its users'."""

    _name: str

    def __init__(self, life: Callable[[_Thread], object], name: str, *, daemon: bool, work: Work | None = None) -> None:
        super().__init__(name=name, daemon=daemon)
        self._context = _NO_CONTEXT
        self._started = _Start()
        self._life = life
        # What it runs.
        self.work = work
        # Deleted, which can be done once, by the thread when it begins, or by who starts it when it is not wanted.
        self.has_not_begun: None = None
        # What the system calls it, from Python 3.14 on: setting `name` is a system call there, 0.6 us, a fifth of all
        # that the library does for a call. So it is made only when the name changes, not for the time between calls.
        self.system_name: str | None = name

    def run(self) -> None:
        """What it does all its life. Not a target, which would be called by way of one more frame."""
        self._started.let_go()
        self._life(self)

    def begin(self) -> bool:
        """Whether this is the first call, by whichever thread."""
        try:
            del self.has_not_begun
        except AttributeError:
            return False
        return True

    def run_traced(self, work: Work) -> None:
        """Runs ``work`` as the first thing on a new thread would run: named, traced, and leaving neither behind."""
        name = self._name = work.name
        if name != self.system_name:
            self.name = self.system_name = name
        trace, profile = gettrace(), getprofile()
        if trace is not None:
            sys.settrace(trace)
        if profile is not None:
            sys.setprofile(profile)
        try:
            work.run()
        except BaseException as error:
            # A done-callback's: what a call or a manager raises is kept for who waits for it.
            report(error)
        finally:
            # The frames of an error's traceback refer back to this one.
            del work
        if sys.gettrace() is not None:
            sys.settrace(None)
        if sys.getprofile() is not None:
            sys.setprofile(None)
        if self._name is not name:
            self.system_name = None  # The work has renamed its thread.
        self._name = IDLE_NAME


class _Threads:
    """The threads of one process and interpreter."""

    def __init__(self) -> None:
        self._works: WorkQueue[Work | None] = WorkQueue()
        self._tokens: deque[None] = deque()
        # The works that are not finished: noted by whoever starts them until a thread has noted them as its own.
        self._given: set[Work] = set()
        self._members: set[_Thread] = set()
        # Those that wait: for which lock, and the orders that will end their wait.
        self._parked: dict[Work, tuple[threading.Lock, Sized]] = {}
        self._watchers: list[WorkQueue[None]] = []
        self._main_thread_ended = False
        self._forked = False
        self._daemon = _daemons_allowed()

    def expect(self) -> None:
        """Wakes up an idle thread, if there is one, for a work that is about to be made and started.

        A thread that wakes another up may have to make way for it at once, which then finds the global interpreter lock
        taken: four switches between threads for nothing. It happens less often the more is left to be done after the
        wake-up. With the work made after it, and not before, a call that does nothing takes 4.9 switches in place of
        6.2 on CPython 3.11, and a sixth less time, on one core; 5.0 in place of 6.5 on 3.13, and a fifth less; 5.2 in
        place of 6.1 on 3.14, and a ninth less.
        """
        if self._tokens:
            self._works.wake_one()

    def start(self, work: Work) -> None:
        """Runs ``work`` on a thread of its own, at once.

        Raises:
            RuntimeError: No thread could be started, or the interpreter is shutting down. Nothing has been started.
            MemoryError: As above.
        """
        ended = self._main_thread_ended
        if ended:
            self.start_all((work,))
            return
        if self._take_token():
            try:
                # A signal handler that raises from here on leaves a token taken: that costs a thread that never ends.
                self._given.add(work)
                self._works.put(work)
            except BaseException:
                self._given.discard(work)
                self._notify_watchers()
                raise
        else:
            self._start_thread(work)
        if self._main_thread_ended and not self._watchers:
            # Just now, so that it may have seen nothing to wait for.
            with suppress(RuntimeError, MemoryError):
                self._hold_exit()

    def start_all(self, works: Sequence[Work]) -> None:
        """Runs each of ``works`` on a thread of its own, at once; all or none of them.

        Raises:
            RuntimeError: Not enough threads could be started, or the interpreter is shutting down. Nothing has been
                started.
            MemoryError: As above.
        """
        if self._main_thread_ended and threading.get_ident() == threading.main_thread().ident:
            # An atexit handler, or a finalizer even later: a thread would never get to run.
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        taken = put = 0
        try:
            self._given.update(works)
            if self._main_thread_ended and not self._watchers:
                self._hold_exit()
            for _ in works:
                if not self._take_token():
                    self._start_thread()
                taken += 1
            for work in works:
                put += 1
                self._works.put(work)
        except BaseException:
            # Whoever was started in vain is as free as whoever waited before.
            self._tokens.extend([None] * (taken - put))
            self._given.difference_update(works)
            self._notify_watchers()
            raise

    def _start_thread(self, first: Work | None = None) -> None:
        """Starts a thread, to begin with ``first``, if given: then it need not be woken up for that."""
        name = IDLE_NAME if first is None else first.name
        thread = _Thread(self._run, name, daemon=self._daemon, work=first)
        try:
            self._members.add(thread)
            thread.start()
        except BaseException:
            if thread.begin():
                self._members.discard(thread)
                self._notify_watchers()
            elif first is None:
                # It runs all the same: a signal handler raised while start() waited for that.
                self._tokens.append(None)
            raise

    def _run(self, thread: _Thread) -> None:
        """What each thread does all its life."""
        if not thread.begin():
            return
        try:
            self._run_works(thread)
        finally:
            self._members.discard(thread)

    def _run_works(self, thread: _Thread) -> None:
        # One loop: each call would pay for calls in it.
        tokens, signal, work = self._tokens, None, thread.work
        while True:
            if work is not None:
                thread.run_traced(work)
                thread.work = work = None
                if self._forked:
                    return
                tokens.append(None)
                if self._main_thread_ended:
                    self._notify_watchers()
            if signal is None:
                # Only now: many a thread that is started is still needed by its first work when the next is.
                signal = new_signal()
            try:
                # Those that `start_all` starts come here before there are tokens; none of them may end.
                idle = len(tokens)
                place = idle or self._works.waiting()
                work = self._works.get(signal, IDLE_SECONDS + SECONDS_APART * place if idle <= MOST_IDLE else 0)
            except TimeoutError:
                if self._take_token():
                    return
                continue  # The last token is gone: a work is on its way here.
            if work is not None:
                thread.work = work
                self._given.discard(work)
                continue
            # All are to end, but not before what is on its way here has ended.
            self._works.put(None)
            if self._take_token():
                return

    def _take_token(self) -> bool:
        try:
            self._tokens.pop()
        except IndexError:
            return False
        return True

    def park(self, work: Work, lock: threading.Lock, orders: Sized) -> None:
        """Waits until ``lock`` is released, without holding up the exit of the interpreter.

        For the thread that runs ``work``. Once there are ``orders``, the exit waits for the work all the same. Where
        threads cannot be daemons, the end of the main thread releases ``lock`` too.
        """
        self._parked[work] = (lock, orders)
        if self._main_thread_ended:
            self._notify_watchers()
        lock.acquire()
        self._parked.pop(work, None)

    def end_with_main_thread(self) -> None:
        """Has the exit of the interpreter wait for what is unfinished, when the main thread has ended."""
        self._main_thread_ended = True
        if self._daemon and self._is_quiet():
            return
        try:
            self._hold_exit()
        except (RuntimeError, MemoryError):
            # There is no thread to be had; from Python 3.12.0 to 3.12.2 there never is one now. So the main thread
            # itself waits, and a call that waits for its end waits until Ctrl-C.
            self._finish()

    def _hold_exit(self) -> None:
        """Starts an ordinary thread that ends when every work has ended or is parked: the interpreter joins it.

        A Ctrl-C ends that wait, as it does for any thread.
        """
        _Thread(self._finish, "parallel (exit)", daemon=False).start()

    def _finish(self, _: _Thread | None = None) -> None:
        self._wait_until_quiet()
        if self._daemon:
            return
        while _join_users_threads():
            # They may have left something to be done.
            self._wait_until_quiet()
        self._end_threads()

    def _wait_until_quiet(self) -> None:
        watcher: WorkQueue[None] = WorkQueue()
        signal = new_signal()
        while not self._is_quiet():
            self._watchers.append(watcher)
            try:
                # A thread first changes what _is_quiet reads and then notifies, so no change goes unseen.
                while not self._is_quiet():
                    watcher.get(signal)
            finally:
                # Whoever starts a work and still saw this watcher relies on it: hence the outer loop.
                self._watchers.remove(watcher)

    def _end_threads(self) -> None:
        """Ends all threads, in an interpreter whose end waits for them."""
        for lock, _ in list(self._parked.values()):
            with suppress(RuntimeError):  # Its order has just come.
                lock.release()
        self._works.put(None)

    def unfinished(self) -> list[Work]:
        """The works that have been started and have not ended."""
        # In this order: a thread notes a work as its own before it is taken out of those that are given.
        given = list(self._given)
        return given + [work for work in [thread.work for thread in list(self._members)] if work is not None]

    def _is_quiet(self) -> bool:
        """Whether every work that is not finished waits for an order that has not been given."""
        for work in self.unfinished():
            _, orders = self._parked.get(work, (None, None))
            if orders is None or orders:
                return False
        return True

    def _notify_watchers(self) -> None:
        for watcher in list(self._watchers):
            watcher.put(None)

    def forget_threads(self) -> None:
        """Tells the thread that forked, if it is one of these, that it belongs to no queue any more."""
        self._forked = True


def _join_users_threads() -> bool:
    """Waits for all threads that could still make use of the library's; returns whether there were any."""
    users = [each for each in threading.enumerate() if not isinstance(each, _Thread) and not each.daemon]
    users = [each for each in users if each is not threading.main_thread()]
    for thread in users:
        thread.join()
    return bool(users)


def _daemons_allowed() -> bool:
    """Whether this interpreter allows daemon threads: subinterpreters may not."""
    try:
        threading.Thread(daemon=True)
    except RuntimeError:
        return False
    return True


current = _Threads()
"""The threads of this process and interpreter; in a forked child these are others."""


def _end_with_main_thread() -> None:
    current.end_with_main_thread()


def _start_anew_in_child() -> None:
    global current, process  # noqa: PLW0603  # One per process; its old threads exist in the parent only.
    process = object()
    current.forget_threads()
    current = _Threads()


register_at_main_thread_end(_end_with_main_thread)
if hasattr(os, "register_at_fork"):  # Not on Windows, which cannot fork.
    os.register_at_fork(after_in_child=_start_anew_in_child)
