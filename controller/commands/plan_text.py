"""The report of a pass as text, for people: what the pass changed or would change, and what it left as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from controller.commands.json_difference import json_difference
from controller.commands.tables import cut, display_width, table_lines
from controller.errors import plain
from model.desired import ExclusionReason
from model.plan import Action, Change, Reason
from model.report import Outcome, PassReport, Result, summary
from model.snapshot import Presence

_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}
_COLOURS = {"+": "\x1b[32m", "~": "\x1b[33m", "-": "\x1b[31m", "!": "\x1b[35m"}
_RESET = "\x1b[0m"

#: What is said of a reason besides its own word. A reason that is missing here says enough by its word. A detail of the
#: change is said instead, if there is one.
_IN_WORDS = {
    Reason.MISSING: "somebody removed its key",
    Reason.OVERWRITTEN: "somebody wrote another value",
    Reason.GONE: "no container backs it any more",
    Reason.ORPHAN: "no container backs it",
    Reason.UNHEALTHY: "its container is not healthy, and --health healthy is given",
    Reason.FILTERED: "--filter does not select its container",
    Reason.ONE_OFF: "docker compose run has started its container",
    Reason.TTL_DUE: "the key has no lifetime and should have one",
    Reason.TTL_UNWANTED: "the key expires and should not",
}

#: What the engine says of the container of a delete that is held back.
_PRESENCES = {
    Presence.LISTED: "its container runs",
    Presence.RUNNING: "its container runs, although the engine's list does not have it",
    Presence.STOPPED: "its container does not run",
    Presence.ABSENT: "the engine has no such container",
    Presence.UNKNOWN: "the engine does not say whether its container runs",
}

#: Why a container has no entries. For one that drains, the report says more.
_EXCLUSIONS = {
    ExclusionReason.UNHEALTHY: "its HEALTHCHECK does not say healthy, and --health healthy is given",
    ExclusionReason.FILTERED: "--filter does not select it",
    ExclusionReason.ONE_OFF: "docker compose run has started it, and --one-offs is not given",
    ExclusionReason.DRAINING: "it drains",
}

#: The columns of the terminal between two cells, and the least that a cell keeps before others are cut.
_GAP, _LEAST = 2, 16

#: What is said if something was cut.
_CUT = "Some lines are cut to the width of the terminal. With --wide they are whole."


@frozen
class _Group:
    """Lines that belong together. Their cells are aligned with each other."""

    title: str
    rows: Sequence[tuple[str, ...]]


def as_text(report: PassReport, *, colour: bool = False, width: int | None = None) -> str:
    """Return the report as text: the groups of lines, and then the summary. Each group has a title, and an empty line
    follows it. A group without lines is left out. Within a group, changes are sorted by key.

    ``colour`` puts escape sequences for colours around the lines. ``width`` is the number of columns to which the lines
    are cut; None leaves them whole.
    """
    parts, shortened = list[str](), False
    for group in _groups(report):
        lines = _lines(group, width)
        shortened = shortened or lines != table_lines(group.rows)
        parts.append("\n".join([f"{group.title}:", *(_coloured(line) if colour else line for line in lines)]))
    end = [*([_CUT] if shortened else []), summary(report.plan), *_applied(report)]
    return "\n\n".join([*parts, "\n".join(end)])


def removal_line(change: Change) -> str:
    """Return the line for an entry that is to be removed."""
    return f"- {plain(change.key)}  {plain(_values(change))}"


def _groups(report: PassReport) -> list[_Group]:
    """Return the groups that have lines."""
    plan, results = report.plan, {outcome.change.key: outcome for outcome in report.outcomes}
    waiting, others = list[tuple[str, ...]](), {action: list[tuple[str, ...]]() for action in _SIGNS}
    for change in plan.visible:
        ended = results.get(change.key)
        waits = ended is not None and ended.result is Result.WAITING
        (waiting if waits else others[change.action]).append(_change(change, ended))
    groups = [
        *(_Group(action.value.capitalize(), rows) for action, rows in others.items()),
        _Group("Held back by --delete-guard, unless --force is given", [*_held_back(report)]),
        _Group("Waiting for a later try", waiting),
        _Group("Held", [(f"! {each.key}", each.value, "held: stays as it is") for each in plan.held]),
        _Group("Unreadable", [*_unreadable(report)]),
        _Group("Refused", [*_refused(report)]),
        _Group("Within reach of this host alone", [*_loopback(report)]),
        _Group("Excluded", [*_excluded(report)]),
    ]
    return [group for group in groups if group.rows]


def _change(change: Change, ended: Outcome | None) -> tuple[str, ...]:
    result = ""
    if ended and ended.result not in {Result.APPLIED, Result.PENDING}:
        result = f"  {ended.result.value}: {ended.detail}"
    return f"{_SIGNS[change.action]} {change.key}", _values(change), f"({_reason(change)}){result}"


def _values(change: Change) -> str:
    before = change.before.value if change.before else ""
    match change.action:
        case Action.UPDATE if before != change.value:
            return json_difference(before, change.value) or f"{before} -> {change.value}"
        case Action.DELETE:
            return before
        case _:
            return change.value


def _reason(change: Change) -> str:
    words = change.detail or _IN_WORDS.get(change.reason, "")
    return f"{change.reason.value}: {words}" if words else change.reason.value


def _held_back(report: PassReport) -> Iterator[tuple[str, ...]]:
    for change in report.plan.held_back:
        why = _PRESENCES[report.held_deletes[change.key].presence]
        yield f"! {change.key}", _values(change), f"held back: {why}  ({_reason(change)})"


def _unreadable(report: PassReport) -> Iterator[tuple[str, ...]]:
    for each in report.unknown:
        yield f"! {each.ref.name}", f"cannot be read, its entries stay: {each.problem}"


def _refused(report: PassReport) -> Iterator[tuple[str, ...]]:
    for each in report.plan.refusals:
        yield f"! {each.container.name} {each.port}", f"{each.detail}  ({each.reason.value})"


def _loopback(report: PassReport) -> Iterator[tuple[str, ...]]:
    for each in report.loopback:
        name = f"! {each.container.name} {each.container_port}"
        yield name, f"is registered with {each.address}, which only this host can dial"


def _excluded(report: PassReport) -> Iterator[tuple[str, ...]]:
    for ref, reason in sorted(report.excluded.items(), key=lambda item: item[0].name):
        draining = report.draining.get(ref)
        yield f"! {ref.name}", f"has no entries: {draining.why if draining else _EXCLUSIONS[reason]}"


def _lines(group: _Group, width: int | None) -> list[str]:
    """Return the lines of a group, cut to this many columns of the terminal: the last cells first, and the first ones
    last, because these tell the lines apart."""
    if width is None:
        return table_lines(group.rows)
    columns = [[plain(cell) for cell in column] for column in zip(*group.rows, strict=True)]
    widths = [max(map(display_width, column)) for column in columns]
    for number in reversed(range(1, len(columns))):
        excess = sum(widths) + _GAP * (len(widths) - 1) - width
        widths[number] = min(widths[number], max(widths[number] - excess, _LEAST))
        columns[number] = [cut(cell, widths[number]) for cell in columns[number]]
    return table_lines([*zip(*columns, strict=True)], width)


def _coloured(line: str) -> str:
    return f"{_COLOURS[line[0]]}{line}{_RESET}"


def _applied(report: PassReport) -> list[str]:
    """Return the line that says how much of the plan was applied, if anything was tried: a dry run tries nothing."""
    visible = set(report.plan.visible)
    tried = [each for each in report.outcomes if each.result is not Result.PENDING and each.change in visible]
    if not tried:
        return []
    return [f"Applied {sum(each.result is Result.APPLIED for each in tried)} of {len(tried)} changes."]
