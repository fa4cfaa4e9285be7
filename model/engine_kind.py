"""The kinds of engines. They share one API, and differ in what they show and in what lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Docker's engine. Its id lasts, and by default its list shows all containers that are up.
DOCKER = "docker"

#: Podman's service. It makes up an id whenever it is asked, and by default its list leaves paused containers out.
PODMAN = "podman"

#: An engine that does not tell what it is, or a note that does not.
UNKNOWN_KIND = ""

#: The names that the engines give themselves among the components in ``GET /version``.
_COMPONENTS = {"Podman Engine": PODMAN, "Engine": DOCKER}


def kind_in_version(document: Mapping[str, Any]) -> str:
    """Return the kind of the engine whose answer to ``GET /version`` this is."""
    components = document.get("Components")
    named = [each.get("Name") for each in components if isinstance(each, dict)] if isinstance(components, list) else []
    return next((kind for name, kind in _COMPONENTS.items() if name in named), UNKNOWN_KIND)


def kind_in_headers(headers: Mapping[str, str]) -> str:
    """Return the kind of the engine whose answer has these headers, whose names are in small letters."""
    if "libpod-api-version" in headers:
        return PODMAN
    return DOCKER if headers.get("server", "").startswith("Docker/") else UNKNOWN_KIND


def kind_in_info(document: Mapping[str, Any]) -> str:
    """Return the kind of the engine whose answer to ``GET /info`` this is. Docker's says nothing of it."""
    return PODMAN if "BuildahVersion" in document else UNKNOWN_KIND


def id_lasts(kind: str) -> bool:
    """Return whether two answers of an engine of this kind have the same id."""
    return kind != PODMAN


def are_apart(one: str, other: str) -> bool:
    """Return whether these are the kinds of two engines. An unknown kind may be any."""
    return UNKNOWN_KIND not in {one, other} and one != other
