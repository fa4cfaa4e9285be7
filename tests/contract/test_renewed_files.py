"""Certificates, keys and passwords that are renewed while the program runs, through both APIs of etcd."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from controller.errors import RegistryUnavailable
from controller.registry.credentials import Credentials
from tests.support.builders import OWNER
from tests.support.captured_logs import capture_logs
from tests.support.etcd_server import EtcdServer
from tests.support.renewed_files import WAYS, Contents, Way, by_rename, in_place, issued
from tests.support.secure_etcd import (
    Authority,
    Pair,
    Setting,
    TlsEtcd,
    V3Users,
    add_user,
    authority,
    change_v2_password,
    soon,
    transports_that_note_contexts,
    works,
)


class RenewingEtcd:
    """An etcd over TLS that asks for client certificates. Its own certificates are renewed, too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self.authority = self._new_authority()
        self._serve()
        pair = Pair(str(folder / "server.pem"), str(folder / "server-key.pem"))
        trust = ("--client-cert-auth", f"--trusted-ca-file={folder / 'trusted.pem'}")
        self.server = TlsEtcd(self.authority, pair, *trust, client_auth=False).start()

    def renew(self) -> Contents:
        """Restart etcd with the certificates of another authority, and return the files of a client for it."""
        self.authority = self._new_authority()
        self._serve()
        self.server.restart()
        return issued(self.authority)

    def _new_authority(self) -> Authority:
        self._number += 1
        return authority(self._folder / f"authority-{self._number}")

    def _serve(self) -> None:
        pair = self.authority.issue("127.0.0.1")
        sources = {"server.pem": pair.cert, "server-key.pem": pair.key, "trusted.pem": self.authority.path}
        for name, path in sources.items():
            (self._folder / name).write_bytes(Path(path).read_bytes())


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RenewingEtcd]:
    """An etcd whose certificates are renewed by the tests."""
    etcd = RenewingEtcd(tmp_path_factory.mktemp("pki"))
    yield etcd
    etcd.server.close()


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def api(request: pytest.FixtureRequest) -> int:
    """The version of etcd's API."""
    return int(request.param)


def credentials_in(folder: Path) -> Credentials:
    """Return the credentials whose files are in a folder."""
    return Credentials(True, *(str(folder / name) for name in ("ca.pem", "cert.pem", "key.pem")))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_renewed_files_are_used_without_a_restart(etcd: RenewingEtcd, api: int, way: Way, tmp_path: Path) -> None:
    """CA, certificate and key are all new, and etcd knows the old ones no more."""
    way(tmp_path, issued(etcd.authority))
    setting = Setting(etcd.server, credentials_in(tmp_path), etcd.authority, api)
    registry = setting.registry(setting.good)
    assert works(registry)
    contents = etcd.renew()
    with pytest.raises(RegistryUnavailable):
        registry.read(OWNER, soon())
    way(tmp_path, contents)
    assert works(registry)


def test_files_in_the_midst_of_a_renewal_change_nothing(etcd: RenewingEtcd, api: int, tmp_path: Path) -> None:
    """While the key is missing, belongs to another certificate, is cut short or is a pipe, the earlier files are used,
    for new connections, too. One line of the log says so, however long it takes, and one says when it is over."""
    before, after = issued(etcd.authority), issued(etcd.authority)
    in_place(tmp_path, before)
    setting = Setting(etcd.server, credentials_in(tmp_path), etcd.authority, api)
    registry, key = setting.registry(setting.good), tmp_path / "key.pem"
    assert works(registry)
    halves: list[Callable[[], object]] = [
        lambda: by_rename(tmp_path, {"cert.pem": after["cert.pem"]}),
        key.unlink,
        lambda: os.mkfifo(key),
        lambda: by_rename(tmp_path, {"key.pem": after["key.pem"][:100]}),
        lambda: by_rename(tmp_path, {"key.pem": b""}),
    ]
    with capture_logs() as lines:
        for half in halves:
            half()
            etcd.server.restart()
            assert works(registry)
            assert works(registry)
        assert [line["event"] for line in lines] == ["changed files cannot be used, their earlier content stays in use"]
        by_rename(tmp_path, {"key.pem": after["key.pem"]})
        etcd.server.restart()
        assert works(registry)
        assert works(registry)
    assert [line["event"] for line in lines[1:]] == ["changed files were read again"]


def test_no_connection_under_the_old_certificate_is_used_on(etcd: RenewingEtcd, api: int, tmp_path: Path) -> None:
    """The server may have been told that the old certificate is good no more. Unchanged files cause no connection."""
    in_place(tmp_path, issued(etcd.authority))
    setting = Setting(etcd.server, credentials_in(tmp_path), etcd.authority, api)
    transports, contexts = transports_that_note_contexts()
    registry = setting.registry(setting.good, transports=transports)
    assert works(registry)
    assert works(registry)
    assert len(contexts) == 1
    in_place(tmp_path, issued(etcd.authority))
    assert works(registry)
    assert len(set(contexts)) == 2


@pytest.fixture
def with_users(api: int, tmp_path: Path) -> Iterator[tuple[Setting, Callable[[str], object]]]:
    """An etcd with a user ``agent`` whose password is ``first``, and what gives the user another password."""
    server = EtcdServer().start()
    good = Credentials(user="agent", password="first", password_file=str(tmp_path / "password"))
    setting = Setting(server, good, authority(tmp_path / "ours"), api)
    if api == 2:
        add_user(server, "agent", "first")
        yield setting, lambda password: change_v2_password(server, "agent", password)
    else:
        users = V3Users(server)
        users.add("agent", "first", ("READWRITE", "/services"), ("READWRITE", "/_wharfinger"))
        users.enable()
        yield setting, lambda password: users.reader.call("auth/user/changepw", {"name": "agent", "password": password})
    server.close()


def test_a_changed_password_is_used_without_a_restart(
    with_users: tuple[Setting, Callable[[str], object]], tmp_path: Path
) -> None:
    """It does not matter whether etcd or the file has it first. In between, requests fail and are tried again."""
    setting, change = with_users
    file = tmp_path / "password"
    file.write_text("first\n")
    registry = setting.registry(setting.good)
    assert works(registry)
    change("other")
    with pytest.raises(RegistryUnavailable) as refused:
        registry.read(OWNER, soon())
    assert "first" not in str(refused.value)
    file.write_text("other\n")
    assert works(registry)
    file.write_text("third")
    change("third")
    assert works(registry)


def test_an_empty_password_file_changes_nothing(
    with_users: tuple[Setting, Callable[[str], object]], tmp_path: Path
) -> None:
    """A file that is being written is empty for a moment. One that vanishes, or is no text, changes nothing either."""
    setting, _ = with_users
    file = tmp_path / "password"
    file.write_text("first\n")
    registry = setting.registry(setting.good)
    for content in (b"", b"\n", b"\xff\xfe", None):
        file.unlink() if content is None else file.write_bytes(content)
        assert works(registry)


def test_a_password_that_came_through_a_pipe_is_kept(
    with_users: tuple[Setting, Callable[[str], object]], tmp_path: Path
) -> None:
    """Whoever gives ``<(command)`` gives a pipe, which is empty when it is read again."""
    setting, _ = with_users
    os.mkfifo(tmp_path / "pipe")
    assert works(setting.registry(evolve(setting.good, password_file=str(tmp_path / "pipe"))))
