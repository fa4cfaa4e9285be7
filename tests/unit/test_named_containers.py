"""Finding the containers that an operator names."""

from __future__ import annotations

import pytest

from controller.errors import EngineUnavailable, Stop
from controller.source.engine_errors import EngineError, error_answer
from controller.source.named_containers import NamedContainers
from tests.support.fakes import FakeDocker, inspected


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
