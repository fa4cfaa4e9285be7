"""Tests of the drain order: what is in it, which texts can be read as an order, and which containers it drains."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from model.drain_order import (
    NO_DRAIN,
    DrainedContainer,
    DrainOrder,
    DrainScope,
    drain_order_in,
    is_unreadable,
    until_text,
)
from model.record import RecordKeys
from model.stored import Stored
from tests.support.builders import OWNER, container

KEY = RecordKeys("/services").drain_order(OWNER)

#: 2026-01-02T03:04:05Z.
END = 1767323045.0

STARTED = "2026-01-01T00:00:00.000000000Z"
WEB = container("web", started=STARTED)
DRAINED_WEB = DrainedContainer("id-web", STARTED, "web", END)
DRAINED_DB = DrainedContainer("id-db", STARTED, "db")
ORDER = DrainOrder({"id-web": DRAINED_WEB, "id-db": DRAINED_DB})


def stored(text: str) -> Stored:
    """Return a text as a registry holds it."""
    return Stored(KEY, text, 7)


def changed(**fields: Any) -> str:
    """Return the text of ORDER with other values in these fields. A field that is ``...`` is left out."""
    document = json.loads(ORDER.encode()) | fields
    return json.dumps({name: value for name, value in document.items() if value is not ...})


def naming(**fields: Any) -> str:
    """Return the text of an order that names one container, with other values in these fields of the container."""
    one = {"started": STARTED, "name": "web", "until": None} | fields
    return changed(containers={"id-web": {name: value for name, value in one.items() if value is not ...}})


def test_an_order_is_read_as_it_was_written() -> None:
    """The text is canonical JSON, with moments in UTC, so equal orders have equal texts."""
    assert ORDER.encode() == (
        '{"all":null,"containers":{"id-db":{"name":"db","started":"2026-01-01T00:00:00.000000000Z","until":null},'
        '"id-web":{"name":"web","started":"2026-01-01T00:00:00.000000000Z","until":"2026-01-02T03:04:05Z"}}}'
    )
    assert drain_order_in(stored(ORDER.encode())) == ORDER
    assert DrainOrder({"id-db": DRAINED_DB, "id-web": DRAINED_WEB}).encode() == ORDER.encode()


@pytest.mark.parametrize(
    ("all_until", "text"), [(inf, '{"until":null}'), (END, '{"until":"2026-01-02T03:04:05Z"}'), (None, "null")]
)
def test_an_order_about_all_containers_is_read_as_it_was_written(all_until: float | None, text: str) -> None:
    """It has an end, or none, or is about the named containers alone."""
    order = DrainOrder(all_until=all_until)
    assert order.encode() == f'{{"all":{text},"containers":{{}}}}'
    assert DrainOrder.decode(order.encode()) == order


MOMENTS = st.one_of(st.just(inf), st.integers(0, 253402300799).map(float))


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.text(), st.text(), MOMENTS)), st.one_of(st.none(), MOMENTS))
def test_every_order_is_read_as_it_was_written(
    named: dict[str, tuple[str, str, float]], all_until: float | None
) -> None:
    """Whatever ids and names its containers have."""
    order = DrainOrder({key: DrainedContainer(key, *rest) for key, rest in named.items()}, all_until)
    assert DrainOrder.decode(order.encode()) == order


def test_fields_of_a_newer_version_are_ignored() -> None:
    """So a newer version can add fields to the order."""
    containers = {key: {**each, "why": "deploy"} for key, each in json.loads(ORDER.encode())["containers"].items()}
    assert DrainOrder.decode(changed(colour="blue", containers=containers)) == ORDER
    assert DrainOrder.decode(changed(all={"until": None, "by": "me"})) == evolve(ORDER, all_until=inf)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        "null",
        "[]",
        "7",
        "[" * 100_000,
        changed(containers=...),
        changed(containers=["web"]),
        changed(containers={"id-web": None}),
        changed(all=...),
        changed(all=True),
        changed(all={}),
        changed(all={"until": 7}),
        changed(all={"until": "soon"}),
        changed(all={"until": "2026-01-02T03:04:05"}),
        changed(all={"until": "9999-12-31T23:59:59-12:00"}),
        naming(started=...),
        naming(name=...),
        naming(until=...),
        naming(until="2026-13-02T03:04:05Z"),
    ],
)
def test_a_text_that_is_no_order_drains_nothing(text: str) -> None:
    """Such a text comes from a version that writes another kind of order, or from somebody else."""
    assert DrainOrder.decode(text) is None
    assert drain_order_in(stored(text)) == NO_DRAIN
    assert is_unreadable(stored(text))


def test_where_there_is_no_key_nothing_is_drained() -> None:
    """A key that is not there is not unreadable either."""
    assert drain_order_in(None) == NO_DRAIN
    assert not is_unreadable(None)
    assert not is_unreadable(stored(ORDER.encode()))


def test_an_end_with_another_offset_is_the_same_moment() -> None:
    """Others may write it in their own time zone."""
    assert DrainOrder.decode(changed(all={"until": "2026-01-02T05:04:05+02:00"})) == evolve(ORDER, all_until=END)


def test_until_its_end_an_order_is_the_same_object() -> None:
    """So whoever decided by it need not decide again."""
    everything = evolve(ORDER, all_until=END)
    assert ORDER.at(END - 1) is ORDER
    assert everything.at(END - 1) is everything
    assert NO_DRAIN.at(END) is NO_DRAIN


def test_a_part_that_has_ended_is_left_out() -> None:
    """The other parts stay, and what has no end stays for ever."""
    assert ORDER.at(END) == DrainOrder({"id-db": DRAINED_DB})
    assert evolve(ORDER, all_until=END).at(END) == DrainOrder({"id-db": DRAINED_DB})
    assert evolve(ORDER, all_until=END + 1).at(END) == DrainOrder({"id-db": DRAINED_DB}, END + 1)
    assert DrainOrder(all_until=inf).at(1e12).all_until == inf


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (NO_DRAIN, None),
        (ORDER, "the operator drains it until 2026-01-02T03:04:05Z"),
        (DrainOrder({"id-db": DRAINED_DB}), None),
        (DrainOrder(all_until=inf), "the operator drains it"),
        (DrainOrder(all_until=END), "the operator drains it until 2026-01-02T03:04:05Z"),
        (evolve(ORDER, all_until=END + 1), "the operator drains it until 2026-01-02T03:04:06Z"),
        (evolve(ORDER, all_until=END - 1), "the operator drains it until 2026-01-02T03:04:05Z"),
        (DrainOrder({"id-web": evolve(DRAINED_WEB, started="2026-01-01T00:00:01.000000000Z")}), None),
        (DrainOrder({"id-old": evolve(DRAINED_WEB, id="id-old")}), None),
    ],
    ids=[
        "nothing",
        "named",
        "another named",
        "all",
        "all until",
        "both, all longer",
        "both, named longer",
        "an earlier run",
        "an earlier container of the name",
    ],
)
def test_a_container_drains_if_it_is_named_in_this_run_or_all_drain(order: DrainOrder, why: str | None) -> None:
    """If both are true, it drains until the later end."""
    draining = order.draining(WEB)
    assert (draining.why if draining else None) == why
    assert order.covers(WEB) is (why is not None)


def test_an_order_is_reduced_to_the_runs_that_are_there() -> None:
    """What is said about all containers stays."""
    order = evolve(ORDER, all_until=END)
    assert order.among([WEB, container("db", started="later")]) == DrainOrder({"id-web": DRAINED_WEB}, END)
    assert order.among([]) == DrainOrder(all_until=END)


def test_an_order_that_drains_nothing_is_empty() -> None:
    """Its key can be removed."""
    assert NO_DRAIN.is_empty
    assert not ORDER.is_empty
    assert not DrainOrder(all_until=inf).is_empty


def test_an_order_counts_what_it_is_about() -> None:
    """The containers that it names, and whether it is about all of them."""
    assert [ORDER.count(each) for each in (DrainScope.CONTAINERS, DrainScope.ALL)] == [2, 0]
    assert [DrainOrder(all_until=END).count(each) for each in (DrainScope.CONTAINERS, DrainScope.ALL)] == [0, 1]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web", ["web"]),
        ("id-web", ["web"]),
        ("id-we", ["web"]),
        ("id-", ["web", "db"]),
        ("we", []),
        ("ui", []),
    ],
)
def test_a_container_is_meant_by_its_name_or_its_id_or_the_beginning_of_its_id(text: str, names: list[str]) -> None:
    """As for docker itself, a beginning of a name means nothing."""
    assert [each.name for each in ORDER.named(text)] == names


def test_a_name_goes_before_the_beginning_of_an_id() -> None:
    """As for docker itself. Two containers that had the same name one after the other are both meant."""
    order = DrainOrder({"abc": evolve(DRAINED_WEB, id="abc"), "web9": evolve(DRAINED_DB, id="web9")})
    assert [each.id for each in order.named("web")] == ["abc"]
    twice = order.with_containers([evolve(DRAINED_WEB, id="def")])
    assert [each.id for each in twice.named("web")] == ["abc", "def"]


def test_containers_are_added_and_taken_out() -> None:
    """A container that is named again has the later end."""
    again = evolve(DRAINED_WEB, until=inf)
    assert NO_DRAIN.with_containers([DRAINED_WEB, DRAINED_DB]) == ORDER
    assert ORDER.with_containers([again]).containers["id-web"] == again
    assert ORDER.without_containers(["id-web", "id-ui"]) == DrainOrder({"id-db": DRAINED_DB})


def test_an_end_is_the_end_of_a_sentence() -> None:
    """A drain without an end has none."""
    assert until_text(END) == " until 2026-01-02T03:04:05Z"
    assert until_text(inf) == ""
