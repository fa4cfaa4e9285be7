"""``wharfinger config``: the settings, and where each of them is from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import controller.commands
from controller.config.flags import ETCDCTL_VARIABLES, FLAGS, REGISTRATOR_VARIABLES, SWITCHES
from controller.config.grouped_help import FLAG_GROUPS
from tests.support.docker_contexts import write_context
from tests.unit.conftest import Ran

pytestmark = pytest.mark.usefixtures("logging_restored")

URI = "etcd://127.0.0.1:2379/services"

SECRET = "correct-horse"

SCHEMA = Path(controller.commands.__file__).parent / "schemas/config.json"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables of other programs that give settings."""
    etcdctl = [each for names in ETCDCTL_VARIABLES.values() for each in names]
    for name in (*etcdctl, *REGISTRATOR_VARIABLES.values(), "ETCD_ENDPOINTS", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)


def rows(text: str) -> dict[str, list[str]]:
    """Return what each line of a setting says after its name, by the name."""
    lines = [line.strip().split("  ") for line in text.splitlines() if line.startswith("  ")]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    return {name: rest for name, *rest in cells}


def settings_in(document: str) -> dict[str, Any]:
    """Return the settings of a JSON document, which its schema allows, by their names."""
    groups = json.loads(document)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(groups)
    return {each.pop("name"): each for group in groups["groups"] for each in group["settings"]}


def test_each_setting_has_a_line_with_its_value_and_origin(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is named, and a flag has precedence over it. A variable that counts as not set gives nothing."""
    for name, value in {"TTL": "60", "INTERNAL": "true", "INTERVAL": "7", "IP": "", "LISTEN": ""}.items():
        monkeypatch.setenv(f"WHARFINGER_{name}", value)
    code, out, _ = ran("config", "--interval=5", "-ttl-refresh", "20", "--filter=a=b", "--filter=c=d e", URI)
    assert code == 0
    shown = rows(out)
    assert {name: shown[name] for name in ("etcd", "-ttl", "-ttl-refresh", "-internal", "-explicit", "--filter")} == {
        "etcd": ["argument", URI],
        "-ttl": ["WHARFINGER_TTL", "60"],
        "-ttl-refresh": ["flag", "20"],
        "-internal": ["WHARFINGER_INTERNAL", "true"],
        "-explicit": ["default", "false"],
        "--filter": ["flag", "a=b c=d e"],
    }
    assert (shown["--interval"], shown["--pass-timeout"]) == (["flag", "5"], ["default", "10"])
    assert (shown["-ip"], shown["--listen"]) == (["default", "not set"], ["WHARFINGER_LISTEN", "''"])


def test_the_settings_are_grouped_as_in_the_help(ran: Ran) -> None:
    """The registries come first. The values of all groups begin in one column."""
    parts = ran("config", URI)[1].rstrip("\n").split("\n\n")
    assert [part.splitlines()[0] for part in parts] == [
        "Registries:",
        *(f"{group.title}:" for group in FLAG_GROUPS),
    ]
    names = {each.name for each in (*FLAGS, *SWITCHES)}
    for part, group in zip(parts[1:], FLAG_GROUPS, strict=True):
        assert [name for name in names & {*group.names} if f"-{name} " not in part] == []
    lines = [line for part in parts for line in part.splitlines()[1:]]
    assert len({line.index(origin) for line in lines for origin in ("default", "argument") if origin in line}) == 1


def test_the_registries_may_be_from_their_variable(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a line with its label."""
    monkeypatch.setenv("WHARFINGER_REGISTRY", f"{URI} etcd://b/x")
    assert {name: rest for name, rest in rows(ran("config")[1]).items() if name.startswith("etcd")} == {
        "etcd": ["WHARFINGER_REGISTRY", URI],
        "etcd-2": ["WHARFINGER_REGISTRY", "etcd://b/x"],
    }


def test_endpoints_may_be_from_their_variable(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URI that names none is shown with them, and a line says what gives them. Another spelling of a URI has the
    label of the scheme that it means."""
    monkeypatch.setenv("ETCD_ENDPOINTS", "a:1,http://b:2")
    shown = rows(ran("config", "etcd3:///x", "coredns://c:3/skydns?zone=cluster.local")[1])
    assert {name: shown[name] for name in ("etcd3", "skydns3", "endpoints of URIs that name none")} == {
        "etcd3": ["argument", "etcd3://a:1,b:2/x"],
        "skydns3": ["argument", "coredns://c:3/skydns?zone=cluster.local"],
        "endpoints of URIs that name none": ["ETCD_ENDPOINTS", "a:1,http://b:2"],
    }
    document = settings_in(ran("config", "-o", "json", "etcd3:///x")[1])["endpoints of URIs that name none"]
    assert document == {"value": "a:1,http://b:2", "origin": "variable", "from": "ETCD_ENDPOINTS"}


def test_files_for_tls_may_be_from_the_variables_of_registrator_9(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each names its variable."""
    for name, variable in REGISTRATOR_VARIABLES.items():
        (tmp_path / name).write_text("x")
        monkeypatch.setenv(variable, str(tmp_path / name))
    shown = rows(ran("config", URI)[1])
    for name, variable in REGISTRATOR_VARIABLES.items():
        assert shown[f"--etcd-{name}"] == [variable, str(tmp_path / name)]


def test_json_has_the_same_settings(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document has a version, and names the variable of a setting."""
    monkeypatch.setenv("WHARFINGER_TTL", "60")
    out = ran("config", "-o", "json", "-ttl-refresh=20", URI)[1]
    assert json.loads(out)["version"] == 1
    shown = settings_in(out)
    assert shown["-ttl"] == {"value": "60", "origin": "variable", "from": "WHARFINGER_TTL"}
    assert shown["-ttl-refresh"] == {"value": "20", "origin": "flag", "from": None}
    assert shown["--etcd-ca"] == {"value": "", "origin": "default", "from": None}
    assert shown.keys() == rows(ran("config", "-ttl-refresh=20", URI)[1]).keys()


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize(
    ("variables", "origin", "name"),
    [
        ({"WHARFINGER_ETCD_PASSWORD": SECRET, "WHARFINGER_ETCD_USER": "agent"}, "variable", "WHARFINGER_ETCD_PASSWORD"),
        ({"ETCDCTL_PASSWORD": SECRET, "ETCDCTL_USER": "agent"}, "variable", "ETCDCTL_PASSWORD"),
        ({"ETCDCTL_USER": f"agent:{SECRET}"}, "variable", "ETCDCTL_USER"),
    ],
    ids=["own variable", "etcdctl's variable", "etcdctl's user"],
)
def test_the_password_is_masked(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], origin: str, name: str, output: str
) -> None:
    """It is shown that there is one, and where it is from."""
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    code, out, err = ran("config", "-o", output, URI)
    assert (code, SECRET in out + err) == (0, False)
    document = settings_in(ran("config", "-o", "json", URI)[1])
    assert document["password of --etcd-user"] == {"value": "***", "origin": origin, "from": name}
    assert document["--etcd-user"]["value"] in {"agent", "agent:***"}


def test_a_password_in_a_file_is_masked_and_the_file_is_named(ran: Ran, tmp_path: Path) -> None:
    """Without any password, none is set."""
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    out = ran("config", "--etcd-user=agent", f"--etcd-password-file={file}", URI)[1]
    assert SECRET not in out
    assert rows(out)["password of --etcd-user"] == [str(file), "***"]
    assert rows(ran("config", URI)[1])["password of --etcd-user"] == ["default", "not set"]


def test_the_engine_is_the_one_that_is_asked(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the flag, DOCKER_HOST names it, or else it is a socket. The variables for TLS are shown if they are
    set."""
    monkeypatch.setenv("DOCKER_CERT_PATH", "/certs")
    assert rows(ran("config", URI)[1])["--docker-host"][0] == "default"
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine:2376")
    shown = rows(ran("config", URI)[1])
    assert shown["--docker-host"] == ["DOCKER_HOST", "tcp://engine:2376"]
    assert shown["DOCKER_CERT_PATH"] == ["DOCKER_CERT_PATH", "/certs"]
    assert "DOCKER_TLS_VERIFY" not in shown
    assert rows(ran("config", "--docker-host=tcp://other:1", URI)[1])["--docker-host"] == ["flag", "tcp://other:1"]


def test_a_context_that_names_the_engine_is_shown(ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variables for TLS have no effect then, and are not shown. Under DOCKER_HOST, they are, and the context is
    not."""
    write_context(tmp_path, "prod", "tcp://engine:2376")
    for name, text in (("CONTEXT", "prod"), ("CONFIG", str(tmp_path)), ("CERT_PATH", "/certs")):
        monkeypatch.setenv(f"DOCKER_{name}", text)
    shown = rows(ran("config", URI)[1])
    assert shown["--docker-host"] == ["DOCKER_CONTEXT", "tcp://engine:2376"]
    assert shown["DOCKER_CONTEXT"] == ["DOCKER_CONTEXT", "prod"]
    assert shown["DOCKER_CONFIG"] == ["DOCKER_CONFIG", str(tmp_path)]
    assert "DOCKER_CERT_PATH" not in shown
    monkeypatch.setenv("DOCKER_HOST", "tcp://other:2376")
    shown = rows(ran("config", URI)[1])
    assert shown["--docker-host"] == ["DOCKER_HOST", "tcp://other:2376"]
    assert (shown["DOCKER_CERT_PATH"], "DOCKER_CONTEXT" in shown) == (["DOCKER_CERT_PATH", "/certs"], False)


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["--interval=5"], None),
        (["--interval=5", "-resync=60", "--heartbeat=0"], None),
        (["--interval=5", "-resync=3"], ["-resync", "3"]),
        (["--interval=5", "-ttl=60", "-ttl-refresh=2", "-resync=3"], ["-ttl-refresh", "2"]),
        (["--interval=60", "--heartbeat=30"], ["--heartbeat", "30"]),
        (["--interval=5", "-resync=5"], None),
        (["--interval="], None),
    ],
)
def test_the_interval_that_counts_is_shown_if_another_flag_gives_it(
    ran: Ran, flags: list[str], shown: list[str] | None
) -> None:
    """Several flags ask for passes, and the least of them counts."""
    code, out, _ = ran("config", *flags, URI)
    assert (code, rows(out).get("interval that counts")) == (0, shown)


def test_wrong_settings_have_exit_code_1_and_all_problems(ran: Ran) -> None:
    """Nothing is printed on standard output. The last lines say what is wrong."""
    code, out, err = ran("config", "--interval=0", "--listen=9119", "consul://x")
    assert (code, out) == (1, "")
    hint, *problems = err.splitlines()
    assert hint == "Try 'wharfinger config --help'."
    assert [line.split()[0] for line in problems] == ["wharfinger:"] * 3


def test_control_characters_in_values_are_escaped(ran: Ran) -> None:
    """They cannot control the terminal."""
    assert "a\\x1b[31m" in ran("config", "-tags", "a\x1b[31m", URI)[1]
