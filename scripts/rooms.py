"""Print each pair of rooms of controller/ of which the first imports the second, and their number.

A room is a package of controller/, or a module that lies directly in it: `python -m scripts.rooms`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

CONTROLLER = Path(__file__).parents[1] / "controller"


def pairs() -> set[tuple[str, str]]:
    """Return the pairs of different rooms of which the first imports the second."""
    found = set()
    for file in CONTROLLER.rglob("*.py"):
        room = file.relative_to(CONTROLLER).with_suffix("").parts[0]
        found |= {(room, imported) for imported in _imported_rooms(file) if imported != room}
    return found


def _imported_rooms(file: Path) -> Iterator[str]:
    """Yield the rooms that a file imports, or imports something of."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.ImportFrom(module="controller"):
                yield from (alias.name for alias in node.names if alias.name != "__version__")
            case ast.ImportFrom(module=str(name)) if name.startswith("controller."):
                yield name.split(".")[1]
            case ast.Import():
                yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("controller."))


def main() -> None:
    """Print them."""
    for room, imported in sorted(pairs()):
        print(f"{room} -> {imported}")
    print(f"{len(pairs())} pairs of rooms")


if __name__ == "__main__":
    main()
