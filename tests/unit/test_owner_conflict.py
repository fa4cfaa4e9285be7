"""Tests of model.owner_conflict: which engine has an owner name."""

from __future__ import annotations

import pytest

from model.engine_kind import DOCKER, PODMAN, UNKNOWN_KIND
from model.layout import PlainLayout, ValueFormat
from model.owner_conflict import all_point_at, holder_of, recorded_id
from model.record import Claim, OwnerRecord
from model.snapshot import EngineIdentity
from model.stored import Stored

LAYOUT = PlainLayout("/services")


@pytest.mark.parametrize("noted", [UNKNOWN_KIND, DOCKER, PODMAN, "another"])
@pytest.mark.parametrize("kind", [UNKNOWN_KIND, DOCKER, PODMAN])
@pytest.mark.parametrize("recorded", ["", "X", "Y"])
@pytest.mark.parametrize("own", ["", "X"])
def test_engines_are_told_apart_by_kind_and_id(noted: str, kind: str, recorded: str, own: str) -> None:
    """Two known kinds are two engines. An id that does not last tells nothing: a record with an id is then another
    engine's, unless the note says that an engine of this kind has the name."""
    engine = EngineIdentity("core-01", "" if kind == PODMAN else own, kind=kind)
    holder = holder_of(OwnerRecord(recorded), noted, engine)
    if noted and kind and noted != kind:
        assert holder is not None
        assert (holder.engine, holder.other_kind) == (noted, True)
        assert holder.says == f"belongs to an engine of another kind: {noted}, and this is {kind}"
    elif kind == PODMAN:
        assert (holder.engine if holder else "") == ("" if noted else recorded)
    else:
        assert (holder.engine if holder else "") == (recorded if own and recorded not in {"", own} else "")
    assert holder is None or holder.engine in holder.says


@pytest.mark.parametrize(
    ("engine", "recorded"),
    [
        (EngineIdentity("core-01", "Y", kind=DOCKER), "Y"),
        (EngineIdentity("core-01", "Y"), "Y"),
        (EngineIdentity("core-01"), "X"),
        (EngineIdentity("core-01", kind=DOCKER), "X"),
        (EngineIdentity("core-01", kind=PODMAN), ""),
    ],
)
def test_the_next_record_has_the_last_known_id_that_lasts(engine: EngineIdentity, recorded: str) -> None:
    """A record of Podman's host has none, also if a Docker engine had the name before."""
    assert recorded_id(OwnerRecord("X"), engine) == recorded


def entry(value: str, key: str = "/services/web/core-01:web:80") -> Stored:
    """Return a key as the registry holds it."""
    return Stored(key, value, 1)


@pytest.mark.parametrize(
    ("values", "address", "here"),
    [
        ([], "192.0.2.7", True),
        ([], "", True),
        (["192.0.2.7:80", "192.0.2.7:81"], "192.0.2.7", True),
        (["192.0.2.7:80", "192.0.2.8:81"], "192.0.2.7", False),
        (["[2001:db8::7]:80"], "2001:db8:0::7", True),
        (["core-01.example:80"], "core-01.example", True),
        (["192.0.2.7:80"], "", False),
        (["no address"], "192.0.2.7", False),
        (["127.0.0.1:80"], "127.0.0.1", False),
        (['{"address":"192.0.2.7","port":80}'], "192.0.2.7", True),
    ],
)
def test_the_values_tell_whether_all_entries_are_this_hosts(values: list[str], address: str, here: bool) -> None:
    """What cannot be read, and what leads every host to itself, are no sign of it."""
    assert all_point_at(address, LAYOUT, map(entry, values), OwnerRecord("X")) is here


@pytest.mark.parametrize(("value", "here"), [("192.0.2.7:80", True), ("192.0.2.8:80", False), ("x" * 100, False)])
def test_keys_under_custom_ids_count_too(value: str, here: bool) -> None:
    """Their values stand in the record, long ones as a digest that tells no address."""
    record = OwnerRecord("X", {"/services/web/custom": Claim.of("web", [value])})
    json_layout = PlainLayout("/services", ValueFormat.JSON)
    assert all_point_at("192.0.2.7", json_layout, [entry("192.0.2.7:80")], record) is here
