"""A hint: an event of the engine's that names a container which may have changed.

A hint makes a pass come sooner and never decides what the pass does, with two exceptions: the end of a container counts
until the engine says that it runs, because the engine's list still shows a container for a while after its end; and a
signal that stops a container makes it drain, see draining.py, because nothing else shows that the engine has sent it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from attrs import field, frozen

from model.container import Container
from model.described import DescribedEnum
from model.frozen import frozen_dict
from model.stop_signal import signal_number


class HintKind(Enum):
    """What happened to the container, as far as that makes a difference. The values are the engine's words."""

    START = "start"
    DIE = "die"
    #: Somebody sent it a signal that ends a process, so that its end is expected and no crash.
    KILL = "kill"
    #: Anything else by which its entries may change.
    OTHER = ""


class HintOutcome(DescribedEnum):
    """What came of the engine's events."""

    HURRIED_PASS = "hurried-pass", "A container changed, and a pass was made at once."
    NO_CHANGE = "no-change", "The container turned out to be unchanged."
    REOPENED = "reopened", "The event stream ended, or was silent for a minute, and was opened again."


#: The events of a container that are hints. ``health_status`` stands for ``health_status: healthy`` and its like. What
#: is ``destroy`` for Docker is ``remove`` for Podman.
_CONTAINER_EVENTS = ("start", "die", "kill", "pause", "unpause", "rename", "health_status", "destroy", "remove")

#: The events of a network that are hints for the container that they name.
_NETWORK_EVENTS = ("connect", "disconnect")

#: The signals that end a process: INT, QUIT, ABRT, KILL and TERM. Others, such as HUP, are often sent to one that goes
#: on.
_ENDING_SIGNALS = frozenset({2, 3, 6, 9, 15})

#: The filters by which the engine is asked for the events that are hints.
FILTERS: Mapping[str, tuple[str, ...]] = frozen_dict(
    {"type": ("container", "network"), "event": (*_CONTAINER_EVENTS, *_NETWORK_EVENTS)}
)

#: What the id of a container looks like. Nothing else is put into the path of a request.
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)

_NANOSECONDS = 1_000_000_000


@frozen
class Hint:
    """An event that names a container."""

    container: str
    kind: HintKind
    #: When it happened, in nanoseconds since 1970-01-01 UTC by the engine's clock.
    nanoseconds: int
    #: The number of the signal that the container was sent; 0 if the event is about none.
    signal: int = 0
    #: Whether it arrived so long after the event that the container may be in another state again. Two hints of one
    #: event are equal, whenever they arrive.
    late: bool = field(default=False, eq=False)

    @property
    def seconds(self) -> float:
        """When it happened, in seconds since 1970-01-01 UTC by the engine's clock."""
        return self.nanoseconds / _NANOSECONDS

    @property
    def moment(self) -> str:
        """When it happened, in the form of ``Container.started``."""
        seconds, fraction = divmod(self.nanoseconds, _NANOSECONDS)
        return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}.{fraction:09}Z"

    def ended(self, container: Container) -> bool:
        """Return whether this hint says that the container, as it was described, has ended since. A hint of the end of
        an earlier run does not."""
        return self.kind is HintKind.DIE and container.started < self.moment


def hint_in(event: Any) -> Hint | None:
    """Return the hint in a document of the engine's event stream; None if it is none, or cannot be understood."""
    try:
        return _hint_in(event)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, OSError):
        return None


def _hint_in(event: Mapping[str, Any]) -> Hint | None:
    actor, action = event["Actor"], event["Action"].partition(":")[0]
    match event["Type"]:
        case "container" if action in _CONTAINER_EVENTS:
            container = actor["ID"]
        case "network" if action in _NETWORK_EVENTS:
            # Podman names the container in the place of the network.
            container = actor["Attributes"].get("container") or actor["ID"]
        case _:
            return None
    signal = signal_number(actor["Attributes"]["signal"]) or 0 if action == "kill" else 0
    hint = Hint(container, _kind_of(action, signal), event["timeNano"] + 0, signal)
    return hint if _ID.fullmatch(container) and hint.moment else None


def _kind_of(action: str, signal: int) -> HintKind:
    match action:
        case "start":
            return HintKind.START
        case "die":
            return HintKind.DIE
        case "kill" if signal in _ENDING_SIGNALS:
            return HintKind.KILL
    return HintKind.OTHER
