"""docs/architecture.md and scripts/rooms.py, compared with the tree of the program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts.rooms import pairs

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"


def listed_files() -> Iterator[str]:
    """Yield the paths of the files in the page's list of rooms, which shows folders by indentation."""
    lines = PAGE.read_text().partition("```\nmodel/\n")[2].partition("```")[0]
    folders: list[str] = []
    for line in f"model/\n{lines}".splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        del folders[depth:]
        if name.endswith("/"):
            folders.append(name)
        else:
            yield "".join(folders) + name


def test_the_list_of_rooms_has_every_file_of_the_program_and_no_other() -> None:
    """Whoever adds, moves or removes a file changes the list with it."""
    there = {
        str(file.relative_to(ROOT))
        for folder in ("model", "controller")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "__init__.py"
    }
    listed = set(listed_files())
    assert there - listed == set(), "add these files to the list of rooms in docs/architecture.md"
    assert listed - there == set(), "remove these files from the list of rooms in docs/architecture.md"


def test_rooms_import_each_other_one_way() -> None:
    """No room imports another one, directly or over others, that imports it. There are fewer than 40 pairs."""
    imports: dict[str, set[str]] = {}
    for room, imported in pairs():
        imports.setdefault(room, set()).add(imported)
    reached = {room: {*rooms} for room, rooms in imports.items()}
    for _ in imports:
        for rooms in reached.values():
            rooms |= {further for room in rooms for further in imports.get(room, ())}
    assert [room for room, rooms in reached.items() if room in rooms] == []
    assert len(pairs()) < 40
