"""The Docker engine, behind a fake client and behind the real one."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from controller.effects.background import Threads
from controller.effects.clock import Clock, Deadline
from controller.errors import EngineUnavailable
from controller.source.docker import NO_IDENTITY, PATIENCE, Asking, Engine
from controller.source.engine_connection import EngineSettings, SocketChoice, connect
from controller.source.engine_errors import NO_ANSWER, EngineError
from model.container import Container, ContainerRef
from model.engine_kind import DOCKER, PODMAN, UNKNOWN_KIND
from model.engine_network import Network
from model.snapshot import EngineIdentity, Snapshot, UnknownContainer
from tests.support.fakes import ENGINE, FakeDocker, FakeTime, Inline, Json, inspected, refusal
from tests.support.recorded_engine import RecordedEngine, serving
from tests.support.trickling import Trickler
from tests.support.unprivileged import as_nobody
from tests.support.waiting import wait_until


def engine(
    docker: FakeDocker,
    *,
    stopped_too: bool = False,
    on_error: Callable[[], object] = lambda: None,
    filters: tuple[tuple[str, str], ...] = (),
    clock: Clock | None = None,
    name_needed: bool = True,
) -> Engine:
    """Return an engine behind this client. The questions that are otherwise asked beside the pass are asked at once."""
    return Engine(
        docker.dial,
        Asking(Inline(), clock or Clock(), name_needed=name_needed),
        stopped_too=stopped_too,
        on_error=lambda: (on_error(), None)[1],
        filters=filters,
    )


def soon() -> Deadline:
    """Return a deadline that does not matter to the test."""
    return Deadline.after(10, Clock())


def names(snapshot: Snapshot) -> list[str]:
    """Return the names of the containers that were read."""
    return [each.name for each in snapshot.containers]


def test_each_container_is_inspected_once() -> None:
    """It is not inspected again while the list shows it unchanged, with its ports in any order."""
    fake = FakeDocker(inspected("web", ports=(80, 443, 8080)), inspected("db"))
    source = engine(fake)
    first = source.read(soon())
    assert (names(first), fake.inspects()) == (["web", "db"], ["web", "db"])
    for _ in range(4):
        assert source.read(soon()) == first
    assert fake.inspects() == []


def test_only_what_is_new_is_inspected() -> None:
    """Containers that were there before are not inspected again."""
    fake = FakeDocker(inspected("web"))
    source = engine(fake)
    source.read(soon())
    fake.documents["db"] = inspected("db")
    fake.inspects()
    assert (names(source.read(soon())), fake.inspects()) == (["web", "db"], ["db"])


def with_name(document: Json, name: str) -> Json:
    """Return the container after ``docker rename``."""
    return {**document, "Name": f"/{name}"}


def with_network(document: Json) -> Json:
    """Return the container after ``docker network connect``."""
    network = document["NetworkSettings"]
    more = {**network["Networks"], "backend": {"IPAddress": "10.5.0.2"}}
    return {**document, "NetworkSettings": {**network, "Networks": more}}


def with_ipv6(document: Json) -> Json:
    """Return the container with an IPv6 address on its network."""
    network = document["NetworkSettings"]
    ends = {name: {**end, "GlobalIPv6Address": "fd00::2"} for name, end in network["Networks"].items()}
    return {**document, "NetworkSettings": {**network, "Networks": ends}}


@pytest.mark.parametrize(
    "change",
    [
        lambda document: with_name(document, "other"),
        with_network,
        lambda document: inspected("web", ports=(80, 443)),
        lambda document: inspected("web", status="paused"),
        lambda document: inspected("web", health="starting"),
        with_ipv6,
    ],
    ids=["renamed", "on another network", "other ports", "paused", "other health", "an IPv6 address"],
)
def test_a_container_that_looks_changed_is_inspected_again(change: Callable[[Json], Json]) -> None:
    """The new answer is then kept, as the one before was."""
    fake = FakeDocker(inspected("web"))
    source = engine(fake)
    before = source.read(soon())
    fake.documents["web"] = change(fake.documents["web"])
    fake.inspects()
    after = source.read(soon())
    assert after != before
    assert source.read(soon()) == after
    assert fake.inspects() == ["web"]


def test_a_container_that_went_away_and_came_back_is_inspected_again() -> None:
    """A container that is not listed is forgotten, so the memory does not grow."""
    fake = FakeDocker(inspected("web"))
    source = engine(fake)
    source.read(soon())
    document = fake.documents.pop("web")
    assert source.read(soon()) == Snapshot()
    fake.documents["web"] = document
    fake.inspects()
    source.read(soon())
    assert fake.inspects() == ["web"]


def test_a_container_that_ends_before_its_inspect_is_left_out() -> None:
    """The answer 404 is not counted as an error."""
    fake = FakeDocker(inspected("web"), inspected("db"))
    fake.then = lambda: fake.documents.pop("web", None)
    errors: list[None] = []
    assert names(engine(fake, on_error=lambda: errors.append(None)).read(soon())) == ["db"]
    assert errors == []


def test_an_inspect_of_a_container_that_restarts_after_the_list_is_not_kept() -> None:
    """The next list shows the container as this one does, so what the inspect saw in between would be used for ever."""
    fake = FakeDocker(inspected("web"))
    source = engine(fake)
    fake.then = lambda: fake.documents.update(web=inspected("web", status="restarting", exit_code=1))
    (caught,) = source.read(soon()).containers
    assert (caught.status, dict(caught.published)) == ("restarting", {})
    fake.then = lambda: None
    fake.documents["web"] = inspected("web")
    (after,) = source.read(soon()).containers
    assert (after.status, len(after.published)) == ("running", 1)
    fake.inspects()
    source.read(soon())
    assert fake.inspects() == []


def test_a_health_that_changes_between_list_and_inspect_is_not_kept() -> None:
    """The next list shows the health as this one does, so what the inspect saw in between would be used for ever."""
    fake = FakeDocker(inspected("web", health="healthy"))
    source = engine(fake)
    fake.then = lambda: fake.documents.update(web=inspected("web", health="unhealthy"))
    assert not source.read(soon()).containers[0].healthy
    fake.then = lambda: None
    fake.documents["web"] = inspected("web", health="healthy")
    assert source.read(soon()).containers[0].healthy
    fake.inspects()
    source.read(soon())
    assert fake.inspects() == []


def test_each_change_of_the_health_is_seen_with_a_single_inspect() -> None:
    """A paused container is inspected once, too, although the list does not show its health."""
    fake = FakeDocker(inspected("web", health="starting"))
    source = engine(fake)
    for health in ("starting", "healthy", "unhealthy", "healthy"):
        fake.documents["web"] = inspected("web", health=health)
        for _ in range(2):
            assert source.read(soon()).containers[0].health == health
    fake.documents["web"] = inspected("web", status="paused", health="unhealthy")
    for _ in range(2):
        assert source.read(soon()).containers[0].health == "unhealthy"
    assert fake.inspects() == ["web"] * 5


PUBLIC = {"com.example.public": "yes", "team": "a b,c"}


@pytest.mark.parametrize(
    ("filters", "selected"),
    [
        ((), None),
        ((("label", "com.example.public"),), ["dns", "web"]),
        ((("label", "com.example.public=yes"), ("label", "team=a b,c")), ["web"]),
        ((("label", "com.example.public"), ("name", "web")), ["web"]),
        ((("name", "web"), ("name", "db")), ["db", "web"]),
        ((("health", "unhealthy"),), ["db"]),
        ((("name", "nobody"),), []),
    ],
    ids=str,
)
def test_the_engine_says_which_containers_are_selected(
    filters: tuple[tuple[str, str], ...], selected: list[str] | None
) -> None:
    """All containers are read: one that is not selected may own the network of one that is."""
    web = inspected("web", labels=PUBLIC)
    fake = FakeDocker(web, inspected("db", health="unhealthy"), inspected("dns", labels={"com.example.public": "yes"}))
    snapshot = engine(fake, filters=filters).read(soon())
    assert names(snapshot) == ["web", "db", "dns"]
    assert snapshot.selected == (None if selected is None else set(selected))


@pytest.mark.parametrize(("stopped_too", "asked"), [(False, "list"), (True, "list all")])
def test_with_filters_the_engine_is_asked_twice_and_the_full_list_comes_last(stopped_too: bool, asked: str) -> None:
    """The inspects have to agree with the full list, so nothing comes between. Both lists cover the same states."""
    fake = FakeDocker(inspected("web"))
    engine(fake, stopped_too=stopped_too, filters=(("name", "web"),)).read(soon())
    assert fake.asked == ["dial", f"{asked} filtered", asked, "dial", "inspect web"]


def test_a_container_that_starts_between_the_two_lists_is_selected_in_the_next_pass() -> None:
    """It has no entries yet that could be lost. A container that ends between the lists is not in the snapshot."""
    fake = FakeDocker(inspected("old"))
    source = engine(fake, filters=(("name", "."),))
    fake.then = lambda: setattr(fake, "documents", {"new": inspected("new")})
    snapshot = source.read(soon())
    assert (names(snapshot), snapshot.selected) == (["new"], frozenset({"old"}))
    assert source.read(soon()).selected == frozenset({"new"})


def test_a_filter_that_the_engine_refuses_is_reported_in_the_words_of_the_engine() -> None:
    """The failed request is counted."""
    errors = list[None]()
    source = engine(FakeDocker(inspected("web")), on_error=lambda: errors.append(None), filters=(("bogus", "x"),))
    with pytest.raises(EngineUnavailable) as unavailable:
        source.read(soon())
    assert str(unavailable.value) == "cannot read the Docker engine: it refuses --filter: Invalid filter 'bogus'"
    assert len(errors) == 1


def test_an_engine_that_fails_at_the_filtered_list_does_not_blame_the_filter() -> None:
    """A server error is reported as one."""
    fake = FakeDocker(inspected("web"))
    fake.errors["list filtered"] = refusal(500, "out of disk")
    with pytest.raises(EngineUnavailable, match="cannot read the Docker engine: 500 Server Error"):
        engine(fake, filters=(("name", "web"),)).read(soon())


def test_podmans_refusal_of_a_filter_is_one_whatever_its_status() -> None:
    """Podman answers to a filter that it does not know as if it had failed itself."""
    fake = FakeDocker(inspected("web"))
    fake.kind = PODMAN
    fake.errors["list all filtered"] = refusal(500, "bogus is an invalid filter")
    with pytest.raises(EngineUnavailable, match="it refuses --filter: bogus is an invalid filter"):
        engine(fake, filters=(("bogus", "x"),)).read(soon())


def test_podman_is_asked_for_all_containers_and_those_that_are_not_up_are_left_out() -> None:
    """Its default list lacks the paused ones, and those that it is stopping. Nothing is asked about the others."""
    states = ("running", "paused", "stopping", "stopped", "exited", "created", "removing")
    fake = FakeDocker(*(inspected(f"c-{state}", status=state) for state in states))
    fake.kind = PODMAN
    snapshot = engine(fake).read(soon())
    assert fake.asked[1] == "list all"
    assert fake.inspects() == [f"c-{state}" for state in states[:3]]
    assert [each.id for each in snapshot.containers] == ["c-running", "c-paused", "c-stopping"]
    assert len(engine(fake, stopped_too=True).read(soon()).containers) == len(states)


def without_health(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the list as Podman shows it."""
    return {**line, "Status": "Up 3 minutes"}


class PodmanWithHealth(FakeDocker):
    """A Podman whose list says nothing of health."""

    def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
        """See EngineClient."""
        return [without_health(line) for line in super().containers(all=all, filters=filters)]


@pytest.mark.parametrize("needed", [True, False])
def test_health_that_the_list_does_not_show_is_asked_for_at_each_list_if_it_matters(needed: bool) -> None:
    """Only the containers with a HEALTHCHECK are inspected again, and only with --health healthy."""
    fake = PodmanWithHealth(inspected("web", health="starting"), inspected("plain"))
    source = Engine(fake.dial, Asking(Inline(), Clock(), health_needed=needed), stopped_too=False)
    assert [each.health for each in source.read(soon()).containers] == ["starting", ""]
    assert fake.inspects() == ["web", "plain"]
    fake.documents["web"]["State"]["Health"]["Status"] = "healthy"
    health = "healthy" if needed else "starting"
    assert [each.health for each in source.read(soon()).containers] == [health, ""]
    assert fake.inspects() == (["web"] if needed else [])


@pytest.mark.parametrize(
    ("kind", "info", "identity"),
    [
        (UNKNOWN_KIND, {}, EngineIdentity("core-01", ENGINE)),
        (DOCKER, {}, EngineIdentity("core-01", ENGINE, kind=DOCKER)),
        (PODMAN, {}, EngineIdentity("core-01", "", kind=PODMAN)),
        (UNKNOWN_KIND, {"BuildahVersion": "1.28.2"}, EngineIdentity("core-01", "", kind=PODMAN)),
    ],
)
def test_an_id_that_does_not_last_is_none(kind: str, info: dict[str, Any], identity: EngineIdentity) -> None:
    """Podman makes one up whenever it is asked. If a proxy hides what the engine is, its info shows Podman."""
    fake = FakeDocker(inspected("web"))
    fake.kind = kind
    fake.info = lambda: {"Name": "core-01", "ID": ENGINE, **info}  # type: ignore[method-assign] # a Podman's answer
    assert engine(fake).identity() == identity


@pytest.mark.parametrize(
    ("stopped_too", "asked", "seen"), [(False, "list", ["web"]), (True, "list all", ["web", "old"])]
)
def test_stopped_containers_are_asked_for_only_if_they_matter(stopped_too: bool, asked: str, seen: list[str]) -> None:
    """They matter with ``-deregister on-success``. The list of all containers that ever ran can be long."""
    fake = FakeDocker(inspected("web"), inspected("old", status="exited", exit_code=1))
    snapshot = engine(fake, stopped_too=stopped_too).read(soon())
    assert (names(snapshot), fake.asked[1]) == (seen, asked)


def test_a_stopped_container_is_inspected_again_when_its_exit_code_changes() -> None:
    """It must have run in between, even if only shortly."""
    fake = FakeDocker(inspected("job", status="exited", exit_code=1))
    source = engine(fake, stopped_too=True)
    source.read(soon())
    fake.documents["job"] = inspected("job", status="exited", exit_code=0)
    assert source.read(soon()).containers[0].exit_code == 0


# What the networks are.


def on_lan(container_id: str, *networks: str, ports: tuple[int, ...] = (80,), mode: str = "") -> Json:
    """Return the inspect document of a container with exposed ports that the engine does not map, on these networks."""
    document = inspected(container_id, ports=ports, network=mode or networks[0])
    ends = {name: {"IPAddress": "192.168.7.7", "NetworkID": f"id-{name}"} for name in networks}
    document["NetworkSettings"] |= {"IPAddress": "", "Ports": {}, "Networks": ends}
    return document


def told(driver: str, *, internal: bool = False) -> Json:
    """Return the engine's answer about a network."""
    return {"Driver": driver, "Internal": internal, "Ingress": False}


def network_questions(fake: FakeDocker) -> list[str]:
    """Return the ids of the networks that were asked about."""
    return [each.removeprefix("network ") for each in fake.asked if each.startswith("network ")]


def test_each_network_that_decides_about_a_port_is_asked_about_once() -> None:
    """Its driver never changes. Networks on which nothing depends are not asked about."""
    fake = FakeDocker(inspected("web"), on_lan("a", "lan"), on_lan("b", "lan", "closed"), on_lan("c", mode="host"))
    fake.networks = {"id-lan": told("macvlan"), "id-closed": told("bridge", internal=True)}
    source = engine(fake)
    networks = {"id-lan": Network("macvlan"), "id-closed": Network("bridge", internal=True)}
    for _ in range(3):
        assert source.read(soon()).networks == networks
    assert sorted(network_questions(fake)) == ["id-closed", "id-lan"]


def test_no_network_is_asked_about_if_nothing_depends_on_it() -> None:
    """With -internal, the containers' own addresses are registered in any case."""
    fake = FakeDocker(on_lan("a", "lan"))
    source = Engine(fake.dial, Asking(Inline(), Clock(), networks_needed=False), stopped_too=False)
    assert source.read(soon()).networks == {}
    assert network_questions(fake) == []


@pytest.mark.parametrize("code", [400, 403, 404, 405, 501])
def test_an_engine_that_refuses_to_say_what_a_network_is_is_asked_again_once_a_minute(code: int) -> None:
    """Usually a proxy before the engine forbids the question, and may get other rules. Until then, the refusal counts.
    After a reconnect, it is asked at once."""
    virtual, fake = FakeTime(), FakeDocker(on_lan("a", "lan"))
    source = engine(fake, clock=virtual.clock)
    fake.errors["network id-lan"] = refusal(code, "forbidden")
    for _ in range(3):
        assert source.read(soon()).networks == {"id-lan": None}
    assert len(network_questions(fake)) == 1
    virtual.advance(60)
    fake.errors["network id-lan"] = OSError("gone")
    assert source.read(soon()).networks == {"id-lan": None}
    fake.errors["network id-lan"] = refusal(code, "forbidden")
    assert source.read(soon()).networks == {"id-lan": None}
    source.close()
    fake.errors.clear()
    fake.networks = {"id-lan": told("macvlan")}
    assert source.read(soon()).networks == {"id-lan": Network("macvlan")}
    assert len(network_questions(fake)) == 4


NO_ANSWERS: Mapping[str, Exception] = {
    "500": refusal(500, "out of disk"),
    "429": refusal(429, "too many"),
    "time-out": TimeoutError("timed out"),
    "no document": TypeError("not a document"),
}


@pytest.mark.parametrize("error", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_a_network_about_which_there_is_no_answer_is_missing(error: Exception) -> None:
    """Nothing may be decided for lack of an answer. The failure is counted, and the next pass asks again."""
    fake, errors = FakeDocker(on_lan("a", "lan")), list[None]()
    fake.networks = {"id-lan": told("macvlan")}
    fake.errors["network id-lan"] = error
    source = engine(fake, on_error=lambda: errors.append(None))
    assert source.read(soon()).networks == {}
    assert len(errors) == 1
    fake.errors.clear()
    assert source.read(soon()).networks == {"id-lan": Network("macvlan")}


@pytest.mark.parametrize(
    "answer", [{}, [], {"Driver": ""}, {"Driver": None}, {"message": "page not found"}, None], ids=repr
)
def test_an_answer_about_a_network_that_does_not_name_its_driver_is_none(answer: Any) -> None:
    """It may come from something that stands before the engine."""
    fake = FakeDocker(on_lan("a", "lan"))
    fake.networks = {"id-lan": answer}
    assert engine(fake).read(soon()).networks == {}


# Containers that join another one's network.


def joining(container_id: str, joins: str, second: int) -> Json:
    """Return the inspect document of a container that joins the network of another one and was started at this
    second."""
    document = on_lan(container_id, mode=f"container:{joins}")
    return started_at(document, second)


def started_at(document: Json, second: int) -> Json:
    """Return the container after a start at this second. Nothing else about it changes."""
    state = document["State"] | {"StartedAt": f"2026-01-01T00:00:{second:02}Z"}
    return {**document, "State": state}


def starts(snapshot: Snapshot) -> dict[str, str]:
    """Return the second of the last start of each container."""
    return {each.name: each.started[17:19] for each in snapshot.containers}


def test_the_start_of_a_container_that_looks_too_old_for_the_network_it_joins_is_looked_at_in_each_pass() -> None:
    """Its own restart, which mends it, changes nothing in the list. Then it is not inspected any more."""
    fake = FakeDocker(joining("side", "net", 5), started_at(inspected("net"), 9))
    source = engine(fake)
    for _ in range(3):
        assert starts(source.read(soon())) == {"side": "05", "net": "09"}
    assert fake.inspects() == ["side", "net", "side", "side"]
    fake.documents["side"] = joining("side", "net", 11)
    assert starts(source.read(soon())) == {"side": "11", "net": "09"}
    source.read(soon())
    assert fake.inspects() == ["side"]


def test_both_starts_are_looked_at_in_the_pass_that_sees_one_of_them() -> None:
    """If both were restarted between two passes, the pass must not take the older start of one for its last."""
    fake = FakeDocker(joining("side", "net", 5), started_at(inspected("net"), 3))
    source = engine(fake)
    source.read(soon())
    fake.documents["net"] = started_at(inspected("net", ports=(80, 81)), 9)
    fake.documents["side"] = joining("side", "net", 10)
    assert starts(source.read(soon())) == {"side": "10", "net": "09"}


@pytest.mark.parametrize("names_in_list", [5, [None], "web"])
def test_a_line_with_odd_names_that_cannot_be_understood_is_an_unknown_container(names_in_list: object) -> None:
    """It is held by its id, and the containers beside it are read."""

    class Odd(FakeDocker):
        """An engine whose list has such a line for the container web."""

        def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
            odd = {"Names": names_in_list, "Ports": 5}
            return [{**line, **(odd if line["Id"] == "web" else {})} for line in super().containers(all=all)]

    snapshot = engine(Odd(inspected("web"), inspected("db"))).read(soon())
    assert names(snapshot) == ["db"]
    assert [each.ref for each in snapshot.unknown] == [ContainerRef("web", "")]


class Timed(FakeDocker):
    """An engine whose list shows the same status text for all containers."""

    status = "Up 3 minutes"

    def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
        return [{**line, "Status": self.status} for line in super().containers(all=all)]


def timed(status: str) -> Timed:
    """Return an engine with the container net, and the container side, which joins its network and was started long
    after it."""
    fake = Timed(started_at(inspected("net"), 3), joining("side", "net", 59))
    fake.status = status
    return fake


def test_a_container_that_another_joins_is_inspected_again_if_its_uptime_got_shorter() -> None:
    """It was started again, even if it has the same address and ports as before."""
    fake = timed("Up 3 minutes")
    source = engine(fake)
    source.read(soon())
    fake.status, fake.documents["net"] = "Up 4 minutes", started_at(inspected("net"), 9)
    assert starts(source.read(soon()))["net"] == "03"
    fake.status = "Up Less than a second"
    assert starts(source.read(soon()))["net"] == "09"
    fake.status = "Up 1 second"
    source.read(soon())
    assert fake.inspects().count("net") == 2


def test_a_container_that_another_joins_is_inspected_again_if_it_may_have_been_started_since_the_list_before() -> None:
    """If the lists are far apart, its uptime is longer than before, although it was started again."""
    virtual, fake = FakeTime(), timed("Up 2 seconds")
    source = engine(fake, clock=virtual.clock)
    source.read(soon())
    fake.status, fake.documents["net"] = "Up 7 seconds", started_at(inspected("net"), 9)
    virtual.advance(10)
    assert starts(source.read(soon()))["net"] == "09"
    fake.status = "Up 17 seconds"
    virtual.advance(10)
    source.read(soon())
    assert fake.inspects().count("net") == 2


def test_a_container_that_no_other_joins_is_inspected_once_whenever_it_was_started() -> None:
    """Nothing depends on its last start."""
    virtual, fake = FakeTime(), Timed(inspected("web"))
    source = engine(fake, clock=virtual.clock)
    for fake.status in ("Up 3 minutes", "Up Less than a second", "Up 7 seconds"):
        source.read(soon())
        virtual.advance(10)
    assert fake.inspects() == ["web"]


def test_a_container_whose_start_cannot_be_looked_at_is_unknown() -> None:
    """What was known of it before may be wrong by now, so its entries are held."""
    fake = FakeDocker(joining("side", "net", 5), started_at(inspected("net"), 9))
    source = engine(fake)
    source.read(soon())
    fake.errors["inspect side"] = OSError("odd")
    assert [each.ref.name for each in source.read(soon()).unknown] == ["side"]


#: One of each kind of error that the client raises, and errors of reading an unexpected answer.
ERRORS: Mapping[str, tuple[Exception, str]] = {
    "engine": (EngineError("no such host"), "no such host"),
    "error answer": (refusal(500, "out of disk"), "500 Server Error: out of disk"),
    "time-out": (EngineError(NO_ANSWER), "no answer in time"),
    "socket": (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
    "system": (OSError("odd"), "odd"),
    "TLS at the engine alone": (
        refusal(400, "Client sent an HTTP request to an HTTPS server."),
        "the engine uses TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH",
    ),
    "TLS at the agent alone": (
        EngineError("SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number')"),
        "the engine does not use TLS: give tcp://, and unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH",
    ),
    "no JSON": (json.JSONDecodeError("Expecting value", "<html>", 0), "Expecting value"),
    "another shape": (KeyError("Id"), "unexpected answer: KeyError('Id')"),
    "another type": (TypeError("not a list"), "unexpected answer: TypeError('not a list')"),
}
EACH_ERROR = pytest.mark.parametrize(("error", "message"), ERRORS.values(), ids=ERRORS.keys())


@EACH_ERROR
@pytest.mark.parametrize("question", ["dial", "list filtered", "list"])
def test_every_error_of_a_read_becomes_engine_unavailable(question: str, error: Exception, message: str) -> None:
    """No error of a library gets through. Each failed request is counted, and the next read opens a new connection."""
    fake, errors = FakeDocker(inspected("web")), list[None]()
    source = engine(fake, on_error=lambda: errors.append(None), filters=(("name", "web"),))
    fake.errors[question] = error
    with pytest.raises(EngineUnavailable) as unavailable:
        source.read(soon())
    assert str(unavailable.value).startswith("cannot read the Docker engine: ")
    assert message in str(unavailable.value)
    assert (len(errors), fake.open) == (1, 0)
    fake.errors.clear()
    assert names(source.read(soon())) == ["web"]


@EACH_ERROR
def test_every_error_of_reading_the_identity_becomes_engine_unavailable(error: Exception, message: str) -> None:
    """No error of a library gets through."""
    fake = FakeDocker()
    fake.errors["info"] = error
    with pytest.raises(EngineUnavailable) as unavailable:
        engine(fake).identity()
    assert message in str(unavailable.value)


@EACH_ERROR
def test_a_container_that_cannot_be_inspected_is_unknown(error: Exception, message: str) -> None:
    """Other containers are read, the failure is counted, and the next pass asks again."""
    fake, errors = FakeDocker(inspected("web"), inspected("db")), list[None]()
    source = engine(fake, on_error=lambda: errors.append(None))
    fake.errors["inspect web"] = error
    snapshot = source.read(soon())
    (unknown,) = snapshot.unknown
    assert (unknown.ref, names(snapshot), len(errors)) == (ContainerRef("web", "web"), ["db"], 1)
    assert unknown.problem.startswith("its inspect has not answered") or message in unknown.problem
    fake.errors.clear()
    assert source.read(soon()).unknown == ()


@pytest.mark.parametrize(
    "answer", [None, {"message": "page not found"}, [None], [{"Names": ["/web"]}], ["web"]], ids=repr
)
def test_an_answer_that_is_not_a_list_of_containers_is_an_error(answer: object) -> None:
    """It must not be taken for the list of an engine that runs nothing."""

    class Odd(FakeDocker):
        """An engine, or what stands before it, that answers in JSON of its own."""

        def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
            return answer

    with pytest.raises(EngineUnavailable, match="unexpected answer"):
        engine(Odd()).read(soon())


@pytest.mark.parametrize(
    "damage",
    [{"Ports": [{"Type": "tcp", "PublicPort": 80}]}, {"Ports": ["80"]}, {"Status": 5}, {"NetworkSettings": "none"}],
    ids=repr,
)
def test_a_line_of_the_list_that_cannot_be_understood_makes_its_container_unknown(damage: Json) -> None:
    """Other containers are read."""

    class Damaged(FakeDocker):
        """An engine that lists one container in a way of its own."""

        def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
            return [{**line, **damage} if line["Id"] == "web" else line for line in super().containers(all=all)]

    snapshot = engine(Damaged(inspected("web"), inspected("db"))).read(soon())
    assert ([each.ref.name for each in snapshot.unknown], names(snapshot)) == (["web"], ["db"])


def test_an_inspect_answer_that_cannot_be_understood_makes_its_container_unknown() -> None:
    """The container is named, and other containers are read."""
    web = inspected("web")
    fake = FakeDocker({**web, "Config": {**web["Config"], "Env": 5}}, inspected("db"))
    snapshot = engine(fake).read(soon())
    assert snapshot.unknown == (UnknownContainer(ContainerRef("web", "web"), "Config.Env is no list: '5'"),)
    assert names(snapshot) == ["db"]


def test_a_container_that_the_list_shows_oddly_is_inspected_once() -> None:
    """The list may have no names after a crash, ports with number 0, and null for what is empty."""

    class Odd(FakeDocker):
        """An engine whose list is not as usual."""

        def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
            odd = [{"PrivatePort": 0, "Type": "tcp"}, None, {"PrivatePort": 0, "Type": "tcp", "IP": None}]
            return [{**line, "Names": None, "Ports": [*line["Ports"], *odd]} for line in super().containers(all=all)]

    source = engine(fake := Odd(inspected("web")))
    assert [names(source.read(soon())) for _ in range(3)] == [["web"]] * 3
    assert fake.asked.count("inspect web") == 1


class HangingDocker(FakeDocker):
    """An engine that holds back the answers that ``hang`` names until ``release`` is called."""

    def __init__(self, *documents: Json, hang: tuple[str, ...] = ()) -> None:
        super().__init__(*documents)
        self._hang = hang
        self._released = threading.Event()

    def release(self) -> None:
        """Let the answers come that were held back."""
        self._released.set()

    def inspect_container(self, container: str) -> Any:
        """Return the answer, after ``release`` if it is one that hangs."""
        return self._answer(container, super().inspect_container(container))

    def info(self) -> Any:
        """Return the answer, after ``release`` if it is one that hangs."""
        return self._answer("info", super().info())

    def _answer(self, what: str, answer: Any) -> Any:
        if what in self._hang:
            assert self._released.wait(30)
        return answer


@pytest.fixture
def hanging() -> Iterator[HangingDocker]:
    """Yield an engine with two containers that answers neither the inspect of web nor the question who it is."""
    fake = HangingDocker(inspected("web"), inspected("db"), hang=("web", "info"))
    yield fake
    fake.release()


def patient(fake: FakeDocker, seconds: float, *, name_needed: bool = True) -> Engine:
    """Return an engine that waits for this many seconds for the answer to an inspect."""
    return Engine(fake.dial, Asking(Threads(), Clock(), seconds, name_needed), stopped_too=False)


def test_a_container_whose_inspect_hangs_is_unknown_and_its_late_answer_is_used(hanging: HangingDocker) -> None:
    """The other container is read. The message of the unknown one says for how long its inspect has not answered."""
    source = patient(hanging, 0.05)
    first, second = source.read(soon()), source.read(soon())
    for each in (first, second):
        assert (names(each), [unknown.ref.name for unknown in each.unknown]) == (["db"], ["web"])
        assert re.fullmatch(r"its inspect has not answered for \d\.\d s", each.unknown[0].problem)
    hanging.release()
    wait_until(lambda: names(source.read(soon())) == ["web", "db"], 5, "the late answer")
    assert hanging.inspects().count("web") == 1


def test_a_late_answer_that_disagrees_with_the_list_is_not_used(hanging: HangingDocker) -> None:
    """The container was renamed after the engine made the answer, so it is inspected again."""
    source = patient(hanging, 0.05)
    source.read(soon())
    hanging.documents["web"] = with_name(inspected("web"), "other")
    hanging.release()
    wait_until(lambda: names(source.read(soon())) == ["other", "db"], 5, "the second answer")
    assert hanging.inspects().count("web") == 2


def test_a_container_that_left_the_list_is_gone_although_its_inspect_hangs(hanging: HangingDocker) -> None:
    """The list alone says that the container is gone. Its inspect hangs, but that does not make it unknown."""
    source = patient(hanging, 0.05)
    assert source.read(soon()).unknown
    hanging.documents.pop("web")
    assert source.read(soon()).unknown == ()


def test_a_pass_that_runs_out_of_time_does_not_wait_for_inspects(hanging: HangingDocker) -> None:
    """A pass waits for inspects for half of what is left of its time at most, however patient its settings are."""
    source, clock = patient(hanging, 100.0), Clock()
    source.read(Deadline.after(0.2, clock))
    hanging.documents["dns"] = inspected("dns")
    hanging.release()
    wait_until(lambda: source.read(Deadline.after(0, clock)).unknown == (), 5, "the answers in later passes")


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (["/web"], "web"),
        (["/other/alias", "/web"], "web"),
        (["/web", "/other/alias", "/third/alias"], "web"),
        ([], ""),
        (None, ""),
    ],
    ids=str,
)
def test_an_unknown_container_has_its_own_name_and_not_that_of_a_link(shown: list[str] | None, name: str) -> None:
    """A link gives it a second name, as in ``/other/alias``. Its entries are found by its own name."""

    class Linked(FakeDocker):
        """An engine with links between its containers."""

        def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
            return [{**line, "Names": shown} for line in super().containers(all=all)]

    fake = Linked(inspected("web"))
    fake.errors["inspect web"] = OSError("odd")
    (unknown,) = engine(fake).read(soon()).unknown
    assert unknown.ref == ContainerRef("web", name)


def test_the_identity_is_asked_for_once_in_each_connection() -> None:
    """After an error another engine may be behind the socket, so the new connection asks again. The first name stays,
    and the new name is given beside it."""
    fake = FakeDocker(name="engine-1", engine="ID:1")
    source = engine(fake)
    assert [source.identity(), source.identity()] == [EngineIdentity("engine-1", "ID:1")] * 2
    assert fake.asked.count("info") == 1
    fake.name, fake.engine = "engine-2", "ID:2"
    fake.errors["list"] = OSError("gone")
    with pytest.raises(EngineUnavailable):
        source.read(soon())
    assert source.identity() == EngineIdentity("engine-1", "ID:2", new_name="engine-2")


def test_an_identity_that_was_asked_for_just_now_is_not_asked_for_again() -> None:
    """The agent asks for it when it starts. Reconnecting makes a difference, because another engine may answer then."""
    fake = FakeDocker(name="engine-1", engine="ID:2")
    known = EngineIdentity("engine-1", "ID:1")
    source = engine(fake)
    source.note_identity(known)
    source.note_identity(NO_IDENTITY)
    assert source.identity() == known
    assert "info" not in fake.asked
    source.close()
    assert source.identity().id == "ID:2"


def test_the_identity_is_asked_for_once_a_minute() -> None:
    """So a change of the host's name shows without a new connection."""
    virtual, fake = FakeTime(), FakeDocker(name="engine-1", engine="ID:1")
    source = engine(fake, clock=virtual.clock)
    assert source.identity() == EngineIdentity("engine-1", "ID:1")
    fake.name = "engine-2"
    virtual.advance(59)
    assert source.identity().new_name == ""
    virtual.advance(1)
    assert source.identity() == EngineIdentity("engine-1", "ID:1", new_name="engine-2")
    fake.errors["info"] = OSError("odd")
    virtual.advance(60)
    assert source.identity().new_name == "engine-2"


#: Ways in which an engine, or a proxy in front of it, refuses to say who it is.
REFUSALS: Mapping[str, Exception] = {
    "403": refusal(403, "forbidden"),
    "404": refusal(404, "page not found"),
    "501": refusal(501, "not implemented"),
    "no document": AttributeError("'list' object has no attribute 'get'"),
    "no answer": TimeoutError("timed out"),
}


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS.keys())
def test_an_engine_that_does_not_say_who_it_is_is_read_if_the_host_has_a_name(error: Exception) -> None:
    """The identity is empty until then. The engine is asked again once a minute, and its id is known as soon as it
    tells the id."""
    virtual, fake = FakeTime(), FakeDocker(inspected("web"))
    source = engine(fake, clock=virtual.clock, name_needed=False)
    fake.errors["info"] = error
    for _ in range(3):
        assert source.identity() == EngineIdentity("")
        assert names(source.read(soon())) == ["web"]
    assert fake.asked.count("info") == 1
    fake.errors.clear()
    virtual.advance(60)
    assert source.identity() == EngineIdentity("core-01", ENGINE)


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS.keys())
def test_an_engine_that_does_not_say_who_it_is_is_unavailable_if_its_name_is_needed(error: Exception) -> None:
    """The error names --hostname, which gives the host a name. The next pass asks the engine again."""
    fake = FakeDocker()
    source = engine(fake)
    fake.errors["info"] = error
    with pytest.raises(EngineUnavailable, match="give one with --hostname"):
        source.identity()
    fake.errors.clear()
    assert source.identity().name == "core-01"


def test_an_engine_that_is_not_there_is_no_reason_to_give_a_name() -> None:
    """The error only says what is wrong, and does not name --hostname."""
    fake = FakeDocker()
    fake.errors["dial"] = OSError("gone")
    with pytest.raises(EngineUnavailable) as unavailable:
        engine(fake).identity()
    assert "--hostname" not in str(unavailable.value)


@pytest.mark.parametrize("info", [{}, {"ID": "E"}, {"Name": "n"}, {"message": "page not found"}], ids=str)
def test_an_identity_may_lack_its_name_or_its_id(info: Json) -> None:
    """What the engine leaves out is an empty text."""

    class Odd(FakeDocker):
        """An engine whose answer to ``GET /info`` is ``info``."""

        def info(self) -> Any:
            return info

    for needed in (True, False):
        identity = engine(Odd(), name_needed=needed).identity()
        assert identity == EngineIdentity(info.get("Name", ""), info.get("ID", ""))


def test_an_engine_that_hangs_when_asked_who_it_is_is_waited_for_once(hanging: HangingDocker) -> None:
    """Only the first pass waits. Later passes go on without the engine's id, and have the id once the answer comes."""
    source = patient(hanging, 0.05, name_needed=False)
    began = time.monotonic()
    assert [source.identity() for _ in range(5)] == [EngineIdentity("")] * 5
    assert time.monotonic() - began < 2 * PATIENCE
    hanging.release()
    wait_until(lambda: source.identity() == EngineIdentity("core-01", ENGINE), 5, "the late identity")


@pytest.mark.parametrize("unknown", ["", None], ids=repr)
def test_an_engine_that_does_not_know_its_name_or_id_has_empty_ones(unknown: object) -> None:
    """Neither is made up. It is the pass that needs a name."""
    assert engine(FakeDocker(name=unknown, engine=unknown)).identity() == EngineIdentity("", "")


@pytest.mark.parametrize(("left", "timeout"), [(0.2, 1), (3.4, 3), (100.0, 5)], ids=str)
def test_the_timeout_of_an_answer_is_what_is_left_of_the_pass(left: float, timeout: int) -> None:
    """It is in whole seconds, at least 1 s, and at most the timeout that the client has otherwise."""
    fake = FakeDocker(inspected("web"))
    source = engine(fake)
    source.identity()
    source.read(Deadline.after(left, FakeTime().clock))
    assert fake.timeout == timeout


def test_one_connection_serves_all_passes() -> None:
    """All passes share one connection, because negotiating the API version costs more than a list. A second connection
    serves what is asked beside the passes. ``close`` closes both."""
    fake = FakeDocker(inspected("web"))
    source = engine(fake)
    for _ in range(3):
        source.identity()
        source.read(soon())
    assert (fake.asked.count("dial"), fake.open) == (2, 2)
    source.close()
    source.close()
    assert fake.open == 0


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[Path]:
    """Return the socket of an engine that runs one container."""
    document = inspected("web")
    state = RecordedEngine([FakeDocker(document).containers(all=True)[0]], {"web": document}, name="core-07")
    with serving(state, tmp_path / "docker.sock") as path:
        yield path


def read_through(settings: EngineSettings) -> tuple[str, list[Container]]:
    """Return the engine's name and its containers, read through the real client."""
    source = Engine(lambda: connect(settings), Asking(Threads(), Clock()), stopped_too=False)
    try:
        return source.identity().name, list(source.read(soon()).containers)
    finally:
        source.close()


@pytest.mark.parametrize("over", ["unix", "tcp"])
@pytest.mark.parametrize("part", [b"/version", b"/info", b"/containers/json", b"/web/json"])
def test_an_answer_of_the_engine_that_trickles_is_cut(
    socket_path: Path, tmp_path: Path, over: str, part: bytes
) -> None:
    """The time-out of a request limits the request as a whole, and not the time between two pieces of the answer."""
    at = str(tmp_path / "slow.sock") if over == "unix" else ""
    with Trickler(str(socket_path), only=part, at=at) as slow:
        settings = EngineSettings(f"unix://{at}" if at else f"tcp://127.0.0.1:{slow.address[1]}")
        source = Engine(lambda: connect(settings, timeout=1), Asking(Threads(), Clock()), stopped_too=False)
        begun = time.monotonic()
        try:
            source.identity()
            [unknown] = source.read(Deadline.after(1, Clock())).unknown
            problem = unknown.problem
        except EngineUnavailable as error:
            problem = str(error)
        finally:
            source.close()
        assert ("has not answered for" if part == b"/web/json" else "no answer in time") in problem
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize("given", ["flag", "DOCKER_HOST", "usual socket", "flag over DOCKER_HOST"])
def test_the_engine_is_found(socket_path: Path, tmp_path: Path, given: str) -> None:
    """It is found by the flag, or else by DOCKER_HOST, or else at the first of the usual sockets that exists."""
    url, nowhere = f"unix://{socket_path}", f"unix://{tmp_path}/nowhere.sock"
    (tmp_path / "file.sock").touch()
    sockets = [str(tmp_path / "nowhere.sock"), str(tmp_path / "file.sock"), str(socket_path)]
    settings = {
        "flag": EngineSettings(url),
        "DOCKER_HOST": EngineSettings("", {"DOCKER_HOST": url}),
        "usual socket": EngineSettings("", {}, SocketChoice(sockets)),
        "flag over DOCKER_HOST": EngineSettings(url, {"DOCKER_HOST": nowhere}),
    }[given]
    name, containers = read_through(settings)
    assert (name, [each.name for each in containers]) == ("core-07", ["web"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (EngineSettings("unix:///nowhere/docker.sock"), "No such file or directory"),
        (EngineSettings("", {}, SocketChoice(["/nowhere/a.sock", "/nowhere/b.sock"])), "No such file or directory"),
        (EngineSettings("tcp://127.0.0.1:1"), "Connection refused"),
        (EngineSettings("gopher://127.0.0.1"), "Invalid bind address protocol"),
        (EngineSettings("", {"DOCKER_HOST": "tcp://x:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/no"}), "TLS"),
    ],
    ids=["no socket", "none of the usual ones", "nobody listens", "no such protocol", "no certificates"],
)
def test_an_engine_that_is_not_there_is_unavailable(settings: EngineSettings, message: str) -> None:
    """The message is short, however the libraries wrap the error."""
    with pytest.raises(EngineUnavailable, match=message) as unavailable:
        read_through(settings)
    assert len(str(unavailable.value)) < 350


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
def test_a_tls_file_that_this_user_may_not_read_is_named_with_the_user(name: str) -> None:
    """The SDK itself would say that no file was given."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for each in ("ca.pem", "cert.pem", "key.pem"):
            Path(folder, each).touch(mode=0 if each == name else 0o644)
        environment = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": folder}
        with as_nobody():
            who = rf"user '\w+' \(uid {os.geteuid()}\)"
            with pytest.raises(EngineUnavailable, match=rf"{folder}/{name} cannot be read by {who}: Permission"):
                read_through(EngineSettings("", environment))


def test_a_folder_of_tls_files_that_this_user_may_not_enter_is_named_with_the_user(tmp_path: Path) -> None:
    """A folder of mode 700, as ``~/.docker`` of another user often is, hides whether the files are there."""
    for each in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / each).touch()
    tmp_path.chmod(0)
    environment = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    with as_nobody():
        who = rf"user '\w+' \(uid {os.geteuid()}\)"
        with pytest.raises(EngineUnavailable, match=rf"{tmp_path}/ca\.pem cannot be read by {who}: Permission"):
            read_through(EngineSettings("", environment))
    tmp_path.chmod(0o700)


def test_a_socket_that_this_user_may_not_use_is_named_with_the_user(socket_path: Path) -> None:
    """The user is usually not in the socket's group."""
    socket_path.chmod(0)
    with as_nobody():
        who = rf"as user '\w+' \(uid {os.geteuid()}\)"
        with pytest.raises(EngineUnavailable, match=rf"Permission denied, {who}"):
            read_through(EngineSettings(f"unix://{socket_path}"))
