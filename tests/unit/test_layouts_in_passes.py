"""Passes with other layouts and value formats: whose a key is, what is refused, and changing over."""

from __future__ import annotations

import json

import pytest

from controller.reconcile.deregister import Owner, removal_plan
from controller.reconcile.one_pass import PassSettings, reconcile
from model.container import Container, ContainerRef
from model.layout import Layout, PlainLayout, ValueFormat
from model.memory import Memory
from model.plan import Action, Reason
from model.record import OwnerRecord, RecordKeys
from model.report import PassReport
from model.rules import AddressRules, Rules
from model.skydns import SkyDnsLayout, label_of
from model.snapshot import UnknownContainer
from tests.support.builders import container
from tests.support.coredns import dns_name, read_service
from tests.support.fakes import ENGINE, FakeSource, FakeTime
from tests.support.memory_registry import MemoryRegistry, RecordingRegistry

DNS = SkyDnsLayout("/skydns/local/cluster")
PLAIN, AS_JSON = PlainLayout("/services"), PlainLayout("/services", ValueFormat.JSON)
HASHED = f"{DNS.prefix}/nginx/{label_of('core-01:Web:80')}"


def run(
    registry: MemoryRegistry, layout: Layout, *containers: Container, owner: str = "core-01", odd: str = ""
) -> PassReport:
    """A pass of an agent that has just started, of a host that runs these containers; ``odd`` is one of which the
    engine says nothing more than its name."""
    rules = Rules(owner, AddressRules(ip="192.0.2.1"))
    unknown = (UnknownContainer(ContainerRef(f"id-{odd}", odd), "odd"),) if odd else ()
    source = FakeSource(*containers, unknown=unknown, engine=ENGINE if owner == "core-01" else owner)
    return reconcile(PassSettings(rules, layout, clock=FakeTime().clock), source, registry, Memory())


def named(name: str, *env: str, number: int = 8000) -> Container:
    """A container with a published port."""
    return container(name, publish={"80/tcp": f"0.0.0.0:{number}"}, env=env)


def reasons(report: PassReport) -> list[tuple[str, str]]:
    """Action and reason of each change that a reader could see."""
    return [(change.action.value, change.reason.value) for change in report.plan.visible]


@pytest.fixture
def dns() -> RecordingRegistry:
    """An empty registry, seen from a domain."""
    return RecordingRegistry(DNS.prefix)


def claims(registry: MemoryRegistry, prefix: str, owner: str = "core-01") -> set[str]:
    """The keys that a host wrote down."""
    record = OwnerRecord.decode(registry.stored[RecordKeys(prefix).record(owner)].value)
    assert record is not None
    return set(record.claims)


def test_a_default_id_tells_its_owner_in_a_domain_too(dns: RecordingRegistry) -> None:
    """No claim is needed, and the next agent finds its orphans."""
    run(dns, DNS, named("web"))
    assert dns.keys() == {f"{DNS.prefix}/nginx/core-01--web--80": '{"host":"192.0.2.1","port":8000}'}
    assert claims(dns, DNS.prefix) == set()
    assert reasons(run(dns, DNS)) == [("delete", "orphan")]
    assert dns.keys() == {}


def test_an_id_that_became_a_hash_is_claimed(dns: RecordingRegistry) -> None:
    """So the next agent knows it for its own, changes it, and removes it when its container is gone."""
    run(dns, DNS, named("Web"))
    assert set(dns.keys()) == claims(dns, DNS.prefix) == {HASHED}
    assert reasons(run(dns, DNS, named("Web", number=9000))) == [("update", "changed")]
    assert reasons(run(dns, DNS, named("Web", number=9000))) == []
    run(dns, DNS, odd="Web")
    assert set(dns.keys()) == {HASHED}
    assert reasons(run(dns, DNS)) == [("delete", "orphan")]
    assert dns.keys() == {}
    run(dns, DNS)
    assert claims(dns, DNS.prefix) == set()


def test_an_agent_that_is_killed_leaves_no_orphan(dns: RecordingRegistry) -> None:
    """The claim is written before the record that it is about."""
    run(dns, DNS, named("Web"))
    assert dns.writes == [f"record {RecordKeys(DNS.prefix).record('core-01')}", f"create {HASHED}"]


def test_another_hosts_records_are_let_be(dns: RecordingRegistry) -> None:
    """Whatever became of their ids."""
    run(dns, DNS, named("Web"), named("app"), owner="core-02")
    theirs = dns.keys()
    assert reasons(run(dns, DNS)) == []
    assert run(dns, DNS).plan.foreign == 2
    assert dns.keys() == theirs


def test_a_shared_id_is_his_who_has_it(dns: RecordingRegistry) -> None:
    """As in the plain layout."""
    run(dns, DNS, named("one", "SERVICE_ID=Shared.id"))
    report = run(dns, DNS, named("two", "SERVICE_ID=Shared.id", number=9000), owner="core-02")
    assert [refusal.reason.value for refusal in report.plan.refusals] == ["conflict"]
    assert reasons(run(dns, DNS)) == [("delete", "orphan")]


def test_registrators_own_key_makes_room(dns: RecordingRegistry) -> None:
    """Its colons tell whose it is, and nobody wants it any more."""
    dns.put(f"{DNS.prefix}/nginx/core-01:web:80", '{"host":"192.0.2.1","port":8000}')
    dns.put(f"{DNS.prefix}/nginx/core-02:web:80", '{"host":"192.0.2.2","port":8000}')
    assert reasons(run(dns, DNS, named("web"))) == [("create", "new"), ("delete", "orphan")]
    assert sorted(dns.keys()) == [f"{DNS.prefix}/nginx/core-01--web--80", f"{DNS.prefix}/nginx/core-02:web:80"]


def test_one_bad_attribute_stops_no_other(dns: RecordingRegistry) -> None:
    """It is refused, and a record of it never written."""
    good, bad = named("good", "SERVICE_PRIORITY=10"), named("bad", "SERVICE_PRIORITY=high")
    report = run(dns, DNS, good, bad)
    assert [(each.container.name, each.reason.value) for each in report.plan.refusals] == [("bad", "bad-attribute")]
    ((key, value),) = dns.keys().items()
    assert (dns_name(key), read_service(value).priority) == ("core-01--good--80.nginx.cluster.local", 10)
    assert report.succeeded


def test_a_whole_domain_can_be_deregistered(dns: RecordingRegistry) -> None:
    """By the ids that tell their owner, and by the record."""
    run(dns, DNS, named("Web"), named("app"))
    run(dns, DNS, named("web"), owner="core-02")
    planned = removal_plan(Owner("core-01", DNS, FakeTime().clock), dns)
    assert {change.key for change in planned.changes} == {HASHED, f"{DNS.prefix}/nginx/core-01--app--80"}


def test_what_is_unreadable_is_counted(dns: RecordingRegistry) -> None:
    """Among what is others'."""
    dns.put(f"{DNS.prefix}/nginx/x", "192.0.2.1:80")
    dns.put(f"{DNS.prefix}/nginx/y", '{"host":"192.0.2.1","port":80}')
    plan = run(dns, DNS).plan
    assert (plan.foreign, plan.unreadable) == (2, 1)


# Value formats.

MIXED = (named("web"), named("db", "SERVICE_ID=db-1", number=9000), named("log", "SERVICE_ID=log-1", number=9001))


@pytest.mark.parametrize(("before", "after"), [(PLAIN, AS_JSON), (AS_JSON, PLAIN)], ids=["to-json", "from-json"])
def test_another_format_is_an_update_of_every_key_in_one_pass(before: PlainLayout, after: PlainLayout) -> None:
    """Custom ids too, of an agent that has just been started with the other flag; and nothing after that."""
    registry = RecordingRegistry()
    run(registry, before, *MIXED)
    report = run(registry, after, *MIXED)
    assert reasons(report) == [("update", "changed")] * 3
    assert report.plan.refusals == ()
    assert {value[0] for value in registry.keys().values()} == ({"{"} if after is AS_JSON else {"1"})
    writes = len(registry.writes)
    quiet = run(registry, after, *MIXED)
    assert [change.action for change in quiet.plan.changes] == [Action.RECORD]
    assert run(registry, after, *MIXED).plan.changes == ()
    assert len(registry.writes) == writes + 1


def test_a_crash_amid_the_change_is_made_good() -> None:
    """Some keys have the one form, and some the other; one that could not be written is ours still."""
    registry = RecordingRegistry()
    run(registry, PLAIN, *MIXED)
    registry.failing = lambda change: change.key.endswith("db-1")
    assert not run(registry, AS_JSON, *MIXED).succeeded
    registry.failing = lambda change: False
    assert reasons(run(registry, AS_JSON, *MIXED)) == [("update", "changed")]
    assert all(json.loads(value) for value in registry.keys().values())


def test_a_fleet_amid_the_change_counts_nothing_as_unreadable() -> None:
    """Each host reads both forms of the others'."""
    registry = RecordingRegistry()
    run(registry, PLAIN, *MIXED)
    run(registry, AS_JSON, named("app"), owner="core-02")
    for layout, owner, foreign in ((PLAIN, "core-01", 1), (AS_JSON, "core-02", 3)):
        plan = run(registry, layout, *(MIXED if owner == "core-01" else [named("app")]), owner=owner).plan
        assert (plan.foreign, plan.unreadable) == (foreign, 0)


def test_json_of_a_container_follows_what_it_says() -> None:
    """Another image, tag or attribute is another value, as another port is."""
    registry = RecordingRegistry()
    run(registry, AS_JSON, named("web"))
    report = run(registry, AS_JSON, named("web", "SERVICE_TAGS=a,b", "SERVICE_REGION=eu"))
    assert [change.reason for change in report.plan.visible] == [Reason.CHANGED]
    (value,) = registry.keys().values()
    document = json.loads(value)
    assert (document["tags"], document["attributes"]) == (["a", "b"], {"region": "eu"})
    assert document["container"] == {"id": "id-web", "image": "nginx", "name": "web"}
