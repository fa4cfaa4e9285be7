"""docs/reference.md and scripts/reference, which generates it from the code."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.described import DescribedEnum
from scripts.reference import environment, log_lines, log_meanings, service_variables
from scripts.reference.log_lines import LogLine, NotConstant, lines_in
from scripts.reference.markdown import table
from scripts.reference.page import page
from scripts.reference.reasons import WORDS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference.md"

#: The head of a module that logs.
HEAD = 'log = logs.logger("wharfinger.test")\n'

#: Modules whose fields are put together in a dictionary.
FIELD_BY_FIELD = 'def f():\n  fields = {"one": 1}\n  fields["two"] = 2\n  log.info("a", **fields)'
OF_A_FUNCTION = 'def f():\n  fields = {}\n  fields |= g()\n  log.info("a", **fields)\ndef g():\n  return {"one": 1}'


def sources() -> Iterator[Path]:
    """Yield the files of the program."""
    for room in ("model", "controller"):
        yield from (ROOT / room).rglob("*.py")


def test_the_page_is_what_the_code_says() -> None:
    """A change of a flag, a variable, a reason, an exit code or a log message changes the page."""
    right = page()
    difference = difflib.unified_diff(PAGE.read_text().splitlines(), right.splitlines(), "on the page", "right", n=0)
    assert PAGE.read_text() == right, "Run `python -m scripts.reference > docs/reference.md`:\n" + "\n".join(difference)


def test_each_log_message_is_explained() -> None:
    """There is an explanation for every message that the code logs, and for no other."""
    assert {line.message for line in log_lines.log_lines()} == log_meanings.MEANINGS.keys(), (
        "add what is missing to scripts/reference/log_meanings.py, and take out what is gone"
    )


def test_no_logger_is_overlooked() -> None:
    """A line is found for each logger of the program. The libraries' own lines have other loggers."""
    made = {name for file in sources() for name in re.findall(r'\blogger\("([\w.]+)"\)', file.read_text())}
    assert made <= {line.logger for line in log_lines.log_lines()}


def test_each_variable_of_containers_is_explained() -> None:
    """There is an explanation for every key behind ``SERVICE_`` that the code reads, and for no other."""
    assert service_variables.keys_in_code() == service_variables.MEANINGS.keys()


def test_each_environment_variable_is_explained() -> None:
    """This holds for those that belong to no flag. Those of flags have the flag's help."""
    assert environment.found_in_code() == environment.MEANINGS.keys()


def test_each_list_of_words_is_on_the_page() -> None:
    """An enumeration whose members explain themselves is there to be read."""
    trees = (ast.walk(ast.parse(file.read_text())) for file in sources())
    classes = (node for tree in trees for node in tree if isinstance(node, ast.ClassDef))
    in_code = {each.name for each in classes if DescribedEnum.__name__ in map(ast.unparse, each.bases)}
    assert {words.enumeration.__name__ for words in WORDS} == in_code


def test_every_word_and_every_meaning_says_something() -> None:
    """No cell of the last column is empty, and each ends a sentence."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 200
    assert [row for row in rows if not re.search(r"[.)] \|$", row)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('log.info("a")', ("a", "info", (), False)),
        ('log.debug("a " "b", one=1, two=2)', ("a b", "debug", ("one", "two"), False)),
        ('log.exception("a")', ("a", "error", (), True)),
        ('log.error("a", exc_info=error)', ("a", "error", (), True)),
        ('log.info("a", **{"one": 1})', ("a", "info", ("one",), False)),
        ('log.info("a", **({"one": 1} if some else {}))', ("a", "info", ("one",), False)),
        ('def f():\n  message = "a"\n  log.info(message)', ("a", "info", (), False)),
        (FIELD_BY_FIELD, ("a", "info", ("one", "two"), False)),
        (OF_A_FUNCTION, ("a", "info", ("one",), False)),
        ('call(lambda: log.info("a"))', ("a", "info", (), False)),
    ],
)
def test_a_line_is_found(source: str, found: tuple[str, str, tuple[str, ...], bool]) -> None:
    """With its message, its level, its fields, and whether it has a traceback."""
    message, level, fields, traceback = found
    assert [*lines_in(HEAD + source)] == [LogLine(message, level, "wharfinger.test", fields, traceback)]


def test_a_line_whose_level_depends_is_found_once_for_each() -> None:
    """The method may have been given a name before."""
    source = f'{HEAD}def f():\n  say = log.debug if some else log.info\n  say("a")'
    assert [(line.message, line.level) for line in lines_in(source)] == [("a", "debug"), ("a", "info")]


@pytest.mark.parametrize("call", ['log.info(f"a {b}")', "log.info(message)", 'log.info("a", **unknown())'])
def test_a_line_that_does_not_show_what_it_says_is_an_error(call: str) -> None:
    """A message must be a constant, and the fields must be named, or the page would miss them."""
    with pytest.raises(NotConstant):
        list(lines_in(HEAD + call))


@pytest.mark.parametrize("source", ['print("a")', 'self.say("a")', 'other.info("a")'])
def test_what_logs_nothing_is_no_line(source: str) -> None:
    """Methods of that name belong to other things, too."""
    assert [*lines_in(HEAD + source)] == []


def test_a_bar_does_not_end_a_cell() -> None:
    """It is escaped."""
    assert table(("a", "b"), [("x|y", "z")]) == "| a | b |\n| --- | --- |\n| x\\|y | z |"
