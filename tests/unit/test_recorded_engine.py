"""The recorded engine answers the requests of wharfinger as a Docker engine does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tests.support.recorded_engine import RecordedEngine, RecordedEngineServer, load

RECORDING = Path(__file__).parents[2] / "scripts" / "recorded-engine.json"
FIRST = "demo-1"


@pytest.fixture
def engine() -> RecordedEngine:
    """Return the recording that the demo uses if there is no engine."""
    return load(RECORDING)


@pytest.fixture
def client(engine: RecordedEngine, tmp_path: Path) -> Iterator[docker.APIClient]:
    """Return the real client library, connected to the recorded engine."""
    with RecordedEngineServer(tmp_path / "docker.sock", engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        client = docker.APIClient(base_url=f"unix://{tmp_path}/docker.sock", version="auto", timeout=5)
        yield client
        client.close()
        server.shutdown()
        thread.join()


def names(listed: list[dict[str, Any]]) -> list[str]:
    """Return the names of listed containers, sorted."""
    return sorted(container["Names"][0] for container in listed)


def test_the_client_library_can_list_inspect_and_ask_for_the_name(client: docker.APIClient) -> None:
    """With version negotiation these are all the requests of wharfinger."""
    assert client.info()["Name"] == "recorded"
    assert names(client.containers()) == [f"/demo-{number}" for number in (1, 2, 3)]
    assert client.inspect_container(FIRST)["State"]["Running"] is True


def test_a_stopped_container_is_listed_only_with_all_and_has_no_ports(client: docker.APIClient) -> None:
    """It is listed as after `docker stop`, and `docker start` restores it."""
    before = client.containers()
    client.stop(FIRST)
    assert f"/{FIRST}" not in names(client.containers())
    stopped = next(one for one in client.containers(all=True) if one["Names"] == [f"/{FIRST}"])
    assert (stopped["State"], stopped["Ports"]) == ("exited", [])
    assert client.inspect_container(FIRST)["State"]["ExitCode"] == 137
    client.start(FIRST)
    assert client.containers() == before


def test_a_container_that_does_not_exist_is_not_found(client: docker.APIClient) -> None:
    """The answer is 404."""
    with pytest.raises(docker.errors.NotFound, match="No such container: nobody"):
        client.inspect_container("nobody")
    with pytest.raises(docker.errors.NotFound):
        client.stop("nobody")


def test_the_server_removes_its_socket(engine: RecordedEngine, tmp_path: Path) -> None:
    """Another server can be started at the same path."""
    for _ in range(2):
        with RecordedEngineServer(tmp_path / "docker.sock", engine):
            assert (tmp_path / "docker.sock").exists()
        assert not (tmp_path / "docker.sock").exists()
