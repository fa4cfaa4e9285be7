"""Finds every line that the program may log in its source: level, message and fields.

A message is a constant: written in the call, or given a name in the same function. The fields are the keywords of the
call. Behind ``**`` may stand a dictionary that is written there, or a name or a function of the same module that leads
to one. Whatever else a call has raises NotConstant, so that no line is missed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]

#: The methods of a logger, with the levels of their lines.
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}

_Function = ast.FunctionDef | ast.Lambda | ast.Module


class NotConstant(Exception):
    """Raised if a call does not show which message or fields it logs."""


@frozen(order=True)
class LogLine:
    """What one place in the source logs."""

    message: str
    #: One of LEVELS. A line whose level depends on something is found once for each level.
    level: str
    #: The logger, as the line shows it in brackets.
    logger: str
    #: The fields that the line may have, in the order of the source.
    fields: tuple[str, ...]
    #: Whether a traceback follows the line.
    traceback: bool


def log_lines() -> list[LogLine]:
    """Return all lines that the program may log, sorted by message. Raises NotConstant."""
    files = sorted((ROOT / "controller").rglob("*.py"))
    return sorted({line for file in files for line in lines_in(file.read_text())})


def lines_in(source: str) -> Iterator[LogLine]:
    """Yield the lines that a module may log. Raises NotConstant."""
    module = _Module(ast.parse(source))
    for function in module.functions():
        for call in _calls_of(function):
            yield from module.lines_of(call, function)


@frozen(eq=False)
class _Module:
    """The source of one module."""

    tree: ast.Module

    def functions(self) -> Iterator[_Function]:
        """Yield the module itself and each function in it."""
        yield self.tree
        yield from (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef))

    def lines_of(self, call: ast.Call, function: _Function) -> Iterator[LogLine]:
        """Yield the lines of a call in this function; none if it logs nothing."""
        if ast.unparse(call.func) == "logging.makeLogRecord":
            yield self._record(call, function)
        for method in self._methods(call.func, function):
            logger = self._logger(method.value, function)
            if logger:
                yield self._line(call, function, method.attr, logger)

    def _line(self, call: ast.Call, function: _Function, method: str, logger: str) -> LogLine:
        fields = [name for keyword in call.keywords for name in self._names(keyword, function)]
        traceback = method == "exception" or "exc_info" in fields
        shown = tuple(dict.fromkeys(name for name in fields if name != "exc_info"))
        return LogLine(self._message(call.args[0], function), LEVELS[method], logger, shown, traceback)

    def _record(self, call: ast.Call, function: _Function) -> LogLine:
        """Return the line of a record that is made by hand, of a dictionary."""
        document = call.args[0]
        if not isinstance(document, ast.Dict):
            raise NotConstant(ast.unparse(call))
        parts = {ast.literal_eval(key): value for key, value in zip(document.keys, document.values, strict=True) if key}
        fields = tuple(name for name in self._keys(parts["fields"], function) if name != "event")
        level = ast.literal_eval(parts["levelname"]).lower()
        return LogLine(self._message(parts["msg"], function), level, ast.literal_eval(parts["name"]), fields, False)

    def _methods(self, called: ast.expr, function: _Function) -> Iterator[ast.Attribute]:
        """Yield the methods of a logger that a call may call: written out, or under a name given in the function."""
        match called:
            case ast.Attribute(attr=attr) if attr in LEVELS:
                yield called
            case ast.Name(id=name):
                for value in _values_of(name, function):
                    choices = [value.body, value.orelse] if isinstance(value, ast.IfExp) else []
                    yield from (each for each in choices if isinstance(each, ast.Attribute) and each.attr in LEVELS)

    def _logger(self, expression: ast.expr, function: _Function) -> str:
        """Return the name of the logger that an expression is; empty if it is none of the program's."""
        if not isinstance(expression, ast.Name):
            return ""
        for where in (function, *(each for each in self.functions() if expression.id in _names_bound(each))):
            for value in _values_of(expression.id, where):
                if isinstance(value, ast.Call) and ast.unparse(value.func) in {"logs.logger", "logger"}:
                    return str(ast.literal_eval(value.args[0]))
        return ""

    def _message(self, expression: ast.expr, function: _Function) -> str:
        found = _values_of(expression.id, function) if isinstance(expression, ast.Name) else [expression]
        if len(found) == 1 and isinstance(found[0], ast.Constant) and isinstance(found[0].value, str):
            return found[0].value
        raise NotConstant(f"the message {ast.unparse(expression)}")

    def _names(self, keyword: ast.keyword, function: _Function) -> list[str]:
        return [keyword.arg] if keyword.arg else self._keys(keyword.value, function)

    def _keys(self, expression: ast.expr, function: _Function) -> list[str]:
        """Return the keys that a dictionary may have. Raises NotConstant."""
        match expression:
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                each = ([str(ast.literal_eval(key))] if key else self._keys(value, function) for key, value in pairs)
                return [name for names in each for name in names]
            case ast.IfExp(body=body, orelse=orelse):
                return [*self._keys(body, function), *self._keys(orelse, function)]
            case ast.Name(id=name) if found := _values_of(name, function):
                keys_set = _keys_set(name, function)
                return [*(key for value in found for key in self._keys(value, function)), *keys_set]
            case ast.Call(func=ast.Name(id=name)):
                return self._keys_returned(name)
        raise NotConstant(f"the fields {ast.unparse(expression)}")

    def _keys_returned(self, name: str) -> list[str]:
        """Return the keys of the dictionary that a function of this module returns."""
        for function in self.functions():
            if isinstance(function, ast.FunctionDef) and function.name == name:
                returned = (node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value)
                return [key for value in returned for key in self._keys(value, function)]
        raise NotConstant(f"the fields {name}()")


def _calls_of(function: _Function) -> Iterator[ast.Call]:
    """Yield the calls in a function, and not those in the functions within it. Lambdas belong to their function."""
    waiting: list[ast.AST] = [*ast.iter_child_nodes(function)]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call):
            yield node


def _assignments(function: _Function) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield target and value of each assignment directly in a function or module."""
    for node in ast.walk(function):
        if isinstance(function, ast.Module) and node not in function.body:
            continue
        match node:
            case ast.Assign(targets=[target], value=value):
                yield target, value
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield target, value
            case ast.AugAssign(target=target, op=ast.BitOr(), value=value):
                yield target, value


def _values_of(name: str, function: _Function) -> list[ast.expr]:
    """Return what a name is set to in a function."""
    return [value for target, value in _assignments(function) if isinstance(target, ast.Name) and target.id == name]


def _names_bound(function: _Function) -> set[str]:
    return {target.id for target, _ in _assignments(function) if isinstance(target, ast.Name)}


def _keys_set(name: str, function: _Function) -> list[str]:
    """Return the keys that are set in the dictionary under a name: ``name["key"] = …``."""
    keys = []
    for target, _ in _assignments(function):
        match target:
            case ast.Subscript(value=ast.Name(id=found), slice=ast.Constant(value=str(key))) if found == name:
                keys.append(key)
    return keys
