"""The pass with other layouts and value formats: which keys are this host's, refusals, and a change of the format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.reconcile.deregister import Owner, removal_plan
from model.container import Container, ContainerRef
from model.layout import PlainLayout, ValueFormat
from model.plan import Action, Reason
from model.record import RecordKeys
from model.report import PassReport
from model.skydns import SkyDnsLayout, label_of
from model.snapshot import UnknownContainer
from tests.support.coredns import dns_name, read_service
from tests.support.fakes import FakeTime
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import first_pass, owner_record, serving

DNS = SkyDnsLayout("/skydns/local/cluster")
PLAIN, AS_JSON = PlainLayout("/services"), PlainLayout("/services", ValueFormat.JSON)

#: The key of container Web, whose id is no DNS label, so that its hash stands for it.
HASHED = f"{DNS.prefix}/nginx/{label_of('core-01:Web:80')}"


def changes(report: PassReport) -> list[tuple[str, str]]:
    """Return action and reason of each change but those of the owner record and of lifetimes."""
    return [(change.action.value, change.reason.value) for change in report.plan.visible]


# The SkyDNS layout.


def dns_pass(registry: RecordingRegistry, *containers: Container, owner: str = "core-01", **host: Any) -> PassReport:
    """Make the first pass of an agent with the SkyDNS layout."""
    return first_pass(registry, *containers, owner=owner, ip="192.0.2.1", layout=DNS, **host)


def claimed(registry: RecordingRegistry) -> set[str]:
    """Return the keys that the owner record of core-01 claims."""
    return set(owner_record(registry, prefix=DNS.prefix).claims)


@pytest.fixture
def dns() -> RecordingRegistry:
    """Return an empty registry whose prefix is that of a DNS domain."""
    return RecordingRegistry(DNS.prefix)


def test_a_default_id_names_its_owner_in_the_skydns_layout(dns: RecordingRegistry) -> None:
    """The record need not claim it, and the next agent finds the orphan."""
    dns_pass(dns, serving("web"))
    assert dns.keys() == {f"{DNS.prefix}/nginx/core-01--web--80": '{"host":"192.0.2.1","port":8000}'}
    assert claimed(dns) == set()
    assert changes(dns_pass(dns)) == [("delete", "orphan")]
    assert dns.keys() == {}


def test_an_id_that_is_written_as_a_hash_is_claimed(dns: RecordingRegistry) -> None:
    """A new agent knows by the claim that the key is its own. It updates the key, holds it while the container cannot
    be read, and deletes it when the container is gone."""
    dns_pass(dns, serving("Web"))
    assert set(dns.keys()) == claimed(dns) == {HASHED}
    assert changes(dns_pass(dns, serving("Web", number=9000))) == [("update", "changed")]
    assert changes(dns_pass(dns, serving("Web", number=9000))) == []
    dns_pass(dns, unknown=(UnknownContainer(ContainerRef("id-Web", "Web"), "odd"),))
    assert set(dns.keys()) == {HASHED}
    assert changes(dns_pass(dns)) == [("delete", "orphan")]
    assert dns.keys() == {}
    dns_pass(dns)
    assert claimed(dns) == set()


def test_the_claim_of_a_hashed_id_is_written_before_its_entry(dns: RecordingRegistry) -> None:
    """So an agent that is killed in between leaves no entry without a claim."""
    dns_pass(dns, serving("Web"))
    assert dns.writes == [f"record {RecordKeys(DNS.prefix).record('core-01')}", f"create {HASHED}"]


def test_the_entries_of_another_host_stay_in_the_skydns_layout(dns: RecordingRegistry) -> None:
    """They are foreign, whether or not their ids were written as hashes."""
    dns_pass(dns, serving("Web"), serving("app"), owner="core-02")
    foreign = dns.keys()
    assert changes(dns_pass(dns)) == []
    assert dns_pass(dns).plan.foreign == 2
    assert dns.keys() == foreign


def test_the_first_of_two_hosts_keeps_a_custom_id_in_the_skydns_layout(dns: RecordingRegistry) -> None:
    """As in the plain layout, the port of the second host is refused."""
    dns_pass(dns, serving("one", "SERVICE_ID=Shared.id"))
    report = dns_pass(dns, serving("two", "SERVICE_ID=Shared.id", number=9000), owner="core-02")
    assert [refusal.reason.value for refusal in report.plan.refusals] == ["conflict"]
    assert changes(dns_pass(dns)) == [("delete", "orphan")]


def test_a_key_in_registrators_form_is_replaced_by_one_in_the_skydns_layout(dns: RecordingRegistry) -> None:
    """The colons in its id name this host as its owner, and no entry has that key any more. The same key of another
    host stays."""
    dns.put(f"{DNS.prefix}/nginx/core-01:web:80", '{"host":"192.0.2.1","port":8000}')
    dns.put(f"{DNS.prefix}/nginx/core-02:web:80", '{"host":"192.0.2.2","port":8000}')
    assert changes(dns_pass(dns, serving("web"))) == [("create", "new"), ("delete", "orphan")]
    assert sorted(dns.keys()) == [f"{DNS.prefix}/nginx/core-01--web--80", f"{DNS.prefix}/nginx/core-02:web:80"]


def test_a_container_with_a_bad_attribute_is_refused_and_the_others_are_registered(dns: RecordingRegistry) -> None:
    """The refusal has the reason bad-attribute, and no entry is written for that container."""
    good, bad = serving("good", "SERVICE_PRIORITY=10"), serving("bad", "SERVICE_PRIORITY=high")
    report = dns_pass(dns, good, bad)
    assert [(each.container.name, each.reason.value) for each in report.plan.refusals] == [("bad", "bad-attribute")]
    ((key, value),) = dns.keys().items()
    assert (dns_name(key), read_service(value).priority) == ("core-01--good--80.nginx.cluster.local", 10)
    assert report.succeeded


def test_a_host_can_be_deregistered_from_a_dns_domain(dns: RecordingRegistry) -> None:
    """The plan removes the keys whose ids name the owner and those that its record claims."""
    dns_pass(dns, serving("Web"), serving("app"))
    dns_pass(dns, serving("web"), owner="core-02")
    planned = removal_plan(Owner("core-01", DNS, FakeTime().clock), dns)
    assert {change.key for change in planned.changes} == {HASHED, f"{DNS.prefix}/nginx/core-01--app--80"}


def test_foreign_keys_that_are_no_skydns_records_are_counted_as_unreadable(dns: RecordingRegistry) -> None:
    """They are counted as foreign, too."""
    dns.put(f"{DNS.prefix}/nginx/x", "192.0.2.1:80")
    dns.put(f"{DNS.prefix}/nginx/y", '{"host":"192.0.2.1","port":80}')
    plan = dns_pass(dns).plan
    assert (plan.foreign, plan.unreadable) == (2, 1)


# The value formats.

#: A container with a default id, and two with custom ids.
MIXED = (
    serving("web"),
    serving("db", "SERVICE_ID=db-1", number=9000),
    serving("log", "SERVICE_ID=log-1", number=9001),
)


@pytest.mark.parametrize(("before", "after"), [(PLAIN, AS_JSON), (AS_JSON, PLAIN)], ids=["to-json", "from-json"])
def test_one_pass_updates_every_key_to_another_value_format(before: PlainLayout, after: PlainLayout) -> None:
    """Keys with custom ids are updated, too. The next pass drops the old values from the record, and the one after it
    changes nothing."""
    registry = RecordingRegistry()
    first_pass(registry, *MIXED, layout=before)
    report = first_pass(registry, *MIXED, layout=after)
    assert changes(report) == [("update", "changed")] * 3
    assert report.plan.refusals == ()
    assert {value[0] for value in registry.keys().values()} == ({"{"} if after is AS_JSON else {"1"})
    writes = len(registry.writes)
    quiet = first_pass(registry, *MIXED, layout=after)
    assert [change.action for change in quiet.plan.changes] == [Action.RECORD]
    assert first_pass(registry, *MIXED, layout=after).plan.changes == ()
    assert len(registry.writes) == writes + 1


def test_the_next_pass_completes_a_change_of_the_format_that_failed_at_one_key() -> None:
    """The record claims the key with either value, so the key is still ours."""
    registry = RecordingRegistry()
    first_pass(registry, *MIXED, layout=PLAIN)
    registry.failing = lambda change: change.key.endswith("db-1")
    assert not first_pass(registry, *MIXED, layout=AS_JSON).succeeded
    registry.failing = lambda change: False
    assert changes(first_pass(registry, *MIXED, layout=AS_JSON)) == [("update", "changed")]
    assert all(json.loads(value) for value in registry.keys().values())


def test_hosts_with_different_value_formats_can_read_each_others_entries() -> None:
    """No foreign key is counted as unreadable."""
    registry = RecordingRegistry()
    app = serving("app")
    first_pass(registry, *MIXED, layout=PLAIN)
    first_pass(registry, app, layout=AS_JSON, owner="core-02")
    for layout, owner, foreign in ((PLAIN, "core-01", 1), (AS_JSON, "core-02", 3)):
        plan = first_pass(registry, *(MIXED if owner == "core-01" else [app]), layout=layout, owner=owner).plan
        assert (plan.foreign, plan.unreadable) == (foreign, 0)


def test_a_json_value_follows_the_tags_and_attributes_of_its_container() -> None:
    """New tags and attributes are an update with the reason changed, as a new port is."""
    registry = RecordingRegistry()
    first_pass(registry, serving("web"), layout=AS_JSON)
    report = first_pass(registry, serving("web", "SERVICE_TAGS=a,b", "SERVICE_REGION=eu"), layout=AS_JSON)
    assert [change.reason for change in report.plan.visible] == [Reason.CHANGED]
    (value,) = registry.keys().values()
    document = json.loads(value)
    assert (document["tags"], document["attributes"]) == (["a", "b"], {"region": "eu"})
    assert document["container"] == {"id": "id-web", "image": "nginx", "name": "web"}
