"""The groups of the flags, in the help and in README."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from controller.config.flags import CONNECTION_FLAGS, FLAGS, SWITCHES, environment_variable
from controller.config.grouped_help import FLAG_GROUPS, FlagGroup
from tests.unit.conftest import Ran

#: A file whose first line can be a token.
TOKEN = Path(__file__).parents[2] / "LICENSE"

README = Path(__file__).parents[2] / "README.md"

ALL = (*FLAGS, *CONNECTION_FLAGS, *SWITCHES)
OF_AGENT = sorted(each.name for each in ALL if each.of_agent)

each_group = pytest.mark.parametrize("group", FLAG_GROUPS, ids=lambda group: group.title)


def sections(text: str) -> dict[str, str]:
    """Return the parts of a help text by their titles. The lines of a part are indented, and its title is not."""
    return dict(re.findall(r"^(\S[^\n]*):\n((?:  [^\n]*\n)+)", text, re.MULTILINE))


def flags_in(section: str) -> list[str]:
    """Return the names of the flags that a part of the help describes, in order."""
    return re.findall(r"^  --?([\w-]+)", section, re.MULTILINE)


def test_every_flag_is_in_one_group() -> None:
    """Neither the right part of the help nor ``wharfinger config`` shows a flag that is in none."""
    grouped = Counter(name for group in FLAG_GROUPS for name in group.names)
    assert grouped == Counter(each.name for each in ALL)


def test_the_first_group_is_that_of_registrator() -> None:
    """It has all flags of registrator, and no others."""
    assert {each.name for each in FLAG_GROUPS[0].flags} == {each.name for each in ALL if not each.new}


@each_group
def test_the_help_of_the_agent_has_the_group(ran: Ran, group: FlagGroup) -> None:
    """It has the flags of the group in their order, each with its environment variable."""
    part = sections(ran("run", "--help")[1])[group.title]
    assert flags_in(part) == list(group.names)
    words = part.replace("\n", " ").split()
    assert [name for name in group.names if not any(environment_variable(name) in word for word in words)] == []


def test_the_help_of_the_agent_ends_in_three_examples_that_are_right(ran: Ran) -> None:
    """Each of them is a command line of the agent, and fits into 80 columns."""
    lines = ran("run", "--help")[1].partition("  Examples:\n")[2].splitlines()
    assert len(lines) == 3
    assert [line for line in lines if len(line) > 80] == []
    for line in lines:
        program, *arguments = line.split()
        assert (program, ran("config", *arguments)[0]) == ("wharfinger", 0)


def test_the_help_of_reconcile_has_only_flags_that_count_there(ran: Ran) -> None:
    """Its own options come first. What is about the agent between its passes is not shown."""
    parts = sections(ran("reconcile", "--help")[1])
    assert list(parts) == ["Options", *(group.title for group in FLAG_GROUPS)]
    assert {"dry-run", "exit-code", "force", "wide"} <= {*flags_in(parts["Options"])}
    shown = [name for group in FLAG_GROUPS for name in flags_in(parts[group.title])]
    assert sorted({each.name for each in ALL} - {*shown}) == OF_AGENT
    assert {"interval", "listen", "resync"} <= {*OF_AGENT}


@pytest.mark.parametrize("name", OF_AGENT)
def test_reconcile_accepts_the_flags_of_the_agent_that_it_does_not_show(ran: Ran, name: str) -> None:
    """The command can be given the flags of the agent as they are: the only problem is the missing registry."""
    switch = name in {each.name for each in SWITCHES}
    values = {"listen": "127.0.0.1:9119", "heartbeat": "60", "web-token-file": str(TOKEN)}
    given = f"--{name}" if switch else f"--{name}={values.get(name, '1')}"
    code, _, err = ran("reconcile", given)
    assert (code, err.count("wharfinger: "), "at least one registry URI is needed" in err) == (1, 1, True)


@each_group
def test_readme_has_a_table_for_each_group(group: FlagGroup) -> None:
    """Each flag is in the table of its group, and no table has a flag that does not exist."""
    section = re.split(r"^#+ ", README.read_text().partition(f"\n### {group.title}\n")[2], flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE)
    assert sorted(re.findall(r"(?<![\w-])--?([a-z][\w-]+)", " ".join(cells), re.IGNORECASE)) == sorted(group.names)
