"""The test support behaves as the tests assume, on the real parts."""

from __future__ import annotations

import urllib.request
from functools import partial
from pathlib import Path

import pytest

from tests.support.engine import DockerEngine, DockerError
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.images import TEST_IMAGES
from tests.support.private_engine import PrivateEngine, private_engine
from tests.support.waiting import wait_until


def page(address: str, port: int) -> str:
    """Return the page that the web image serves; empty while nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}:{port}/", timeout=2) as response:
            return str(response.read().decode().strip())
    except OSError:
        return ""


def published(engine: DockerEngine, container: str, port: str) -> int:
    """Return the host port of a published port."""
    return int(engine.inspect(container)["NetworkSettings"]["Ports"][port][0]["HostPort"])


def test_both_published_ports_of_a_container_answer_from_here(host: Host) -> None:
    """A test can fetch a page from the address and port that an entry names."""
    host.engine.run("--name shop --hostname shop -P web")
    for port in (80, 8080):
        outside = published(host.engine, "shop", f"{port}/tcp")
        answer = wait_until(partial(page, host.engine.address, outside), 10, f"port {port} to answer")
        assert answer == f"hello from shop, port {port}"


@pytest.mark.parametrize("tag", sorted(TEST_IMAGES))
def test_a_container_of_each_image_runs_and_stops_at_once(host: Host, tag: str) -> None:
    """Containers of the test images stop at once, so no test waits for a first process that ignores TERM."""
    container = host.engine.run(f"--name xx {tag}")
    host.engine.docker("stop", container, timeout=5)
    assert host.engine.inspect("xx")["State"]["ExitCode"] == 137


def test_images_have_the_settings_that_the_parity_cases_recorded(host: Host) -> None:
    """Exposed ports, environment and labels come from the image."""
    config = host.engine.inspect("annotated:2")["Config"]
    assert sorted(config["ExposedPorts"]) == ["443/tcp", "80/tcp"]
    assert config["Env"][1:] == ["SERVICE_80_NAME=fromimage", "SERVICE_REGION=eu"]
    assert config["Labels"] == {"SERVICE_443_NAME": "labelimage"}


def test_the_engine_reports_the_exit_code_of_a_command(host: Host) -> None:
    """The engine reports the exit code of a container's command, such as `sh -c '...; exit 3'` in the parity cases."""
    host.engine.replay("--name ss nginx sh -c 'sleep 0; exit 3'")
    assert host.engine.docker("wait", "ss") == "3"


def test_a_docker_command_that_fails_raises_an_error_with_command_and_reason(host: Host) -> None:
    """The error has the command and the engine's message."""
    with pytest.raises(DockerError, match=r"docker kill nobody: .*No such container"):
        host.engine.docker("kill", "nobody")


def test_a_frozen_engine_hangs_and_a_thawed_one_answers(breakable_host: Host) -> None:
    """A frozen engine accepts connections but answers nothing. A thawed one answers again."""
    engine = breakable_host.engine
    assert isinstance(engine, PrivateEngine)
    engine.freeze()
    with pytest.raises(DockerError, match="no answer within 1 s"):
        engine.docker("ps", timeout=1)
    engine.thaw()
    assert engine.docker("ps", "--quiet") == ""


def test_a_restarted_engine_keeps_its_images_and_address(breakable_host: Host) -> None:
    """A restarted engine has the same data and address. Its containers are stopped, as without live-restore."""
    engine = breakable_host.engine
    assert isinstance(engine, PrivateEngine)
    engine.run("--name xx nginx")
    before = engine.address
    engine.restart()
    assert engine.inspect("xx")["State"]["Running"] is False
    assert engine.address == before


def test_a_killed_engine_starts_again(breakable_host: Host) -> None:
    """A killed engine starts again, in spite of its pid file and its orphaned containers."""
    engine = breakable_host.engine
    assert isinstance(engine, PrivateEngine)
    engine.run("--name xx nginx")
    engine.kill()
    assert not engine.answers()
    engine.start()
    assert engine.containers()


def test_a_second_private_engine_runs_beside_the_first_and_leaves_nothing_behind(engine: DockerEngine) -> None:
    """A second private engine runs beside the first, keeps its data over a restart, and leaves nothing behind."""
    second = private_engine(live_restore=True)
    if not isinstance(second, PrivateEngine):
        pytest.skip(f"no second engine: {second.reason}")
    try:
        assert second.address != engine.address
        second.docker("network", "create", "backend")
        second.stop()
        second.start()
        assert "backend" in second.docker("network", "ls")
    finally:
        second.close()
    assert not second.folder.exists()
    assert second.folder.as_posix() not in Path("/proc/self/mounts").read_text()


def test_the_v2_client_reads_lists_and_deletes_what_it_has_put(etcd: EtcdServer) -> None:
    """The v2 client reads, lists and deletes what it has put, with colons and question marks in keys."""
    before = etcd.index()
    etcd.put("/round/trip/core-01:a?b#c:80", "10.0.0.1:80")
    etcd.put("/round/empty/gone", "x")
    assert etcd.delete("/round/empty/gone")
    assert etcd.keys("/round") == {"/round/trip/core-01:a?b#c:80": "10.0.0.1:80"}
    assert etcd.get("/round/trip/core-01:a?b#c:80") == "10.0.0.1:80"
    assert etcd.ls_dirs("/round") == ["/round/empty", "/round/trip"]
    assert etcd.index() == before + 3
    assert etcd.delete("/round", recursive=True)
    assert not etcd.delete("/round", recursive=True)
    assert etcd.keys("/round") == {}
    assert etcd.get("/round") is None


def test_etcd_keys_with_a_ttl_expire(etcd: EtcdServer) -> None:
    """A key with a TTL expires."""
    etcd.put("/mortal", "x", ttl=1)
    wait_until(lambda: etcd.get("/mortal") is None, 5, "the key to expire")


def test_etcd_survives_kill_freeze_and_restart_with_its_data(fresh_etcd: EtcdServer) -> None:
    """After being frozen, killed and restarted, etcd has the same endpoint and the same keys."""
    fresh_etcd.put("/stays", "here")
    fresh_etcd.freeze()
    fresh_etcd.thaw()
    fresh_etcd.kill()
    assert not fresh_etcd.answers()
    fresh_etcd.start()
    fresh_etcd.restart()
    assert fresh_etcd.keys() == {"/stays": "here"}
