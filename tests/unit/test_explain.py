"""Tests of model.explain: what is told of a container comes from the report of a pass, and names what decided."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import event, given
from hypothesis import strategies as st

from controller.effects.clock import Deadline
from controller.reconcile.one_pass import reconcile
from controller.registry.base import PendingWriter, ReadWriteRegistry
from model.container import Container, ContainerRef
from model.container_lookup import EngineLookup
from model.desired import ExclusionReason, HoldReason
from model.draining import Draining
from model.explain import explain, needs_engine
from model.explanation import Explanation, KeyState, PortState, Verdict
from model.plan import Action
from model.report import PassReport, PassResult
from model.rules import AddressRules, Deregister, HealthRule
from model.snapshot import Presence, Snapshot, UnknownContainer
from tests.support.builders import container
from tests.support.fakes import FakeSource
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving
from tests.support.reports import failed

KEY = "/services/nginx/core-01:web:80"
VALUE = "10.0.0.1:8000"


class SnapshotSource(FakeSource):
    """A source that returns a snapshot as it is."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def read(self, deadline: Deadline, *, hurried: bool = False, full: bool = False) -> Snapshot:
        """See Source."""
        return self.snapshot


def report_of(*containers: Container, registry: RecordingRegistry | None = None, **settings: Any) -> PassReport:
    """Return the report of the first pass on a host with these containers."""
    return Host(*containers, registry=registry, **settings).tries_a_pass()


def of_snapshot(snapshot: Snapshot, text: str = "web", registered: bool = False, **settings: Any) -> Explanation:
    """Return what is told of a container after a pass that saw this snapshot. ``registered`` says whether the passes
    before saw the containers as they are without anything that excludes them."""
    host = Host(*snapshot.containers, **settings)
    if registered:
        host.settings = evolve(host.settings, rules=evolve(host.settings.rules, health=HealthRule.ANY))
        host.has_a_pass()
    host = Host(registry=host.registry, **settings)
    host.source = SnapshotSource(snapshot)
    return explain(host.tries_a_pass(), text)


def told(explanation: Explanation) -> list[str]:
    """Return port, state and reason of each port."""
    return [f"{each.port} {each.state.value} {each.reason}".rstrip() for each in explanation.ports]


# Containers that are registered.


def test_a_registered_container_tells_its_entry_and_what_gives_each_part_of_it() -> None:
    """Name, id and address each tell the variable, flag or rule that they come from."""
    host = Host(serving("web", "SERVICE_80_NAME=shop"))
    host.has_a_pass()
    explanation = explain(host.has_a_pass(), "web")
    assert (explanation.verdict, explanation.answer) == (Verdict.REGISTERED, "web is registered: 1 service port.")
    assert told(explanation) == ["80/tcp registered"]
    ((key, entry),) = explanation.ports[0].entries
    assert (key, entry.name_shown) == ("/services/shop/core-01:web:80", "environment variable SERVICE_80_NAME 'shop'")
    assert (entry.id_shown, entry.address_source) == ("the default id 'core-01:web:80'", "-ip")
    (of_key,) = explanation.keys
    assert (of_key.value, of_key.state, of_key.owner) == (VALUE, KeyState.OURS, "core-01")
    assert of_key.what == "it is in step"


def test_the_key_is_told_as_the_pass_left_it() -> None:
    """The pass that creates a key tells that it has created it, and the key's value."""
    explanation = explain(report_of(serving()), "id-web")
    (key,) = explanation.keys
    assert (explanation.verdict, key.value, key.what) == (
        Verdict.REGISTERED,
        VALUE,
        "the last pass has created it (new)",
    )
    assert (key.action, key.reason, key.result) == ("create", "new", "applied")


def test_a_renewed_key_keeps_its_value() -> None:
    """A renewal writes no value."""
    host = Host(serving())
    host.has_a_pass()
    host.settings = evolve(host.settings, lifetime=evolve(host.settings.lifetime, ttl=30, refresh=10))
    (key,) = explain(host.has_a_pass(), "web").keys
    assert (key.value, key.what) == (VALUE, "the last pass has renewed it (ttl-due)")


def test_each_port_is_told_and_the_answer_names_the_first_that_is_not_registered() -> None:
    """A container may be registered in part. Ports that are left out do not count."""
    web = container(publish={"80/tcp": "127.0.0.1:80", "81/tcp": "0.0.0.0:8081", "82/tcp": ""})
    explanation = explain(report_of(web), "web")
    assert told(explanation) == ["80/tcp refused no-address", "81/tcp registered", "82/tcp left-out unpublished"]
    assert explanation.verdict is Verdict.IN_PART
    assert explanation.answer == (
        "web is registered in part: 1 of its 2 service ports; not 80/tcp, because it is published on 127.0.0.1 alone, "
        "and not on 10.0.0.1."
    )


def test_a_port_with_several_entries_tells_each_of_them() -> None:
    """An entry that is refused does not hide one that is registered."""
    web = container(publish={"80/tcp": "0.0.0.0:8000 0.0.0.0:8001"}, env=("SERVICE_ID=x",))
    other = container("other", publish={"80/tcp": "0.0.0.0:9"}, env=("SERVICE_ID=x:8001",), created="2025")
    (port,) = explain(report_of(web, other, all_bindings=True), "web").ports
    assert [key for key, _ in port.entries] == ["/services/nginx/x", "/services/nginx/x:8001"]
    assert (port.state, port.why) == (PortState.REGISTERED, "container 'other' already has nginx/x:8001")


def test_a_loopback_address_that_nobody_gave_is_told() -> None:
    """The port is registered, and nobody but this host reaches it."""
    web = container(publish={"80/tcp": "127.0.0.1:80"})
    (port,) = explain(report_of(web, ip=""), "web").ports
    assert (port.state, port.why) == (
        PortState.REGISTERED,
        "it is registered with 127.0.0.1, which only this host can dial",
    )


# Containers of which no port is registered.


@pytest.mark.parametrize(
    ("web", "settings", "answer"),
    [
        pytest.param(container(), {}, "it has no port, neither exposed nor published", id="no-port"),
        pytest.param(container(publish={"80/tcp": ""}), {}, "none of its ports is published", id="not-published"),
        pytest.param(
            serving("web", "SERVICE_IGNORE=false"),
            {},
            "the environment variable SERVICE_IGNORE is set, and every value counts as yes, 'false' too",
            id="ignored",
        ),
        pytest.param(
            serving(), {"explicit": True}, "-explicit is given, and no SERVICE_NAME names the port", id="explicit"
        ),
        pytest.param(
            container(publish={"80/tcp": "0.0.0.0:80", "81/tcp": ""}, env=("SERVICE_IGNORE=1",)),
            {},
            "the environment variable SERVICE_IGNORE is set, and every value counts as yes, '1' too",
            id="ignored-and-not-published",
        ),
        pytest.param(
            serving("web", "SERVICE_NAME=../x"),
            {},
            "environment variable SERVICE_NAME '../x' has the path part '..'",
            id="refused",
        ),
        pytest.param(
            container(publish={"80/tcp": "127.0.0.1:1", "9-8/tcp": "0.0.0.0:2"}),
            {},
            "each of its 2 ports has a reason of its own",
            id="several-reasons",
        ),
    ],
)
def test_the_answer_says_why_no_port_is_registered(web: Container, settings: dict[str, Any], answer: str) -> None:
    """The answer is the one reason that all ports have, if there is one."""
    explanation = explain(report_of(web, **settings), "web")
    assert (explanation.verdict, explanation.answer) == (Verdict.NOT_REGISTERED, f"web is not registered: {answer}.")
    assert explanation.explained


def test_a_key_of_another_host_tells_its_owner() -> None:
    """The key that the container wants is there, and its id names another host."""
    registry = RecordingRegistry()
    registry.put("/services/nginx/x", "10.0.0.9:1")
    explanation = explain(report_of(serving("web", "SERVICE_ID=x"), registry=registry), "web")
    assert told(explanation) == ["80/tcp refused conflict"]
    (key,) = explanation.keys
    assert (key.value, key.wanted, key.state) == ("10.0.0.9:1", VALUE, KeyState.FOREIGN)
    assert key.what == "it is left alone, because nothing shows that it is this host's"


def test_a_key_that_another_container_has_names_that_container() -> None:
    """Nothing is wanted of it for this container."""
    older = container("older", publish={"80/tcp": "0.0.0.0:1"}, env=("SERVICE_ID=x",), created="2025")
    explanation = explain(report_of(serving("web", "SERVICE_ID=x"), older), "web")
    (key,) = explanation.keys
    assert (key.wanted, key.state) == (None, KeyState.OURS)
    assert key.what == "container 'older' of this host has it"


@pytest.mark.parametrize("why", ["failing", "rejecting"])
def test_a_change_that_waits_tells_why(why: str) -> None:
    """The entry is right, and the registry does not make the change. A later pass tells the same while it waits."""
    registry = RecordingRegistry()
    setattr(registry, why, lambda change: change.action is Action.CREATE)
    host = Host(serving(), registry=registry)
    for _ in range(3):
        explanation = explain(host.tries_a_pass(), "web")
        assert told(explanation)[0].startswith("80/tcp not-yet ")
        assert "the entry is not written yet: it is to be created (new)" in explanation.answer
        (key,) = explanation.keys
        assert (key.value, key.wanted, key.state, key.in_step) == (None, VALUE, KeyState.ABSENT, False)


# Containers that have no entries as a whole.


def test_an_unhealthy_container_tells_its_health_and_what_becomes_of_its_key() -> None:
    """Its key is deleted, and the explanation says so."""
    sick = evolve(serving(), health="starting")
    explanation = of_snapshot(Snapshot((sick,)), registered=True, health=HealthRule.HEALTHY)
    assert (explanation.verdict, explanation.reason) == (Verdict.NOT_REGISTERED, ExclusionReason.UNHEALTHY.value)
    assert explanation.answer == (
        "web is not registered: its HEALTHCHECK says 'starting', and --health healthy is given."
    )
    assert [each.what for each in explanation.keys] == ["the last pass has deleted it (unhealthy)"]
    assert explanation.ports == ()


def test_a_container_that_no_filter_selects_tells_the_filters() -> None:
    """The filters of the command line are named if they are known."""
    host = Host()
    host.source = SnapshotSource(Snapshot((serving(),), selected=frozenset()))
    report = host.tries_a_pass()
    assert explain(report, "web").answer == "web is not registered: --filter does not select it."
    assert explain(report, "web", filters=["label=a", "name=b"]).answer == (
        "web is not registered: --filter label=a --filter name=b does not select it."
    )


def test_a_one_off_is_told() -> None:
    """It names the flag that would register it."""
    one_off = evolve(serving(), labels={"com.docker.compose.oneoff": "True"})
    explanation = explain(report_of(one_off), "web")
    assert (explanation.reason, explanation.explained) == ("one-off", True)
    assert explanation.answer.endswith("for a single command, and --one-offs is not given.")


@pytest.mark.parametrize(
    ("draining", "answer"),
    [
        pytest.param(Draining("TERM was sent", "2026-01-01"), "TERM was sent, since 2026-01-01", id="signal"),
        pytest.param(Draining("the operator drains it"), "the operator drains it", id="operator"),
    ],
)
def test_a_container_that_drains_tells_why_and_since_when(draining: Draining, answer: str) -> None:
    """Its key goes."""
    explanation = of_snapshot(Snapshot((serving(),), draining={"id-web": draining}), registered=True)
    assert explanation.answer == f"web is not registered: it drains, because {answer}."
    assert explanation.reason == "draining"


def test_a_delete_that_the_guard_holds_back_tells_why() -> None:
    """The engine's list lacks a container, and the engine says that it runs."""
    host = Host(serving())
    host.has_a_pass()
    host.runs()
    host.source.presences = dict.fromkeys(("id-web", "web"), Presence.RUNNING)
    report = host.tries_a_pass()
    (key,) = explain(report, "web", EngineLookup(found=serving())).keys
    assert key.value == VALUE
    assert key.what == "its delete is held back: see --delete-guard (container running)"


# Containers that are held.


def test_a_container_that_the_engine_does_not_describe_is_held_with_its_keys() -> None:
    """The problem of its inspect is told."""
    host = Host(serving())
    host.has_a_pass()
    host.runs()
    host.source.unknown = (UnknownContainer(ContainerRef("id-web", "web"), "its inspect has not answered"),)
    explanation = explain(host.has_a_pass(), "web")
    assert (explanation.verdict, explanation.reason) == (Verdict.HELD, HoldReason.UNREADABLE.value)
    assert explanation.answer == (
        "web is held: its entries stay as they are, because the engine does not describe all of it: its inspect has "
        "not answered."
    )
    assert [each.what for each in explanation.keys] == ["it is held: it stays as it is"]


def test_a_container_that_joins_the_network_of_an_undescribed_one_is_held() -> None:
    """It tells that another container is the cause."""
    side = container("side", expose=("80/tcp",), network_mode="container:id-net")
    unknown = (UnknownContainer(ContainerRef("id-net", "net"), "?"),)
    explanation = explain(report_of(side, unknown=unknown), "side")
    assert explanation.verdict is Verdict.HELD
    assert "because the engine does not describe a container whose network it uses" in explanation.answer


def test_a_failed_container_tells_its_exit_code_and_that_its_keys_stay() -> None:
    """With -deregister on-success a pass knows containers that do not run."""
    host = Host(serving(), deregister=Deregister.ON_SUCCESS)
    host.has_a_pass()
    host.runs(evolve(serving(), status="exited", exit_code=3))
    explanation = explain(host.has_a_pass(), "web")
    assert (explanation.verdict, explanation.reason) == (Verdict.NOT_RUNNING, HoldReason.FAILED.value)
    assert explanation.answer == (
        "web does not run: it is exited, with exit code 3; its entries stay as they are, because it failed and "
        "-deregister on-success is given; 1 key of it still there."
    )


def test_a_key_is_held_while_this_hosts_address_is_missing() -> None:
    """The port is refused, and what is registered stays."""
    host = Host(serving())
    host.has_a_pass()
    host.settings = evolve(host.settings, rules=evolve(host.settings.rules, address=AddressRules()))
    explanation = explain(host.tries_a_pass(), "web")
    assert (explanation.verdict, told(explanation)) == (Verdict.HELD, ["80/tcp refused no-address"])
    assert explanation.answer == (
        "web is held: its entries stay as they are, because no address of this host is known; give the host's address "
        "with -ip."
    )


# Containers that no pass knows.


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        ("exited", "it is exited, with exit code 3"),
        ("created", "it was never started"),
        ("restarting", "it ended with exit code 3, and the engine starts it again"),
    ],
)
def test_a_container_that_does_not_run_tells_its_end(status: str, ending: str) -> None:
    """The pass has removed its key, and the engine describes the container."""
    host = Host(serving())
    host.has_a_pass()
    host.runs()
    report = host.has_a_pass()
    assert needs_engine(report, "web")
    ended = evolve(serving(), status=status, exit_code=3)
    explanation = explain(report, "web", EngineLookup((ended.ref,), ended))
    assert (explanation.verdict, explanation.explained) == (Verdict.NOT_RUNNING, True)
    assert explanation.answer == f"web does not run: {ending}; no key of it is left."
    assert [each.what for each in explanation.keys] == ["the last pass has deleted it (gone)"]


def test_a_container_that_just_started_is_not_seen_yet() -> None:
    """The engine shows that it runs, and it started after the last pass."""
    explanation = explain(report_of(), "web", EngineLookup((serving().ref,), serving()))
    assert explanation.verdict is Verdict.NOT_SEEN
    assert explanation.answer == "web is not registered: it runs, and no pass has seen it yet."


def test_of_a_container_that_does_not_exist_similar_names_and_its_keys_are_told() -> None:
    """The keys of that name are told whichever host's they are, each with its owner."""
    registry = RecordingRegistry()
    registry.put("/services/nginx/core-02:wbe:80", "10.0.0.2:1")
    registry.put("/services/nginx/core-02:other:80", "10.0.0.2:1")
    report = report_of(serving(), registry=registry)
    explanation = explain(report, "wbe", EngineLookup((ContainerRef("1", "wbe-1"),)))
    assert (explanation.verdict, explanation.explained) == (Verdict.ABSENT, False)
    assert explanation.answer == "This host has no container 'wbe'."
    assert explanation.similar == ("wbe-1", "web")
    (key,) = explanation.keys
    assert (key.key, key.state, key.owner) == ("/services/nginx/core-02:wbe:80", KeyState.OTHER_HOST, "core-02")


def test_an_orphan_and_an_unreadable_key_are_told_under_their_container() -> None:
    """An own key that no container backs is an orphan, which the pass removes. Here etcd does not let it."""
    registry = RecordingRegistry()
    registry.put("/services/nginx/core-01:old:80", VALUE)
    registry.put("/services/core-01:old:81", "no address")
    registry.rejecting = lambda change: change.action is Action.DELETE
    explanation = explain(report_of(registry=registry), "old", EngineLookup())
    states = {each.key.rpartition(":")[2]: each.state for each in explanation.keys}
    assert states == {"80": KeyState.ORPHAN, "81": KeyState.ORPHAN}


def test_a_foreign_key_that_the_layout_cannot_read_is_unreadable() -> None:
    """It stands where the container wants its own."""
    registry = RecordingRegistry()
    registry.put("/services/nginx/x", "no address")
    (key,) = explain(report_of(serving("web", "SERVICE_ID=x"), registry=registry), "web").keys
    assert key.state is KeyState.UNREADABLE


def test_an_ambiguous_beginning_of_an_id_lists_the_candidates() -> None:
    """The pass or the engine knows several."""
    report = report_of(serving("web"), serving("db", number=1))
    explanation = explain(report, "id-")
    assert (explanation.verdict, explanation.explained) == (Verdict.AMBIGUOUS, False)
    assert [each.name for each in explanation.candidates] == ["db", "web"]
    assert not needs_engine(report, "id-")
    stopped = (ContainerRef("ab1", "a"), ContainerRef("ab2", "b"))
    assert explain(report, "ab", EngineLookup(stopped)).candidates == stopped


def test_without_the_engine_it_is_not_known_whether_there_is_a_container() -> None:
    """The engine may not answer. What the registry holds is told all the same."""
    explanation = explain(report_of(serving()), "old", EngineLookup(problem="it hangs"))
    assert explanation.verdict is Verdict.UNKNOWN
    assert explanation.answer == ("No container that runs is 'old', and whether there is one is not known: it hangs.")


@pytest.mark.parametrize("problem", ["", "nobody answers"])
def test_without_a_plan_nothing_is_known(problem: str) -> None:
    """The result of the pass is told instead."""
    report = failed(PassResult.REGISTRY_ERROR, problem)
    explanation = explain(report, "web")
    assert (explanation.verdict, needs_engine(report, "web")) == (Verdict.UNKNOWN, False)
    assert "because the pass made no plan (registry-error" in explanation.answer
    assert problem in explanation.answer


def test_a_dry_pass_tells_what_a_pass_would_do() -> None:
    """Its changes are not made."""
    host = Host(serving())
    registry = ReadWriteRegistry(host.registry, PendingWriter())
    explanation = explain(reconcile(host.settings, host.source, registry, host.memory), "web")
    assert explanation.answer == ("web is not registered: the entry is not written yet: a pass would create it (new).")
    assert (explanation.keys[0].value, explanation.keys[0].wanted) == (None, VALUE)


def test_a_key_in_the_way_is_told_where_it_is_absent_itself() -> None:
    """The wanted key is absent, and refused because of a key above it."""
    registry = RecordingRegistry()
    registry.put("/services/nginx", "10.0.0.9:1")
    explanation = explain(report_of(serving(), registry=registry), "web")
    assert told(explanation) == ["80/tcp refused conflict"]
    assert [(each.state, each.what) for each in explanation.keys] == [(KeyState.ABSENT, "there is no such key")]


def test_of_very_many_keys_under_a_name_only_some_are_told() -> None:
    """A fleet may have one container of that name on each host."""
    many = RecordingRegistry()
    for number in range(30):
        many.put(f"/services/nginx/h{number}:old:80", VALUE)
    assert len(explain(report_of(registry=many), "old", EngineLookup()).keys) == 20


# What is so of every explanation.

METADATA = ["SERVICE_NAME=web", "SERVICE_NAME=../x", "SERVICE_ID=x", "SERVICE_IGNORE=no", "SERVICE_80_NAME=a/b"]
PORTS = ["", "0.0.0.0:8000", "127.0.0.1:8000", "0.0.0.0:8000 0.0.0.0:8001"]


def containers_of(name: str) -> st.SearchStrategy[Container]:
    """Return containers with this name, each with two ports or a bad one."""
    ports = st.dictionaries(st.sampled_from(["80/tcp", "81/udp", "9-8/tcp"]), st.sampled_from(PORTS), max_size=3)
    return st.builds(
        container,
        st.just(name),
        publish=ports,
        env=st.lists(st.sampled_from(METADATA), max_size=2).map(tuple),
        status=st.sampled_from(["running", "paused", "exited"]),
        exit_code=st.sampled_from([0, 3]),
        health=st.sampled_from(["", "unhealthy"]),
        network_mode=st.sampled_from(["default", "container:id-a", "container:id-gone", "none"]),
        created=st.sampled_from(["2026", "2027"]),
    )


@given(
    st.lists(st.tuples(*map(containers_of, "abc")), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
    st.sampled_from(Deregister),
    st.sampled_from(HealthRule),
)
def test_every_container_is_explained_as_the_registry_holds_it(
    passes: list[tuple[Container, ...]], all_bindings: bool, explicit: bool, when: Deregister, health: HealthRule
) -> None:
    """Whatever it is, each of its ports is told, and its keys hold what the registry holds. It is registered only if
    the registry holds what its entries want."""
    host = Host(all_bindings=all_bindings, explicit=explicit, deregister=when, health=health)
    host.registry.put("/services/web/x", "10.0.0.9:1")
    for containers in passes:
        host.runs(*containers)
        report = host.tries_a_pass()
        for each in containers:
            explanation = explain(report, each.name)
            event(explanation.verdict.value)
            assert explanation.ref == each.ref
            if explanation.ports:
                assert {port.port for port in explanation.ports} == {str(port) for port in each.published}
            for key in explanation.keys:
                assert key.value == host.registry.keys().get(key.key)
            in_step = [key.in_step for key in explanation.keys if key.wanted is not None]
            if explanation.verdict is Verdict.REGISTERED:
                assert in_step
                assert all(in_step)
            if explanation.verdict in {Verdict.NOT_REGISTERED, Verdict.NOT_RUNNING}:
                assert not any(in_step)
