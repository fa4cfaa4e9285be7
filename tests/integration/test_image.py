"""The container image, built from this tree and run as registrator's users run theirs."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.base_image import BASE, IMAGE
from tests.support.engine import DockerError
from tests.support.etcd_server import EtcdServer
from tests.support.images import build
from tests.support.private_engine import PrivateEngine
from tests.support.processes import REPOSITORY, Child, clean_environment
from tests.support.waiting import wait_until

#: The line in the unit files of registrator's users, with a placeholder for the image.
REGISTRATORS_LINE = (
    'docker run --name registrator --volume "/var/run/docker.sock:/tmp/docker.sock" IMAGE'
    " -ip ${COREOS_PUBLIC_IPV4} etcd://${COREOS_PUBLIC_IPV4}:2379/services/registrator"
)
PREFIX = "/services/registrator"
SOCKET = "--volume /var/run/docker.sock:/tmp/docker.sock"

#: The first of the commands by which the fleet unit of nginx is stopped. The unit ignores its failures.
_NGINX_UNIT = (REPOSITORY / "manifests/fleet/nginx@.service").read_text()
(FIRST_STOP_COMMAND,) = re.findall("^ExecStop=-(.+)$", _NGINX_UNIT, re.MULTILINE)


class CoreHost:
    """A host with an engine, an etcd at its own address, as with CoreOS, and a web server to register."""

    def __init__(self, engine: PrivateEngine, etcd: EtcdServer, folder: Path) -> None:
        self.engine = engine
        self.etcd = etcd
        self._folder = folder

    @property
    def arguments(self) -> str:
        """The arguments after the image in registrator's line."""
        return REGISTRATORS_LINE.partition("IMAGE")[2].replace("${COREOS_PUBLIC_IPV4}", self.engine.address)

    def shell(self, line: str) -> Child:
        """Start a line of shell on the host, where docker uses the host's engine by default."""
        environment = clean_environment(COREOS_PUBLIC_IPV4=self.engine.address)
        child = Child(
            self.engine.run_in_namespace(["sh", "-c", f"exec {line}"]), self._folder / "shell.log", env=environment
        )
        child.start()
        return child

    def agent(self, flags: str = "") -> str:
        """Run the agent in the background; return the container's id."""
        return self.engine.run(f"--name registrator {SOCKET} {flags} {IMAGE} {self.arguments}")

    def keys(self) -> dict[str, str]:
        """Return what is registered."""
        return {key.removeprefix(f"{PREFIX}/"): value for key, value in self.etcd.keys(PREFIX).items()}

    def web(self) -> dict[str, str]:
        """Return what should be registered for the container named `web`."""
        ports = self.engine.inspect("web")["NetworkSettings"]["Ports"]
        return {
            f"nginx-{port}/core-01:web:{port}": f"{self.engine.address}:{ports[f'{port}/tcp'][0]['HostPort']}"
            for port in (80, 443)
        }

    def wait_for_web(self) -> None:
        """Wait until exactly the web server is registered, and nothing else, such as the agent itself."""
        expected = self.web()
        wait_until(lambda: self.keys() == expected, 20, f"the keys {expected}")


@pytest.fixture(scope="module")
def local_etcd(image_engine: PrivateEngine) -> Iterator[EtcdServer]:
    """An etcd on the engine's host, at etcd's usual port."""
    server = EtcdServer(image_engine.address, port=2379, through=image_engine.run_in_namespace)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def core(image_engine: PrivateEngine, local_etcd: EtcdServer, tmp_path: Path) -> Iterator[CoreHost]:
    """A host that runs one web server with two published ports, neither of which is registered yet."""
    build(image_engine, "nginx:latest", 'EXPOSE 80 443\nCMD ["sleep", "1000000"]\n')
    image_engine.run("--name web -P nginx")
    yield CoreHost(image_engine, local_etcd, tmp_path)
    image_engine.remove_all()
    local_etcd.delete("/services", recursive=True)


def test_registrators_command_line_works_with_only_the_image_replaced(core: CoreHost) -> None:
    """The command line in the unit files of registrator's users, with only the image replaced, registers the same."""
    shell = core.shell(REGISTRATORS_LINE.replace("IMAGE", IMAGE))
    try:
        core.wait_for_web()
    finally:
        shell.kill()


def test_docker_stop_ends_the_agent_at_once_and_leaves_its_entries(core: CoreHost) -> None:
    """`docker stop` ends the agent, which is process 1, with exit code 0 within two seconds, and not by the engine's
    KILL after ten. Its entries stay."""
    core.agent()
    core.wait_for_web()
    before = time.monotonic()
    core.engine.docker("stop", "registrator")
    assert time.monotonic() - before < 2
    assert core.engine.inspect("registrator")["State"]["ExitCode"] == 0
    assert core.keys() == core.web()


def test_a_host_is_taken_out_of_service_with_the_image(core: CoreHost) -> None:
    """As docs/deploy.md says: a second `docker run` needs a `docker rm` before it, and the image removes the entries of
    a host from a container that ends."""
    core.agent()
    core.wait_for_web()
    with pytest.raises(DockerError, match="already in use"):
        core.agent()
    core.engine.docker("rm", "--force", "registrator")
    core.agent()
    core.engine.docker("rm", "--force", "registrator")
    registry = core.arguments.split()[-1]
    core.engine.docker(
        "run", "--rm", "--net", "host", IMAGE, "deregister", "--hostname", "core-01", "--yes", "--force", registry
    )
    assert core.keys() == {}


def test_containers_are_drained_from_within_the_agents_container(core: CoreHost) -> None:
    """The command sees none of the agent's flags. It works as the agent's user, without capabilities, too."""
    group = os.stat(core.engine.socket_url.removeprefix("unix://")).st_gid
    core.agent(f"--user 65534:{group} --read-only --cap-drop ALL --security-opt no-new-privileges")
    core.wait_for_web()
    core.engine.docker("exec", "registrator", "wharfinger", "drain", "web", "--wait=0")
    assert core.keys() == {}
    core.engine.docker("exec", "registrator", "wharfinger", "undrain", "web")
    core.wait_for_web()


def test_the_fleet_unit_of_nginx_drains_it_before_it_stops_it(core: CoreHost) -> None:
    """The first command that stops the unit takes the entries away while the container runs. If etcd hangs, it fails
    before `timeout` ends it, so the unit goes on to stop the container."""
    core.engine.run(f"--name wharfinger --net host {SOCKET} {IMAGE} {core.arguments}")
    core.engine.docker("rename", "web", "nginx")
    wait_until(lambda: len(core.keys()) == 2, 20, "the keys of nginx")
    drain = core.shell(FIRST_STOP_COMMAND)
    wait_until(lambda: not drain.running, 15, "the drain")
    assert (drain.exit_code, core.keys()) == (0, {})
    assert core.engine.inspect("nginx")["State"]["Running"]
    core.etcd.freeze()
    try:
        drain = core.shell(FIRST_STOP_COMMAND)
        wait_until(lambda: not drain.running, 15, "the drain that etcd does not answer")
    finally:
        core.etcd.thaw()
    assert drain.exit_code == 1
    assert "no answer in time" in drain.log()


def test_the_health_check_finds_a_running_agent_healthy(core: CoreHost) -> None:
    """The image's own health check finds a running agent healthy."""
    core.agent("--health-interval 500ms")
    wait_until(lambda: health(core) == "healthy", 20, "the container to be healthy")


def test_the_health_check_uses_the_listen_address_from_the_environment(core: CoreHost) -> None:
    """If WHARFINGER_LISTEN moves the HTTP server, the health check finds it there. If it turns the server off, the
    health check does not fail."""
    for listen in ("127.0.0.1:9200", ""):
        core.agent(f"--health-interval 500ms --env WHARFINGER_LISTEN={listen}")
        wait_until(lambda: health(core) == "healthy", 20, "the container to be healthy")
        core.engine.docker("rm", "--force", "registrator")


def test_the_health_check_fails_when_the_agent_hangs(core: CoreHost) -> None:
    """The health check fails for a frozen agent, although its port is still open."""
    core.agent("--health-interval 500ms --health-timeout 2s --health-retries 1")
    wait_until(lambda: health(core) == "healthy", 20, "the container to be healthy")
    core.engine.docker("kill", "--signal", "STOP", "registrator")
    wait_until(lambda: health(core) == "unhealthy", 20, "the container to be unhealthy")


def health(core: CoreHost) -> str:
    """Return the agent's health as the engine reports it."""
    return str(core.engine.inspect("registrator")["State"]["Health"]["Status"])


def test_the_agent_needs_neither_root_nor_capabilities_nor_a_writable_file_system(core: CoreHost) -> None:
    """The agent works as user nobody, without capabilities and with a read-only file system. It only needs the group of
    the engine's socket."""
    group = os.stat(core.engine.socket_url.removeprefix("unix://")).st_gid
    core.agent(f"--user 65534:{group} --read-only --cap-drop ALL --security-opt no-new-privileges")
    core.wait_for_web()
    assert core.engine.docker("exec", "registrator", "id", "-u") == "65534"
    with pytest.raises(DockerError, match="Read-only file system"):
        core.engine.docker("exec", "--user", "root", "registrator", "touch", "/opt/wharfinger/x")


@pytest.mark.parametrize("flags", ["", "--net host", "-P"])
def test_the_agent_does_not_register_itself(core: CoreHost, flags: str) -> None:
    """The agent does not register itself. With host networking every exposed port is a service, so the image exposes
    none."""
    core.agent(flags)
    core.wait_for_web()
    core.engine.docker("rm", "--force", "web")
    wait_until(lambda: not core.keys(), 20, "the web server's keys to go, and nothing else to be there")


def test_help_and_version_need_no_engine(image_engine: PrivateEngine) -> None:
    """`--help` and `--version` work without an engine, with the image's name in the place of the program's."""
    assert image_engine.docker("run", "--rm", IMAGE, "--help").startswith("Usage: wharfinger ")
    version = image_engine.docker("run", "--rm", IMAGE, "--version")
    labels = image_engine.inspect(IMAGE)["Config"]["Labels"]
    assert version == f"wharfinger {labels['org.opencontainers.image.version']}"
    assert labels["org.opencontainers.image.base.name"] == BASE


def test_the_image_adds_one_layer_of_less_than_100_megabytes_to_its_base(image_engine: PrivateEngine) -> None:
    """The image adds one layer below 100 MB, with the virtual environment and nothing that was only needed to build
    it."""
    base, image = (image_engine.inspect(name) for name in (BASE, IMAGE))
    assert 0 < image["Size"] - base["Size"] < 100_000_000
    assert len(image["RootFS"]["Layers"]) == len(base["RootFS"]["Layers"]) + 1
    assert inside(image_engine, "ls -d /source /tmp/* /opt/* 2>/dev/null; true") == "/opt/wharfinger"
    installed = inside(image_engine, "ls /opt/wharfinger/lib/python*/site-packages").split()
    assert "controller" in installed
    assert not {"pip", "setuptools", "wheel"} & set(installed)


def test_the_image_says_of_what_it_is_made(image_engine: PrivateEngine) -> None:
    """Its bill of materials names every distribution that is installed, with its version, and the Python."""
    document = json.loads(inside(image_engine, "cat /opt/wharfinger/wharfinger.cdx.json"))
    parts = [document["metadata"]["component"], *document["components"]]
    named = {f"{part['name'].replace('-', '_')}-{part['version']}.dist-info" for part in parts}
    installed = inside(image_engine, "cd /opt/wharfinger/lib/python*/site-packages; ls -d *.dist-info").split()
    python = inside(image_engine, "python --version").replace("Python ", "python-")
    assert named == {*installed, f"{python}.dist-info"}


#: The source of a program that imports every module of the program. An agent loads some only when it needs them.
IMPORT_EVERYTHING = """
import controller, pkgutil
for each in pkgutil.walk_packages(controller.__path__, "controller."):
    __import__(each.name)
"""


def test_the_image_has_bytecode_for_everything_that_is_imported(image_engine: PrivateEngine) -> None:
    """Everything that is imported has bytecode. A container with a read-only file system would compile the rest at each
    start."""
    told = inside(image_engine, f"python -v -c '{IMPORT_EVERYTHING}' 2>&1").splitlines()
    sources = [line.split()[-1].strip("'") for line in told if line.startswith("# code object from")]
    assert [source for source in sources if not source.endswith(".pyc")] == []
    assert all(any(f"/{name}/" in source for source in sources) for name in ("docker", "etcd", "waitress"))


def inside(engine: PrivateEngine, line: str) -> str:
    """Return what a line of shell prints in the image."""
    return engine.docker("run", "--rm", "--entrypoint", "sh", IMAGE, "-c", line)
