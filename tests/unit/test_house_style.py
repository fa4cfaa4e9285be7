"""What keeps the rooms small and the tests readable."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = sorted([*ROOT.glob("model/*.py"), *ROOT.glob("controller/*.py")])
TESTS = sorted(ROOT.glob("tests/*/test_*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(file: Path) -> list[Function]:
    """Every function of a file."""
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Function)]


@pytest.mark.parametrize("file", PROGRAM, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_rooms_are_small(file: Path) -> None:
    """No function is longer than 40 lines, no file than 300."""
    long = {each.name: (each.end_lineno or 0) - each.lineno + 1 for each in functions(file)}
    assert {name: lines for name, lines in long.items() if lines > 40} == {}
    assert len(file.read_text().splitlines()) <= 300


def test_most_functions_are_short() -> None:
    """Nine in ten have fewer than 25 lines."""
    lengths = [(each.end_lineno or 0) - each.lineno + 1 for file in PROGRAM for each in functions(file)]
    assert sum(length < 25 for length in lengths) >= 0.9 * len(lengths)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_tests_say_what_they_show(file: Path) -> None:
    """Every test has a docstring."""
    silent = [each.name for each in functions(file) if each.name.startswith("test_") and not ast.get_docstring(each)]
    assert silent == []
