"""Networks of a real engine: which of a container's addresses and ports answer, and what is registered of them."""

from __future__ import annotations

import json
import signal
import urllib.request
from typing import Any

from tests.support.agent import run_once
from tests.support.host import Host
from tests.support.waiting import wait_until

#: A server whose ports 80 and 8080 answer, and which is registered with port 80 alone.
WEB = "-e SERVICE_8080_IGNORE=yes -e SERVICE_80_NAME=web web"

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(place: str) -> bool:
    """Return whether a web server answers at this address and port."""
    try:
        with _opener.open(f"http://{place}/", timeout=1) as response:
            return bool(response.read().startswith(b"hello from"))
    except OSError:
        return False


def registered(host: Host) -> dict[str, str]:
    """Return the values that are registered, by the names of their containers."""
    return {key.split(":")[1]: value for key, value in host.keys().items()}


def refused(host: Host, *flags: str) -> dict[str, str]:
    """Return the reasons of the refusals of one pass, by the names of their containers."""
    done = run_once(host.engine.socket_url, "reconcile", "--dry-run", "-o", "json", *flags, host.uri)
    document: dict[str, Any] = json.loads(done.stdout)
    return {each["container"]: each["reason"] for each in document["refused"]}


def test_only_ports_that_answer_are_registered_whatever_happens_to_the_networks(host: Host) -> None:
    """A port that the engine does not map is refused: on an internal network, on no network, and after the container
    was disconnected while it ran. It has its key again once the engine maps it again."""
    engine = host.engine
    engine.docker("network", "create", "--internal", "closed")
    engine.docker("network", "create", "front")
    engine.run(f"--name inside --network closed -p 18201:80 {WEB}")
    engine.run(f"--name all-inside --network closed -P {WEB}")
    engine.run(f"--name cut --network front -p 18202:80 {WEB}")
    engine.run(f"--name off-bridge -p 18203:80 {WEB}")
    engine.run(f"--name moved --network closed -p 18204:80 {WEB}")
    engine.run(f"--name stays --network front -p 18205:80 {WEB}")
    engine.run(f"--name alone --network none -p 18206:80 {WEB}")
    engine.docker("network", "connect", "front", "moved")
    host.agent().wait_ready()
    mapped = {"cut": 18202, "off-bridge": 18203, "moved": 18204, "stays": 18205}
    places = {name: f"{engine.address}:{port}" for name, port in mapped.items()}
    assert registered(host) == places
    wait_until(lambda: all(map(answers, places.values())), 10, "the servers to answer")
    engine.docker("network", "disconnect", "front", "cut")
    engine.docker("network", "disconnect", "bridge", "off-bridge")
    # The engine goes on to show that this port is mapped.
    engine.docker("network", "disconnect", "front", "moved")
    wait_until(lambda: registered(host) == {"stays": places["stays"]}, 10, "the keys of the others to go")
    assert [name for name, place in places.items() if answers(place)] == ["stays"]
    others = ("inside", "all-inside", "cut", "off-bridge", "moved", "alone")
    assert refused(host, "-ip", engine.address) == dict.fromkeys(others, "not-published")
    for network, name in (("front", "cut"), ("bridge", "off-bridge"), ("front", "moved")):
        engine.docker("network", "connect", network, name)
    wait_until(lambda: registered(host) == places, 10, "the keys to return")


def test_the_network_that_a_container_was_started_on_may_be_given_by_its_id(host: Host) -> None:
    """With -internal, its own network's address is registered, whether the network was given by its name, its id, or
    the beginning of the id. A network whose name looks like an id is known by its name."""
    engine = host.engine
    own = engine.docker("network", "create", "own")
    names = {"by-name": "own", "by-id": own, "by-short-id": own[:12], "by-shortest": own[:5], "by-hex-name": "0a0b0c"}
    engine.docker("network", "create", "0a0b0c")
    engine.docker("network", "create", "another")
    for name, network in names.items():
        engine.run(f"--name {name} --network {network} {WEB}")
        engine.docker("network", "connect", "another", name)
    done = run_once(engine.socket_url, "reconcile", "-internal", host.uri)
    assert done.returncode == 0, done.stderr
    expected = {}
    for name in names:
        ends = engine.inspect(name)["NetworkSettings"]["Networks"]
        expected[name] = f"{ends['0a0b0c' if name == 'by-hex-name' else 'own']['IPAddress']}:80"
    assert registered(host) == expected


def test_the_binding_that_listens_on_the_registered_address_is_registered(host: Host) -> None:
    """Loopback bindings lead nobody to the container, the order of the bindings does not matter, and a port that is
    published on the loopback alone is refused."""
    engine = host.engine
    engine.run(f"--name first -p 18210:80 -p 127.0.0.1:18211:80 {WEB}")
    engine.run(f"--name last -p 127.0.0.1:18213:80 -p '[::1]:18214:80' -p 18215:80 {WEB}")
    engine.run(f"--name lower -p 18216:80 -p 18217:80 {WEB}")
    engine.run(f"--name own -p 18218:80 -p {engine.address}:18219:80 {WEB}")
    engine.run(f"--name loopback -p 127.0.0.1:18220:80 {WEB}")
    ip = engine.address
    assert host.reconcile().returncode == 0
    places = {"first": f"{ip}:18210", "last": f"{ip}:18215", "lower": f"{ip}:18216", "own": f"{ip}:18219"}
    assert registered(host) == places
    wait_until(lambda: all(map(answers, places.values())), 10, "the servers to answer")
    assert refused(host, "-ip", ip) == {"loopback": "no-address"}
    done = run_once(engine.socket_url, "reconcile", host.uri)
    assert registered(host)["loopback"] == "127.0.0.1:18220"
    assert "! loopback 80/tcp  is registered with 127.0.0.1, which only this host can dial" in done.stdout


def test_a_container_in_a_network_that_its_holder_left_is_refused_until_it_is_restarted(host: Host) -> None:
    """The restart of the holder leaves it in a dead network, where nobody reaches it. If both are restarted between two
    passes, the key stays."""
    engine = host.engine
    engine.run("--name holder noports:1")
    engine.run(f"--name side --network container:holder {WEB}")
    agent = host.agent().wait_ready()
    place = f"{engine.inspect('holder')['NetworkSettings']['IPAddress']}:80"
    assert registered(host) == {"side": place}
    # The pass must not see the holder while it is down.
    agent.signal(signal.SIGSTOP)
    engine.docker("restart", "--time", "0", "holder")
    agent.signal(signal.SIGCONT)
    wait_until(lambda: not registered(host), 10, "the key to go")
    assert refused(host, "-ip", engine.address) == {"side": "no-address"}
    engine.docker("restart", "--time", "0", "side")
    wait_until(lambda: registered(host) == {"side": place}, 10, "the key to return")
    agent.signal(signal.SIGSTOP)
    engine.docker("restart", "--time", "0", "holder", "side")
    agent.signal(signal.SIGCONT)
    agent.wait_for_passes(3)
    assert registered(host) == {"side": place}
    assert agent.log().count("action=delete") == 1


def test_published_ports_are_registered_at_their_containers(host: Host) -> None:
    """With -ip-from-container, that is so for these ports alone. What is only exposed is left out, and a container with
    host networking has the host's address."""
    engine = host.engine
    engine.docker("network", "create", "side")
    engine.run(f"--name default -p 18211:80 {WEB}")
    engine.run(f"--name inner --network side -p 127.0.0.1:18212:80 {WEB}")
    engine.run(f"--name exposed {WEB}")
    engine.run(f"--name host --network host {WEB}")
    assert host.reconcile("-ip-from-container").returncode == 0
    inspected = {each["Name"].lstrip("/"): each["NetworkSettings"] for each in engine.inspect_all()}
    own = {
        "default": inspected["default"]["Networks"]["bridge"]["IPAddress"],
        "inner": inspected["inner"]["Networks"]["side"]["IPAddress"],
        "host": engine.address,
    }
    assert registered(host) == {name: f"{address}:80" for name, address in own.items()}
