"""Render the report of a pass, as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.errors import plain
from controller.observe.api.plan import plan_document, plans_document
from controller.observe.api.values import encoded
from model.entry import Entry
from model.plan import Action, Change
from model.refusal import Refusal
from model.report import Outcome, PassReport, Result, summary
from model.stored import Stored

_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}
_COLOURS = {"+": "\x1b[32m", "~": "\x1b[33m", "-": "\x1b[31m", "!": "\x1b[35m"}
_RESET = "\x1b[0m"


def as_text(report: PassReport, *, colour: bool) -> str:
    """Return a line for each change, delete that is held back, entry that is held, refusal, unreadable container, entry
    with a loopback address that nobody gave, and container that drains, and then the summary.

    Changes are sorted by key. ``colour`` puts escape sequences for colours around the lines.
    """
    plan = report.plan
    lines = [*_changes(report), *_held_back(report), *map(_held, plan.held), *map(_refusal, plan.refusals)]
    lines += [
        f"! {plain(each.ref.name)} cannot be read, its entries stay: {plain(each.problem)}" for each in report.unknown
    ]
    lines += map(_loopback, report.loopback)
    lines += [f"! {plain(ref.name)} has no entries: {plain(each.why)}" for ref, each in report.draining.items()]
    if colour:
        lines = [f"{_COLOURS[line[0]]}{line}{_RESET}" for line in lines]
    return "\n".join([*lines, summary(plan), *_applied(report)])


def _applied(report: PassReport) -> list[str]:
    """Return the line that says how much of the plan was applied, if anything was tried: a dry run tries nothing."""
    visible = set(report.plan.visible)
    tried = [each for each in report.outcomes if each.result is not Result.PENDING and each.change in visible]
    if not tried:
        return []
    return [f"Applied {sum(each.result is Result.APPLIED for each in tried)} of {len(tried)} changes."]


def _changes(report: PassReport) -> Iterator[str]:
    results = {outcome.change.key: outcome for outcome in report.outcomes}
    for change in report.plan.visible:
        line = f"{_SIGNS[change.action]} {plain(change.key)}  {_values(change)}  ({_reason(change)})"
        yield line + _result_text(results.get(change.key))


def _reason(change: Change) -> str:
    return f"{change.reason.value}: {plain(change.detail)}" if change.detail else change.reason.value


def _values(change: Change) -> str:
    before = plain(change.before.value) if change.before else ""
    match change.action:
        case Action.UPDATE:
            return f"{before} -> {plain(change.value)}"
        case Action.DELETE:
            return before
        case _:
            return plain(change.value)


def _result_text(outcome: Outcome | None) -> str:
    if outcome is None or outcome.result in {Result.APPLIED, Result.PENDING}:
        return ""
    return f"  {outcome.result.value}: {plain(outcome.detail)}"


def _held_back(report: PassReport) -> Iterator[str]:
    for change in report.plan.held_back:
        line = f"! {plain(change.key)}  {_values(change)}  ({_reason(change)})  held back: see --delete-guard"
        yield f"{line}  (container {report.held_deletes[change.key].presence.value})"


def _held(stored: Stored) -> str:
    return f"! {plain(stored.key)}  {plain(stored.value)}  held: stays as it is"


def removal_line(change: Change) -> str:
    """Return the line for an entry that is to be removed."""
    return f"- {plain(change.key)}  {_values(change)}"


def _refusal(refusal: Refusal) -> str:
    port = f"{plain(refusal.container.name)} {plain(str(refusal.port))}"
    return f"! {port}  {plain(refusal.detail)}  ({refusal.reason.value})"


def _loopback(entry: Entry) -> str:
    container, port = plain(entry.container.name), entry.container_port
    return f"! {container} {port}  is registered with {entry.address}, which only this host can dial"


def as_json(reports: Mapping[str, PassReport]) -> str:
    """Return one JSON document for the reports, which are given by the labels of their registries.

    The report of a single registry is the document itself. Several reports are a list under ``registries``.
    """
    documents = [plan_document(label, report) for label, report in reports.items()]
    return encoded(documents[0] if len(documents) == 1 else plans_document(documents))
