"""Which container of this host a text means: a name, an id, or the beginning of an id."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from attrs import frozen

from model.container import Container, ContainerRef

#: The most similar names that are told.
MAX_SIMILAR = 3


@frozen
class EngineLookup:
    """What the engine says of all containers of this host, those that do not run among them, when it is asked for one
    that no pass knows."""

    #: All containers.
    listed: tuple[ContainerRef, ...] = ()
    #: The one that is meant, as the engine describes it; None if there is none.
    found: Container | None = None
    #: Why the engine did not tell, for people; empty if it did.
    problem: str = ""


#: The engine was not asked.
NOT_ASKED = EngineLookup(problem="the engine was not asked")


def meant(text: str, containers: Iterable[ContainerRef]) -> tuple[ContainerRef, ...]:
    """Return the containers that a text means: the one with this name or id, or else all whose ids begin with it,
    sorted by name."""
    known = sorted({*containers}, key=lambda each: (each.name, each.id)) if text else []
    exact = tuple(each for each in known if text in {each.name, each.id})
    return exact[:1] or tuple(each for each in known if each.id.startswith(text))


def similar_names(text: str, containers: Iterable[ContainerRef]) -> tuple[str, ...]:
    """Return the names that may have been meant by a text that is no name, the most similar ones first. A name is
    similar, too, if it has the text in it, as those that compose makes have the name of the service."""
    names = sorted({each.name for each in containers if each.name})
    close = get_close_matches(text, names, n=MAX_SIMILAR)
    holding = [name for name in names if text and text in name]
    return tuple(dict.fromkeys([*close, *holding]))[:MAX_SIMILAR]
