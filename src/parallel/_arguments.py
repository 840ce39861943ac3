"""Arguments that a function of the library does not take: what to write instead.

A wrong number of arguments is an error of the interpreter, which cannot say more than the number. So the functions that
users call are decorated. Checkers see them as they are.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable, Sequence, TypeVar, cast

from parallel._checks import is_context_manager
from parallel._exceptions import strip_own_frames
from parallel._names import describe, name_of
from parallel.return_when import ReturnWhen

F = TypeVar("F", bound=Callable[..., Any])
Arguments = Sequence[Any]
"""Positional arguments of a call, without ``self``."""

_LONGEST_EXAMPLE = 20
_CO_VARARGS = 0x04  # inspect.CO_VARARGS; importing inspect would double the time that importing parallel takes.


def explain_arguments(explain: Callable[[Any, dict[str, Any]], str], *, has_self: bool = False) -> Callable[[F], F]:
    """Decorates a function, so that it refuses arguments with a ``TypeError`` that says what to write instead.

    Args:
        explain: Makes the message of the positional arguments and of the unknown keyword arguments.
        has_self: Whether the first argument is no argument to a user.
    """
    first = 1 if has_self else 0

    def decorate(function: F) -> F:
        code = function.__code__
        # Without an argument, the interpreter's message says which one is missing.
        most = code.co_argcount if not code.co_flags & _CO_VARARGS else 1 << 31
        known = frozenset(code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount])

        @wraps(function)
        def checked(*arguments: Any, **options: Any) -> Any:
            __tracebackhide__ = True
            try:
                if len(arguments) > most or (options and not known.issuperset(options)):
                    unknown = {name: value for name, value in options.items() if name not in known}
                    raise TypeError(explain(arguments[first:], unknown))
                return function(*arguments, **options)
            except BaseException as error:
                # The traceback refers to this frame. Debuggers show its arguments, so there must be some.
                arguments, options = (), {}
                raise strip_own_frames(error)  # noqa: B904  # The same one.

        # A traceback shows one frame of the library: this one, as the function.
        wrapper: Any = checked
        wrapper.__code__ = wrapper.__code__.replace(co_name=code.co_name)
        return cast(F, wrapper)

    return decorate


def for_calls(where: str, how: str = "parallel") -> Callable[[Arguments, dict[str, Any]], str]:
    """Explains what ``where`` takes, which prepares a call; ``how`` is what a user writes for it."""

    def explain(arguments: Arguments, options: dict[str, Any]) -> str:
        if not arguments or not callable(arguments[0]):
            return _takes_one(where, "function", arguments, options)
        func, *others = arguments
        name = _short_name(func)
        if others and not options and all(callable(other) for other in others):
            links = [f"parallel({_short_name(each)})(...)" for each in others]
            links.insert(0, f"{how}({name})(...)")
            return f"{where} takes one function, not {len(arguments)}: chain them, as in {'.'.join(links)}"
        hint = _hint_for_option(options)
        if hint is not None:
            return f"{where} takes no {hint}"
        call = f"{how}({name})({_shown(others, options)})"
        came = describe(others[0]) if others else f"{next(iter(options))}="
        return (
            f"{where} takes the function only, not also {came}: "
            f"give the arguments of the function in a second pair of parentheses, as in {call}"
        )

    return explain


def for_first_link(arguments: Arguments, options: dict[str, Any]) -> str:
    """Explains what ``parallel()`` takes."""
    if arguments and is_context_manager(arguments[0]):
        return for_contexts("parallel()")(arguments, options)
    return for_calls("parallel()")(arguments, options)


def for_next_call(arguments: Arguments, options: dict[str, Any]) -> str:
    """Explains what ``FutureCollection.parallel()`` takes."""
    if "executor" in options:
        return (
            ".parallel() takes no executor=: all calls of a chain run on that of the first, "
            "so start the chain with parallel(func, executor=...)"
        )
    return for_calls(".parallel()", "calls.parallel")(arguments, options)


def for_contexts(where: str) -> Callable[[Arguments, dict[str, Any]], str]:
    """Explains what ``where`` takes, which makes a chain of context managers."""

    def explain(arguments: Arguments, options: dict[str, Any]) -> str:
        managers = [argument for argument in arguments if is_context_manager(argument)]
        if len(managers) == len(arguments) > 1:
            return (
                f"{where} takes one context manager, not {len(managers)}: chain them, as in "
                f"parallel(a).parallel(b), or use parallel_contexts([a, b])"
            )
        if "executor" in options:
            return f"{where} takes no executor=: a context manager always has a thread of its own"
        for option in ("timeout", "parallel_exit"):
            if option in options:
                return (
                    f"{where} takes no {option}=: it is for the whole chain, "
                    f"so start it with parallel(context_manager, {option}={_example(options[option])})"
                )
        return _takes_one(where, "context manager", arguments, options)

    return explain


def for_many_contexts(arguments: Arguments, options: dict[str, Any]) -> str:
    """Explains what ``parallel_contexts()`` takes."""
    where = "parallel_contexts()"
    if "executor" in options:
        return for_contexts(where)((), options)
    if len(arguments) > 1 and is_context_manager(arguments[1]):
        return (
            f"{where} takes one iterable of context managers, not {len(arguments)} arguments: "
            f"put them in a list, as in parallel_contexts([a, b])"
        )
    return _takes_one(where, "iterable of context managers", arguments, options)


def for_map(arguments: Arguments, options: dict[str, Any]) -> str:
    """Explains which options ``parallel_map()`` takes."""
    hint = _hint_for_option(options)
    if hint is not None:
        return f"parallel_map() takes no {hint}"
    func = _short_name(arguments[0]) if arguments else "func"
    return (
        f"parallel_map() passes items on as positional arguments, and takes no {next(iter(options))}=: "
        f"to give it to each call, use functools.partial({func}, {_shown((), options)})"
    )


def for_results(arguments: Arguments, options: dict[str, Any]) -> str:
    """Explains what ``results()`` takes."""
    if not arguments:
        return f"results() takes timeout= and return_when=, but no {next(iter(options))}="
    option = "return_when" if isinstance(arguments[0], (str, ReturnWhen)) else "timeout"
    return f"results() takes its options by name, as in results({option}={_example(arguments[0])})"


def _hint_for_option(options: dict[str, Any]) -> str | None:
    """Says where an option belongs that looks as if it were one of the library's."""
    if "timeout" in options:
        timeout = _example(options["timeout"])
        return (
            f"timeout=: give it to results(timeout={timeout}); "
            f"if it is an argument of the function, give it in a second pair of parentheses"
        )
    if "parallel_exit" in options:
        return "parallel_exit=: it is for context managers"
    if "max_workers" in options:
        return (
            "max_workers=: each call has a thread of its own; to limit how many run at once, give executor=, "
            f"as in executor=ThreadPoolExecutor(max_workers={_example(options['max_workers'])})"
        )
    return None


def _takes_one(where: str, kind: str, arguments: Arguments, options: dict[str, Any]) -> str:
    if len(arguments) > 1:
        if isinstance(arguments[1], (int, float)):
            return f"{where} takes its options by name, as in timeout={_example(arguments[1])}"
        return f"{where} takes one {kind}, not {len(arguments)} arguments"
    return f"{where} takes one {kind}, and no {next(iter(options))}="


def _shown(arguments: Arguments, options: dict[str, Any]) -> str:
    """Shows arguments as they are written in a call."""
    shown = [_example(argument) for argument in arguments]
    return ", ".join([*shown, *(f"{name}={_example(value)}" for name, value in options.items())])


def _example(value: Any) -> str:
    if isinstance(value, ReturnWhen):
        return f"ReturnWhen.{value.name}"
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        shown = repr(value)
        if len(shown) <= _LONGEST_EXAMPLE:
            return shown
    return "..."


def _short_name(func: object) -> str:
    name = name_of(func).rpartition(".")[2]
    return "func" if name.startswith("<") else name
