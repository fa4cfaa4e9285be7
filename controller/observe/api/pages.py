"""The pages under /api/v1/ that are built from the last reports: which there are, and what each answers.

A page is built in the thread of the HTTP server, from values that do not change. So it answers while a pass hangs, and
no pass waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from attrs import field, frozen

from controller.effects.clock import Clock
from controller.observe.api.changes import change_documents
from controller.observe.api.entries import entry_documents
from controller.observe.api.plan import plan_document
from controller.observe.api.status import AgentStatus, registry_document, status_document
from controller.observe.api.values import VERSION, Document, moment_text, pass_document, problems_document
from controller.observe.last_reports import EndedPass, LastReports, Seen
from model.frozen import frozen_dict

STATUS = "/api/v1/status"
ENTRIES = "/api/v1/entries"
PLAN = "/api/v1/plan"
CHANGES = "/api/v1/changes"


class Page(NamedTuple):
    """What a page answers."""

    #: The status line of HTTP without the protocol.
    status: str
    document: Document


#: What a page with a parameter answers for this parameter.
PageOf = Callable[[str], Page]

OK = "200 OK"
NOT_YET = "503 Service Unavailable"


@frozen
class ApiPages:
    """The pages of one agent."""

    #: Returns what is known of the agent.
    agent: Callable[[], AgentStatus]
    #: The URIs of the registries without secrets, by label.
    uris: Mapping[str, str]
    #: What is known of the passes over each registry, by label.
    last_reports: Mapping[str, LastReports]
    clock: Clock
    #: The pages with a parameter, by what stands before the parameter in their paths, as in ``/api/v1/explain/``.
    with_parameter: Mapping[str, PageOf] = field(factory=dict, converter=frozen_dict)

    def find(self, path: str) -> Callable[[], Page] | None:
        """Return what builds the page at a path; None if there is none."""
        pages = {STATUS: self._status, ENTRIES: self._entries, PLAN: self._plan, CHANGES: self._changes}
        if path in pages:
            return pages[path]
        for before, page in self.with_parameter.items():
            if (parameter := path.removeprefix(before)) and parameter != path:
                return partial(page, parameter)
        return None

    def _status(self) -> Page:
        seen = self._seen()
        registries = [registry_document(label, self.uris[label], each) for label, each in seen.items()]
        ended = any(each.last for each in seen.values())
        return Page(OK if ended else NOT_YET, status_document(self.agent(), registries, self.clock.wall()))

    def _entries(self) -> Page:
        return self._registries(_entries_of)

    def _plan(self) -> Page:
        return self._registries(_plan_of)

    def _changes(self) -> Page:
        return self._registries(_changes_of)

    def _registries(self, build: Callable[[str, Seen], Document | None]) -> Page:
        """Return the page with what ``build`` makes of each registry: of its label, and of what is known of its passes.
        A registry of which too little is known is left out."""
        seen = self._seen()
        documents = [each for label, known in seen.items() if (each := build(label, known))]
        if documents:
            return Page(OK, {"version": VERSION, "registries": documents})
        return Page(NOT_YET, problems_document([f"{label}: {_what_is_missing(each)}" for label, each in seen.items()]))

    def _seen(self) -> Mapping[str, Seen]:
        """Return what is known now. A page is built from one such value, as passes go on meanwhile."""
        return {label: each.seen for label, each in self.last_reports.items()}


def _entries_of(label: str, seen: Seen) -> Document | None:
    if not (seen.last and seen.planned):
        return None
    report = seen.planned.report
    entries = entry_documents(report)
    return {"registry": label, "owner": report.owner, "entries": entries, **_moments(seen.planned, seen.last)}


def _plan_of(label: str, seen: Seen) -> Document | None:
    if not (seen.last and seen.planned):
        return None
    return {**plan_document(label, seen.planned.report), **_moments(seen.planned, seen.last)}


def _changes_of(label: str, seen: Seen) -> Document | None:
    if not seen.last:
        return None
    return {"registry": label, "changes": change_documents(seen), "last_pass": pass_document(seen.last)}


def _moments(planned: EndedPass, last: EndedPass) -> Document:
    """Return when the plan was made that is shown, and how the last pass ended, which may have made none."""
    return {"planned_at": moment_text(planned.at), "last_pass": pass_document(last)}


def _what_is_missing(seen: Seen) -> str:
    """Return why nothing can be shown of a registry."""
    if not seen.last:
        return "no pass has ended yet"
    report = seen.last.report
    return f"no pass has made a plan yet; the last one ended in {report.result.value}: {report.problem}"
