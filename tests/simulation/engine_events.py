"""The events of a simulated Docker engine: what it keeps of them, and the answers to ``GET /events``.

The documents have the fields of an engine 20.10. Of its events, those of containers are told without those of exec, and
those of networks are told as far as they concern a container.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from tests.simulation.messages import Listener
from tests.simulation.scheduler import EPOCH

#: Events that the engine keeps for requests that ask for the past.
KEPT = 256

#: Filters that an engine 20.10 has and that are not simulated.
_OTHER_FILTERS = frozenset({"config", "daemon", "image", "network", "node", "plugin", "scope", "secret", "service"})

#: Actions after which a filter for events compares beginnings.
_WITH_DETAILS = frozenset({"health_status", "exec_create", "exec_start"})

_SECOND = 1_000_000_000


class InvalidTime(ValueError):
    """The engine refuses a time. The message is the engine's."""


@frozen
class Occurrence:
    """An event as the API tells it. It is told at its moment, which may be in the future."""

    #: Nanoseconds of virtual time.
    moment: int
    document: Mapping[str, Any]

    @property
    def line(self) -> bytes:
        """Its line in an answer."""
        at = EPOCH * _SECOND + self.moment
        timed = {**self.document, "scope": "local", "time": at // _SECOND, "timeNano": at}
        return json.dumps(timed, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def of_container(
        cls, moment: int, action: str, container_id: str, image: str, attributes: Mapping[str, str]
    ) -> Occurrence:
        """Return an event of a container. ``attributes`` are its labels, its name, and what belongs to the action."""
        actor = {"ID": container_id, "Attributes": dict(sorted({**attributes, "image": image}.items()))}
        beginning = {"status": action, "id": container_id, "from": image}
        return cls(moment, {**beginning, "Type": "container", "Action": action, "Actor": actor})

    @classmethod
    def of_network(cls, moment: int, action: str, network: tuple[str, str, str], container_id: str) -> Occurrence:
        """Return an event of a network that a container joined or left. ``network`` is its id, name and driver."""
        network_id, name, driver = network
        actor = {"ID": network_id, "Attributes": {"container": container_id, "name": name, "type": driver}}
        return cls(moment, {"Type": "network", "Action": action, "Actor": actor})


@frozen
class EventFilter:
    """The ``filters`` of a request for events. It knows type, event, container and label; the engine ignores names that
    it does not know."""

    #: The values of each filter, by its name.
    values: Mapping[str, Sequence[str]] = field(factory=dict)

    @classmethod
    def parse(cls, text: str) -> EventFilter:
        """Read the parameter ``filters``: JSON, with the values of each name in a list or as the keys of an object.

        Raises ValueError, and NotImplementedError for a filter that a real engine has and this one has not.
        """
        values = {name: list(each) for name, each in json.loads(text).items()} if text else {}
        if others := _OTHER_FILTERS & values.keys():
            raise NotImplementedError(f"the simulated engine has no filter {sorted(others)} of events")
        return cls(values)

    def passes(self, event: Occurrence) -> bool:
        """Return whether an event passes every filter."""
        document = event.document
        attributes = document["Actor"]["Attributes"]
        actions, containers = self.values.get("event", ()), self.values.get("container", ())
        fuzzy = not _WITH_DETAILS.isdisjoint(actions)
        names = (document["Actor"]["ID"], attributes.get("name", "")) if document["Type"] == "container" else ()
        return (
            (not actions or any(_equal(document["Action"], each, fuzzy=fuzzy) for each in actions))
            and document["Type"] in (self.values.get("type") or (document["Type"],))
            and (not containers or any(name.startswith(each) for name in names for each in containers))
            and all(_has_label(attributes, each) for each in self.values.get("label", ()))
        )


def _equal(action: str, asked: str, *, fuzzy: bool) -> bool:
    return action.startswith(asked) if fuzzy else action == asked


def _has_label(attributes: Mapping[str, str], asked: str) -> bool:
    name, equals, value = asked.partition("=")
    return name in attributes and (not equals or attributes[name] == value)


@frozen
class Asked:
    """What a request for events asks for. Times are nanoseconds of virtual time."""

    filter: EventFilter
    #: None: nothing that is past.
    since: int | None
    #: None: without an end.
    until: int | None

    @classmethod
    def parse(cls, params: Mapping[str, str]) -> Asked:
        """Read the parameters of a request. Raises InvalidTime, and what EventFilter.parse raises."""
        since, until = _time(params.get("since", "")), _time(params.get("until", ""))
        if since is not None and until is not None and until < since:
            message = f"`since` time ({params['since']}) cannot be after `until` time ({params['until']})"
            raise InvalidTime(message)
        if since is None and until is not None:
            since = -EPOCH * _SECOND
        return cls(EventFilter.parse(params.get("filters", "")), since, until)


def _time(text: str) -> int | None:
    """Return a time of the API, as ``1767225600.5``, in nanoseconds of virtual time; None for none."""
    if not text:
        return None
    seconds, _, fraction = text.partition(".")
    for part in filter(None, (seconds, fraction)):
        if not part.isdigit():
            raise InvalidTime(f'strconv.ParseInt: parsing "{part}": invalid syntax')
    return (int(seconds) - EPOCH) * _SECOND + int(f"{fraction:0<9}"[:9])


@define(eq=False)
class _Subscription:
    """A request for events that is being answered."""

    filter: EventFilter
    listener: Listener

    def tell(self, event: Occurrence) -> None:
        """Tell the listener about an event that passes the filter."""
        if self.filter.passes(event):
            self.listener.line(event.moment / 1e9, event.line)


class EventLog:
    """The events that an engine keeps, and those who listen."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        #: Sorted by their moments.
        self._kept: list[Occurrence] = []
        self._subscriptions: list[_Subscription] = []

    def add(self, event: Occurrence) -> None:
        """Keep an event, and tell those who listen. Its moment may be in the future."""
        self._kept.insert(bisect_right(self._kept, event.moment, key=_moment), event)
        del self._kept[:-KEPT]
        for each in self._subscriptions:
            each.tell(event)

    def past(self, asked: Asked, now: int) -> bytes:
        """Return the lines of the events that have happened by now and that a request asks for."""
        if asked.since is None:
            return b""
        last = now if asked.until is None else min(asked.until, now)
        return b"".join(
            each.line for each in self._kept if asked.since <= each.moment <= last and asked.filter.passes(each)
        )

    def listen(self, asked: Asked, now: int, listener: Listener) -> Callable[[], None]:
        """Tell a listener about all events from now on, until the returned function is called."""
        subscription = _Subscription(asked.filter, listener)
        for each in self._kept:
            if each.moment > now:
                subscription.tell(each)
        if asked.until is not None:
            listener.end(asked.until / 1e9)
        self._subscriptions.append(subscription)

        def close() -> None:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

        return close

    def end(self, moment: float) -> None:
        """End every answer at a virtual time, in seconds."""
        for each in self._subscriptions:
            each.listener.end(moment)

    def forget(self) -> None:
        """Forget all that happened, as an engine does when it is restarted."""
        self._kept.clear()


def _moment(event: Occurrence) -> int:
    return event.moment
