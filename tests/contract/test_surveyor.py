"""What every surveyor must do."""

from __future__ import annotations

import pytest

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v3 import surveyor as etcd_v3_surveyor
from model.record import InnerPrefix, RecordKeys
from tests.contract.conftest import PREFIX, Store

pytestmark = pytest.mark.every_etcd

KEYS = RecordKeys(PREFIX)


def soon() -> Deadline:
    """Return a deadline that no request of a test comes near."""
    return Deadline.after(10.0, Clock())


def test_an_empty_store_is_an_empty_survey(store: Store) -> None:
    """An empty answer is an answer."""
    survey = store.surveyor().survey(soon())
    assert (survey.stored, survey.about_owners, survey.inner, survey.keys) == ({}, {}, (), 0)
    assert survey.requests > 0


def test_a_survey_has_the_keys_of_all_hosts_and_what_is_kept_about_them(store: Store) -> None:
    """The keys of inner prefixes are among them, and what is kept about the owners of other prefixes is not."""
    keys = {f"{PREFIX}/web/{owner}:web:80": "10.0.0.1:80" for owner in ("core-01", "core-02")}
    keys |= {f"{PREFIX}/inner/web/x": "10.0.0.3:80"}
    about = {key("core-01"): "x" for key in (KEYS.record, KEYS.agent_note, KEYS.drain_order, KEYS.heartbeat)}
    about |= {KEYS.record("core-02"): "x", KEYS.liveness_query("core-03"): "?"}
    inner = RecordKeys(f"{PREFIX}/inner")
    for key, value in {**keys, **about, inner.record("core-04"): "x", f"{PREFIX}-2/web/x": "10.0.0.4:80"}.items():
        store.put(key, value)
    survey = store.surveyor().survey(soon())
    assert {key: each.value for key, each in survey.stored.items()} == keys
    assert {key: each.value for key, each in survey.about_owners.items()} == about
    assert survey.inner == (InnerPrefix(f"{PREFIX}/inner", ("core-04",)),)
    assert survey.keys == len(keys) + len(about)


def test_the_records_of_an_empty_prefix_are_no_entries(store: Store) -> None:
    """An empty prefix is all of etcd, except for what is kept about owners."""
    store.put(f"{PREFIX}/web/x", "10.0.0.1:80")
    store.put(RecordKeys("").record("core-01"), "x")
    survey = store.surveyor("").survey(soon())
    assert f"{PREFIX}/web/x" in survey.stored
    assert not [key for key in survey.stored if key.startswith("/_")]
    assert {*survey.about_owners} == {RecordKeys("").record("core-01")}


def test_a_survey_says_how_long_each_key_lasts(store: Store) -> None:
    """A key without a lifetime has none left to tell."""
    store.put(f"{PREFIX}/web/lasting", "10.0.0.1:80")
    for key, ttl in {"short": 100, "long": 500}.items():
        store.put(f"{PREFIX}/web/{key}", "10.0.0.1:80", ttl)
    left = {key.rpartition("/")[2]: each.ttl for key, each in store.surveyor().survey(soon()).stored.items()}
    assert left.pop("lasting") is None
    assert 90 <= (left["short"] or 0) <= 100
    assert 490 <= (left["long"] or 0) <= 500


def test_the_store_position_tells_whether_anything_was_written(store: Store) -> None:
    """It is that of the survey until somebody writes."""
    surveyor = store.surveyor()
    assert surveyor.store_position(soon()) is not None
    before = surveyor.survey(soon()).store_position
    assert surveyor.store_position(soon()) == before
    store.put(f"{PREFIX}/web/x", "10.0.0.1:80")
    after = surveyor.store_position(soon())
    assert before is not None
    assert after is not None
    assert after.cluster == before.cluster
    assert after.index > before.index


def test_a_store_that_does_not_answer_raises_registry_unavailable(store: Store) -> None:
    """Nobody may take it for an empty one."""
    surveyor = store.surveyor()
    store.break_down()
    with pytest.raises(RegistryUnavailable):
        surveyor.survey(soon())
    with pytest.raises(RegistryUnavailable):
        surveyor.store_position(soon())


@pytest.mark.parametrize("store", ["simulated-v3", "etcd_v3"], indirect=True)
def test_a_large_prefix_is_read_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is a request of its own, and no key is read twice or left out."""
    keys = {f"{PREFIX}/web/{number:03}": "10.0.0.1:80" for number in range(25)}
    for key, value in keys.items():
        store.put(key, value)
    whole = store.surveyor().survey(soon())
    monkeypatch.setattr(etcd_v3_surveyor, "PAGE", 10)
    in_pages = store.surveyor().survey(soon())
    assert {key: each.value for key, each in in_pages.stored.items()} == keys
    assert in_pages.requests == whole.requests + 2


@pytest.mark.parametrize("store", ["simulated-v3", "etcd_v3"], indirect=True)
def test_a_lease_is_asked_about_once(store: Store) -> None:
    """However many keys hang on it. Here each key has a lease of its own."""
    store.put(f"{PREFIX}/web/x", "10.0.0.1:80")
    before = store.surveyor().survey(soon()).requests
    for key in ("a", "b"):
        store.put(f"{PREFIX}/web/{key}", "10.0.0.1:80", 100)
    assert store.surveyor().survey(soon()).requests == before + 2
