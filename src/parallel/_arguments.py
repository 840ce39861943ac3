"""Messages for arguments that a function of the library does not take: what came, and what to write instead."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from parallel._checks import hint_for_non_callable, is_context_manager
from parallel._names import describe, name_of
from parallel.return_when import ReturnWhen

_LONGEST_EXAMPLE = 20
_WHOLE_CHAIN = "it is for the whole chain, so start it with parallel(context_manager, {example})"
_OF_CALLS = {
    "executor": "all calls of a chain run on that of the first, so start the chain with parallel(func, executor=...)",
    "max_workers": (
        "each call has a thread of its own; to limit how many run at once, give executor=, "
        "as in executor=ParallelExecutor({example})"
    ),
    "parallel_exit": "it is for context managers",
    "timeout": (
        "give it to results({example}); if it is an argument of the function, give it in a second pair of parentheses"
    ),
}
_OF_CONTEXTS = {
    "executor": "a context manager always has a thread of its own",
    "parallel_exit": _WHOLE_CHAIN,
    "timeout": _WHOLE_CHAIN,
}


def explanation(function: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]) -> str | None:
    """Explains what ``function`` takes; returns ``None`` if it lacks an argument, which the interpreter names."""
    if function.__code__.co_varnames[0] == "self":
        arguments = arguments[1:]
    options = {name: value for name, value in options.items() if name not in (function.__kwdefaults__ or ())}
    if not arguments and not options:
        return None
    name = function.__qualname__
    if name == "FutureCollection.results":
        return _for_results(arguments, options)
    is_for_contexts = "context" in name.lower() or (name == "parallel" and any(map(is_context_manager, arguments[:1])))
    hints = _OF_CONTEXTS if is_for_contexts else _OF_CALLS
    for option, value in options.items():
        if option in hints:
            return f"{name}() takes no {option}=: {hints[option].format(example=_shown((), {option: value}))}"
    return (_for_contexts if is_for_contexts else _for_calls)(name, arguments, options)


def _for_calls(name: str, arguments: Sequence[Any], options: dict[str, Any]) -> str:
    if not arguments:
        return f"{name}() takes the function by position, as in {name}(func), and no {next(iter(options))}="
    func, *others = arguments
    if not callable(func):
        return f"{name}() takes one function, not {describe(func)}{hint_for_non_callable(func)}"
    if name == "parallel_map":
        return (
            f"parallel_map() passes items on as positional arguments, and takes no {next(iter(options))}=: "
            f"to give it to each call, use functools.partial({_short_name(func)}, {_shown((), options)})"
        )
    how = name.replace("FutureCollection.parallel", "calls.parallel")
    if not options and all(map(callable, others)):
        links = [f"{how}({_short_name(func)})(...)", *(f"parallel({_short_name(each)})(...)" for each in others)]
        return f"{name}() takes one function, not {len(arguments)}: chain them, as in {'.'.join(links)}"
    came = describe(others[0]) if others else f"{next(iter(options))}="
    return (
        f"{name}() takes the function only, not also {came}: give the arguments of the function in a second pair of "
        f"parentheses, as in {how}({_short_name(func)})({_shown(others, options)})"
    )


def _for_contexts(name: str, arguments: Sequence[Any], options: dict[str, Any]) -> str:
    if not arguments:
        return f"{name}() takes its argument by position, and no {next(iter(options))}="
    if len(arguments) == 1:
        return f"{name}() takes no {next(iter(options))}="
    if isinstance(arguments[1], (int, float)):
        return f"{name}() takes its options by name, as in timeout={_example(arguments[1])}"
    if name == "parallel_contexts":
        return (
            f"parallel_contexts() takes one iterable of context managers, not {len(arguments)} arguments: "
            f"put them in a list, as in parallel_contexts([a, b])"
        )
    return (
        f"{name}() takes one context manager, not {len(arguments)} arguments: "
        f"chain them, as in parallel(a).parallel(b), or use parallel_contexts([a, b])"
    )


def _for_results(arguments: Sequence[Any], options: dict[str, Any]) -> str:
    if not arguments:
        return f"results() takes timeout= and return_when=, but no {next(iter(options))}="
    option = "return_when" if isinstance(arguments[0], (str, ReturnWhen)) else "timeout"
    return f"results() takes its options by name, as in results({option}={_example(arguments[0])})"


def _shown(arguments: Sequence[Any], options: dict[str, Any]) -> str:
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
