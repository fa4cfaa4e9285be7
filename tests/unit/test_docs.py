"""The documents name tests, files and headings that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/*.md")])

#: `test_file.py::test_name` in the text, where `…` stands for the file that was named last; or `test_file.py` alone.
TEST = re.compile(r"(?P<file>\btest_\w+\.py|…)(?:::(?P<name>\w+))?")

#: A link to a file or heading in this repository: one without a scheme.
LINK = re.compile(r"\[[^]]*\]\((?!\w+:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")

#: What is said of entries when their agent stops, or cannot read the engine or etcd.
STAYING = re.compile(r"\b(leaves (the|its) entries|stay as they (were|are)|The entries stay)\b")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)


def without_code(text: str) -> str:
    """Return a document's text without its blocks of code, where nothing is a link or a heading."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def existing_tests() -> dict[str, set[str]]:
    """Return the names of all tests, by the name of their file."""
    found: dict[str, set[str]] = {}
    for file in ROOT.glob("tests/*/test_*.py"):
        names = {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}
        found.setdefault(file.name, set()).update(name for name in names if name.startswith("test_"))
    return found


def missing_tests(text: str) -> list[str]:
    """Return the tests that a text names and that do not exist, as `file::name`, or `file` if there is no such file."""
    missing, file = [], ""
    for found in TEST.finditer(text):
        file = file if found["file"] == "…" and found["name"] else found["file"]
        names = existing_tests().get(file)
        if names is None and file != "…":
            missing.append(file)
        elif names is not None and found["name"] and found["name"] not in names:
            missing.append(f"{file}::{found['name']}")
    return missing


def anchors(text: str) -> Iterator[str]:
    """Yield the anchor of each heading, as GitHub makes them: a heading that is there before gets a number."""
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#+ +(.+?) *$", without_code(text), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
        seen[anchor] += 1


def broken_links(document: Path, text: str) -> list[str]:
    """Return the links in a document's text whose file or heading does not exist."""
    broken = []
    for link in LINK.finditer(without_code(text)):
        target = document.parent / link["path"] if link["path"] else document
        lost = not target.exists() or (link["anchor"] and link["anchor"] not in anchors(target.read_text()))
        broken += [link[0]] if lost else []
    return broken


@each_document
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    """A table that says which test shows a behaviour names no test that is gone."""
    assert missing_tests(document.read_text()) == []


@each_document
def test_every_link_leads_to_a_file_and_heading_that_exist(document: Path) -> None:
    """A relative link leads to a file of this repository, and its anchor to a heading there."""
    assert broken_links(document, document.read_text()) == []


def test_the_reliability_page_names_a_test_for_each_failure() -> None:
    """The check above looks at something: each row of the table names a test, or the same as the row before."""
    section = (ROOT / "docs/reliability.md").read_text().partition("## Failure by failure")[2].partition("\n## ")[0]
    cells = [line.rsplit("|", 2)[1] for line in section.splitlines() if line.startswith("|")][2:]
    assert len(cells) > 20
    assert [cell for cell in cells if not TEST.search(cell) and cell.strip() != "the same"] == []


@pytest.mark.parametrize(
    "file",
    [*DOCUMENTS, ROOT / "Dockerfile", *sorted(ROOT.glob("manifests/prometheus/*.yml"))],
    ids=lambda file: file.name,
)
def test_where_entries_are_said_to_stay_their_lifetime_is_named(file: Path) -> None:
    """With ``-ttl``, entries do not stay when their agent stops, or cannot read the engine or etcd."""
    parts = re.split(r"\n#?\s*\n|\n(?=[-|] )", without_code(file.read_text()))
    said = [part for part in parts if STAYING.search(" ".join(part.split()))]
    # An entry that is held is renewed as long as the agent runs.
    assert [part for part in said if "-ttl" not in part and "held" not in part.lower()] == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`test_docs.py::test_every_test_that_a_document_names_exists`", []),
        ("`test_docs.py::test_that_is_gone`", ["test_docs.py::test_that_is_gone"]),
        ("`test_docs.py`, `…::test_that_is_gone`", ["test_docs.py::test_that_is_gone"]),
        ("`tests/unit/test_gone.py` and more … of it", ["test_gone.py"]),
        ("`tests/unit/test_docs.py`", []),
    ],
)
def test_a_test_that_does_not_exist_is_found(text: str, missing: list[str]) -> None:
    """The name may be written in full, after `…`, or be that of a file alone."""
    assert missing_tests(text) == missing


@pytest.mark.parametrize(
    ("link", "exists"),
    [
        ("[a](README.md)", True),
        ("[a](docs/deploy.md#docker)", True),
        ("[a](#try-it)", True),
        ("[a](https://gone.test/#nowhere)", True),
        ("```\n[a](gone.md)\n```", True),
        ("[a](gone.md)", False),
        ("[a](docs/deploy.md#gone)", False),
        ("[a](#gone)", False),
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str, exists: bool) -> None:
    """Links out of this repository and links in code are not checked."""
    assert (broken_links(ROOT / "README.md", link) == []) is exists


def test_anchors_are_those_that_github_makes() -> None:
    """Lower case, without punctuation, with hyphens for spaces, and numbered where a heading comes again."""
    headings = "# From etcd's v2 API to v3\n## `--ttl`: a [link](x.md)\n### Limits\n## Limits\n```\n# no heading\n```\n"
    assert list(anchors(headings)) == ["from-etcds-v2-api-to-v3", "--ttl-a-link", "limits", "limits-1"]
