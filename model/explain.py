"""Explain what a pass decided about one container, and by what. Nothing is decided here: everything is read off the
report of the pass and its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property

from attrs import evolve, frozen

from model.candidates import Candidate, LeftOutReason, left_out_ports
from model.container import Container, ContainerPort, ContainerRef, port_order
from model.container_lookup import NOT_ASKED, EngineLookup, meant, similar_names
from model.desired import ExclusionReason, HoldReason
from model.entry import DefaultId, Entry
from model.evidence import Evidence
from model.explanation import (
    Explanation,
    KeyExplanation,
    KeyState,
    PortExplanation,
    PortState,
    Verdict,
)
from model.keys import by_number, quoted
from model.layout import Unreadable
from model.plan import Action, Reason
from model.refusal import Refusal
from model.report import Outcome, PassReport, Result
from model.stored import Stored

#: The most keys that are told of a container that does not exist. Many hosts may have one of that name.
MAX_KEYS_UNDER_NAME = 20

#: What a change does to its key: as it was done, and as it is to be done.
_VERBS = {
    Action.CREATE: ("created", "create"),
    Action.UPDATE: ("updated", "update"),
    Action.DELETE: ("deleted", "delete"),
    Action.RENEW: ("renewed", "renew"),
}

#: Whose keys are this host's.
_OWN = frozenset({KeyState.OURS, KeyState.ORPHAN})

#: What is told of a key that the pass neither changes nor holds.
_WITHOUT_CHANGE = {
    KeyState.ABSENT: "there is no such key",
    KeyState.OURS: "it is in step",
    KeyState.OTHER_HOST: "it is left alone, because its id names another host",
    KeyState.UNREADABLE: "it is left alone, because nothing shows that it is this host's",
    KeyState.FOREIGN: "it is left alone, because nothing shows that it is this host's",
}

#: The reasons of deletes of keys that no container backs.
_UNBACKED = frozenset({Reason.ORPHAN, Reason.GONE})


def known_containers(evidence: Evidence) -> tuple[ContainerRef, ...]:
    """Return the containers that a pass knew: those that the engine described, and those that it would not describe."""
    snapshot = evidence.snapshot
    return (*(each.ref for each in snapshot.containers), *(each.ref for each in snapshot.unknown))


def needs_engine(report: PassReport, text: str) -> bool:
    """Return whether only the engine can tell which container a text means, because the pass knew none like it. It knew
    only those that ran, and with ``-deregister on-success`` all."""
    return report.evidence is not None and not meant(text, known_containers(report.evidence))


def explain(
    report: PassReport, text: str, lookup: EngineLookup = NOT_ASKED, filters: Sequence[str] = ()
) -> Explanation:
    """Explain what a pass decided about the container that a text means: a name, an id or the beginning of an id.

    ``lookup`` is what the engine says of a container that the pass does not know; see ``needs_engine``. ``filters`` are
    those of ``--filter``, for messages.
    """
    if report.evidence is None:
        problem = f": {report.problem}" if report.problem else ""
        answer = (
            f"Nothing was decided about {quoted(text)}, because the pass made no plan ({report.result.value}{problem})."
        )
        return Explanation(text, Verdict.UNKNOWN, answer, report.owner)
    explainer = _Explainer(report, report.evidence, text, tuple(filters))
    found = meant(text, known_containers(report.evidence))
    if len(found) == 1:
        return explainer.of_known(found[0])
    return explainer.of_several(found) if found else explainer.of_unknown(lookup)


@frozen(slots=False)
class _Explainer:
    """Explains what one pass decided about what was asked for."""

    report: PassReport
    evidence: Evidence
    asked: str
    filters: tuple[str, ...]

    def of_known(self, ref: ContainerRef) -> Explanation:
        """Explain a container that the pass knew."""
        container = next((each for each in self.evidence.snapshot.containers if each.ref == ref), None)
        reason, why = self._of_whole(ref, container)
        ports = tuple(self._ports(container)) if container and container.serving and not reason else ()
        keys = self._keys(ref, [key for port in ports for key, _ in port.entries])
        verdict, answer = self._verdict(ref, container, why, ports, keys)
        return _answered(
            Explanation(self.asked, verdict, answer, self.report.owner, ref, container, reason, ports, keys)
        )

    def _verdict(
        self,
        ref: ContainerRef,
        container: Container | None,
        why: str,
        ports: Sequence[PortExplanation],
        keys: Iterable[KeyExplanation],
    ) -> tuple[Verdict, str]:
        """Return what the explanation of a container comes to, and why, for people. ``why`` is why nothing is decided
        about its ports; empty if they decide."""
        if container and not container.serving:
            return Verdict.NOT_RUNNING, f"{_ending(container)}{f'; {why}' if why else ''}"
        if why:
            return Verdict.HELD if ref in self.evidence.wanted.held else Verdict.NOT_REGISTERED, why
        verdict, why = _verdict_by_ports(ports)
        if verdict is Verdict.NOT_REGISTERED and any(each.key in self._held_keys for each in keys):
            return Verdict.HELD, f"its entries stay as they are, because {why}"
        return verdict, why

    def of_several(self, candidates: tuple[ContainerRef, ...]) -> Explanation:
        """Explain that a text may mean several containers."""
        answer = (
            f"The ids of {len(candidates)} containers begin with {quoted(self.asked)}; give more of the id, or a name."
        )
        return Explanation(self.asked, Verdict.AMBIGUOUS, answer, self.report.owner, candidates=candidates)

    def of_unknown(self, lookup: EngineLookup) -> Explanation:
        """Explain a container that the pass did not know, by what the engine says of it."""
        if lookup.found:
            return self._of_unseen(lookup.found)
        found = meant(self.asked, lookup.listed)
        if len(found) > 1:
            return self.of_several(found)
        keys = self._keys_under_name()
        known = (*known_containers(self.evidence), *lookup.listed)
        explanation = Explanation(
            self.asked,
            Verdict.ABSENT,
            f"This host has no container {quoted(self.asked)}.",
            self.report.owner,
            keys=keys,
            similar=similar_names(self.asked, known),
        )
        if not lookup.problem:
            return explanation
        answer = (
            f"No container that runs is {quoted(self.asked)}, and whether there is one is not known: {lookup.problem}."
        )
        return evolve(explanation, verdict=Verdict.UNKNOWN, answer=answer)

    def _of_unseen(self, container: Container) -> Explanation:
        keys = self._keys(container.ref, ())
        if container.serving:
            verdict, why = Verdict.NOT_SEEN, "it runs, and no pass has seen it yet"
        else:
            verdict, why = Verdict.NOT_RUNNING, _ending(container)
        owner = self.report.owner
        return _answered(Explanation(self.asked, verdict, why, owner, container.ref, container, keys=keys))

    # The container as a whole.

    def _of_whole(self, ref: ContainerRef, container: Container | None) -> tuple[str, str]:
        """Return the reason why nothing is decided about the container's ports, and the same for people; both are empty
        if its ports decide."""
        wanted = self.evidence.wanted
        if exclusion := wanted.excluded.get(ref):
            return exclusion.value, self._why_excluded(exclusion, ref, container)
        if hold := wanted.why_held.get(ref):
            return hold.value, self._why_held(hold, ref)
        return "", ""

    def _why_excluded(self, exclusion: ExclusionReason, ref: ContainerRef, container: Container | None) -> str:
        if exclusion is ExclusionReason.UNHEALTHY:
            health = container.health if container else ""
            return f"its HEALTHCHECK says {quoted(health)}, and --health healthy is given"
        if exclusion is ExclusionReason.FILTERED:
            flags = " ".join(f"--filter {each}" for each in self.filters) or "--filter"
            return f"{flags} does not select it"
        if exclusion is ExclusionReason.ONE_OFF:
            return "docker compose run started it for a single command, and --one-offs is not given"
        draining = self.evidence.wanted.draining[ref]
        return f"it drains, because {draining.why}{f', since {draining.since}' if draining.since else ''}"

    def _why_held(self, hold: HoldReason, ref: ContainerRef) -> str:
        if hold is HoldReason.FAILED:
            return "its entries stay as they are, because it failed and -deregister on-success is given"
        if hold is HoldReason.JOINS_UNREADABLE:
            return (
                "its entries stay as they are, because the engine does not describe a container whose network it uses"
            )
        problem = next(each.problem for each in self.report.unknown if each.ref == ref)
        return f"its entries stay as they are, because the engine does not describe all of it: {problem}"

    # The ports.

    def _ports(self, container: Container) -> Iterator[PortExplanation]:
        """Yield what was decided about each port of a container, sorted."""
        decided = self.evidence.wanted.decisions.by_id[container.id][1].ports
        candidates: dict[ContainerPort, list[Candidate]] = {}
        for each in decided:
            port = each.entry.container_port if isinstance(each, Candidate) else each.port
            candidates.setdefault(port, []).extend([each] if isinstance(each, Candidate) else [])
        left_out = {each.port: each for each in left_out_ports(container, self.evidence.rules)}
        for port in sorted({*candidates, *left_out}, key=port_order):
            if found := left_out.get(port):
                yield PortExplanation(str(port), PortState.LEFT_OUT, found.reason.value, found.detail)
            else:
                yield self._port(container.ref, port, candidates[port])

    def _port(self, ref: ContainerRef, port: ContainerPort, candidates: Iterable[Candidate]) -> PortExplanation:
        entries = tuple((each.key, each.entry) for each in candidates)
        wanted = [key for key, entry in entries if self._is_wanted(key, entry)]
        refusals = [each for each in self.report.plan.refusals if (each.container, each.port) == (ref, port)]
        waiting = next((each for key in wanted if not (each := self._key(key, ref)).in_step), None)
        text = _texts_of(refusals)
        if not wanted:
            return PortExplanation(str(port), PortState.REFUSED, refusals[0].reason.value, text, entries)
        if waiting:
            why = f"the entry is not written yet: {waiting.what}"
            return PortExplanation(str(port), PortState.NOT_YET, waiting.result, why, entries)
        return PortExplanation(str(port), PortState.REGISTERED, why=text or self._warning(entries), entries=entries)

    def _warning(self, entries: Iterable[tuple[str, Entry]]) -> str:
        """Return what is odd about the entries of a port that is registered; an empty text if nothing is."""
        loopback = next((entry for _, entry in entries if entry in self.report.loopback), None)
        return f"it is registered with {loopback.address}, which only this host can dial" if loopback else ""

    def _is_wanted(self, key: str, entry: Entry) -> bool:
        """Return whether this container's entry has the key: the plan has it in order, or changes it."""
        planned = key in self.report.plan.settled or key in self._outcomes
        return planned and self.evidence.wanted.by_key.get(key) == entry

    # The keys.

    def _keys(self, ref: ContainerRef, wanted: Iterable[str]) -> tuple[KeyExplanation, ...]:
        """Return the keys that the container's entries want, and those that this host wrote for it."""
        ownership = self.evidence.ownership
        own = (key for key, each in self.evidence.actual.stored.items() if ownership.owns(each))
        written = (key for key in own if self._is_about(key, {ref.id, ref.name} - {""}))
        return tuple(self._key(key, ref) for key in sorted({*wanted, *written}, key=by_number))

    def _keys_under_name(self) -> tuple[KeyExplanation, ...]:
        """Return the keys that are about a container of the name or id that was asked for, whichever host's."""
        layout, nobody = self.evidence.layout, ContainerRef("", "")
        found = [
            key
            for key in self.evidence.actual.stored
            if self._is_about(key, {self.asked})
            or ((default := DefaultId.parse(layout.id_of(key))) and default.container == self.asked)
        ]
        return tuple(self._key(key, nobody) for key in sorted(found, key=by_number)[:MAX_KEYS_UNDER_NAME])

    def _is_about(self, key: str, names: AbstractSet[str]) -> bool:
        """Return whether this host wrote the key for a container with one of these names or ids, as far as it knows."""
        known = self.evidence.ownership.known.get(key)
        return not names.isdisjoint({*self.evidence.ownership.container_of(key), known.container_name if known else ""})

    def _key(self, key: str, ref: ContainerRef) -> KeyExplanation:
        """Explain a key from the view of a container."""
        wanted, outcome = self.evidence.wanted, self._outcomes.get(key)
        before = self.evidence.actual.stored.get(key)
        after = _after(key, before, outcome)
        entry = wanted.by_key.get(key)
        ours = entry is not None and entry.container == ref
        default = DefaultId.parse(self.evidence.layout.id_of(key))
        state = self._state(after, outcome)
        if entry and not ours:
            what = f"container {entry.container.name!r} of this host has it"
        else:
            what = self._what(key, state, outcome)
        change = outcome.change if outcome else None
        return KeyExplanation(
            key,
            after.value if after else None,
            wanted.values.get(key) if ours else None,
            state,
            default.owner if default else "",
            what,
            change.action.value if change else "",
            change.reason.value if change else "",
            outcome.result.value if outcome else "",
        )

    def _state(self, stored: Stored | None, outcome: Outcome | None) -> KeyState:
        """Return whose a key is that holds this."""
        evidence = self.evidence
        if stored is None:
            return KeyState.ABSENT
        written = outcome is not None and outcome.result is Result.APPLIED
        if written or stored.key in self.report.plan.settled or evidence.ownership.owns(stored):
            return KeyState.ORPHAN if outcome and outcome.change.reason in _UNBACKED else KeyState.OURS
        default = DefaultId.parse(evidence.layout.id_of(stored.key))
        if default and default.owner != evidence.ownership.owner:
            return KeyState.OTHER_HOST
        unreadable = isinstance(evidence.layout.decode(stored.key, stored.value), Unreadable)
        return KeyState.UNREADABLE if unreadable else KeyState.FOREIGN

    def _what(self, key: str, state: KeyState, outcome: Outcome | None) -> str:
        """Return what the pass did with a key or will do."""
        if held_back := self.report.held_deletes.get(key):
            return f"its delete is held back: see --delete-guard (container {held_back.presence.value})"
        if outcome:
            return _fate(outcome)
        if key in self._held_keys:
            return "it is held: it stays as it is"
        return _WITHOUT_CHANGE[state]

    @cached_property
    def _held_keys(self) -> frozenset[str]:
        """The own keys that stay as they are."""
        return frozenset(each.key for each in self.report.plan.held)

    @cached_property
    def _outcomes(self) -> Mapping[str, Outcome]:
        """How each change of a key ended, by key. A delete that is held back counts as one that is to be made."""
        outcomes = {each.change.key: each for each in self.report.outcomes}
        return {each.key: Outcome(each, Result.PENDING) for each in self.report.plan.held_back} | outcomes


#: How the answer begins behind the container's name.
_STARTS = {
    Verdict.REGISTERED: "is registered: ",
    Verdict.IN_PART: "is registered in part: ",
    Verdict.NOT_REGISTERED: "is not registered: ",
    Verdict.HELD: "is held: ",
    Verdict.NOT_RUNNING: "does not run: ",
    Verdict.NOT_SEEN: "is not registered: ",
}


def _answered(explanation: Explanation) -> Explanation:
    """Return an explanation whose answer, which is a reason so far, is a whole sentence about the container."""
    ref, why = explanation.ref or ContainerRef("", ""), explanation.answer
    if explanation.verdict is Verdict.NOT_RUNNING:
        left = sum(each.value is not None and each.state in _OWN for each in explanation.keys)
        why += f"; {_counted(left, 'key')} of it still there" if left else "; no key of it is left"
    return evolve(explanation, answer=f"{ref.name or ref.id[:12]} {_STARTS[explanation.verdict]}{why}.")


def _verdict_by_ports(ports: Sequence[PortExplanation]) -> tuple[Verdict, str]:
    """Return what was decided about a container's ports comes to, and why, for people."""
    decided = [each for each in ports if each.state is not PortState.LEFT_OUT]
    registered = [each for each in decided if each.state is PortState.REGISTERED]
    others = [each for each in decided if each not in registered]
    if registered and not others:
        return Verdict.REGISTERED, f"{_counted(len(registered), 'service port')}"
    if registered:
        why = f"{len(registered)} of its {_counted(len(decided), 'service port')}"
        return Verdict.IN_PART, f"{why}; not {others[0].port}, because {others[0].why}"
    unpublished = LeftOutReason.NOT_PUBLISHED.value
    telling = decided or [each for each in ports if each.reason != unpublished]
    if not telling:
        why = "none of its ports is published" if ports else "it has no port, neither exposed nor published"
        return Verdict.NOT_REGISTERED, why
    whys = {each.why for each in telling}
    several = f"each of its {len(telling)} ports has a reason of its own"
    return Verdict.NOT_REGISTERED, several if len(whys) > 1 else whys.pop()


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _ending(container: Container) -> str:
    """Return why a container does not run, for people."""
    if container.status == "created":
        return "it was never started"
    if container.status == "restarting":
        return f"it ended with exit code {container.exit_code}, and the engine starts it again"
    return f"it is {container.status}, with exit code {container.exit_code}"


def _texts_of(refusals: Iterable[Refusal]) -> str:
    """Return why ports are refused, each reason once."""
    return " and ".join(dict.fromkeys(each.detail for each in refusals))


def _after(key: str, before: Stored | None, outcome: Outcome | None) -> Stored | None:
    """Return what the registry holds at a key after a change that ended so."""
    if outcome is None or outcome.result is not Result.APPLIED or outcome.change.action is Action.RENEW:
        return before
    change = outcome.change
    return None if change.action is Action.DELETE else Stored(key, change.value, outcome.version)


def _fate(outcome: Outcome) -> str:
    """Return what became of a change of a key, for people."""
    change = outcome.change
    done, to_do = _VERBS[change.action]
    why = f"({change.reason.value}{f': {change.detail}' if change.detail else ''})"
    if outcome.result is Result.APPLIED:
        return f"the last pass has {done} it {why}"
    if outcome.result is Result.PENDING:
        return f"a pass would {to_do} it {why}"
    return f"it is to be {done} {why}, and that is tried again: {outcome.result.value}: {outcome.detail}"
