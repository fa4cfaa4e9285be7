"""A real etcd as it is run in production: TLS with client certificates, users with passwords, or without the v2 API."""

from __future__ import annotations

import base64
import json
import socket
import urllib.request
from pathlib import Path

import trustme
from attrs import frozen

from tests.support.etcd_server import EtcdServer


@frozen
class Pair:
    """A certificate and its key, in files."""

    cert: str
    key: str


@frozen
class Authority:
    """A certificate authority that exists for a test; ``path`` is its certificate's file."""

    ca: trustme.CA
    folder: Path

    @property
    def path(self) -> str:
        """Its own certificate."""
        file = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(file))
        return str(file)

    def issue(self, name: str) -> Pair:
        """A certificate for this host name or address, or for a client of this name."""
        issued, stem = self.ca.issue_cert(name), self.folder / name.replace("@", "-")
        cert, key = f"{stem}.pem", f"{stem}-key.pem"
        issued.private_key_pem.write_to_path(key)
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(cert, append=number > 0)
        return Pair(cert, key)


def authority(folder: Path) -> Authority:
    """A new authority with its files in this folder."""
    folder.mkdir()
    return Authority(trustme.CA(), folder)


class TlsEtcd(EtcdServer):
    """An etcd that serves clients over TLS alone; with ``client_auth`` only those with a certificate of the CA."""

    def __init__(self, of: Authority, server: Pair, *, client_auth: bool = True) -> None:
        self._tls = [f"--cert-file={server.cert}", f"--key-file={server.key}"]
        if client_auth:
            self._tls += ["--client-cert-auth", f"--trusted-ca-file={of.path}"]
        super().__init__()

    def _argv(self, client: str, peer: str) -> list[str]:
        return [*super()._argv(client.replace("http:", "https:"), peer), *self._tls]

    def answers(self) -> bool:
        """Whether it listens: who may speak to it is what the tests are about."""
        return _listens(self.endpoint)


class WithoutV2(EtcdServer):
    """An etcd as it comes since 3.4: without the v2 API."""

    def _argv(self, client: str, peer: str) -> list[str]:
        return [each for each in super()._argv(client, peer) if each != "--enable-v2"]

    def answers(self) -> bool:
        """Whether it listens."""
        return _listens(self.endpoint)


def add_user(server: EtcdServer, name: str, password: str) -> None:
    """Turn the v2 API's authentication on, with one user who may do everything and no guest."""
    root = ("root", "root's own")
    _auth(server, "users/root", {"user": root[0], "password": root[1]})
    _auth(server, "roles/all", {"role": "all", "permissions": {"kv": {"read": ["/*"], "write": ["/*"]}}})
    _auth(server, f"users/{name}", {"user": name, "password": password, "roles": ["all"]})
    _auth(server, "enable", {})
    _auth(server, "roles/guest", None, root)


def _auth(server: EtcdServer, path: str, document: object, user: tuple[str, str] | None = None) -> None:
    method = "DELETE" if document is None else "PUT"
    request = urllib.request.Request(
        f"http://{server.endpoint}/v2/auth/{path}", json.dumps(document).encode(), method=method
    )
    if user:
        request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(user).encode()).decode()}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5):
        return


def _listens(endpoint: str) -> bool:
    host, _, port = endpoint.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False
