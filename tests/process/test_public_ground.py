"""The library stands on the public parts of ``threading``: other layouts of its private parts do not break it."""

from __future__ import annotations

import re
import sys
import textwrap
import threading
from pathlib import Path
from typing import Callable, Match

import pytest

from children import PRELUDE, run, starts_threads_at_exit
from helpers import count_idle_threads, wait_until
from parallel import parallel

SOURCE = Path(threading.__file__)


def replace(pattern: str, by: str | Callable[[Match[str]], str], text: str, *, times: int | None = 1) -> str:
    """Edits the source; asserts that every place was found."""
    text, number = re.subn(pattern, by, text, flags=re.MULTILINE)
    assert number > 0 if times is None else number == times, f"{pattern} was found {number} times"
    return text


def start_in_a_loop(text: str) -> str:
    """``Thread.start`` waits with a time limit, again and again."""
    text = replace(
        r"^( +)self\._started\.wait\(\)(.*)$",
        r"\1while not self._started.wait(timeout=0.25):  \2\n\1    if self not in _limbo: break",
        text,
    )
    return replace(r"\.wait\(timeout=0\.25\)", r".wait(0.25)", text) if sys.version_info < (3, 9) else text


def true_contexts_only(text: str) -> str:
    """``Thread`` runs in a true ``Context`` and in nothing that is like one."""
    if "self._context.run(self.run)" not in text:
        pytest.skip("threads have no context before Python 3.14")
    check = "if self._context is not None and not isinstance(self._context, _contextvars.Context):"
    error = 'raise TypeError("context must be a contextvars.Context")'
    text = replace(
        r"^( +)if self\._context is None:$", rf"\1{check}\n\1    {error}\n\n\1if self._context is None:", text
    )
    return replace(
        r"^( +)self\._context\.run\(self\.run\)$",
        rf"\1{check}\n\1    {error}\n\1_contextvars.Context.run(self._context, self.run)",
        text,
    )


def no_started_event(text: str) -> str:
    """The event by the name of ``_started`` is gone; something else, by another name, is there for it."""
    text = replace(r"\bself\._started = Event\(\)$", "self._phase = _Phase()", text)
    text = replace(r"\b_started\b", "_phase", text, times=None)
    text = replace(r"_phase\.is_set\(\)", "_phase.has_begun()", text, times=None)
    text = replace(r"_phase\.set\(\)", "_phase.begin()", text, times=None)
    text = replace(r"_phase\.wait\(\)", "_phase.await_begin()", text)
    text = replace(r"_phase\.(_at_fork_reinit|_reset_internal_locks)\(\)", "_phase.after_fork()", text)
    phase = """
class _Phase:
    __slots__ = ("_begun", "_lock")
    def __init__(self):
        self._begun = False
        self._lock = _allocate_lock()
        self._lock.acquire()
    def has_begun(self):
        return self._begun
    def begin(self):
        if not self._begun:
            self._begun = True
            self._lock.release()
    def await_begin(self):
        with self._lock:
            pass
    def after_fork(self):
        self._lock = _allocate_lock()
        if not self._begun:
            self._lock.acquire()

def _gone(*_):
    raise AttributeError("_started is gone")

"""
    text = replace(r"^class Thread:$", lambda found: phase + found.group(), text)
    text = replace(
        r"^class Thread:\n(    \"\"\"(?:.|\n)*?\"\"\"\n)",
        lambda found: found.group() + "\n    _started = property(_gone, _gone, _gone)\n",
        text,
    )
    return replace(r"^( +)self\._phase = _Phase\(\)$", r"\1self.__dict__['_phase'] = _Phase()", text)


LAYOUTS = [start_in_a_loop, true_contexts_only, no_started_event]


@pytest.fixture(params=LAYOUTS, ids=[layout.__name__ for layout in LAYOUTS])
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with an edited copy of the interpreter's ``threading``."""
    text = request.param(SOURCE.read_text(encoding="utf-8"))
    (tmp_path / SOURCE.name).write_text(text, encoding="utf-8")
    return tmp_path


BASICS = {
    "calls": """
    assert parallel(abs)(-1).results() == (1,)
    assert ParallelExecutor.execute_one(abs, -2).result() == 2
    assert [each.result() for each in ParallelExecutor.execute(int, str)] == [0, ""]
    try: parallel(fail)().results()
    except ValueError as error: say(error)
    """,
    "chains": """
    assert parallel(abs)(-1).parallel(str)(2).parallel(int)("3").results() == (1, "2", 3)
    assert parallel_map(abs, range(-5, 0)).results() == (5, 4, 3, 2, 1)
    try: parallel(time.sleep)(0.5).results(timeout=0.01)
    except TimeoutError: say("timeout")
    """,
    "nested calls": """
    def nest(depth): return parallel(nest)(depth - 1).results()[0] + 1 if depth else 0
    assert parallel(nest)(30).results(timeout=15) == (30,)
    """,
    "200 calls at once": """
    barrier = threading.Barrier(200)
    assert sorted(parallel_map(lambda _: barrier.wait(15), range(200)).results(timeout=15)) == list(range(200))
    """,
    "with blocks": """
    for _ in range(3):
        with parallel(Manager("first"), timeout=15).parallel(Manager("second")) as values:
            assert values == ("first", "second")
    with parallel(threading.Lock(), parallel_exit=True).parallel(threading.RLock()): pass
    """,
    "with blocks that fail": """
    try:
        with parallel(Manager("first")).parallel(Manager("second")): fail()
    except ValueError as error: say(error)
    class Fails:
        __enter__ = lambda _: fail(KeyError("enter"))
        __exit__ = lambda *_: None
    try:
        with parallel(Manager("entered")).parallel(Fails()): say("never")
    except KeyError as error: say(error)
    class FailsLater(Manager):
        def __exit__(self, *_): fail(OSError("exit"))
    try:
        with parallel(Manager("outer")).parallel(FailsLater()): pass
    except OSError as error: say(error)
    """,
    "executor": """
    with ParallelExecutor() as executor:
        assert executor.submit(abs, -1).result() == 1
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(2) as pool:
        assert parallel(abs, executor=pool)(-1).parallel(str)(2).results() == (1, "2")
    executor.shutdown()
    try: executor.submit(int)
    except RuntimeError: say("refused")
    """,
    "idle threads are reused": """
    # A call may come a moment before the thread of the last one is idle.
    assert len({make_idle_threads(1)[0].ident for _ in range(20)}) < 10
    """,
    "names": """
    assert parallel(lambda: threading.current_thread().name)().results() == ("<lambda>",)
    def named(): return threading.current_thread().name
    for _ in range(3): assert parallel(named)().results()[0].endswith("named")
    with parallel(Manager()): assert "Manager" in [thread.name for thread in threading.enumerate()]
    """,
    "context variables": """
    import contextvars
    variable = contextvars.ContextVar("variable", default=0)
    for number in range(3):
        variable.set(number)
        assert parallel(lambda: (variable.get(), variable.set(7))[0])().results() == (number,)
        assert variable.get() == number
    """,
    "unfinished calls": """
    calls = parallel(lambda: (time.sleep(0.2), say("call")))()
    block = parallel(Manager()).parallel(Manager())
    block.__enter__()
    """,
    "failed call that nobody asks": """
    import gc
    reported = []
    threading.excepthook = lambda report: reported.append(report.exc_type.__name__)
    parallel(fail)()
    wait_until(lambda: (gc.collect(), reported)[1])  # PyPy drops nothing at once.
    say(*reported)
    """,
}
PRINTED = {
    "calls": ["fails"],
    "chains": ["timeout"],
    "with blocks": ["left second None", "left first None"] * 3,
    "with blocks that fail": [
        *["left second ValueError", "left first ValueError", "fails"],
        *["left entered KeyError", "'enter'"],
        *["left outer OSError", "exit"],
    ],
    "executor": ["refused"],
    "names": ["left  None"],
    "unfinished calls": ["call"],
    "failed call that nobody asks": ["ValueError"],
}


@pytest.mark.parametrize("basics", BASICS)
def test_other_layouts_of_the_standard_thread_break_nothing(layout: Path, basics: str) -> None:
    check = f"assert os.path.samefile(threading.__file__, {str(layout / SOURCE.name)!r})\n"
    assert run(check + textwrap.dedent(BASICS[basics]), path=[layout]) == PRINTED.get(basics, [])


@pytest.mark.parametrize("basics", BASICS)
def test_basics_work_on_the_interpreters_own_thread(basics: str) -> None:
    assert run(BASICS[basics]) == PRINTED.get(basics, [])


@pytest.mark.parametrize("basics", BASICS)
def test_basics_work_without_the_private_hook_at_the_end(basics: str) -> None:
    name = "_register_atexit" if sys.version_info >= (3, 9) else "_shutdown"
    hide = f"import threading\nhidden = vars(threading).pop({name!r})\nimport parallel\nthreading.{name} = hidden\n"
    assert run(BASICS[basics], prelude=hide + PRELUDE) == PRINTED.get(basics, [])


@starts_threads_at_exit
def test_unfinished_calls_are_waited_for_without_the_private_hook() -> None:
    name = "_register_atexit" if sys.version_info >= (3, 9) else "_shutdown"
    hide = f"import threading\nhidden = vars(threading).pop({name!r})\nimport parallel\nthreading.{name} = hidden\n"
    code = """
    go, begun = threading.Event(), threading.Event()
    def call():
        begun.set()
        assert go.wait(15)
        say("ended")
    parallel(call)()
    begun.wait(15)
    atexit.register(go.set)
    """
    assert run(code, prelude=hide + PRELUDE) == ["ended"]


@pytest.mark.skipif(sys.version_info >= (3, 10), reason="only before 3.10 the library reads private names of threading")
@pytest.mark.parametrize("name", ["_trace_hook", "_profile_hook"])
def test_calls_are_not_traced_where_threading_does_not_tell_the_hook(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # threading itself fails in a new thread then.
    parallel(str)(1).results()
    wait_until(count_idle_threads)
    monkeypatch.delattr(threading, name)
    assert parallel(str)(1).results() == ("1",)
    monkeypatch.undo()


def test_private_attributes_of_threads_are_neither_set_nor_overridden() -> None:
    code = """
    library = os.path.dirname(sys.modules["parallel"].__file__)
    private = {name for name in {*vars(threading.Thread()), *vars(threading.Thread)} if name.startswith("_")}
    private = {name for name in private if not name.startswith("__")} - {"_name"}  # The name's setter may be slow.
    def note(thread, name, value):
        here = sys._getframe(1).f_code.co_filename
        if name in private and here.startswith(library): found.add(name)
        object.__setattr__(thread, name, value)
    found = set()
    threading.Thread.__setattr__ = note
    kinds = {type(thread) for thread in make_idle_threads(3)}
    use_everything()
    ParallelExecutor().shutdown()
    with parallel(Manager()) as _: kinds.update(type(thread) for thread in threading.enumerate())
    for kind in kinds - {threading.Thread, type(threading.main_thread())}:
        for base in kind.__mro__[:kind.__mro__.index(threading.Thread)]: found.update(private & set(vars(base)))
    assert not found, found
    """
    assert run(code) == ["left  None"]


@starts_threads_at_exit
def test_end_of_program_needs_no_private_attribute_of_threads() -> None:
    code = """
    library = os.path.dirname(sys.modules["parallel"].__file__)
    private = {name for name in vars(threading.Thread()) if name.startswith("_")} - {"_name"}
    def note(thread, name, value):
        if name in private and sys._getframe(1).f_code.co_filename.startswith(library): say(name)
        object.__setattr__(thread, name, value)
    threading.Thread.__setattr__ = note
    parallel(lambda: (threading.main_thread().join(), say("call")))()
    """
    assert run(code) == ["call"]
