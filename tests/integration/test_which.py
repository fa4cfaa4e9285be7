"""Which containers are registered, and with which address: each flag on a real engine."""

from __future__ import annotations

import json

import pytest

from tests.support.agent import run_once
from tests.support.host import Host

#: A HEALTHCHECK that passes while a file exists, and that runs often enough for a test. If a container is paused in the
#: middle of a check, the check counts as failed after its time-out, which is one second here and 30 s by default.
CHECKED = "--health-cmd 'ls /tmp/ok' --health-interval 200ms --health-retries 1 --health-timeout 1s"

SUBNETS = {"front": "172.28.0.0/24", "back": "172.28.1.0/24"}


def address(host: Host, name: str, network: str, family: str = "IPAddress") -> str:
    """Return the container's address on a network, as the engine says."""
    return str(host.engine.inspect(name)["NetworkSettings"]["Networks"][network][family])


def refusals(output: str) -> dict[str, str]:
    """Return what was refused: container to everything that is said about it."""
    lines = [line.split(maxsplit=3) for line in output.splitlines() if line.startswith("!")]
    return {name: f"{port}  {rest}" for _, name, port, rest in lines}


@pytest.fixture
def networks(host: Host) -> Host:
    """A host with two networks."""
    return with_networks(host)


def with_networks(host: Host) -> Host:
    """Give the host two networks."""
    for name, subnet in SUBNETS.items():
        host.engine.docker("network", "create", "--subnet", subnet, name)
    return host


def test_with_health_healthy_a_container_has_entries_while_it_is_healthy(host: Host) -> None:
    """With `--health healthy`, a container has entries exactly while it is healthy. The engine calls a paused container
    with a HEALTHCHECK unhealthy."""
    docker = host.engine.docker
    host.start("plain")
    agent = host.agent("--health", "healthy").wait_ready()
    host.start("web", flags=CHECKED)
    docker("pause", "plain")
    both = host.expected()
    plain = {host.key("plain"): both[host.key("plain")]}
    assert host.keys() == plain
    docker("exec", "web", "sh", "-c", "echo > /tmp/ok")
    host.wait_for(both)
    docker("exec", "web", "/bin/busybox", "rm", "/tmp/ok")
    host.wait_for(plain)
    docker("exec", "web", "sh", "-c", "echo > /tmp/ok")
    host.wait_for(both)
    docker("pause", "web")
    host.wait_for(plain)
    docker("unpause", "web")
    host.wait_for(both)
    assert agent.running


def test_by_default_the_health_of_a_container_does_not_matter(host: Host) -> None:
    """By default a container is registered as soon as it runs. With `--health=healthy`, it is not while its check
    fails."""
    host.start("web", flags=CHECKED)
    assert host.reconcile().returncode == 0
    assert host.keys() == host.expected()
    assert host.reconcile("--health=healthy").returncode == 0
    assert host.keys() == {}


def test_only_containers_that_the_filters_select_have_entries(host: Host) -> None:
    """With `--filter`, only selected containers have entries; those of others are removed. Values may have spaces and
    commas. A container in the network of one that is not selected still gets its address."""
    host.start("one", flags="--label public --label 'team=a b,c'")
    host.start("two", flags="--label public")
    host.start("three")
    published = host.expected()
    host.engine.run("--name side --network container:three --label side -e SERVICE_NAME=side worker:1")
    assert host.reconcile().returncode == 0
    everything = host.keys()
    of_three = {f"side/{host.owner}:side:9000": f"{address(host, 'three', host.engine.default_network)}:9000"}
    assert everything == published | of_three
    for flags, names in (
        (("--filter", "label=public"), ("one", "two")),
        (("--filter", "label=public", "--filter=label=team=a b,c"), ("one",)),
        (("--filter", "name=two", "--filter", "name=three"), ("two", "three")),
        (("--filter", "network=nowhere"), ()),
    ):
        done = host.reconcile(*flags)
        assert done.returncode == 0, done.stderr
        assert host.keys() == {host.key(name): everything[host.key(name)] for name in names}
    assert host.reconcile("--filter", "label=side").returncode == 0
    assert host.keys() == of_three
    env = {"WHARFINGER_FILTER": "label=public name=one"}
    done = run_once(host.engine.socket_url, "reconcile", "-ip", host.engine.address, host.uri, env=env)
    assert done.returncode == 0, done.stderr
    assert host.keys().keys() == {host.key("one")}


def test_an_agent_applies_its_filters_in_every_pass(host: Host) -> None:
    """An agent applies its filters in each pass, not only in the first."""
    host.start("before", flags="--label public")
    agent = host.agent("--filter", "label=public").wait_ready()
    host.start("hidden")
    host.start("after", flags="--label public")
    expected = host.expected()
    del expected[host.key("hidden")]
    host.wait_for(expected)
    host.engine.docker("rm", "--force", "before")
    del expected[host.key("before")]
    host.wait_for(expected)
    assert agent.running


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("bogus=x", "cannot read the Docker engine: it refuses --filter: invalid filter 'bogus'"),
        ("status=odd", "it refuses --filter: invalid filter 'status=odd'"),
        ("label", "--filter 'label': it should be NAME=VALUE"),
    ],
)
def test_a_wrong_filter_is_an_error_and_nothing_is_written(host: Host, given: str, words: str) -> None:
    """A wrong filter is an error, with the engine's message if the engine refuses it, and nothing is written. Engines
    before 26 begin that message with a capital letter."""
    host.start("web")
    assert host.reconcile().returncode == 0
    done = host.reconcile("--filter", given)
    assert done.returncode == 1
    assert words in (done.stdout + done.stderr).replace("Invalid filter", "invalid filter")
    assert host.keys() == host.expected()


def test_a_container_or_a_flag_selects_the_network_whose_address_is_registered(networks: Host) -> None:
    """SERVICE_NETWORK selects the network of a container or a port, and `--network` that of all others. A container
    that is not on its network is refused, and others are registered."""
    host = networks
    run, connect = host.engine.run, host.engine.docker
    run("--name plain --network front worker:1")
    run("--name told --network front -e SERVICE_NETWORK=back worker:1")
    run("--name label --network front --label SERVICE_9000_NETWORK=back worker:1")
    run("--name side --network container:told -e SERVICE_NETWORK=front worker:1")
    run("--name alone --network front -e SERVICE_NETWORK=back worker:1")
    for name in ("plain", "told", "label"):
        connect("network", "connect", "back", name)

    def expected(**of: str) -> dict[str, str]:
        return {host.key(name): f"{place}:9000" for name, place in of.items()}

    told = {"told": address(host, "told", "back"), "label": address(host, "label", "back")}
    side = address(host, "told", "front")
    for flags, plain in (((), "front"), (("--network", "back"), "back")):
        done = host.reconcile("-internal", *flags)
        assert done.returncode == 0, done.stderr
        assert host.keys() == expected(plain=address(host, "plain", plain), side=side, **told)
        assert refusals(done.stdout) == {
            "alone": "9000/tcp  container 'alone' is not on the network 'back', "
            "which environment variable SERVICE_NETWORK asks for  (no-address)"
        }


def test_a_network_applies_only_to_internal_addresses(networks: Host) -> None:
    """`--network` without `-internal` is an error. SERVICE_NETWORK without it has no effect."""
    networks.start("web", flags="-e SERVICE_NETWORK=back")
    done = networks.reconcile("--network", "back")
    assert done.returncode == 1
    assert "--network 'back' applies to addresses of -internal and -ip-from-container only" in done.stderr
    assert networks.reconcile().returncode == 0
    assert networks.keys() == networks.expected()


def test_only_internal_addresses_of_the_chosen_family_are_registered(host: Host) -> None:
    """With `-internal`, a container gets its IPv4 address if `--ip-family` permits that. A container without an address
    of the family is refused."""
    create = ("network", "create", "--ipv6", "--subnet", "fd00:28::/64", "--subnet", SUBNETS["front"], "dual")
    host.engine.docker(*create)
    host.engine.docker("network", "create", "--subnet", SUBNETS["back"], "back")
    host.engine.run("--name web --network dual worker:1")
    host.engine.run("--name old --network back worker:1")
    v4 = {
        host.key("web"): f"{address(host, 'web', 'dual')}:9000",
        host.key("old"): f"{address(host, 'old', 'back')}:9000",
    }
    v6 = {host.key("web"): f"[{address(host, 'web', 'dual', 'GlobalIPv6Address')}]:9000"}
    for family, expected in (("any", v4), ("ipv4", v4), ("ipv6", v6)):
        # `host.reconcile` cannot be used here, because it passes the engine's IPv4 address as -ip, which is wrong for
        # ipv6.
        done = run_once(host.engine.socket_url, "reconcile", "-internal", "--ip-family", family, host.uri)
        assert done.returncode == 0, done.stderr
        assert host.keys() == expected
    assert refusals(done.stdout) == {"old": "9000/tcp  container 'old' has no IPv6 address of its own  (no-address)"}


def test_only_ports_published_in_the_chosen_family_are_registered(host: Host) -> None:
    """A port is registered only if it is published in the family of `-ip`, and not on a loopback address alone, as
    nobody could reach it otherwise."""
    host.engine.run("--name both -p 8080:9000 worker:1")
    host.engine.run(f"--name four -p {host.engine.address}:8081:9000 worker:1")
    host.engine.run("--name six -p [::1]:8082:9000 worker:1")
    done = host.reconcile("-ip", "2001:db8::7", "--ip-family", "ipv6")
    assert host.keys() == {host.key("both"): "[2001:db8::7]:8080"}
    assert refusals(done.stdout) == {
        "four": "9000/tcp  it is not published on an IPv6 address  (no-address)",
        "six": "9000/tcp  it is published on ::1 alone, and not on 2001:db8::7  (no-address)",
    }
    done = host.reconcile("--ip-family", "ipv4")
    place = host.engine.address
    assert host.keys() == {host.key("both"): f"{place}:8080", host.key("four"): f"{place}:8081"}
    assert refusals(done.stdout) == {"six": "9000/tcp  it is not published on an IPv4 address  (no-address)"}
    done = host.reconcile("--ip-family", "ipv6")
    assert done.returncode == 1
    assert f"-ip {place!r} is not an IPv6 address" in done.stderr


def test_metadata_for_tcp_and_udp_on_one_port_are_independent(host: Host) -> None:
    """A variable or label with a protocol in its name applies to that protocol's port, and has precedence over one
    without."""
    metadata = "-e SERVICE_53_UDP_NAME=dns-udp --label SERVICE_53_tcp_name=dns-tcp -e SERVICE_53_NAME=neither"
    host.engine.run(f"--name dns -p 5353:53/tcp -p 5353:53/udp {metadata} -e SERVICE_53_UDP_ID=u dns:1")
    assert host.reconcile().returncode == 0
    place = f"{host.engine.address}:5353"
    assert host.keys() == {f"dns-tcp/{host.owner}:dns:53": place, "dns-udp/u": place}


def test_with_all_bindings_every_binding_that_answers_has_an_entry(host: Host) -> None:
    """With `--all-bindings`, each binding has an entry, and the one on the address of `-ip` keeps the id. A binding on
    a loopback address has none. Without the flag, the others are orphans and are deleted."""
    here = host.engine.address
    host.engine.run(f"--name web -p 8080:9000 -p 8081:9000 -p {here}:8082:9000 -p 127.0.0.1:8083:9000 worker:1")
    bindings = host.engine.inspect("web")["NetworkSettings"]["Ports"]["9000/tcp"]
    assert len(bindings) == 6, json.dumps(bindings)
    assert host.reconcile().returncode == 0
    one = {host.key("web"): f"{here}:8082"}
    assert host.keys() == one
    done = host.reconcile("--all-bindings")
    assert done.returncode == 0, done.stderr
    assert host.keys() == one | {f"{host.key('web')}:{port}": f"{here}:{port}" for port in (8080, 8081)}
    assert "0 to create, 0 to update, 0 to delete" in host.reconcile("--all-bindings", "--dry-run").stdout
    done = host.reconcile("--delete-guard=0")
    assert done.stdout.count("(orphan: ") == 2
    assert host.keys() == one


def test_without_an_ip_only_bindings_on_a_named_address_are_registered(host: Host) -> None:
    """Without `-ip`, a binding on a named address is registered with it. A binding on all addresses is refused: this
    host knows no address that others could reach."""
    here = host.engine.address
    host.engine.run(f"--name web -p 8081:9000 -p {here}:8082:9000 -p [::1]:8083:9000 worker:1")
    done = run_once(host.engine.socket_url, "reconcile", "--all-bindings", host.uri)
    places = {f"{here}-8082": f"{here}:8082", "--1-8083": "[::1]:8083"}
    assert host.keys() == {f"{host.key('web')}:{mark}": place for mark, place in places.items()}
    assert done.stdout.count("(no-address)") == 1
