"""The report of a pass as text."""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from controller.commands.plan_text import as_text, removal_line
from controller.commands.tables import display_width
from model.container import ContainerRef
from model.desired import ExclusionReason
from model.draining import Draining
from model.guard import HeldDelete
from model.plan import Action, Change, Reason
from model.refusal import RefusalReason
from model.report import Outcome, PassReport, Result
from model.snapshot import Presence
from model.stored import Stored
from tests.support.builders import entry
from tests.support.reports import added, altered, planned, recorded, refused, removed, renewed, unreadable

#: A report with lines of many groups.
MIXED = evolve(
    planned(
        altered("/services/api/core-01:api:80", "10.0.0.1:8000", "10.0.0.1:9000"),
        removed("/services/db/core-01:db:5432", "10.0.0.1:5432", Reason.ORPHAN),
        renewed("/services/quiet/core-01:quiet:80"),
        added("/services/web/core-01:web:443", "10.0.0.1:8443"),
        added("/services/web/core-01:web:80", "10.0.0.1:80", Reason.MISSING),
        ended=Result.PENDING,
        refusals=(refused("dns", RefusalReason.DUPLICATE, "container 'old' already has dns/a"),),
        unknown=(unreadable("slow"),),
        held_back=(removed("/services/x/core-01:one:80", "x:2"),),
        held=(Stored("/services/y/core-01:slow:80", "x:3", 7),),
        in_sync=12,
        foreign=3,
    ),
    held_deletes={"/services/x/core-01:one:80": HeldDelete(Presence.ABSENT, 1, 0.0)},
    loopback=(entry(address="127.0.0.1"),),
    excluded={ContainerRef("id-job", "job"): ExclusionReason.ONE_OFF},
)

TEXT = """\
Create:
+ /services/web/core-01:web:443  10.0.0.1:8443  (new)
+ /services/web/core-01:web:80   10.0.0.1:80    (missing: somebody removed its key)

Update:
~ /services/api/core-01:api:80  10.0.0.1:8000 -> 10.0.0.1:9000  (changed)

Delete:
- /services/db/core-01:db:5432  10.0.0.1:5432  (orphan: no container backs it)

Held back by --delete-guard, unless --force is given:
! /services/x/core-01:one:80  x:2  held back: the engine has no such container  (gone: no container backs it any more)

Held:
! /services/y/core-01:slow:80  x:3  held: stays as it is

Unreadable:
! slow  cannot be read, its entries stay: no answer in time

Refused:
! dns 80/tcp  container 'old' already has dns/a  (duplicate)

Within reach of this host alone:
! web 80/tcp  is registered with 127.0.0.1, which only this host can dial

Excluded:
! job  has no entries: docker compose run has started it, and --one-offs is not given

Plan: 2 to create, 1 to update, 1 to delete, 12 in sync, 1 refused, 1 held, 1 held back."""

NASTY = "a\x1b[31m\nb\x9b\u2028\udc80c"
ESCAPED = "a\\x1b[31m\\nb\\x9b\\u2028\\udc80c"


def lines(report: PassReport, width: int | None = None) -> list[str]:
    """Return the lines of a report that begin with a sign."""
    return [line for line in as_text(report, width=width).splitlines() if line[:2] in {"+ ", "~ ", "- ", "! "}]


def test_a_plan_is_grouped_by_change() -> None:
    """Each group has a title and a line for each change, exactly so, because people search for it. Renewals have no
    line."""
    assert as_text(MIXED) == TEXT


def test_a_plan_without_changes_is_the_summary_alone() -> None:
    """Everything is in sync."""
    assert as_text(planned(in_sync=2)) == "Plan: 0 to create, 0 to update, 0 to delete, 2 in sync, 0 refused."


def test_the_number_of_applied_changes_follows_the_plan() -> None:
    """Renewals and the owner record are not counted, as they have no line."""
    assert as_text(planned(recorded(), added("/a/b/c", "x:1"), renewed("/a/b/d"))).splitlines() == [
        "Create:",
        "+ /a/b/c  x:1  (new)",
        "",
        "Plan: 1 to create, 0 to update, 0 to delete, 0 in sync, 0 refused.",
        "Applied 1 of 1 changes.",
    ]


@pytest.mark.parametrize("ended", [Result.FAILED, Result.CONFLICT, Result.SKIPPED], ids=lambda ended: ended.value)
def test_a_change_that_was_not_applied_says_why(ended: Result) -> None:
    """The result and the registry's message are at the end of its line."""
    text = as_text(planned(added("/a/b/c", "x:1"), ended=ended)).splitlines()
    assert text[:2] == ["Create:", f"+ /a/b/c  x:1  (new)  {ended.value}: etcd says no"]
    assert text[-1] == "Applied 0 of 1 changes."


def test_a_change_that_waits_is_in_a_group_of_its_own() -> None:
    """It keeps its sign, and says what it waits for."""
    waits, done = added("/a/b/c", "x:1"), added("/a/b/d", "x:2")
    report = evolve(
        planned(waits, done),
        outcomes=(Outcome(waits, Result.WAITING, "no record"), Outcome(done, Result.APPLIED)),
    )
    assert as_text(report).splitlines()[:5] == [
        "Create:",
        "+ /a/b/d  x:2  (new)",
        "",
        "Waiting for a later try:",
        "+ /a/b/c  x:1  (new)  waiting: no record",
    ]


@pytest.mark.parametrize("reason", Reason, ids=lambda each: each.value)
def test_a_line_has_the_reason_and_says_what_it_means(reason: Reason) -> None:
    """The word is that of log, metrics and JSON. A detail of the change says more than words that fit any change."""
    change = Change(Action.DELETE, "/a", "", Stored("/a", "x", 1), reason)
    (line,) = lines(planned(change))
    assert re.fullmatch(rf"- /a  x  \({reason.value}(: [a-z-].+)?\)", line)
    (line,) = lines(planned(evolve(change, detail="because")))
    assert line == f"- /a  x  ({reason.value}: because)"


@pytest.mark.parametrize("presence", Presence, ids=lambda each: each.value)
def test_a_delete_that_is_held_back_says_what_the_engine_said(presence: Presence) -> None:
    """It is not among the deletes."""
    report = evolve(planned(held_back=(removed("/a", "x"),)), held_deletes={"/a": HeldDelete(presence, 1, 0.0)})
    (line,) = lines(report)
    assert re.fullmatch(r"! /a  x  held back: [a-z].*  \(gone: .*\)", line)
    assert "Delete:" not in as_text(report)


@pytest.mark.parametrize("reason", ExclusionReason, ids=lambda each: each.value)
def test_a_container_that_is_excluded_says_why(reason: ExclusionReason) -> None:
    """Nothing else shows it once its keys are gone. They are sorted by name."""
    report = evolve(planned(), excluded={ContainerRef("2", "web-2"): reason, ContainerRef("1", "web-1"): reason})
    assert [line[:24] for line in lines(report)] == ["! web-1  has no entries:", "! web-2  has no entries:"]


def test_a_container_that_drains_is_shown_with_the_cause() -> None:
    """The cause says until when."""
    why, ref = "the operator drains it until 2026-01-02T03:04:05Z", ContainerRef("abc", f"web{NASTY}")
    report = evolve(planned(), excluded={ref: ExclusionReason.DRAINING}, draining={ref: Draining(why)})
    assert lines(report) == [f"! web{ESCAPED}  has no entries: {why}"]


def test_of_json_values_the_differences_are_shown() -> None:
    """The fields that are equal would hide those that are not."""
    change = altered("/a", '{"host":"h","port":8000}', '{"host":"h","port":9000,"ttl":30}')
    assert lines(planned(change)) == ["~ /a  port: 8000 -> 9000, ttl: none -> 30  (changed)"]


def test_an_update_of_the_lifetime_alone_shows_the_value_once() -> None:
    """The value stays."""
    change = altered("/a", "x:1", "x:1", Reason.TTL_UNWANTED)
    assert lines(planned(change)) == ["~ /a  x:1  (ttl-unwanted: the key expires and should not)"]


@pytest.mark.parametrize(("sign", "code"), [("+", 32), ("~", 33), ("-", 31), ("!", 35)])
def test_each_kind_of_line_has_its_colour(sign: str, code: int) -> None:
    """It is around the whole line, only if colour is wanted, and never around titles and summary."""
    coloured = as_text(MIXED, colour=True)
    signed = [line for line in TEXT.splitlines() if line.startswith(f"{sign} ")]
    assert all(f"\x1b[{code}m{line}\x1b[0m" in coloured.splitlines() for line in signed)
    assert coloured.splitlines()[-1] == TEXT.splitlines()[-1]
    assert re.sub(r"\x1b\[\d+m", "", coloured) == TEXT


@pytest.mark.parametrize("width", [80, 120])
def test_lines_are_cut_to_the_width_of_a_terminal(width: int) -> None:
    """What is cut ends in an ellipsis. Keys and names are whole, and so is the word of the reason."""
    shown, whole = lines(MIXED, width), lines(MIXED)
    assert max(map(display_width, shown)) <= width
    assert [line.split()[1] for line in shown] == [line.split()[1] for line in whole]
    assert [one for one, other in zip(shown, whole, strict=True) if one != other and not one.endswith("…")] == []
    assert any("(missing" in line for line in shown)


def test_it_is_said_how_to_see_lines_that_were_cut_whole() -> None:
    """The summary remains the last line. Nothing is said if all lines fit."""
    assert as_text(MIXED, width=80).splitlines()[-2:] == [
        "Some lines are cut to the width of the terminal. With --wide they are whole.",
        TEXT.splitlines()[-1],
    ]
    assert as_text(MIXED, width=500) == TEXT


def test_keys_are_cut_only_if_nothing_else_is_left() -> None:
    """Even a narrow terminal gets no line that is too long."""
    report = planned(added(f"/services/{'x' * 80}/core-01:web:80", "v" * 80))
    (line,) = lines(report, 60)
    assert 58 <= display_width(line) <= 60
    assert re.fullmatch(r"\+ /services/x+…  v+…  \(new\)", line)


def test_text_of_containers_and_others_is_escaped() -> None:
    """Names, values, details and problems stay on their line, and cannot control the terminal."""
    report = planned(
        altered(f"/{NASTY}", f"1{NASTY}", f"2{NASTY}"),
        removed("/b", f"3{NASTY}"),
        refusals=(refused(NASTY, detail=f"4{NASTY}"),),
        unknown=(unreadable(NASTY, f"5{NASTY}"),),
        held=(Stored(f"/c{NASTY}", f"6{NASTY}", 7),),
    )
    expected = [
        f"~ /{ESCAPED}  1{ESCAPED} -> 2{ESCAPED}  (changed)",
        f"- /b  3{ESCAPED}  (gone: no container backs it any more)",
        f"! /c{ESCAPED}  6{ESCAPED}  held: stays as it is",
        f"! {ESCAPED}  cannot be read, its entries stay: 5{ESCAPED}",
        f"! {ESCAPED} 80/tcp  4{ESCAPED}  (bad-name)",
    ]
    assert lines(report) == lines(report, 500) == expected
    assert all(display_width(line) <= 40 and line.isprintable() for line in lines(report, 40))


def test_text_in_other_alphabets_is_not_escaped() -> None:
    """Only characters that cannot be printed are."""
    assert lines(planned(added("/dienste/ünï/日本", "x:1"))) == ["+ /dienste/ünï/日本  x:1  (new)"]


def test_the_line_of_a_removed_entry_is_escaped() -> None:
    """It has the key and the value."""
    assert removal_line(removed(f"/{NASTY}", f"1{NASTY}")) == f"- /{ESCAPED}  1{ESCAPED}"
