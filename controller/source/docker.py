"""The containers of this host, as the Docker engine shows them.

``GET /containers/json`` shows neither environment nor exposed ports. So each container that is new in this list, or
that looks changed there, is inspected once. The answer is kept for as long as the list shows the container unchanged.

Events name containers that may have changed; see events.py. While they arrive as they happen, most reads do without a
list: each container that an event names is inspected at once (hinted.py), and takes its place in what the last list
showed. Events also tell of the signals by which containers drain (sent_signals.py). Where events may have been missed,
the engine's history tells of these signals.

The pass itself asks for the lists, and for the host's name if it cannot go on without it. Everything else is asked in
the background; see questions.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from math import inf
from typing import Any

from attrs import define, evolve, frozen

from controller.effects.background import Background
from controller.effects.clock import Clock, Deadline
from controller.errors import EngineUnavailable
from controller.source.engine_client import EngineClient
from controller.source.engine_connection import TIMEOUT
from controller.source.engine_errors import ENGINE_ERRORS, NO_ANSWER, EngineError, ErrorAnswer, NotFound, problem_of
from controller.source.events import NO_HINTS, Hints
from controller.source.hinted import HintedContainers, State
from controller.source.networks import Networks
from controller.source.questions import Answer, Inquiry, Questions, Silence
from controller.source.sent_signals import SentSignals
from model.address import networks_in_question
from model.container import SERVING, STOPPING, UP, Container, from_inspect
from model.draining import DEFAULT_STOP_RULE, NO_DRAINING, Draining, StopRule
from model.engine_kind import PODMAN, id_lasts, kind_in_info
from model.engine_network import Network
from model.hint import Hint, hint_in
from model.hint_pace import Notice
from model.listing import (
    agrees_with_list,
    is_up,
    joiners_to_inspect,
    listed_ref,
    may_have_started,
    shown_in_list,
    shows_health,
)
from model.snapshot import EngineIdentity, Presence, Snapshot, UnknownContainer

#: Seconds that a pass waits for an inspect or for ``info``. If the answer comes later, the next pass uses it.
PATIENCE = 0.5

#: Seconds between two requests for the engine's name and id. They are also asked for after each reconnect.
IDENTITY_INTERVAL = 60.0

#: Seconds between two lists while all events arrive. Without events, each pass asks for the list.
LIST_INTERVAL = 5.0

#: The largest share of the time that lists may take while all events arrive.
LIST_SHARE = 0.02

#: Seconds back to which signals to containers are looked up when events may have been missed.
RECALL = 3600.0

#: The filters by which the engine is asked for its history of starts and signals.
_SIGNAL_FILTERS = {"type": ["container"], "event": ["start", "kill"]}

#: What a container's id or name looks like. The engine takes no other name.
_ID_OR_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


@define
class _CachedInspect:
    """The container that an inspect returned, and what the list showed of it at that time."""

    shown: Mapping[str, Any]
    container: Container
    #: The status text of the latest list, and when that list was asked for, in seconds of the monotonic clock.
    status: str
    listed_at: float


@frozen
class Hinting:
    """How the engine learns of changes before it is asked."""

    hints: Hints = NO_HINTS
    #: Called in the background when an inspect that a hint called for has ended.
    wake: Callable[[], None] = lambda: None
    #: Called with the number of hinted containers that turned out to be unchanged.
    on_unchanged: Callable[[int], None] = lambda number: None
    #: Which signals to a container make it drain.
    stop_rule: StopRule = DEFAULT_STOP_RULE


#: The engine's identity before it has told it.
NO_IDENTITY = EngineIdentity("")

#: Changes are seen only when the engine is asked, and signals not at all.
NO_HINTING = Hinting(stop_rule=NO_DRAINING)


@frozen
class Asking:
    """How the engine is asked in the background, beside the pass."""

    #: Runs the workers that ask.
    background: Background
    clock: Clock
    #: Seconds that a pass waits for an inspect.
    patience: float = PATIENCE
    #: Whether only the engine can tell the owner name, so that a pass cannot go on without its answer.
    name_needed: bool = True
    #: Whether a port that the engine does not map depends on what the container's networks are.
    networks_needed: bool = True
    #: Whether the health of a container decides about its entries.
    health_needed: bool = True
    #: How the engine learns of changes before it is asked. By default it does not.
    hinting: Hinting = NO_HINTING
    #: The tags of every entry, as some may have templates that ask for what the engine tells of a container.
    tags: Sequence[str] = ()


class Engine:
    """The Docker engine of this host."""

    def __init__(
        self,
        dial: Callable[[], EngineClient],
        asking: Asking,
        *,
        stopped_too: bool,
        on_error: Callable[[], None] = lambda: None,
        where: Callable[[], str] = lambda: "",
        filters: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Nothing is connected yet.

        ``dial`` connects to the engine. ``stopped_too`` says whether ``read`` also returns stopped containers.
        ``on_error`` is called for each request without a usable answer. ``where`` returns the engine's URL, for
        messages. ``filters`` are names and values as for ``docker ps --filter``.
        """
        self._dial = dial
        self._where = where
        self._stopped_too = stopped_too
        self._on_error = on_error
        self._filters = _for_api(filters)
        self._stop_rule = asking.hinting.stop_rule
        self._name_needed = asking.name_needed
        self._networks_needed = asking.networks_needed
        self._tags = asking.tags
        self._health_needed = asking.health_needed
        self._clock = clock = asking.clock
        self._client: EngineClient | None = None
        #: What the last list showed, brought up to date for what hints named since.
        self._found: dict[str, Container | UnknownContainer] = {}
        #: What the last read returned; None before the first read, and after an error.
        self._snapshot: Snapshot | None = None
        self._selected: frozenset[str] | None = None
        self._signals = SentSignals(self._stop_rule)
        #: Whether signals may have been sent of which no hint told.
        self._recall_due = self._stop_rule.on
        #: The ids of the containers whose state was told by a hint since the last list, and of those of which a hint
        #: told in the time before it that they ended. The values say whether they are there.
        self._confirmed: dict[str, bool] = {}
        #: The ids of the containers whose end was confirmed when the last list was read.
        self._gone: set[str] = set()
        #: The ids of the networks that decide about a port and of which the engine has not said what they are.
        self._open_networks: set[str] = set()
        #: Each container of the last snapshot, and the ids of the networks that decide about its ports, by its id.
        self._in_question: dict[str, tuple[Container, frozenset[str]]] = {}
        #: When it was first noticed that what was found differs from the snapshot; None if it does not.
        self._changed_at: float | None = None
        #: When the next list is due while all events arrive, in seconds of the monotonic clock.
        self._list_due = clock.monotonic()
        self._hinted = HintedContainers(
            asking.hinting.hints,
            Questions(dial, asking.background, clock, asking.patience, on_error, asking.hinting.wake),
            self._inquiry_of,
            clock,
            self._signals,
            ends_at_once=not stopped_too,
        )
        self._on_unchanged = asking.hinting.on_unchanged
        self._inspected: dict[str, _CachedInspect] = {}
        #: The ids of the containers whose networks others join, as far as these were inspected before.
        self._joined: frozenset[str] = frozenset()
        #: When the latest list was asked for, in seconds of the monotonic clock.
        self._listed_at = clock.monotonic()
        self._inspects = Questions[EngineClient, Container | None](
            dial, asking.background, clock, asking.patience, on_error
        )
        self._presences = Questions[EngineClient, Presence](dial, asking.background, clock, asking.patience, on_error)
        self._networks = Networks[EngineClient](
            _ask_network, Questions(dial, asking.background, clock, asking.patience, on_error), clock
        )
        self._recalls = Questions[EngineClient, list[Hint]](
            dial, asking.background, clock, min(asking.patience, PATIENCE)
        )
        self._identity = NO_IDENTITY
        self._identity_due = clock.monotonic()
        self._identities = Questions[EngineClient, EngineIdentity](dial, asking.background, clock, PATIENCE, on_error)

    def _inquiry_of(self, container_id: str) -> Inquiry[EngineClient, Container | None]:
        """Return the inquiry by which to inspect a container that a hint names."""
        return Inquiry(partial(_inspect, container_id, self._tags))

    def _inquiry(self, line: Mapping[str, Any], shown: object) -> Inquiry[EngineClient, Container | None]:
        """Return the inquiry by which to inspect the container in a line of the list. ``shown`` is what the line
        shows."""
        return Inquiry(partial(_inspect, line["Id"], self._tags), partial(_still_agrees, line), shown)

    def note_identity(self, identity: EngineIdentity) -> None:
        """Note what the engine has just told of itself. Do nothing if it did not answer."""
        if identity.name:
            self._identity, self._identity_due = identity, self._clock.monotonic() + IDENTITY_INTERVAL

    def identity(self) -> EngineIdentity:
        """Return the engine's name for its host, and its id. Raises EngineUnavailable.

        The engine is asked after each connect and once a minute. If it does not answer, the last answer counts, or an
        empty identity if there was none. But if the name is needed and not known, that is an error. The name stays the
        first one that the engine gave: under a new name, nobody would remove what is registered under the first one.
        """
        if self._name_needed and not self._identity.name:
            self._identity = self._ask(
                _ask_identity, "; it has to tell this host's name, or else give one with --hostname"
            )
            self._identity_due = self._clock.monotonic() + IDENTITY_INTERVAL
        elif self._clock.monotonic() >= self._identity_due:
            self._look_at_identity()
        return self._identity

    def _look_at_identity(self) -> None:
        """Ask the engine for its name and id in the background, and note its answer."""
        inquiries = {"info": Inquiry[EngineClient, EngineIdentity](_ask_identity)}
        reply = self._identities.ask(inquiries, Deadline.after(2 * PATIENCE, self._clock))["info"]
        if isinstance(reply, Answer):
            self._identity = self._identity.followed_by(reply.value)
        if isinstance(reply, Answer) or reply.error:
            self._identity_due = self._clock.monotonic() + IDENTITY_INTERVAL

    def notice(self) -> Notice:
        """Take in what hints have told, without waiting. Return whether anything differs from the last read now."""
        self._take_in(crash_loops_too=False)
        look_at = min(self._signals.look_at, inf if self._hinted.look_at is None else self._hinted.look_at)
        return Notice(self._changed_at, None if look_at == inf else look_at)

    def read(self, deadline: Deadline, *, hurried: bool = False, full: bool = False) -> Snapshot:
        """Return this host's containers, the same object as before if nothing changed. Raises EngineUnavailable.

        A hurried read takes the last list, brought up to date for what ``notice`` has taken in since. While all events
        arrive as they happen, the other reads do so, too, unless the list is due. A ``full`` read always asks for the
        list. With filters, a hurried read asks for it, too, because nothing else tells what they select.

        A container that cannot be read while others can is among the ``unknown`` ones.
        """
        if not hurried:
            self._take_in(crash_loops_too=True)
        if full or self._snapshot is None or (bool(self._filters) if hurried else self._list_is_due()):
            self._list(deadline)
            self._recall_signals(deadline)
            self._look_at_signals()
        elif self._changed_at is None and not self._open_networks:
            return self._snapshot
        self._snapshot = self._composed(deadline)
        self._changed_at = None
        return self._snapshot

    def _take_in(self, *, crash_loops_too: bool) -> None:
        """Bring what was found up to date for what hints have told."""
        states = self._hinted.take_in(self._found, crash_loops_too=crash_loops_too)
        changed = [container_id for container_id, state in states.items() if self._put(container_id, state)]
        if len(changed) < len(states):
            self._on_unchanged(len(states) - len(changed))
        if (self._look_at_signals() or changed) and self._changed_at is None:
            self._changed_at = self._clock.monotonic()

    def _look_at_signals(self) -> bool:
        """Find out which containers drain because of signals. Return whether that has changed."""
        return self._signals.look(self._found, self._clock.monotonic())

    def _recall_signals(self, deadline: Deadline) -> None:
        """Note the signals that were sent while no hint told of them, if the engine tells its history. If it does not
        answer in time, a later call notes its answer. A refusal costs the lead alone."""
        if not self._recall_due:
            return
        now = self._clock.wall()
        inquiries = {"signals": Inquiry[EngineClient, list[Hint]](partial(_ask_signals, now))}
        reply = self._recalls.ask(inquiries, deadline)["signals"]
        if isinstance(reply, Answer):
            self._signals.recall(reply.value, self._clock.monotonic(), now)
        self._recall_due = isinstance(reply, Silence) and reply.error is None

    def _put(self, container_id: str, told: State) -> bool:
        """Put what was told of a container into what was found. Return whether that changed it."""
        before = self._found.get(container_id)
        state = told if isinstance(told, UnknownContainer) or (told and self._counts(told)) else None
        if not isinstance(state, UnknownContainer):
            self._confirmed[container_id] = state is not None
        if state == before:
            return False
        if state is None:
            del self._found[container_id]
        else:
            self._found[container_id] = state
        return True

    def _counts(self, container: Container) -> bool:
        """Return whether a list would show the container."""
        return self._stopped_too or container.status in UP

    def _list_is_due(self) -> bool:
        """Return whether an ordinary read has to ask for the list: events may have been missed, a container could not
        be read, or the last list is old."""
        gap = self._hinted.take_gap()
        self._recall_due |= gap and self._stop_rule.on
        unread = bool(self._snapshot and self._snapshot.unknown)
        return gap or unread or not self._hinted.flow or self._clock.monotonic() >= self._list_due

    def _list(self, deadline: Deadline) -> None:
        """Ask for the list, and for an inspect of each container that is new or changed there.

        With filters the engine is asked for two lists, first for the filtered one. The full list and the inspects have
        to agree, so nothing comes between them. A container has entries only if both lists have it. So a container that
        starts or ends between the lists has none, in either order of the lists. A container that is only in the second
        list is new, and the next pass selects it. If it took the place of a container with entries, the plan has a
        delete, and before a delete everything is read again.
        """
        if self._client:
            # Each answer may take what is left of the pass at most; the client uses the timeout that it has.
            self._client.timeout = max(1, min(TIMEOUT, round(deadline.left)))
        began = self._clock.monotonic()
        self._selected = self._ask(self._list_selected) if self._filters else None
        self._listed_at = self._clock.monotonic()
        lines = self._ask(self._list_all)
        now = self._clock.monotonic()
        self._list_due = self._listed_at + max(LIST_INTERVAL, (now - began) / LIST_SHARE)
        self._joined = frozenset(each.container.joined for each in self._inspected.values())
        looks = {container_id: self._look(line) for container_id, line in lines.items()}
        kept = {container_id: look for container_id, look in looks.items() if isinstance(look, Container)}
        for each in joiners_to_inspect(kept, looks.keys() - kept.keys()):
            looks[each] = self._inquiry(lines[each], shown_in_list(lines[each]))
        inquiries = {container_id: look for container_id, look in looks.items() if isinstance(look, Inquiry)}
        replies = self._inspects.ask(inquiries, deadline)
        self._inspected = {each: self._inspected[each] for each in lines if each in self._inspected}
        found = {
            container_id: self._described(lines[container_id], replies[container_id])
            if isinstance(look, Inquiry)
            else look
            for container_id, look in looks.items()
        }
        # A list that lacks a container which a hint described says nothing about its end.
        gone = {each for each, is_there in self._confirmed.items() if not (is_there or found.get(each))}
        self._confirmed, self._gone = dict.fromkeys(gone - self._gone, False), gone
        self._hinted.forget(lines, {each for each, known in found.items() if known is None}, self._listed_at)
        ordered = {each: found[each] for each in self._found if each in found} | found
        self._found = {container_id: each for container_id, each in ordered.items() if each}

    def _composed(self, deadline: Deadline) -> Snapshot:
        """Return a snapshot of what was found; the last one if it is the same."""
        found = self._found.values()
        containers = tuple(each for each in found if isinstance(each, Container))
        unknown = tuple(each for each in found if isinstance(each, UnknownContainer))
        networks = self._told_networks(containers, deadline)
        confirmed = frozenset(self._confirmed)
        draining = {**self._being_stopped(containers), **self._signals.draining}
        snapshot = Snapshot(containers, unknown, self._selected, networks, confirmed, draining)
        before = self._snapshot
        if before and not unknown and before.confirmed >= snapshot.confirmed:
            same = evolve(snapshot, confirmed=before.confirmed) == before
            return before if same else snapshot
        return snapshot

    def _being_stopped(self, containers: Iterable[Container]) -> Mapping[str, Draining]:
        """Return the containers that drain because the engine says that it is stopping them, by their ids."""
        stopping = (each for each in containers if each.status == STOPPING)
        return {each.id: why for each in stopping if (why := self._stop_rule.being_stopped(each))}

    def _told_networks(self, containers: Collection[Container], deadline: Deadline) -> Mapping[str, Network | None]:
        """Return what the engine says of the networks that decide about a port of these containers, by id."""
        wanted = self._networks_in_question(containers) if self._networks_needed else frozenset[str]()
        existing = frozenset(each for container in containers for each in container.network_ids.values())
        told = self._networks.told(sorted(wanted), existing, deadline)
        self._open_networks = {each for each in wanted if told.get(each) is None}
        return told

    def _networks_in_question(self, containers: Collection[Container]) -> frozenset[str]:
        """Return the ids of the networks that decide about a port. Only containers that have changed are looked at."""
        before = self._in_question
        self._in_question = {
            each.id: known
            if (known := before.get(each.id)) and known[0] is each
            else (each, networks_in_question([each]))
            for each in containers
        }
        return frozenset[str]().union(*(networks for _, networks in self._in_question.values()))

    def _list_all(self, client: EngineClient) -> dict[str, Mapping[str, Any]]:
        """Return the lines of the list by the ids of their containers. Podman's default list lacks containers that are
        paused or being stopped, so it is asked for all containers."""
        by_default = client.kind != PODMAN or self._stopped_too
        lines = client.containers(all=self._stopped_too or not by_default)
        return {line["Id"]: line for line in lines if by_default or is_up(line)}

    def _list_selected(self, client: EngineClient) -> frozenset[str]:
        """Return the ids of the containers that the filters let through."""
        every_one = self._stopped_too or client.kind == PODMAN
        try:
            return frozenset(line["Id"] for line in client.containers(all=every_one, filters=self._filters))
        except ErrorAnswer as error:
            # Podman answers to a filter that it does not know as if it had failed itself (500).
            if not (error.is_client_error or client.kind == PODMAN):
                raise
            raise EngineError(f"it refuses --filter: {error.explanation}") from error

    def _look(
        self, line: Mapping[str, Any]
    ) -> Container | UnknownContainer | Inquiry[EngineClient, Container | None] | None:
        """Return what is known of the container in a line of the list: the container as it was inspected before, if the
        list shows it unchanged; an unknown container, if the line cannot be understood; None, if a hint ended it and
        its inspect has not answered; otherwise the inquiry by which to inspect it."""
        container_id = line["Id"]
        ended = self._has_ended(container_id)
        if ended and self._hinted.is_asked(container_id):
            return None
        try:
            shown = shown_in_list(line)
            self._adopt_hinted(line, shown)
        except ENGINE_ERRORS as error:
            return self._unknown(line, error)
        before = self._inspected.get(container_id)
        if before and before.shown == shown and not ended and self._still_holds(before, line):
            before.status, before.listed_at = line.get("Status") or "", self._listed_at
            return before.container
        return self._inquiry(line, shown)

    def _has_ended(self, container_id: str) -> bool:
        """Return whether a hint ended the container, and no inspect has answered since. What the list shows does not
        matter, because it shows a container for a while after its end."""
        return self._hinted.ends(container_id, self._found.get(container_id))

    def _adopt_hinted(self, line: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        """Keep the answer of an inspect that a hint called for, if the list agrees with it."""
        described = self._hinted.described(line["Id"])
        if described and agrees_with_list(described[0], line):
            self._inspected[line["Id"]] = _CachedInspect(shown, described[0], "", described[1])

    def _still_holds(self, before: _CachedInspect, line: Mapping[str, Any]) -> bool:
        """Return whether nothing that decides about entries may have changed that a line of the list does not show."""
        health_shown = not self._health_needed or shows_health(before.container, line)
        return health_shown and not self._may_have_started(before, line)

    def _may_have_started(self, before: _CachedInspect, line: Mapping[str, Any]) -> bool:
        """Return whether the container in a line of the list may have been started since an earlier list, and another
        one joins its network, or it drains. When any other container was started does not matter."""
        seconds = self._clock.monotonic() - before.listed_at
        matters = before.container.id in self._joined or before.container.id in self._signals.draining
        return matters and may_have_started(before.status, line.get("Status") or "", seconds)

    def _described(
        self, line: Mapping[str, Any], reply: Answer[Container | None] | Silence
    ) -> Container | UnknownContainer | None:
        """Return the container in a line of the list as ``reply``, the answer of its inspect, describes it; None if the
        container is gone by now. An answer that agrees with the line is kept."""
        if isinstance(reply, Silence):
            return None if self._has_ended(line["Id"]) else UnknownContainer(listed_ref(line), _silence_message(reply))
        container = reply.value
        try:
            if container and agrees_with_list(container, line):
                status = line.get("Status") or ""
                self._inspected[container.id] = _CachedInspect(shown_in_list(line), container, status, self._listed_at)
        except ENGINE_ERRORS as error:
            return self._unknown(line, error)
        return container

    def presence(self, containers: Collection[str], deadline: Deadline) -> Mapping[str, Presence]:
        """Return what the engine says of each of these containers, which are given by id or name. A container about
        which it does not answer in time is UNKNOWN; later calls ask again in the background, with a back-off."""
        inquiries = {
            each: Inquiry[EngineClient, Presence](partial(_ask_presence, each))
            for each in containers
            if _ID_OR_NAME.fullmatch(each)
        }
        replies = self._presences.ask(inquiries, deadline)
        told = {each: reply.value if isinstance(reply, Answer) else Presence.UNKNOWN for each, reply in replies.items()}
        return {each: told.get(each, Presence.ABSENT) for each in containers}

    def _unknown(self, line: Mapping[str, Any], error: Exception) -> UnknownContainer:
        """Return the unknown container for a line of the list that cannot be understood."""
        self._on_error()
        return UnknownContainer(listed_ref(line), problem_of(error))

    def _ask(self, request: Callable[[EngineClient], Any], advice: str = "") -> Any:
        """Return what ``request`` returns, over a connection that is opened if there is none. An error closes it.

        Raises EngineUnavailable for every error of the libraries. ``advice`` is added where the engine was reached.
        """
        try:
            self._client = self._client or self._dial()
            return request(self._client)
        except ENGINE_ERRORS as error:
            self._on_error()
            more = advice if self._client else ""
            where = f" ({url})" if (url := self._where()) else ""
            self.close()
            raise EngineUnavailable(f"cannot read the Docker engine: {problem_of(error)}{where}{more}") from error

    def close(self) -> None:
        """Close the connections. The next request opens another one, and another engine may answer it."""
        if self._client:
            self._client.close()
        self._client, self._identity_due = None, self._clock.monotonic()
        self._list_due = -inf
        self._inspects.reset()
        self._presences.reset()
        self._networks.reset()
        self._identities.reset()
        self._recalls.reset()


def _ask_presence(id_or_name: str, client: EngineClient) -> Presence:
    try:
        return _presence_in(client.inspect_container(id_or_name), id_or_name)
    except NotFound:
        return Presence.ABSENT


def _presence_in(document: Any, id_or_name: str) -> Presence:
    """Return what the answer of an inspect says of the container with this id or name. The engine also answers with a
    container whose id only begins with that text, so such an answer means that the container is absent. One that Podman
    is stopping counts as stopped, because Podman's list does not have it any more."""
    if id_or_name not in {document["Id"], (document.get("Name") or "").lstrip("/")}:
        return Presence.ABSENT
    return Presence.RUNNING if document["State"]["Status"] in SERVING - {STOPPING} else Presence.STOPPED


def _ask_signals(now: float, client: EngineClient) -> list[Hint]:
    """Return what the engine remembers of starts and signals. ``now`` is the present time in seconds since 1970-01-01
    UTC. An engine whose clock is behind answers when its clock shows that time, if the connection waits for it."""
    history = client.event_history(now - RECALL, now, _SIGNAL_FILTERS)
    return [hint for hint in map(hint_in, history) if hint]


def _for_api(filters: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the filters as the engine's API takes them: the values by name."""
    names = dict.fromkeys(name for name, _ in filters)
    return {name: [value for other, value in filters if other == name] for name in names}


def _ask_identity(client: EngineClient) -> EngineIdentity:
    """Return what the engine says of itself. An id that it makes up whenever it is asked is none."""
    info = client.info()
    kind = client.kind or kind_in_info(info)
    return EngineIdentity(str(info.get("Name") or ""), str(info.get("ID") or "") if id_lasts(kind) else "", kind=kind)


#: The status codes of a client error that say nothing about the question itself. The same question may get an answer.
_TRY_AGAIN = frozenset({408, 425, 429})


def _ask_network(network_id: str, client: EngineClient) -> Network | None:
    """Return what the network with this id is. Return None if the engine, or a proxy before it, refuses to say.

    Raises ValueError for an answer that does not name the driver, which is none of the engine's.
    """
    try:
        document = client.inspect_network(network_id)
    except ErrorAnswer as error:
        refused = error.is_client_error or error.status == HTTPStatus.NOT_IMPLEMENTED
        if refused and error.status not in _TRY_AGAIN:
            return None
        raise
    driver = document["Driver"]
    if not (driver and isinstance(driver, str)):
        raise ValueError(f"network {network_id} has the driver {driver!r}")
    return Network(driver, bool(document.get("Internal")))


def _inspect(container_id: str, tags: Sequence[str], client: EngineClient) -> Container | None:
    """Return a container, or None if there is none with this id. ``tags`` are those of every entry."""
    try:
        return from_inspect(client.inspect_container(container_id), tags)
    except NotFound:
        return None


def _still_agrees(line: Mapping[str, Any], container: Container | None) -> bool:
    """Return whether the answer to an earlier inspect agrees with a line of the list. It does not if the line cannot be
    understood."""
    try:
        return container is not None and agrees_with_list(container, line)
    except ENGINE_ERRORS:
        return False


def _silence_message(silence: Silence) -> str:
    """Return why a container is unknown, for the operator."""
    message = problem_of(silence.error) if silence.error else NO_ANSWER
    return f"its inspect has not answered for {silence.seconds:.1f} s" if message == NO_ANSWER else message
