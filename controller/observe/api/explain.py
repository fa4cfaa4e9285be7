"""What was decided about a container: ``/api/v1/explain/CONTAINER``, and what ``wharfinger explain -o json`` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

from controller.observe.api.pages import NOT_YET, OK, Page
from controller.observe.api.values import (
    VERSION,
    Document,
    container_document,
    moment_text,
    pass_document,
    problems_document,
)
from controller.observe.last_reports import EndedPass, LastReports
from model.container_lookup import NOT_ASKED, EngineLookup
from model.entry import Entry
from model.explain import explain, needs_engine
from model.explanation import Explanation, KeyExplanation, PortExplanation
from model.frozen import frozen_dict

#: Where the pages are, each followed by a name, an id or the beginning of an id.
EXPLAIN = "/api/v1/explain/"


@frozen
class ShownPass:
    """The pass over one registry by which a container is explained."""

    label: str
    #: The registry's URI, without secrets.
    uri: str
    #: The last pass that made a plan; if none did, the last one.
    planned: EndedPass
    #: The pass that ended last.
    last: EndedPass


@frozen
class ExplainPage:
    """Answers what the agent decided about a container. Only if no pass knows the container, the engine is asked."""

    #: The registries' URIs without secrets, by label.
    uris: Mapping[str, str] = field(converter=frozen_dict)
    #: What is known of the passes over each registry, by label.
    last_reports: Mapping[str, LastReports]
    #: Asks the engine about a container, for a bounded time.
    look_up: Callable[[str], EngineLookup]
    #: The filters of ``--filter``, as in ``label=a``.
    filters: tuple[str, ...] = ()

    def __call__(self, text: str) -> Page:
        """Return the page about the container that a text means."""
        seen = {label: each.seen for label, each in self.last_reports.items()}
        passes = [
            ShownPass(label, self.uris[label], each.planned or each.last, each.last)
            for label, each in seen.items()
            if each.last
        ]
        if not passes:
            return Page(NOT_YET, problems_document(["no pass has ended yet"]))
        return Page(OK, explanations_document(text, "agent", passes, self.look_up, self.filters))


def explanations_document(
    asked: str,
    decided_by: str,
    passes: Sequence[ShownPass],
    look_up: Callable[[str], EngineLookup],
    filters: Sequence[str],
) -> Document:
    """Return what each of the passes decided about a container. ``decided_by`` is ``agent``, or ``dry-run`` for passes
    that were made for this document alone. ``look_up`` is called only if a pass does not know the container."""
    unknown = any(needs_engine(each.planned.report, asked) for each in passes)
    lookup = look_up(asked) if unknown else NOT_ASKED
    explanations = [explain(each.planned.report, asked, lookup, filters) for each in passes]
    return {
        "version": VERSION,
        "asked": asked,
        "decided_by": decided_by,
        "explained": any(each.explained for each in explanations),
        "registries": [_registry_document(*each) for each in zip(passes, explanations, strict=True)],
    }


def _registry_document(shown: ShownPass, explanation: Explanation) -> Document:
    return {
        "registry": shown.label,
        "uri": shown.uri,
        "owner": explanation.owner,
        "planned_at": moment_text(shown.planned.at),
        "last_pass": pass_document(shown.last),
        "explained": explanation.explained,
        "verdict": explanation.verdict.value,
        "answer": explanation.answer,
        "reason": explanation.reason or None,
        "container": _container_document(explanation),
        "ports": [_port_document(each) for each in explanation.ports],
        "keys": [_key_document(each) for each in explanation.keys],
        "candidates": [container_document(each) for each in explanation.candidates],
        "similar": [*explanation.similar],
    }


def _container_document(explanation: Explanation) -> Document | None:
    """Return the container that is explained; None if there is none. Its state and its exit code are null if the engine
    does not describe it."""
    if explanation.ref is None:
        return None
    described = explanation.container
    return {
        **container_document(explanation.ref),
        "state": described.status if described else None,
        "exit_code": described.exit_code if described and not described.serving else None,
    }


def _port_document(port: PortExplanation) -> Document:
    return {
        "port": port.port,
        "state": port.state.value,
        "reason": port.reason or None,
        "why": port.why,
        "entries": [_entry_document(key, entry) for key, entry in port.entries],
    }


def _entry_document(key: str, entry: Entry) -> Document:
    """Return an entry, and what gives its name, its id and its address. The address is null if this host's address is
    missing."""
    return {
        "key": key,
        "service": entry.name,
        "service_from": entry.name_shown.rstrip(","),
        "id": entry.id,
        "id_from": entry.id_shown.rstrip(","),
        "address": entry.address or None,
        "address_from": entry.address_source,
        "port": entry.port,
    }


def _key_document(key: KeyExplanation) -> Document:
    return {
        "key": key.key,
        "stored": key.value,
        "value": key.wanted,
        "state": key.state.value,
        "owner": key.owner or None,
        "action": key.action or None,
        "reason": key.reason or None,
        "result": key.result or None,
        "what": key.what,
    }
