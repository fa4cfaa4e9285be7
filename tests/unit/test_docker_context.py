"""Contexts of the docker command. With contexts that the command itself made: integration/test_one_sided_tls.py."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from controller.effects.docker_context import DockerContext, UnusableContext, chosen_context
from controller.effects.files import TlsFiles
from tests.support.docker_contexts import write_context

HOST = "tcp://10.0.0.1:2376"


def chosen(folder: Path, name: str = "prod", **more: str) -> DockerContext | None:
    """Return the context that is chosen by name."""
    return chosen_context({"DOCKER_CONFIG": str(folder), "DOCKER_CONTEXT": name, **more})


def test_a_context_says_where_the_engine_is(tmp_path: Path) -> None:
    """Without files for TLS, an engine over TCP is asked without TLS."""
    write_context(tmp_path, "prod", "tcp://10.0.0.1:2375")
    write_context(tmp_path, "other", "unix:///run/other.sock")
    assert chosen(tmp_path) == DockerContext("prod", str(tmp_path), "tcp://10.0.0.1:2375", False, TlsFiles())
    assert chosen(tmp_path, "other") == DockerContext(
        "other", str(tmp_path), "unix:///run/other.sock", False, TlsFiles()
    )


@pytest.mark.parametrize(
    ("names", "used"),
    [
        (("ca.pem", "cert.pem", "key.pem"), ("ca.pem", "cert.pem", "key.pem")),
        (("ca.pem",), ("ca.pem", "", "")),
        (("cert.pem", "key.pem"), ("", "cert.pem", "key.pem")),
        (("ca.pem", "cert.pem"), ("ca.pem", "", "")),
        (("ca.pem", "key.pem"), ("ca.pem", "", "")),
    ],
    ids=str,
)
def test_a_context_has_the_files_for_tls(tmp_path: Path, names: tuple[str, ...], used: tuple[str, ...]) -> None:
    """Any of them may be missing. A certificate needs its key. The engine is verified, by the system's CAs if the
    context has none."""
    tls = write_context(tmp_path, "prod", HOST, dict.fromkeys(names, b"x"))
    ca, cert, key = (str(tls / name) if name else "" for name in used)
    assert chosen(tmp_path) == DockerContext("prod", str(tmp_path), HOST, True, TlsFiles(ca, cert, key))


@pytest.mark.parametrize("names", [(), ("ca.pem",)], ids=["no files", "a CA"])
def test_a_context_may_say_that_the_engine_is_not_verified(tmp_path: Path, names: tuple[str, ...]) -> None:
    """It is asked with TLS all the same, and the CA is for nothing then."""
    write_context(tmp_path, "prod", HOST, dict.fromkeys(names, b"x"), skip_verify=True)
    assert chosen(tmp_path) == DockerContext("prod", str(tmp_path), HOST, True, TlsFiles(verify=False))


@pytest.mark.parametrize("environment", [{}, {"DOCKER_CONTEXT": ""}, {"DOCKER_CONTEXT": "default"}], ids=str)
def test_without_a_name_there_is_no_context(tmp_path: Path, environment: dict[str, str]) -> None:
    """What ``docker context use`` has chosen does not count: it is for whoever is logged in."""
    write_context(tmp_path, "prod", HOST)
    (tmp_path / "config.json").write_text('{"currentContext": "prod"}')
    assert chosen_context({"DOCKER_CONFIG": str(tmp_path), **environment}) is None


def test_docker_host_has_precedence(tmp_path: Path) -> None:
    """As for the docker command. The context is not even looked for. An empty DOCKER_HOST is none."""
    assert chosen(tmp_path, "nowhere", DOCKER_HOST="unix:///run/docker.sock") is None
    write_context(tmp_path, "prod", HOST)
    found = chosen(tmp_path, DOCKER_HOST="")
    assert found is not None
    assert found.host == HOST


def test_contexts_are_in_the_home_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are where the docker command keeps them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write_context(tmp_path / ".docker", "prod", HOST)
    found = chosen_context({"DOCKER_CONTEXT": "prod"})
    assert found is not None
    assert found.folder == str(tmp_path / ".docker")


def test_another_program_finds_the_same_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have another working directory and another home folder."""
    write_context(tmp_path, "prod", HOST)
    monkeypatch.chdir(tmp_path)
    found = chosen_context({"DOCKER_CONFIG": ".", "DOCKER_CONTEXT": "prod"})
    assert found is not None
    monkeypatch.chdir("/")
    assert chosen_context(found.variables) == found


@pytest.mark.parametrize("name", ["nowhere", "../prod", "Prod", "prod/", "\udcff"])
def test_a_context_that_does_not_exist_is_an_error(tmp_path: Path, name: str) -> None:
    """It says where it was looked for."""
    write_context(tmp_path, "prod", HOST)
    with pytest.raises(
        UnusableContext, match=f"there is no context of this name in {tmp_path}/contexts; .*DOCKER_CONFIG"
    ):
        chosen(tmp_path, name)


@pytest.mark.parametrize(
    "document",
    [
        "rubbish",
        "[]",
        "null",
        "{}",
        '{"Endpoints": null}',
        '{"Endpoints": {}}',
        '{"Endpoints": {"kubernetes": {"Host": "https://k8s"}}}',
        '{"Endpoints": {"docker": null}}',
        '{"Endpoints": {"docker": {}}}',
        '{"Endpoints": {"docker": {"Host": ""}}}',
        '{"Endpoints": {"docker": {"Host": 7}}}',
        "[" * 100_000,
        "\x00",
    ],
    ids=lambda text: text[:40],
)
def test_a_context_without_an_engine_is_an_error(tmp_path: Path, document: str) -> None:
    """It names the file."""
    write_context(tmp_path, "prod", HOST)
    file = tmp_path / "contexts" / "meta" / sha256(b"prod").hexdigest() / "meta.json"
    file.write_text(document)
    with pytest.raises(UnusableContext, match=rf"^{file} does not say where an engine is$"):
        chosen(tmp_path)


def test_a_context_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """It names the file, and says why."""
    write_context(tmp_path, "prod", HOST)
    file = tmp_path / "contexts" / "meta" / sha256(b"prod").hexdigest() / "meta.json"
    file.unlink()
    file.mkdir()
    with pytest.raises(UnusableContext, match=rf"^{file} cannot be read: .*Is a directory"):
        chosen(tmp_path)


def test_a_url_that_would_control_a_terminal_is_escaped(tmp_path: Path) -> None:
    """It is shown in messages."""
    write_context(tmp_path, "prod", json.loads('"tcp://a\\u001b[2J:1"'))
    found = chosen(tmp_path)
    assert found is not None
    assert found.host == r"tcp://a\x1b[2J:1"
