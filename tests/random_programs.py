"""Random programs that run under ``with a, b`` and under ``with parallel(a).parallel(b)``, and see no difference.

A program is data: managers with what they do on entering and exiting, a body, and what is being handled around the
block. It is run twice, and what it could see is written down: arguments of exits, handled exceptions, chains,
tracebacks, context variables, the order of events.

What differs by nature is kept out of the programs: an enter reads no variable that another's enter sets, nor does an
exit, once it has reset its own; only the last enter may fail, and then no exit suppresses; every value is set once.

``unit/test_random_programs.py`` is the negative control: it breaks the library, and the programs notice.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from contextvars import Context, ContextVar, Token, copy_context
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, Tuple

from hypothesis import strategies as st

from helpers import PYPY, BaseExceptionGroup, ExceptionGroup, chain_of
from parallel import parallel

SUBJECT = os.environ.get("WITH_EQUIVALENCE_SUBJECT", "parallel")

MAKES_CYCLES = sys.version_info >= (3, 9) and SUBJECT == "parallel"
"""Whether programs may put a cycle into a chain: ``raise`` never ends on one in 3.8, nor does ``ExitStack``."""


HAS_EXACT_TRACEBACKS = sys.version_info >= (3, 11) and not PYPY
"""Whether tracebacks are compared.

PyPy, and CPython below 3.11, keep a second traceback beside the exception's own, and put it back now and then.
"""

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

VARIABLES: tuple[ContextVar[str], ...] = (ContextVar("a"), ContextVar("b", default="default"), ContextVar("c"))

Body = Callable[[Tuple[Any, ...]], None]
Statement = Callable[[Sequence[Any], Body], None]


# The statements under comparison. The body does not return from within them: that is one of the differences by nature.


def under_with(managers: Sequence[Any], body: Body) -> None:
    _with_statement(len(managers))(managers, body)


@lru_cache(maxsize=None)
def _with_statement(count: int) -> Statement:
    """One ``with`` with so many managers: nested functions would add their frames to the tracebacks."""
    items = ", ".join(f"managers[{number}] as value{number}" for number in range(count))
    values = "".join(f"value{number}, " for number in range(count))
    namespace: dict[str, Any] = {}
    source = f"def with_statement(managers, body):\n with {items}:\n  body(({values}))"
    exec(compile(source, "<with>", "exec"), namespace)  # noqa: S102  # The source stands above.
    statement: Statement = namespace["with_statement"]
    return statement


def under_parallel(managers: Sequence[Any], body: Body) -> None:
    chain: Any = parallel(managers[0])
    for manager in managers[1:]:
        chain = chain.parallel(manager)
    with chain as values:
        body(values)


def under_exit_stack(managers: Sequence[Any], body: Body) -> None:
    with ExitStack() as stack:
        body(tuple(map(stack.enter_context, managers)))


# Exceptions that a careless `if error` or `==` trips over.


class FalseyError(Exception):
    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0


class EqualToAllError(Exception):
    __hash__ = None  # type: ignore[assignment]  # Such classes exist.

    def __eq__(self, other: object) -> bool:
        return True


class OwnGroup(ExceptionGroup[Exception]):
    pass


class TruthError:
    """An exit's answer that cannot be asked."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __bool__(self) -> bool:
        raise self._site.new()


# What can be seen.


class Run:
    """One run of a program, and what it saw."""

    def __init__(self, statement: Statement, *, with_tracebacks: bool) -> None:
        self.statement = statement
        self._with_tracebacks = with_tracebacks
        self.events: list[Any] = []
        # Enters may overlap, so each has its own log.
        self.enters: dict[str, Any] = {}
        self.handled: BaseException | None = None
        self._labelled: dict[int, tuple[str, BaseException]] = {}
        self.prepared = self._prepare()

    def _prepare(self) -> tuple[BaseException, ...]:
        """Exceptions with chains of their own, which every place in the program can raise."""
        prepared = tuple(self.label(ValueError(f"prepared {number}"), f"prepared {number}") for number in range(4))
        prepared[0].__context__ = prepared[1]
        prepared[0].__cause__ = prepared[2]
        prepared[3].__context__ = prepared[0]
        return prepared

    def label(self, error: BaseException, label: str) -> BaseException:
        self._labelled[id(error)] = (label, error)
        return error

    def label_of(self, error: BaseException | None) -> str | None:
        if error is None:
            return None
        if id(error) not in self._labelled:
            # One that the program did not make itself.
            self.label(error, f"{type(error).__name__}{error.args} no. {len(self._labelled)}")
        return self._labelled[id(error)][0]

    def graph(self, root: BaseException | None) -> dict[str | None, Any]:
        """Everything that can be reached from an exception."""
        graph: dict[str | None, Any] = {}
        pending = [] if root is None else [root]
        while pending:
            error = pending.pop(0)
            label = self.label_of(error)
            if label in graph:
                continue
            links = [error.__context__, error.__cause__, *getattr(error, "exceptions", ())]
            graph[label] = (
                type(error).__name__,
                [self.label_of(link) for link in links],
                error.__suppress_context__,
                frames_of(error.__traceback__) if self._with_tracebacks else None,
            )
            pending.extend(link for link in links if link is not None)
        return graph

    def graph_of_all(self) -> dict[str | None, Any]:
        everything: BaseException = BaseExceptionGroup("", [error for _, error in self._labelled.values()])
        return self.graph(everything)


_PROGRAM_FILES = {__file__, contextmanager.__code__.co_filename}
_EXIT_STACK_CODE = {
    method.__code__ for cls in ExitStack.__mro__ for method in vars(cls).values() if hasattr(method, "__code__")
}
_MANAGERS = {"__enter__", "__exit__", "__bool__", "enter", "exit"}
_STATEMENTS = {"with_statement", "under_parallel", "under_exit_stack"}


def frames_of(traceback: Any) -> list[Any]:
    """The program's own frames; how an exception got from a manager to the block is not compared."""
    frames: list[Any] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name in _STATEMENTS:
            frames.append("block")
        elif code.co_filename not in _PROGRAM_FILES or code in _EXIT_STACK_CODE:
            frames.append(Path(code.co_filename).name)
        elif code.co_name in _MANAGERS:
            frames = [frame for frame in frames if not isinstance(frame, str)]
            frames.append((code.co_name, traceback.tb_lineno))
        elif code.co_name != "under_with":
            frames.append((code.co_name, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames


def values_of_variables(unknown: set[int]) -> list[str]:
    context = copy_context()
    return [context.get(variable, "unset") for number, variable in enumerate(VARIABLES) if number not in unknown]


# Where things happen, and what can happen there.


@dataclass
class Site:
    """A body, an enter or an exit in a run."""

    run: Run
    name: str
    given: BaseException | None
    """What an exit is given; in a body or an enter, what is handled around the block."""
    tokens: dict[int, list[Token[str]]] = field(default_factory=dict)
    foreign: frozenset[int] = frozenset()
    """The variables that enters of managers further out have set: after a reset they are not compared."""
    unknown: set[int] = field(default_factory=set)
    """The variables that are not compared."""
    _made: int = 0

    def new(self, cls: type[BaseException] = ValueError) -> BaseException:
        return self.run.label(cls(self.fresh()), f"{cls.__name__} from {self.fresh()}")

    def fresh(self) -> str:
        self._made += 1
        return f"{self.name}, no. {self._made}"

    def perform(self, script: Script) -> object:
        for step in script.steps:
            step.take(self)
        return ENDINGS[script.ending](self)

    def seen(self) -> tuple[Any, ...]:
        return (self.run.label_of(sys.exc_info()[1]), values_of_variables(self.unknown))

    def log(self, *seen: Any) -> None:
        self.run.events.append((self.name, *seen, *self.seen()))


class Step:
    def take(self, site: Site) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Sets(Step):
    variable: int

    def take(self, site: Site) -> None:
        token = VARIABLES[self.variable].set(site.fresh())
        site.tokens.setdefault(self.variable, []).append(token)


@dataclass(frozen=True)
class Resets(Step):
    variable: int

    def take(self, site: Site) -> None:
        if site.tokens.get(self.variable):
            VARIABLES[self.variable].reset(site.tokens[self.variable].pop())
            site.unknown.update(site.foreign & {self.variable})


@dataclass(frozen=True)
class Mutates(Step):
    mutation: str

    def take(self, site: Site) -> None:
        if site.given is not None:
            MUTATIONS[self.mutation](site, site.given)


@dataclass(frozen=True)
class Nests(Step):
    """A block within a body or an exit; what comes out of it is caught."""

    block: Block
    caught: bool

    def take(self, site: Site) -> None:
        name = f"{site.name} > "
        try:
            run_block(site, name, self.block)
        except BaseException as error:
            site.log("caught", site.run.graph(error))
            if not self.caught:
                raise
        site.log("went on")


@dataclass(frozen=True)
class Script:
    steps: tuple[Step, ...] = ()
    ending: str = "returns_none"


@dataclass(frozen=True)
class Manager:
    kind: str = "ClassBased"
    enter: Script = Script()
    exit: Script = Script()


@dataclass(frozen=True)
class Block:
    managers: tuple[Manager, ...]
    body: Script = Script()


@dataclass(frozen=True)
class Program:
    block: Block
    sets: tuple[int, ...] = ()
    around: str = "nothing"


Ending = Callable[[Site], object]
Mutation = Callable[[Site, BaseException], None]
ENDINGS: dict[str, Ending] = {}
MUTATIONS: dict[str, Mutation] = {}


def ending(func: Ending) -> Ending:
    ENDINGS[func.__name__] = func
    return func


def mutation(func: Mutation) -> Mutation:
    MUTATIONS[func.__name__] = func
    return func


@ending
def returns_none(site: Site) -> object:
    return None


@ending
def returns_false(site: Site) -> object:
    return False


@ending
def returns_empty_list(site: Site) -> object:
    return []


@ending
def returns_true(site: Site) -> object:
    return True


@ending
def returns_text(site: Site) -> object:
    return "no"


@ending
def returns_object(site: Site) -> object:
    return object()


@ending
def returns_class(site: Site) -> object:
    return FalseyError


@ending
def returns_error_when_asked(site: Site) -> object:
    return TruthError(site)


@ending
def raises(site: Site) -> object:
    raise site.new()


@ending
def raises_class(site: Site) -> object:
    raise LookupError


@ending
def raises_keyboard_interrupt(site: Site) -> object:
    raise site.new(KeyboardInterrupt)


@ending
def raises_system_exit(site: Site) -> object:
    raise site.new(SystemExit)


@ending
def raises_generator_exit(site: Site) -> object:
    raise site.new(GeneratorExit)


@ending
def raises_stop_iteration(site: Site) -> object:
    raise site.new(StopIteration)


@ending
def raises_runtime_error_from_stop_iteration(site: Site) -> object:
    raise site.new(RuntimeError) from site.new(StopIteration)


@ending
def raises_falsey(site: Site) -> object:
    raise site.new(FalseyError)


@ending
def raises_equal_to_all(site: Site) -> object:
    raise site.new(EqualToAllError)


@ending
def raises_group(site: Site) -> object:
    raise site.run.label(OwnGroup("own", [ValueError(1), FalseyError(2)]), f"group from {site.name}")


@ending
def raises_base_group(site: Site) -> object:
    group = BaseExceptionGroup("base", [site.new(KeyboardInterrupt), site.new()])
    raise site.run.label(group, f"group from {site.name}")


@ending
def raises_group_of_given(site: Site) -> object:
    members = [site.new()] if site.given is None else [site.given, site.new()]
    raise site.run.label(BaseExceptionGroup("given", members), f"group from {site.name}")


@ending
def raises_from_new(site: Site) -> object:
    raise site.new() from site.new()


@ending
def raises_from_none(site: Site) -> object:
    raise site.new() from None


@ending
def raises_from_given(site: Site) -> object:
    raise site.new() from site.given


@ending
def raises_in_handler(site: Site) -> object:
    try:
        raise site.new()
    except ValueError:
        raise site.new()  # noqa: B904  # The implicit chain is what it is about.


@ending
def raises_in_nested_handler(site: Site) -> object:
    try:
        raise site.new()
    except ValueError:
        try:
            raise site.new(KeyError)
        except KeyError:
            raise site.new() from None


@ending
def raises_after_handler(site: Site) -> object:
    try:
        raise site.new()
    except ValueError as error:
        site.log("handles", site.run.graph(error))
    raise site.new()


@ending
def raises_through_finally(site: Site) -> object:
    try:
        raise site.new()
    finally:
        raises_in_handler(site)


@ending
def raises_bare(site: Site) -> object:
    raise  # noqa: PLE0704  # Of what is being handled, if anything.


@ending
def raises_bare_in_handler(site: Site) -> object:
    try:
        raise site.new()
    except ValueError:  # noqa: TRY203  # It is about the raise.
        raise


@ending
def raises_handled(site: Site) -> object:
    handled = sys.exc_info()[1]
    if handled is not None:
        raise handled
    return None


@ending
def raises_handled_outside(site: Site) -> object:
    if site.run.handled is not None:
        raise site.run.handled
    return None


@ending
def raises_given(site: Site) -> object:
    if site.given is not None:
        raise site.given
    return None


@ending
def raises_given_from_new(site: Site) -> object:
    if site.given is not None:
        raise site.given from site.new()
    return None


@ending
def raises_given_from_none(site: Site) -> object:
    if site.given is not None:
        raise site.given from None
    return None


@ending
def raises_given_in_handler(site: Site) -> object:
    try:
        raise site.new()
    except ValueError:
        return raises_given(site)


@ending
def raises_given_from_handled(site: Site) -> object:
    try:
        raise site.new()
    except ValueError as error:
        if site.given is not None:
            raise site.given from error
    return None


@ending
def raises_given_without_traceback(site: Site) -> object:
    if site.given is not None:
        raise site.given.with_traceback(None)
    return None


@ending
def raises_in_handler_of_given(site: Site) -> object:
    try:
        raises_given(site)
    except BaseException:
        raise site.new()  # noqa: B904  # As above.
    return None


@ending
def raises_context_of_given(site: Site) -> object:
    if site.given is not None and site.given.__context__ is not None:
        raise site.given.__context__
    return None


@ending
def raises_cause_of_given(site: Site) -> object:
    if site.given is not None and site.given.__cause__ is not None:
        raise site.given.__cause__
    return None


@ending
def raises_end_of_chain(site: Site) -> object:
    chain = list(chain_of(site.given))
    if chain:
        raise chain[-1]
    return None


@ending
def raises_new_in_handler_of_end_of_chain(site: Site) -> object:
    try:
        raises_end_of_chain(site)
    except BaseException:
        raise site.new()  # noqa: B904  # As above.
    return None


@ending
def raises_prepared(site: Site) -> object:
    raise site.run.prepared[0]


@ending
def raises_prepared_from_given(site: Site) -> object:
    raise site.run.prepared[1] from site.given


@ending
def raises_prepared_in_handler(site: Site) -> object:
    try:
        raise site.run.prepared[3]
    except ValueError:
        raise site.run.prepared[1]  # noqa: B904  # As above.


@mutation
def sets_context(site: Site, error: BaseException) -> None:
    error.__context__ = site.new()


@mutation
def clears_context(site: Site, error: BaseException) -> None:
    error.__context__ = None


@mutation
def appends_prepared(site: Site, error: BaseException) -> None:
    *_, last = chain_of(error)
    if MAKES_CYCLES or not any(each is last for each in chain_of(site.run.prepared[3])):
        last.__context__ = site.run.prepared[3]


@mutation
def makes_cycle(site: Site, error: BaseException) -> None:
    if MAKES_CYCLES:
        *_, last = chain_of(error)
        last.__context__ = error


@mutation
def sets_cause(site: Site, error: BaseException) -> None:
    error.__cause__ = site.new()


@mutation
def suppresses_context(site: Site, error: BaseException) -> None:
    error.__suppress_context__ = True


@mutation
def shows_context(site: Site, error: BaseException) -> None:
    error.__suppress_context__ = False


@mutation
def raises_and_catches(site: Site, error: BaseException) -> None:
    with suppress(BaseException):
        raise error


@mutation
def raises_and_catches_in_handler(site: Site, error: BaseException) -> None:
    with suppress(BaseException):
        try:
            raise site.new()
        except ValueError:
            raise error  # noqa: B904  # As above.


# Managers.


class Actor:
    """What one manager does in a run."""

    def __init__(self, parent: Site, name: str, manager: Manager, foreign: frozenset[int]) -> None:
        self.name = name
        self._run = parent.run
        self._manager = manager
        self._tokens: dict[int, list[Token[str]]] = {}
        self._foreign = foreign
        self._parent = parent

    def enter(self) -> object:
        handled, unknown = sys.exc_info()[1], self._parent.unknown | self._foreign
        site = Site(self._run, f"{self.name} enters", handled, self._tokens, unknown=unknown)
        self._run.enters[site.name] = site.seen()
        site.perform(self._manager.enter)
        return f"value of {self.name}"

    def exit(self, cls: type[BaseException] | None, error: BaseException | None, traceback: Any) -> object:
        unknown = set(self._parent.unknown)
        site = Site(self._run, f"{self.name} exits", error, self._tokens, self._foreign, unknown)
        consistent = (cls, traceback) == ((None, None) if error is None else (type(error), error.__traceback__))
        site.log("given", self._run.label_of(error), consistent, self._run.graph(error))
        try:
            return site.perform(self._manager.exit)
        finally:
            site.log("ends", self._run.graph(error))


class ClassBased:
    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def __enter__(self) -> object:
        return self._actor.enter()

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, traceback: Any) -> Any:
        return self._actor.exit(cls, error, traceback)


class OfStaticMethods:
    """Its methods are bound as their descriptors want it, and what stands on the object counts for nothing."""

    def __new__(cls, actor: Actor) -> Any:
        methods = {"__enter__": staticmethod(actor.enter), "__exit__": staticmethod(actor.exit)}
        manager: Any = type(cls.__name__, (), methods)()
        manager.__enter__ = manager.__exit__ = None
        return manager


@contextmanager
def catching(actor: Actor) -> Iterator[object]:
    value = actor.enter()
    try:
        yield value
    except BaseException as error:
        if not actor.exit(type(error), error, error.__traceback__):
            raise
    else:
        actor.exit(None, None, None)


@contextmanager
def cleaning_up(actor: Actor) -> Iterator[object]:
    value = actor.enter()
    try:
        yield value
    finally:
        error = sys.exc_info()[1]
        actor.exit(*((None, None, None) if error is None else (type(error), error, error.__traceback__)))


@contextmanager
def wrapping(actor: Actor) -> Iterator[object]:
    with ClassBased(actor) as value:
        yield value


@contextmanager
def careless(actor: Actor) -> Iterator[object]:
    yield actor.enter()
    actor.exit(None, None, None)


@contextmanager
def never_stopping(actor: Actor) -> Iterator[object]:
    with ClassBased(actor) as value:
        yield value
    yield None


def suppressing(actor: Actor) -> Any:
    return suppress(ValueError)


KINDS: dict[str, Callable[[Actor], Any]] = {
    kind.__name__: kind
    for kind in (ClassBased, catching, OfStaticMethods, cleaning_up, wrapping, careless, never_stopping, suppressing)
}


# The interpreter.


def run_block(site: Site, name: str, block: Block) -> None:
    actors = []
    foreign: frozenset[int] = frozenset()
    for number, manager in enumerate(block.managers):
        actors.append(Actor(site, f"{name}{number}", manager, foreign))
        foreign |= {step.variable for step in manager.enter.steps if isinstance(step, Sets)}
    managers = [KINDS[manager.kind](actor) for manager, actor in zip(block.managers, actors)]

    def body(values: tuple[Any, ...]) -> None:
        inside = Site(site.run, f"{name}body", sys.exc_info()[1], site.tokens, site.foreign, site.unknown)
        inside.log(values)
        try:
            inside.perform(block.body)
        finally:
            inside.log("ends")

    site.run.statement(managers, body)


def run(program: Program, statement: Statement, *, with_tracebacks: bool = True) -> Run:
    """Runs ``program`` and gives what it saw."""
    it = Run(statement, with_tracebacks=with_tracebacks)
    with ThreadPoolExecutor(1) as pool:  # Hypothesis may be handling an exception on this thread.
        pool.submit(Context().run, _run_around, Site(it, "around", None), program).result()
    it.events.append(it.graph_of_all())
    return it


def _run_around(site: Site, program: Program) -> None:
    for variable in program.sets:
        Sets(variable).take(site)
    try:
        AROUND[program.around](site, lambda: _attempt(site, program))
    except BaseException as error:
        site.log("ends", site.run.graph(error))
    site.log()


def _attempt(site: Site, program: Program) -> None:
    site.run.handled = sys.exc_info()[1]
    try:
        run_block(site, "", program.block)
    except BaseException as error:
        site.log("got", site.run.graph(error))
    site.log("goes on")


Around = Callable[[Site, Callable[[], None]], None]


def nothing(site: Site, attempt: Callable[[], None]) -> None:
    attempt()


def handler(site: Site, attempt: Callable[[], None]) -> None:
    try:
        raise site.new()
    except ValueError:
        attempt()


def nested_handler(site: Site, attempt: Callable[[], None]) -> None:
    try:
        raise site.new()
    except ValueError:
        try:
            raise site.new(FalseyError)
        except FalseyError:
            attempt()
        raise


def handler_of_prepared(site: Site, attempt: Callable[[], None]) -> None:
    try:
        raise site.run.prepared[3]
    except ValueError:
        attempt()


def finally_clause(site: Site, attempt: Callable[[], None]) -> None:
    try:
        raise site.new(KeyboardInterrupt)
    finally:
        attempt()


AROUND: dict[str, Around] = {
    around.__name__: around for around in (nothing, handler, nested_handler, handler_of_prepared, finally_clause)
}


# Random programs.

_variables = st.integers(0, len(VARIABLES) - 1)
_kinds = st.sampled_from(list(KINDS))
_endings = st.one_of(
    st.just("returns_none"),
    st.sampled_from([name for name in ENDINGS if name.startswith("returns")]),
    st.sampled_from([name for name in ENDINGS if name.startswith("raises")]),
)
# By the frames of a manager `frames_of` knows what an exit has raised, so no nested body takes them off.
_endings_of_nested_bodies = _endings.filter(lambda name: name != "raises_given_without_traceback")
_sets_and_resets = st.one_of(st.builds(Sets, _variables), st.builds(Resets, _variables))
_mutations = st.builds(Mutates, st.sampled_from(list(MUTATIONS)))
_enter_steps = st.lists(_sets_and_resets, max_size=3)
_inner_steps: st.SearchStrategy[list[Step]] = st.lists(st.one_of(_sets_and_resets, _mutations), max_size=3)


@st.composite
def _blocks(
    draw: st.DrawFn, most: int, steps: st.SearchStrategy[list[Step]], endings_of_body: st.SearchStrategy[str]
) -> Block:
    managers = tuple(
        Manager(draw(_kinds), Script(tuple(draw(_enter_steps))), Script(tuple(draw(steps)), draw(_endings)))
        for _ in range(draw(st.integers(1, most)))
    )
    body = Script(tuple(draw(steps)), draw(endings_of_body))
    last_enter = draw(_endings)
    if last_enter.startswith("raises") and draw(st.booleans()):
        managers = tuple(_not_suppressing(manager) for manager in managers)
        last = managers[-1]
        managers = (*managers[:-1], replace(last, enter=replace(last.enter, ending=last_enter)))
    return Block(managers, body)


def _not_suppressing(manager: Manager) -> Manager:
    if manager.kind == "suppressing":
        manager = replace(manager, kind="ClassBased")
    if manager.exit.ending.startswith("returns") and manager.exit.ending != "returns_error_when_asked":
        manager = replace(manager, exit=replace(manager.exit, ending="returns_none"))
    return manager


_nests = st.builds(Nests, _blocks(3, _inner_steps, _endings_of_nested_bodies), st.booleans())
_outer_blocks = _blocks(6, st.lists(st.one_of(_sets_and_resets, _mutations, _nests), max_size=3), _endings)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    sets, around = draw(st.lists(_variables, max_size=3)), draw(st.sampled_from(list(AROUND)))
    return Program(draw(_outer_blocks), tuple(sets), around)


# The comparison.


SUBJECTS: dict[str, Statement] = {"parallel": under_parallel, "ExitStack": under_exit_stack}


def runs(program: Program, *, with_tracebacks: bool) -> tuple[Run, Run]:
    """Runs ``program`` under nested ``with`` statements, and under the subject."""
    with_tracebacks = with_tracebacks and HAS_EXACT_TRACEBACKS
    expected = run(program, under_with, with_tracebacks=with_tracebacks)
    return expected, run(program, SUBJECTS[SUBJECT], with_tracebacks=with_tracebacks)


def assert_no_difference(program: Program, *, with_tracebacks: bool) -> None:
    expected, seen = runs(program, with_tracebacks=with_tracebacks)
    assert seen.enters == expected.enters
    assert seen.events == expected.events


def has_tracebacks_to_compare(program: Program) -> bool:
    """Whether the tracebacks of ``program`` are the same each time."""
    return not (FREE_THREADED and has_enter_that_raises(program.block))


def has_enter_that_raises(block: Block) -> bool:
    """Whether enters may raise what is being handled around their block.

    Then one exception is raised on several threads at once. When they run at once, its traceback may lose entries.
    """
    scripts = [block.body, *(manager.exit for manager in block.managers)]
    nested = [step.block for script in scripts for step in script.steps if isinstance(step, Nests)]
    return block.managers[-1].enter.ending.startswith("raises") or any(map(has_enter_that_raises, nested))


def is_different(program: Program) -> bool:
    expected, seen = runs(program, with_tracebacks=has_tracebacks_to_compare(program))
    return (seen.enters, seen.events) != (expected.enters, expected.events)
