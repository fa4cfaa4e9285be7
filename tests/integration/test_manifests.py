"""The files that an operator deploys: the tools that read them accept them, and they fit the program."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import pytest

from controller.cli import cli
from controller.config.flags import CONNECTION_FLAGS, FLAGS, SWITCHES, environment_variable, rewrite
from controller.registry.uri import parse_uri
from model.backoff import SEQUENCE
from tests.support.engine_tree import engine_tree
from tests.support.parts import PartMissing
from tests.support.private_engine import PrivateEngine
from tests.support.processes import REPOSITORY, Child, clean_environment, free_ports
from tests.support.tools import run_tool
from tests.support.waiting import wait_until

MANIFESTS = REPOSITORY / "manifests"
AGENTS_ON_FLEET = (MANIFESTS / "fleet/wharfinger@.service", MANIFESTS / "fleet/wharfinger-global.service")
FLEET = (*AGENTS_ON_FLEET, MANIFESTS / "fleet/nginx@.service")
NATIVE = MANIFESTS / "systemd/wharfinger.service"
NATIVE_NGINX = MANIFESTS / "systemd/nginx.service"
NGINX = (MANIFESTS / "fleet/nginx@.service", NATIVE_NGINX)
CREDENTIALS = MANIFESTS / "systemd/credentials.conf"
UNITS = (*FLEET, NATIVE, NATIVE_NGINX)
QUADLET = MANIFESTS / "podman/wharfinger.container"
COMPOSE = MANIFESTS / "compose/compose.yaml"
README = REPOSITORY / "README.md"
RUNBOOK = REPOSITORY / "docs/runbook.md"
DOCS = (RUNBOOK, REPOSITORY / "docs/deploy.md")

IMAGE = "registry.example/wharfinger:0.1"

#: Everything after the image's name in the command line that registrator's users on fleet have.
REGISTRATORS_LINE = "-ip ${COREOS_PUBLIC_IPV4} etcd://${COREOS_PUBLIC_IPV4}:2379/services/registrator"

#: The variable for the registry's URI. It is the unit's own and belongs to no flag.
REGISTRY = "WHARFINGER_REGISTRY"

#: The flags for commands that a person types. The person sees when a cd fails, so it needs no "or else".
SHELLCHECK = ("--shell=bash", "--exclude=SC2164", "-")

#: Seconds that systemd gives each command that stops a unit, if the unit sets no TimeoutStopSec.
STOP_TIMEOUT = 90.0

#: The highest permitted exposure, from 0.0 to 10.0, as `systemd-analyze security` counts it.
EXPOSURE = 3.0

each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: f"{unit.parent.name}/{unit.name}")
each_fleet_unit = pytest.mark.parametrize("unit", FLEET, ids=lambda unit: unit.name)
each_unit_of_a_container = pytest.mark.parametrize("unit", [*FLEET, NATIVE_NGINX], ids=lambda unit: unit.name)
each_doc = pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.name)


# systemd and fleet


def directives(unit: Path) -> list[tuple[str, str, str]]:
    """Return section, name and value of each line of a unit."""
    found, section = [], ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.append((section, name, value))
    return found


def values(unit: Path, name: str) -> list[str]:
    """Return all values of a directive."""
    return [value for _, each, value in directives(unit) if each == name]


def value(unit: Path, name: str) -> str:
    """Return the only value of a directive."""
    (only,) = values(unit, name)
    return only


#: How a unit limits the time of a program: with `timeout` and a number of seconds before it.
LIMIT = re.compile(r"(?P<program>/usr/bin/timeout) (?P<seconds>\d+) ")


def programs(units: Iterable[Path]) -> set[str]:
    """Return every program that the units start, by `timeout`, too."""
    lines = [value.lstrip("-") for unit in units for _, name, value in directives(unit) if name.startswith("Exec")]
    limits = {limit["program"] for limit in map(LIMIT.match, lines) if limit}
    return limits | {LIMIT.sub("", line).split()[0] for line in lines}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A root folder with the shipped units, systemd's own, and an empty file for each program that they start."""
    own = Path("/usr/lib/systemd/system")
    if not own.is_dir():
        pytest.skip("systemd's own units are not installed (Debian: systemd)")
    shutil.copytree(own, tmp_path / "usr/lib/systemd/system", symlinks=True)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(unit, tmp_path / "etc/systemd/system")
    for program in programs(UNITS):
        path = tmp_path / program.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    return tmp_path


def with_credentials(root: Path, drop_in: str) -> None:
    """Add the drop-in with credentials to the native unit."""
    folder = root / "etc/systemd/system/wharfinger.service.d"
    folder.mkdir()
    (folder / CREDENTIALS.name).write_text(drop_in)


def verify(root: Path, unit: str) -> tuple[int, str]:
    """Run `systemd-analyze verify` on a unit: (0, "") if all is well. systemd goes on after a directive that it does
    not know, so its output counts, too."""
    name = unit.replace("@.", "@1.")
    return run_tool("systemd", "systemd-analyze", "verify", "--man=no", f"--root={root}", name)


@each_unit
def test_systemd_accepts_each_unit(installed: Path, unit: Path) -> None:
    """systemd accepts each shipped unit and prints nothing."""
    assert verify(installed, unit.name) == (0, "")


@pytest.mark.parametrize("whole", [False, True], ids=["as shipped", "whole"])
def test_systemd_accepts_the_drop_in_with_credentials(installed: Path, whole: bool) -> None:
    """systemd accepts the drop-in as it is shipped, and with the lines that it has as comments."""
    text = CREDENTIALS.read_text()
    with_credentials(installed, re.sub(r"^#(?=[A-Z]\w+=)", "", text, flags=re.MULTILINE) if whole else text)
    assert verify(installed, NATIVE.name) == (0, "")


def test_the_drop_in_sets_only_variables_that_exist_to_what_it_loads() -> None:
    """Every variable in the drop-in belongs to a flag or to Docker, and every path is that of a credential."""
    found = re.findall(r"^#?Environment=(\w+)=(.+)$", CREDENTIALS.read_text(), re.MULTILINE)
    flags = {environment_variable(name) for name in (*(each.name for each in CONNECTION_FLAGS), "web-token-file")}
    assert {name for name, _ in found} == flags | {"DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"}
    loaded = set(re.findall(r"^#?LoadCredential=([^:]+):/", CREDENTIALS.read_text(), re.MULTILINE))
    used = {text.removeprefix("%d/") for _, text in found if text.startswith("%d/")}
    assert loaded == used | {"ca.pem", "cert.pem", "key.pem"}


@pytest.mark.parametrize(("right", "wrong"), [("Restart=always", "Restrat=always"), ("/docker run", "/dokker run")])
def test_systemd_rejects_a_wrong_unit(installed: Path, right: str, wrong: str) -> None:
    """The check above can fail: it finds a misspelt directive and a missing program."""
    unit = installed / "etc/systemd/system/nginx@.service"
    unit.write_text(unit.read_text().replace(right, wrong))
    assert verify(installed, unit.name) != (0, "")


@each_unit
def test_units_start_only_known_programs(unit: Path) -> None:
    """Units start only docker, wharfinger and kill, with a limit of time or without, and a shell only to pull an image
    that is not there."""
    own = {"/usr/bin/docker", "/opt/wharfinger/bin/wharfinger"}
    assert programs([unit]) <= own | {"/usr/bin/timeout", "/bin/kill", "/bin/sh"}
    shells = [text for _, name, text in directives(unit) if name.startswith("Exec") and "/bin/sh" in text]
    assert shells == values(unit, "ExecStartPre")[2:]


@each_unit
def test_systemd_always_restarts_a_unit(unit: Path) -> None:
    """Whatever ends a unit, systemd starts it again after a pause."""
    assert value(unit, "Restart") == "always"
    assert float(value(unit, "RestartSec")) > 0


@each_fleet_unit
def test_only_fleet_decides_where_a_fleet_unit_runs(unit: Path) -> None:
    """So it has no [Install] section. Its variables are those of CoreOS."""
    assert value(unit, "EnvironmentFile") == "/etc/environment"
    assert {section for section, _, _ in directives(unit)} == {"Unit", "Service", "X-Fleet"}


@each_unit_of_a_container
def test_units_of_containers_clean_up_pull_the_image_and_stop_properly(unit: Path) -> None:
    """Each unit removes what an earlier run left, and may fail at that and at the pull. The pull may take long, but not
    for ever. Its last command is `docker stop`."""
    name = unit.name.partition("@")[0].partition("-")[0].removesuffix(".service")
    image = IMAGE if name == "wharfinger" else name
    assert value(unit, "TimeoutStartSec") == "900"
    docker = "/usr/bin/docker"
    pull = f"-/bin/sh -c '{docker} image inspect {image} >/dev/null 2>&1 || {docker} pull {image}'"
    assert values(unit, "ExecStartPre") == [f"-{docker} kill {name}", f"-{docker} rm {name}", pull]
    assert value(unit, "ExecStart").startswith(f"{docker} run --name {name} ")
    assert values(unit, "ExecStop")[-1] == f"{docker} stop {name}"


@pytest.mark.parametrize("unit", NGINX, ids=lambda unit: unit.name)
def test_the_examples_of_a_service_are_drained_before_they_stop(unit: Path) -> None:
    """The unit may fail to drain its container, and has limited time for it: more than it waits after the keys are
    gone, and less than the time after which systemd gives up all commands that stop the unit."""
    drain, _ = values(unit, "ExecStop")
    assert drain.startswith("-")
    limit = LIMIT.match(drain.removeprefix("-"))
    assert limit
    words = shlex.split(drain)
    name, *rest = words[max(at for at, word in enumerate(words) if is_program(word)) + 1 :]
    options = cli.commands[name].make_context(name, rest).params
    assert (name, options["containers"]) == ("drain", ("nginx",))
    assert options["wait"] < float(limit["seconds"]) < STOP_TIMEOUT


#: Seconds within which a unit gets past an image that is there.
AT_ONCE = 5.0

#: The source of a program that accepts connections at a port, and never answers.
SILENT_SERVER = """
import socket, sys
clients, server = [], socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    clients.append(server.accept())
    print("asked", flush=True)
"""


def test_a_registry_that_does_not_answer_does_not_hold_up_an_image_that_is_there(
    breakable_engine: PrivateEngine, tmp_path: Path
) -> None:
    """The line of each fleet unit that gets the image ends at once if the engine has the image, although the image's
    registry accepts connections and never answers. If the engine does not have the image, the line pulls it."""
    engine = breakable_engine
    port = free_ports(1)[0]
    registry = Child(engine.run_in_namespace([sys.executable, "-c", SILENT_SERVER, str(port)]), tmp_path / "registry")
    registry.start()
    wait_until(lambda: "listening" in registry.log(), 10, "the silent registry")
    there, missing = (f"127.0.0.1:{port}/{name}:1" for name in ("there", "missing"))
    engine.docker("tag", "web:latest", there)
    for number, unit in enumerate(FLEET):
        getting = get_image(unit, there, engine, tmp_path / f"there-{number}")
        wait_until(partial(has_ended, getting), AT_ONCE, f"the end of {getting.argv}")
        assert getting.exit_code == 0
    assert "asked" not in registry.log()
    pulling = [get_image(unit, missing, engine, tmp_path / f"missing-{number}") for number, unit in enumerate(FLEET)]
    wait_until(lambda: "asked" in registry.log(), 10, "a pull")
    registry.kill()
    wait_until(lambda: all(map(has_ended, pulling)), 30, "the end of the pulls")
    assert all(each.exit_code for each in pulling)
    engine.docker("rmi", there)


def has_ended(child: Child) -> bool:
    """Return whether the process has ended."""
    return not child.running


def get_image(unit: Path, image: str, engine: PrivateEngine, log: Path) -> Child:
    """Start the unit's line that gets its image, with this image."""
    line = values(unit, "ExecStartPre")[-1].lstrip("-")
    command = shlex.split(line.replace("nginx" if unit.name == "nginx@.service" else IMAGE, image))
    child = Child(command, log, env=clean_environment(DOCKER_HOST=engine.socket_url))
    child.start()
    return child


def test_fleet_runs_one_agent_on_each_host() -> None:
    """Instances of a template conflict with each other, and the global unit runs everywhere, so each host has one
    agent."""
    scheduling = {unit.name: [each[1:] for each in directives(unit) if each[0] == "X-Fleet"] for unit in FLEET}
    assert scheduling == {
        "wharfinger@.service": [("Conflicts", "wharfinger@*")],
        "wharfinger-global.service": [("Global", "true")],
        "nginx@.service": [("Conflicts", "nginx@*")],
    }


@pytest.mark.parametrize("unit", AGENTS_ON_FLEET, ids=lambda unit: unit.name)
def test_fleet_units_keep_registrators_arguments(unit: Path) -> None:
    """The arguments after the image are registrator's; only what is before them differs."""
    before, _, after = value(unit, "ExecStart").partition(f" {IMAGE} ")
    assert after == REGISTRATORS_LINE
    assert "--volume /var/run/docker.sock:/tmp/docker.sock" in before
    assert "--net host" in before


def test_the_native_unit_has_a_low_security_exposure() -> None:
    """`systemd-analyze security` rates the exposure of the native unit at 3.0 or less."""
    limit = f"--threshold={EXPOSURE * 10:.0f}"
    code, said = run_tool("systemd", "systemd-analyze", "security", "--offline=true", "--no-pager", limit, str(NATIVE))
    score = re.search(r"Overall exposure level for wharfinger.service: ([\d.]+)", said)
    assert score, said
    assert float(score[1]) <= EXPOSURE, said
    assert code == 0


def test_the_watchdog_of_the_native_unit_outlasts_back_off_and_slow_passes() -> None:
    """The watchdog's time is at least twice the longest back-off plus the longest pass, which is the longest time
    between the ends of two passes."""
    (timeout,) = [float(flag.default) for flag in FLAGS if flag.name == "pass-timeout"]
    assert (value(NATIVE, "Type"), value(NATIVE, "NotifyAccess")) == ("notify", "main")
    assert float(value(NATIVE, "WatchdogSec")) >= 2 * (SEQUENCE[-1] + timeout)


def test_the_environment_file_sets_only_variables_that_exist() -> None:
    """Every variable in the environment file belongs to a flag, the unit or Docker. The registry, which is required,
    has a default in the unit."""
    names = re.findall(r"^#?([A-Z_]+)=", (MANIFESTS / "systemd/wharfinger.env").read_text(), re.MULTILINE)
    flags = {environment_variable(each.name) for each in (*FLAGS, *SWITCHES)}
    assert set(names) <= flags | {REGISTRY, "DOCKER_HOST"}
    assert value(NATIVE, "ExecStart").endswith(f" run ${REGISTRY}")
    assert parse_uri(value(NATIVE, "Environment").removeprefix(f"{REGISTRY}=")).endpoints == (("127.0.0.1", 2379),)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        *((unit, "#Environment=WHARFINGER_STRICT_NAMES=true") for unit in (*AGENTS_ON_FLEET, NATIVE, QUADLET)),
        (MANIFESTS / "systemd/wharfinger.env", "#WHARFINGER_STRICT_NAMES=true"),
        (COMPOSE, '# WHARFINGER_STRICT_NAMES: "true"'),
    ],
    ids=lambda part: part.name if isinstance(part, Path) else "",
)
def test_strict_names_are_commented_out_in_each_manifest_of_the_agent(file: Path, line: str) -> None:
    """An operator turns them on by removing the comment sign. A unit that starts a container hands the variable on."""
    assert line in (each.strip() for each in file.read_text().splitlines())
    assert environment_variable("strict-names") in line
    if file in AGENTS_ON_FLEET:
        assert " --env WHARFINGER_STRICT_NAMES " in value(file, "ExecStart").partition(IMAGE)[0]


# Podman


def quadlet(folder: Path) -> tuple[int, str, str]:
    """Return exit code, units and messages of Podman's generator, which makes units of the files in a folder. It is
    that of a later Debian, because bookworm's Podman has none."""
    try:
        tree = engine_tree("forky")
    except PartMissing as error:
        pytest.skip(f"no tree of a later Debian: {error}")
    argv = [str(tree / "usr/libexec/podman/quadlet"), "-dryrun"]
    environment = clean_environment(QUADLET_UNIT_DIRS=str(folder))
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_podmans_generator_makes_a_unit_of_the_file(tmp_path: Path) -> None:
    """It refuses a key that it does not know. The agent gets Podman's socket, and nothing else that it could do harm
    with."""
    code, made, messages = quadlet(QUADLET.parent)
    assert (code, [line for line in messages.splitlines() if "Loading source unit file" not in line]) == (0, [])
    (start,) = re.findall(r"^ExecStart=(.*)$", made, re.MULTILINE)
    words = shlex.split(start)
    assert words[:2] == ["/usr/bin/podman", "run"]
    assert words[words.index(IMAGE) + 1 :] == shlex.split(value(QUADLET, "Exec"))
    options = {"--network host", "--cap-drop all", "--read-only", "label=disable", "no-new-privileges"}
    assert {option for option in options if option in start} == options
    assert words.count("-v") == 1
    wrong = QUADLET.read_text().replace("ReadOnly=", "ReadOny=")
    (tmp_path / QUADLET.name).write_text(wrong)
    assert "unsupported key 'ReadOny'" in quadlet(tmp_path)[2]


# The command lines


def in_compose() -> list[str]:
    """Return the agent's arguments in the compose file."""
    (line,) = re.findall(r'command: (\["-ip".*\])', COMPOSE.read_text())
    return list(json.loads(line))


def in_unit(unit: Path) -> list[str]:
    """Return the agent's arguments in a fleet unit."""
    line = value(unit, "ExecStart").partition(IMAGE)[2]
    return shlex.split(line.replace("${COREOS_PUBLIC_IPV4}", "192.0.2.1"))


@pytest.mark.parametrize(
    "words",
    [in_compose(), *(in_unit(unit) for unit in AGENTS_ON_FLEET), shlex.split(value(QUADLET, "Exec"))],
)
def test_the_program_accepts_the_arguments_in_the_manifests(words: Sequence[str]) -> None:
    """The program accepts the arguments in the compose file, in the fleet units and in the unit for Podman."""
    command, *rest = rewrite(list(words), commands=cli.commands)
    parsed = cli.commands[command].make_context(command, rest).params
    assert parse_uri(*parsed["uris"]).prefix
    assert parsed["option_ip"]


def compose_command() -> tuple[str, ...]:
    """Return the command for Docker's compose: the plugin, or the separate program that Debian has."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False) if _docker() else None
    return ("docker", "compose") if plugin and plugin.returncode == 0 else ("docker-compose",)


def _docker() -> bool:
    return shutil.which("docker") is not None


def test_compose_accepts_the_file() -> None:
    """compose accepts the file and prints nothing. Other tests check what the images do."""
    assert run_tool("docker-compose", *compose_command(), "--file", str(COMPOSE), "config", "--quiet") == (0, "")


# What the documents tell people to type


def shell_blocks(doc: Path) -> list[str]:
    """Return the shell commands in a document."""
    return re.findall(r"^```sh\n(.*?)^```", doc.read_text(), re.MULTILINE | re.DOTALL)


@each_doc
def test_shellcheck_accepts_the_commands_in_the_documents(doc: Path) -> None:
    """shellcheck accepts every command in the documents."""
    blocks = shell_blocks(doc)
    assert blocks
    for block in blocks:
        assert run_tool("shellcheck", "shellcheck", *SHELLCHECK, stdin=block) == (0, "")


@each_doc
def test_wharfingers_commands_in_the_documents_exist(doc: Path) -> None:
    """Every wharfinger command in the documents exists, with its flags, and its URI is valid."""
    assert own_commands(doc)
    for name, *rest in own_commands(doc):
        assert cli.commands[name].make_context(name, list(rest))
        assert parse_uri(rest[-1])


#: A command about draining, without what stands behind it in its line.
DRAINING = re.compile(r"\bwharfinger ((?:un)?drain\b[^`#;&|\n]*)")


@pytest.mark.parametrize("file", [*DOCS, README, COMPOSE, *NGINX], ids=lambda file: file.name)
def test_the_commands_about_draining_exist(file: Path) -> None:
    """Every command about draining in the documents and manifests exists, with its options."""
    assert DRAINING.search(file.read_text())
    for words in DRAINING.findall(file.read_text()):
        name, *rest = shlex.split(words)
        assert cli.commands[name].make_context(name, rest)


def own_commands(doc: Path) -> list[list[str]]:
    """Return the words after the program's name, or its image's, in each command of a document that names a
    registry."""
    lines = "\n".join(shell_blocks(doc)).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines if "etcd://" in line]
    starts = [max(at for at, word in enumerate(words) if word == IMAGE or is_program(word)) for words in found]
    commands = [words[start + 1 :] for words, start in zip(found, starts, strict=True)]
    return [rewrite(words, commands=cli.commands) for words in commands]


def is_program(word: str) -> bool:
    """Return whether a word of a command is the wharfinger program."""
    return Path(word).name == "wharfinger"
