"""What became of each entry that this host has, or could have: ``/api/v1/entries``.

Each row is a key of this host, a port that is refused, or a container that has no entries although it is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.observe.api.values import Document, container_document
from model.container import ContainerRef
from model.described import DescribedEnum
from model.desired import ExclusionReason
from model.entry import Entry
from model.evidence import Evidence
from model.keys import by_number
from model.layout import Decoded
from model.plan import Change
from model.refusal import Refusal
from model.report import Outcome, PassReport, Result
from model.stored import Stored


class State(DescribedEnum):
    """How it stands with an entry after a pass."""

    IN_STEP = "in-step", "The key holds what it should."
    PENDING = "pending", "A change of the key is planned and was not made."
    HELD = "held", "The key stays as it is, because nobody can say now whether the entry should be there."
    HELD_BACK = "held-back", "The key is to be deleted, and the guard has put that off."
    REFUSED = "refused", "The port cannot be registered."
    EXCLUDED = "excluded", "The container runs, and is to have no entries."
    DRAINING = "draining", "The container runs, and has no entries because it drains."
    UNREADABLE = (
        "unreadable",
        "The engine does not describe the container or a network of it, so what it has registered is held.",
    )


def entry_documents(report: PassReport) -> list[Document]:
    """Return the rows of a pass: those with a key, sorted by key, and then the others, sorted by container. A pass that
    made no plan has none."""
    if (evidence := report.evidence) is None:
        return []
    outcomes = {each.change.key: each for each in report.outcomes}
    rows = [
        *_wanted(report, evidence, outcomes),
        *_unwanted(report, evidence, outcomes),
        *(_refused(each) for each in evidence.wanted.refusals),
        *(_excluded(each, why, evidence) for each, why in report.excluded.items()),
        *(_row(State.UNREADABLE, each.ref, detail=each.problem) for each in report.unknown),
    ]
    return sorted(rows, key=_place)


def _place(row: Document) -> tuple[object, ...]:
    texts = (row["key"], row["container"]["name"], row["container_port"], row["detail"])
    return row["key"] is None, *(by_number(each or "") for each in texts)


def _row(state: State, container: ContainerRef, **fields: object) -> Document:
    """Return a row. The fields that are not given are null, and the detail is empty."""
    return {
        "state": state.value,
        "container": container_document(container),
        "container_port": None,
        "key": None,
        "value": None,
        "stored": None,
        "service": None,
        "id": None,
        "address": None,
        "port": None,
        "action": None,
        "reason": None,
        "result": None,
        "detail": "",
    } | fields


def _wanted(report: PassReport, evidence: Evidence, outcomes: Mapping[str, Outcome]) -> Iterator[Document]:
    """Yield the rows of the entries that are wanted. Each of them is in order, has a change, or is refused because of
    what the registry holds; the refusals of the plan end with those, in the order of the entries."""
    plan, wanted = report.plan, evidence.wanted
    changes = {each.key: each for each in plan.visible}
    conflicts = iter(plan.refusals[len(wanted.refusals) :])
    for key, entry in wanted.by_key.items():
        stored, value = evidence.actual.stored.get(key), wanted.values[key]
        fields = {**_fields_of(entry), "key": key, "value": value, "stored": stored.value if stored else None}
        if change := changes.get(key):
            yield _after(change, outcomes.get(key), entry.container, fields)
        elif key in plan.settled:
            yield _row(State.IN_STEP, entry.container, **fields)
        else:
            yield _refused(next(conflicts), **fields)


def _fields_of(entry: Entry) -> dict[str, object]:
    return {
        "container_port": str(entry.container_port),
        "service": entry.name,
        "id": entry.id,
        "address": entry.address,
        "port": entry.port,
    }


def _after(change: Change, outcome: Outcome | None, container: ContainerRef, fields: Mapping[str, object]) -> Document:
    """Return the row of a wanted entry whose key the pass was to write."""
    if outcome and outcome.result is Result.APPLIED:
        return _row(State.IN_STEP, container, **{**fields, "stored": change.value})
    return _row(State.PENDING, container, **{**fields, **_fields_of_change(change, outcome)})


def _fields_of_change(change: Change, outcome: Outcome | None) -> dict[str, object]:
    return {
        "action": change.action.value,
        "reason": change.reason.value,
        "result": outcome.result.value if outcome else None,
        "detail": (outcome.detail if outcome else "") or change.detail,
    }


def _unwanted(report: PassReport, evidence: Evidence, outcomes: Mapping[str, Outcome]) -> Iterator[Document]:
    """Yield the rows of this host's keys that no entry wants and that are there after the pass."""
    plan = report.plan
    for stored in plan.held:
        yield _held(stored, evidence)
    for change in plan.held_back:
        fields = {**_fields_of_change(change, None), "detail": report.held_deletes[change.key].presence.about}
        yield _unwanted_row(State.HELD_BACK, change, evidence, fields)
    for change in plan.deletes:
        outcome = outcomes.get(change.key)
        if outcome is None or outcome.result is not Result.APPLIED:
            yield _unwanted_row(State.PENDING, change, evidence, _fields_of_change(change, outcome))


def _held(stored: Stored, evidence: Evidence) -> Document:
    """Return the row of a key that is held: because of its container, or because this host's address is missing."""
    wanted, ownership = evidence.wanted, evidence.ownership
    container_id, name = ownership.container_of(stored.key)
    holders = (each for each in wanted.why_held if each.id == container_id or (name and each.name == name))
    container = next(holders, ContainerRef(container_id, name))
    why = wanted.why_held.get(container)
    fields = {"reason": why.value, "detail": why.about} if why else {"detail": wanted.host_address_problem}
    return _row(State.HELD, container, **_fields_of_stored(stored, evidence), **fields)


def _unwanted_row(state: State, change: Change, evidence: Evidence, fields: Mapping[str, object]) -> Document:
    container = ContainerRef(change.container_id, change.container_name)
    stored = {} if change.before is None else _fields_of_stored(change.before, evidence)
    return _row(state, container, **stored, **fields)


def _fields_of_stored(stored: Stored, evidence: Evidence) -> dict[str, object]:
    """Return what a key and its value tell of their entry. Where they tell nothing, the fields are missing."""
    found = evidence.layout.decode(stored.key, stored.value)
    fields: dict[str, object] = {"key": stored.key, "stored": stored.value}
    if not isinstance(found, Decoded):
        return fields
    return {**fields, "service": found.name, "id": found.id, "address": found.address, "port": found.port}


def _refused(refusal: Refusal, **fields: object) -> Document:
    what = {"container_port": str(refusal.port), "reason": refusal.reason.value, "detail": refusal.detail}
    return _row(State.REFUSED, refusal.container, **{**fields, **what})


def _excluded(container: ContainerRef, why: ExclusionReason, evidence: Evidence) -> Document:
    draining = evidence.wanted.draining.get(container)
    detail = draining.why if draining else why.about
    return _row(State.DRAINING if draining else State.EXCLUDED, container, reason=why.value, detail=detail)
