"""Tests of the pass of an agent that does not know this host's address: what is registered is held."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from model.family import Family
from model.layout import Layout, PlainLayout, ValueFormat
from model.record import Claim, OwnerRecord, RecordKeys
from model.report import PassReport, PassResult
from model.rules import AddressRules
from model.skydns import SkyDnsLayout
from model.stored import Lifetime
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, owner_record, serving

LAYOUTS: dict[str, Layout] = {
    "plain": PlainLayout("/services"),
    "json": PlainLayout("/services", ValueFormat.JSON),
    "skydns": SkyDnsLayout("/skydns/local/cluster"),
}

CONTAINERS = serving("web"), serving("db", "SERVICE_ID=redis-1", number=8001), serving("Odd", number=8002)


@pytest.fixture(params=LAYOUTS)
def host(request: pytest.FixtureRequest) -> Host:
    """Return a host whose agent registered its containers under the address of -ip, and was then started again without
    -ip."""
    layout = LAYOUTS[request.param]
    host = Host(*CONTAINERS, registry=RecordingRegistry(layout.prefix), layout=layout)
    host.has_a_pass()
    assert len(host.registry.keys()) == 3
    host.restarts()
    guesses(host, "127.0.0.1")
    return host


def guesses(host: Host, address: str, **address_rules: Any) -> None:
    """Remove the host's -ip, and let the agent guess this address."""
    rules = evolve(host.settings.rules, address=AddressRules(**address_rules))
    host.settings = evolve(host.settings, rules=rules, local_address=lambda: address)


def held_keys(report: PassReport) -> set[str]:
    """Return the keys that the pass held."""
    return {each.key for each in report.plan.held}


@pytest.mark.parametrize("guessed", ["127.0.0.1", "::1", "", "172.17.0.2"], ids=repr)
def test_entries_of_running_containers_are_held_and_the_host_is_not_ready(host: Host, guessed: str) -> None:
    """No pass writes anything, and the problem names the flag that cures it."""
    guesses(host, guessed)
    before, version = host.registry.keys(), host.registry.version
    for _ in range(3):
        report = host.tries_a_pass()
        assert (report.result, held_keys(report)) == (PassResult.NO_ADDRESS, set(before))
        assert report.problem.startswith("no port of this host can be registered: ")
        assert report.problem.endswith("give the host's address with -ip")
        assert [each.reason.value for each in report.plan.refusals] == ["no-address"] * 3
    assert (host.registry.keys(), host.registry.version) == (before, version)


def test_an_address_of_the_wrong_family_holds_the_entries(host: Host) -> None:
    """The ports are published on both families, but the host has no address of the family that the operator chose."""
    host.runs(
        *(
            evolve(
                each,
                published={
                    port: (binding, evolve(binding, address="::")) for port, (binding,) in each.published.items()
                },
            )
            for each in CONTAINERS
        )
    )
    before = host.registry.keys()
    guesses(host, "192.0.2.1", family=Family.IPV6)
    assert host.tries_a_pass().result is PassResult.NO_ADDRESS
    assert host.registry.keys() == before


def test_entries_of_containers_that_ended_or_have_another_port_are_deleted(host: Host) -> None:
    """The keys of these two containers are wrong whatever the address is. The key of the third container is held."""
    web, _, odd = CONTAINERS
    moved = serving("Odd", number=9002)
    host.runs(web, moved)
    report = host.tries_a_pass()
    assert [each.action.value for each in report.plan.visible] == ["delete", "delete"]
    assert host.registry.keys().keys() == held_keys(report)
    assert len(held_keys(report)) == 1
    assert odd.id == moved.id


def test_a_container_that_starts_has_no_entry_until_the_address_is_known(host: Host) -> None:
    """Once the address is known, all entries are written."""
    new = serving("new", number=8003)
    host.runs(*CONTAINERS, new)
    before = host.registry.keys()
    host.tries_a_pass()
    assert host.registry.keys() == before
    guesses(host, "192.0.2.1")
    host.has_a_pass()
    assert len(host.registry.keys()) == 4
    assert all("192.0.2.1" in value for value in host.registry.keys().values())


def test_held_entries_are_renewed(host: Host) -> None:
    """Entries with a lifetime (-ttl) would expire if they were not renewed."""
    host.settings = evolve(host.settings, lifetime=Lifetime(30, 10))
    report = host.tries_a_pass()
    assert [each.action.value for each in report.plan.changes] == ["renew"] * 3


def test_the_claims_to_held_keys_stay_though_another_host_claims_the_same_values(host: Host) -> None:
    """A standby on another host claims the same keys with the same address and port. This host keeps its claims,
    because it still wants its keys."""
    prefix = host.settings.layout.prefix
    claims = owner_record(host.registry, prefix=prefix).claims
    assert claims
    theirs = OwnerRecord("ENGINE-2", {key: Claim.of("id-2", [host.registry.keys()[key]]) for key in claims})
    host.registry.put(RecordKeys(prefix).record("core-02"), theirs.encode())
    host.tries_a_pass()
    assert owner_record(host.registry, prefix=prefix).claims == claims


def test_one_port_with_an_address_makes_the_host_ready(host: Host) -> None:
    """The other ports are refused, and their entries are held, all the same."""
    label = {"my.ip": "10.9.8.7"}
    host.runs(*CONTAINERS, evolve(serving("told", number=8003), labels=label))
    guesses(host, "", label="my.ip")
    report = host.has_a_pass()
    assert len(held_keys(report)) == len(report.plan.refusals) == 3
    assert len(host.registry.keys()) == 4
