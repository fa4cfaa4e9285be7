"""Finding the containers that an operator names."""

from __future__ import annotations

from threading import Event

import pytest
from attrs import evolve

from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.errors import EngineUnavailable, Stop
from controller.source.engine_errors import EngineError, error_answer
from controller.source.named_containers import BoundedLookup, NamedContainers
from model.container_lookup import EngineLookup
from tests.support.fakes import FakeDocker, FakeTime, Inline, inspected
from tests.support.waiting import wait_until


@pytest.fixture
def docker() -> FakeDocker:
    """Return an engine with a container that runs, one that is paused, and one that has ended."""
    return FakeDocker(inspected("web"), inspected("db", status="paused"), inspected("old", status="exited"))


@pytest.fixture
def containers(docker: FakeDocker) -> NamedContainers:
    """Return the containers of that engine."""
    return NamedContainers(docker.dial)


@pytest.mark.parametrize("name", ["web", "db"])
def test_a_container_that_runs_is_found(docker: FakeDocker, containers: NamedContainers, name: str) -> None:
    """A paused one runs, too. The connection is closed afterwards."""
    assert containers.find(name).id == name
    assert (docker.asked, docker.open) == (["dial", f"inspect {name}"], 0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ui", "there is no container 'ui'"),
        ("old", "container 'old' does not run: it is exited"),
        ("", "'' is no name and no id of a container"),
        ("../info", "'../info' is no name and no id of a container"),
        ("--all", "'--all' is no name and no id of a container"),
    ],
)
def test_a_container_that_cannot_be_drained_is_named(containers: NamedContainers, text: str, problem: str) -> None:
    """The message says what is wrong with it."""
    with pytest.raises(Stop, match=f"^{problem}$"):
        containers.find(text)


def test_an_id_that_begins_like_several_is_refused_as_the_engine_does(
    docker: FakeDocker, containers: NamedContainers
) -> None:
    """The message has the engine's own words."""
    docker.errors["inspect we"] = error_answer(500, "multiple IDs found with provided prefix: we")
    with pytest.raises(Stop, match=r"does not tell which container 'we' is: .*multiple IDs found"):
        containers.find("we")


@pytest.mark.parametrize("request_", ["dial", "inspect web"])
def test_an_engine_that_does_not_answer_is_an_error(
    docker: FakeDocker, containers: NamedContainers, request_: str
) -> None:
    """It does not mean that there is no such container."""
    docker.errors[request_] = EngineError("no answer")
    with pytest.raises(EngineUnavailable, match="cannot ask the Docker engine about container 'web': no answer"):
        containers.find("web")
    assert docker.open == 0


def test_the_containers_that_run_are_listed(containers: NamedContainers, docker: FakeDocker) -> None:
    """Those that have ended are not among them."""
    assert containers.running() == {"web", "db"}
    docker.errors["list"] = EngineError("no answer")
    with pytest.raises(EngineUnavailable):
        containers.running()


def test_a_container_that_does_not_run_is_looked_up(containers: NamedContainers, docker: FakeDocker) -> None:
    """The answer has it as an inspect describes it, and all containers of the engine."""
    lookup = containers.look_up("ol")
    assert lookup.found is not None
    assert (lookup.found.status, sorted(each.name for each in lookup.listed)) == ("exited", ["db", "old", "web"])
    assert (docker.asked, docker.open) == (["dial", "list all", "inspect old"], 0)


def test_a_container_that_is_not_there_is_not_found(containers: NamedContainers, docker: FakeDocker) -> None:
    """One that goes between list and inspect is not found either."""
    assert containers.look_up("ui").found is None
    docker.then = lambda: docker.documents.pop("old", None)
    assert (containers.look_up("old").found, containers.look_up("old").problem) == (None, "")


def test_an_engine_that_does_not_answer_tells_why(containers: NamedContainers, docker: FakeDocker) -> None:
    """A lookup raises nothing."""
    docker.errors["list all"] = EngineError("no answer")
    assert containers.look_up("old").problem == "cannot ask the Docker engine for all containers: no answer"


def test_a_bounded_lookup_does_not_wait_for_an_engine_that_hangs(
    containers: NamedContainers, docker: FakeDocker
) -> None:
    """While the engine does not answer, it is not asked again. Afterwards it is."""
    released = Event()
    docker.then = lambda: released.wait(10)
    look_up = BoundedLookup(containers, Threads(), Clock(), 0.05)
    assert look_up("old").problem == "the engine has not answered within 0.05 seconds"
    assert look_up("old").problem == "the engine has not answered yet about another container"
    released.set()
    wait_until(lambda: look_up("old").found is not None)


def test_a_bounded_lookup_asks_about_one_container_at_a_time(containers: NamedContainers, docker: FakeDocker) -> None:
    """Clients of the HTTP port cannot make the agent ask without end."""
    look_up = BoundedLookup(containers, Inline(), FakeTime().clock)
    within: list[EngineLookup] = []
    docker.then = lambda: within.append(look_up("web"))
    assert look_up("old").found is not None
    assert [each.problem for each in within] == ["the engine has not answered yet about another container"]
    assert look_up("old").problem == ""


def test_a_bounded_lookup_lets_the_engine_rest_after_each(containers: NamedContainers, docker: FakeDocker) -> None:
    """Who asks again and again waits, four times as long as the engine took. Who comes later does not."""
    time, slept = FakeTime(), list[float]()
    look_up = BoundedLookup(containers, Inline(), evolve(time.clock, sleep=slept.append))
    docker.then = lambda: time.advance(0.5)
    look_up("old")
    look_up("old")
    time.advance(10)
    look_up("old")
    assert slept == [0.0, 2.0, 0.0]
