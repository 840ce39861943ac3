"""How context variables flow between a ``with`` block and a manager that has a ``Context`` of its own.

In an ordinary ``with``, enter, body and exit share one context. A manager on a thread of its own cannot: a context can
be entered by one thread at a time only, and tokens work in the context alone that they were made in. So each manager
keeps its own from enter to exit, and changes are carried over:

- Before the enter, the manager's context gets what the caller has.
- After the enter, the caller gets what the enter changed. The callers of several do this in the order of the chain, so
  later managers win over earlier ones.
- Before the exit, the manager's context gets what the caller has by then: it sees what the body did.
- After the exit, the caller gets what the exit changed. Where the exit takes a variable back to what the manager had
  found on entering, the caller takes it back to what *it* had before the manager changed it. That is what
  resetting the same variable would have done in an ordinary ``with``, also when several managers changed it.

Values are compared by identity. A variable can be unset only with a token from the very context, so tokens are kept
wherever a variable was set that had no value.
"""

from __future__ import annotations

import functools
import sys
from contextvars import Context, ContextVar, Token, copy_context
from typing import Any, Mapping, Sequence

_Values = Mapping[ContextVar[Any], Any]

# Token.MISSING, which some subinterpreters (of Python 3.13.0) lack.
_MISSING: object = Context().run(lambda: ContextVar[None]("missing").set(None).old_value)


class ContextVariables:
    """The context of one manager, and what passes between it and the caller's.

    ``copy_from_caller`` runs in ``context``, the other two methods that copy run in the caller's context, and none of
    them at the same time as another.
    """

    def __init__(self, caller: Context) -> None:
        """A context with the variables of ``caller``, a copy of the caller's."""
        self.context = Context()
        self._found = caller
        self.before_exit = caller
        self._unset_tokens: dict[ContextVar[Any], Token[Any]] = {}
        self._enter_tokens: dict[ContextVar[Any], Token[Any]] = {}
        if len(caller):
            self.context.run(self.copy_from_caller, caller)

    def copy_from_caller(self, caller: Context) -> None:
        """Makes the manager's variables what they are in ``caller``, a copy of the caller's context."""
        self.before_exit = caller
        for variable, value in _changes(self.context, caller):
            if value is not _MISSING:
                token = variable.set(value)
                if token.old_value is _MISSING:
                    self._unset_tokens[variable] = token
            elif variable in self._unset_tokens:
                variable.reset(self._unset_tokens.pop(variable))

    def copy_enter_changes_to_caller(self) -> None:
        """Makes the changes of the enter visible to the caller."""
        for variable, value in _changes(self._found, self.context):
            if value is not _MISSING:
                self._enter_tokens[variable] = variable.set(value)

    def has_exit_changes(self) -> bool:
        """Whether the exit changed a variable."""
        return bool(_changes(self.before_exit, self.context))

    def copy_exit_changes_to_caller(self) -> None:
        """Makes the changes of the exit visible to the caller."""
        for variable, value in _changes(self.before_exit, self.context):
            if variable in self._enter_tokens and value is self._found.get(variable, _MISSING):
                _reset(variable, self._enter_tokens.pop(variable))
            elif value is not _MISSING:
                variable.set(value)


def copy_context_for_call() -> Context:
    """Returns a copy of the current context, with a copy of its decimal context, which a call may then change.

    A copied context shares mutable values with the original. That of the standard library is ``decimal``'s.
    """
    context = copy_context()
    if len(context) and "decimal" in sys.modules:
        for variable in _decimal_variables():
            if variable in context:
                context.run(variable.set, context[variable].copy())
    return context


@functools.lru_cache(maxsize=None)
def _decimal_variables() -> Sequence[ContextVar[Any]]:
    """Returns the variable of ``decimal``; on PyPy there is none."""
    context = Context()
    context.run(sys.modules["decimal"].getcontext)
    return tuple(context)


def _changes(before: _Values, after: _Values) -> Sequence[tuple[ContextVar[Any], Any]]:
    """The variables that differ, with what they are in ``after``: a value, or ``_MISSING``."""
    if not before and not after:
        return ()
    changed = [(variable, value) for variable, value in after.items() if before.get(variable, _MISSING) is not value]
    changed.extend((variable, _MISSING) for variable in before if variable not in after)
    return changed


def _reset(variable: ContextVar[Any], token: Token[Any]) -> None:
    try:
        variable.reset(token)
    except ValueError:
        # The block is left in another context than it was entered in.
        if token.old_value is not _MISSING:
            variable.set(token.old_value)
