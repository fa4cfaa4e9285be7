"""Records for DNS servers and JSON values, on a real engine and a real etcd.

``tests/support/coredns.py`` implements CoreDNS's rules for reading records. ``tests/contract/test_coredns.py`` compares
it with a real CoreDNS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import run_once
from tests.support.coredns import Service
from tests.support.dns_host import DnsHost
from tests.support.etcd_server import EtcdServer
from tests.support.host import SCHEMES, Host, on_both
from tests.support.waiting import wait_until

#: The flags for an owner that does not depend on the machine.
NAMED = ("--hostname", "core-01")


@pytest.fixture
def dns(host: Host, fresh_etcd: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DnsHost]:
    """The same engine with an etcd of the test's own, through its v2 API unless the test says otherwise."""
    dns = DnsHost(host.engine, fresh_etcd, tmp_path, getattr(request, "param", 2))
    yield dns
    dns.close()


@on_both("dns")
def test_every_record_that_is_written_can_be_read_by_coredns(dns: DnsHost) -> None:
    """Default ids become labels, ids that are labels stay, and attributes get their types. What cannot be a record is
    refused, and other containers are registered."""
    dns.start("web", flags="-e SERVICE_PRIORITY=10 -e SERVICE_WEIGHT=20 -l SERVICE_TTL=60 -e SERVICE_REGION=eu")
    dns.start("one", flags="-e SERVICE_ID=db-1 -e SERVICE_NAME=Team/DB -e SERVICE_TEXT=a,b -e SERVICE_MAIL=true")
    dns.start("two", flags="-e SERVICE_ID=db.2 -e SERVICE_9000_GROUP=g -e SERVICE_TARGETSTRIP=1")
    dns.start("high", flags="-e SERVICE_PRIORITY=1 -l SERVICE_9000_Priority=high")
    dns.start("dotted", flags="-e SERVICE_9000_tcp_NAME=a.b")
    done = dns.reconcile(*NAMED)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  label SERVICE_9000_Priority 'high' must be a whole number from 0 to 65535  (bad-attribute)" in done.stdout
    assert "  environment variable SERVICE_9000_tcp_NAME 'a.b' is no DNS label" in done.stdout
    host, services, ttl = dns.engine.address, dns.services(), 30 if dns.api == 3 else 0
    (hashed,) = (name for name in services if name.startswith("db-2--"))
    assert services == {
        "core-01--web--9000.worker.cluster.local": Service(host, dns.port("web"), priority=10, weight=20, ttl=60),
        "db-1.db.team.cluster.local": Service(host, dns.port("one"), text="a,b", mail=True, ttl=ttl),
        hashed: Service(host, dns.port("two"), ttl=ttl, targetstrip=1, group="g"),
    }
    again = dns.reconcile(*NAMED, "--exit-code")
    assert (again.returncode, again.stdout.splitlines()[-1][:18]) == (4, "Plan: 0 to create,")


@on_both("dns")
def test_a_hashed_id_is_removed_with_its_container_even_after_the_agent_was_killed(dns: DnsHost) -> None:
    """A container's name with a capital letter is no label, so its key gets a hash and does not name its owner. The
    owner record claims it, so the next agent removes it when the container is gone."""
    agent = dns.agent(*NAMED)
    dns.start("Web", "web")
    wait_until(lambda: len(dns.keys()) == 2, what="both keys")
    agent.kill9()
    before = dns.keys()
    assert sorted(key.partition("--")[0] for key in before) == ["worker/core-01", "worker/core-01-web-9000"]
    dns.engine.docker("rm", "--force", "Web")
    dns.agent(*NAMED)
    expected = {key: value for key, value in before.items() if key == "worker/core-01--web--9000"}
    dns.wait_for(expected)
    dns.start("Web")
    wait_until(lambda: dns.keys().keys() == before.keys(), what="the same keys as before")


def test_deregister_removes_hashed_ids_and_leaves_keys_of_others(dns: DnsHost) -> None:
    """`deregister` finds hashed ids through the owner record, and leaves keys of others alone."""
    dns.start("Web", "web")
    dns.store.put("/skydns/local/cluster/worker/core-02--web--9000", '{"host":"192.0.2.2","port":9000}')
    assert dns.reconcile(*NAMED).returncode == 0
    assert len(dns.keys()) == 3
    left = run_once(dns.engine.socket_url, "deregister", "--yes", "--wait", "0.1", *NAMED, dns.uri)
    assert (left.returncode, left.stdout.splitlines()[-1]) == (0, "Removed 2 of 2 entries of 'core-01'.")
    assert list(dns.keys()) == ["worker/core-02--web--9000"]


def test_a_rename_moves_the_record(dns: DnsHost) -> None:
    """A rename moves the record, here from a label that names its owner to one that does not."""
    dns.agent(*NAMED)
    dns.start("web")
    wait_until(lambda: list(dns.keys()) == ["worker/core-01--web--9000"], what="the key")
    dns.engine.docker("rename", "web", "Web.1")
    slug = "worker/core-01-web-1-9000--"
    wait_until(lambda: [key.startswith(slug) for key in list(dns.keys())] == [True], what="the key of the new name")


#: Flags of containers whose record would be about the zone itself, and how the refusal of each begins.
ABOUT_THE_ZONE = {
    "server": ("-e SERVICE_NAME=dns/ns", "environment variable SERVICE_NAME 'dns/ns' lies at 'dns/ns', from which"),
    "loud": ("-l SERVICE_NAME=DNS/NS/a", "label SERVICE_NAME 'DNS/NS/a' lies at 'dns/ns'"),
    "split": ("-e SERVICE_NAME=dns -l SERVICE_ID=ns", "label SERVICE_ID 'ns' under the name 'dns' lies at 'dns/ns'"),
    "apex": ("-e SERVICE_9000_NAME=dns/apex", "environment variable SERVICE_9000_NAME 'dns/apex' lies at 'dns/apex'"),
    "stub": ("-e SERVICE_NAME=dns/stub/com/example", "take the name servers to which they forward queries for other"),
    "deep": ("-e SERVICE_NAME=team/dns/ns", "environment variable SERVICE_NAME 'team/dns/ns' lies at 'dns/ns'"),
}


@on_both("dns")
def test_no_container_becomes_the_name_server_of_a_zone(dns: DnsHost) -> None:
    """Names at which CoreDNS and SkyDNS look for the zone's own records are refused. A service called `dns` is not."""
    for name, (flags, _) in ABOUT_THE_ZONE.items():
        dns.start(name, flags=flags)
    dns.start("resolver", flags="-e SERVICE_NAME=dns")
    done = dns.reconcile(*NAMED)
    for name, (_, why) in ABOUT_THE_ZONE.items():
        (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"! {name} "))
        assert why in line
    assert dns.keys().keys() == {"dns/core-01--resolver--9000"}


@on_both("dns")
def test_a_record_does_not_hide_one_that_is_there(dns: DnsHost) -> None:
    """A key below or above another host's key is refused while that key is there. Otherwise the lower one hides the
    upper one in CoreDNS."""
    theirs = {"shop/cart": '{"host":"192.0.2.2","port":1}', "team/app/core-01--upper--9000/x": "{}"}
    for key, value in theirs.items():
        dns.store.put(f"{dns.prefix}/{key}", value)
    dns.start("lower", flags="-e SERVICE_NAME=shop/cart")
    dns.start("deep", flags="-e SERVICE_NAME=Shop/Cart/deep -e SERVICE_ID=x")
    dns.start("upper", flags="-e SERVICE_NAME=team/app")
    dns.start("beside", flags="-e SERVICE_NAME=shop")
    dns.agent(*NAMED)
    left = {*theirs, "shop/core-01--beside--9000"}
    wait_until(lambda: dns.keys().keys() == left, what="the key that is in nobody's way")
    done = dns.reconcile(*NAMED, "--dry-run")
    refused = [line for line in done.stdout.splitlines() if line.endswith("(conflict)")]
    assert [line.split()[1] for line in refused] == ["deep", "lower", "upper"]
    assert f"while there is '{dns.prefix}/shop/cart'" in refused[0]
    dns.store.delete(f"{dns.prefix}/shop/cart")
    wait_until(lambda: len(dns.keys()) == 4, what="the keys for which there is room now")


@pytest.mark.parametrize("dns", [3], indirect=True)
def test_the_first_pass_after_an_upgrade_gives_each_record_its_ttl(dns: DnsHost) -> None:
    """The records of an older version have no TTL. Each becomes one of 30 seconds by an update, also under a custom id
    that only the owner record knows. SERVICE_TTL has precedence."""
    dns.start("web")
    dns.start("custom", flags="-e SERVICE_ID=db.1")
    dns.start("own", flags="-e SERVICE_TTL=7")
    without = dns.reconcile(*NAMED, "--record-ttl", "0")
    assert "3 to create" in without.stdout
    assert sorted(each.ttl for each in dns.services().values()) == [0, 0, 7]
    done = dns.reconcile(*NAMED)
    assert "Plan: 0 to create, 2 to update, 0 to delete, 1 in sync, 0 refused." in done.stdout
    assert sorted(each.ttl for each in dns.services().values()) == [7, 30, 30]
    assert dns.reconcile(*NAMED, "--exit-code").returncode == 0


@on_both("host")
def test_another_value_format_updates_every_key_in_one_pass(host: Host) -> None:
    """Another `--value-format` updates every key in one pass, custom ids included, and back again. Keys in the other
    format are not unreadable."""
    host.start("web")
    host.start("one", flags="-e SERVICE_ID=db-1 -e SERVICE_TAGS=a,b -e SERVICE_REGION=eu")
    host.start("two", flags="-e SERVICE_ID=db-2")
    assert host.reconcile(*NAMED).returncode == 0
    plain = host.keys()
    changed = host.reconcile(*NAMED, "--value-format", "json")
    assert (changed.returncode, changed.stderr) == (0, "")
    assert "Plan: 0 to create, 3 to update, 0 to delete, 0 in sync, 0 refused." in changed.stdout
    documents = {key: json.loads(value) for key, value in host.keys().items()}
    assert {key: f"{each['address']}:{each['port']}" for key, each in documents.items()} == plain
    one = documents["worker/db-1"]
    assert (one["name"], one["id"], one["protocol"]) == ("worker", "db-1", "tcp")
    assert (one["tags"], one["attributes"]) == (["a", "b"], {"region": "eu"})
    assert one["container"] == {"id": host.engine.inspect("one")["Id"], "image": "worker:1", "name": "one"}
    agent = host.agent(*NAMED).wait_ready()
    assert host.keys() == plain
    label = SCHEMES[host.api]
    assert agent.total("operations_total", action="update", registry=label, result="applied") == 3
    assert agent.metrics()[f'wharfinger_entries_unreadable{{registry="{label}"}}'] == 0


@on_both("host")
def test_templates_in_tags_are_replaced_by_what_the_engine_says(host: Host) -> None:
    """Those of a container and those of every entry are. A bad one is refused, and only for JSON values. A changed
    label, which takes another container, makes another value."""
    tags = 'SERVICE_TAGS=on-{{.Config.Hostname}},{{index .Config.Labels "tier"}}'
    run = host.engine.docker
    run("run", "-d", "--name", "cache", "-P", "--hostname", "c1", "-e", tags, "-l", "tier=db", "worker:1")
    run("run", "-d", "--name", "bad", "-P", "-e", "SERVICE_TAGS={{.Config.Env}}", "worker:1")
    flags = ("--value-format", "json", "-tags", "{{.HostConfig.NetworkMode}}", *NAMED)
    done = host.reconcile(*flags)
    assert json.loads(host.keys()["worker/core-01:cache:9000"])["tags"] == ["on-c1", "db", network_mode(host, "cache")]
    assert [*host.keys()] == ["worker/core-01:cache:9000"]
    assert "SERVICE_TAGS asks for '{{.Config.Env}}', which may have secrets in it; give a plain tag" in done.stdout
    assert "(bad-attribute)" in done.stdout
    assert "0 refused" in host.reconcile(*NAMED).stdout
    run("rm", "--force", "cache")
    run("run", "-d", "--name", "cache", "-P", "--hostname", "c2", "-e", tags, "worker:1")
    host.reconcile(*flags)
    assert json.loads(host.keys()["worker/core-01:cache:9000"])["tags"] == ["on-c2", network_mode(host, "cache")]


def network_mode(host: Host, name: str) -> str:
    """Return what the engine's own client says of a container's network."""
    return host.engine.docker("inspect", "--format", "{{.HostConfig.NetworkMode}}", name)
