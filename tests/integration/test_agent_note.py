"""The agent note, which an agent writes about itself beside its owner record, on real parts."""

from __future__ import annotations

import json
from typing import Any

from tests.support.agent import Agent, run_once
from tests.support.etcd_v3 import EtcdV3
from tests.support.host import Host, on_both
from tests.support.waiting import wait_until

DISAGREE = 'wharfinger_agents_disagree{registry="REGISTRY"}'


def note_of(host: Host) -> dict[str, Any] | None:
    """Return the agent note of a host, or None if there is none."""
    text = host.store.get(host.beside_record("agent"))
    found: dict[str, Any] | None = json.loads(text) if text else None
    return found


def disagrees(host: Host, agent: Agent) -> bool:
    """Return whether the metric of an agent says that another agent of its host has other flags."""
    return agent.metrics()[DISAGREE.replace("REGISTRY", "etcd3" if host.api == 3 else "etcd")] == 1


@on_both("host")
def test_an_agent_notes_how_long_it_may_take_to_answer_and_its_flags(host: Host) -> None:
    """An agent writes its note when it starts, and again if somebody removes the note. Idle passes write nothing, and
    who watches the prefix does not see the note."""
    host.start("one")
    begin = host.store.index() + 1
    agent = host.agent(
        "--pass-timeout", "7", "-tags", "a,b", "-internal=false", "--filter", "status=running"
    ).wait_ready()
    note = note_of(host)
    assert note is not None
    assert (note["interval"], note["pass_timeout"], note["max_backoff"]) == (0.2, 7.0, 30.0)
    assert note["flags"] == {"ip": host.engine.address, "tags": "a,b", "filter": "status=running"}
    agent.wait_for_passes(2)
    index = host.store.index()
    agent.wait_for_passes(10)
    assert host.store.index() == index
    host.store.delete(host.beside_record("agent"))
    wait_until(lambda: note_of(host) == note, 10, "the note")
    assert len([*host.store.changes(host.prefix, begin)]) == 1
    assert json.loads(host.store.get(host.beside_record("record")) or "").keys() == {"claims", "engine"}
    agent.restart().wait_ready()
    again = note_of(host)
    assert again is not None
    assert again["run"] != note["run"]
    assert again | {"run": note["run"]} == note


@on_both("host")
def test_the_note_outlives_keys_that_expire(host: Host) -> None:
    """The agent note has no lifetime, because somebody may ask whether the agent is alive after the keys of its host
    have expired."""
    host.start("one")
    host.agent("-ttl", "30", "-ttl-refresh", "10").wait_ready()
    if isinstance(host.store, EtcdV3):
        pair = host.store.node(host.beside_record("agent"))
        assert pair is not None
        assert pair.lease == 0
    else:
        assert "ttl" not in (host.etcd.node(host.beside_record("agent")) or {"ttl": 0})


@on_both("host")
def test_a_single_pass_writes_no_note(host: Host) -> None:
    """`reconcile` writes no agent note, with or without `--dry-run`, because it ends after its pass and nobody has to
    wait for its answer."""
    host.start("one")
    assert host.reconcile("--dry-run").returncode == 0
    assert host.store.get(host.beside_record("record")) is None
    assert host.reconcile().returncode == 0
    assert host.store.get(host.beside_record("record")) is not None
    assert note_of(host) is None


@on_both("host")
def test_the_note_goes_with_the_host(host: Host) -> None:
    """`deregister` removes the agent note together with the entries of the host."""
    host.start("one")
    host.agent().wait_ready().terminate()
    done = run_once("", "deregister", "--hostname", host.owner, "--yes", "--wait", "0.5", host.uri)
    assert (done.returncode, host.keys(), note_of(host)) == (0, {}, None)


@on_both("host")
def test_of_two_agents_with_other_flags_one_says_so(host: Host) -> None:
    """If a second agent with other flags starts on a host, the log of the first one names the flags with both values,
    and its metric shows the difference for as long as the second one's note is there. A second agent with the same
    flags is not reported."""
    host.start("one")
    first = host.agent().wait_ready()
    same = host.agent("--interval", "0.3").wait_ready()
    first.wait_for_passes(3)
    assert not disagrees(host, first)
    same.terminate()
    other = host.agent("-tags", "blue", "--health", "healthy").wait_ready()
    wait_until(lambda: disagrees(host, first), 10, "the metric")
    first.wait_for_passes(5)
    assert first.log().count("another agent of this host was started with other flags") == 1
    for said in ("'tags' is not given here and 'blue' there", "'health' is not given here and 'healthy' there"):
        assert said in first.log()
    assert first.get("/readyz")[0] == 200
    other.terminate()
    first.restart().wait_ready()
    assert not disagrees(host, first)
