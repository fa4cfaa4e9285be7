"""A real etcd with TLS, with users and passwords, or without one of its APIs, as etcd is run in production."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from urllib3 import PoolManager

from controller.effects.clock import Clock, Deadline
from controller.effects.http_client import HttpClient, KeptConnection, TcpRoute
from controller.effects.names import MACHINE
from controller.effects.request_time import RequestTime
from controller.errors import RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.credentials import Credentials
from controller.registry.etcd_v2.client import EtcdV2Client, pool_manager
from controller.registry.etcd_v2.registry import etcd_v2_registry
from controller.registry.etcd_v3.client import EtcdV3Client, GrpcStatus, kept_connection
from controller.registry.etcd_v3.registry import etcd_v3_registry
from controller.registry.factory import Transports
from model.host_port import HostPort
from model.report import Result
from model.stored import Lifetime
from tests.support.builders import OWNER, create
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3, EtcdV3Error, encoded

KEY = "/services/nginx/core-01:web:80"

#: The TLS context of a connection; None without TLS.
Context: TypeAlias = ssl.SSLContext | None


@frozen
class Pair:
    """Paths of files with a certificate and its key."""

    cert: str
    key: str


@frozen
class Authority:
    """A certificate authority for a test, with its files in ``folder``."""

    ca: trustme.CA
    folder: Path

    @property
    def path(self) -> str:
        """The path of a file with the authority's own certificate."""
        file = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(file))
        return str(file)

    def issue(self, name: str) -> Pair:
        """Issue a certificate for this host name or address, or for a client of this name."""
        issued, stem = self.ca.issue_cert(name), self.folder / name.replace("@", "-")
        cert, key = f"{stem}.pem", f"{stem}-key.pem"
        issued.private_key_pem.write_to_path(key)
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(cert, append=number > 0)
        return Pair(cert, key)

    def server_context(self, address: str = "127.0.0.1") -> ssl.SSLContext:
        """Return the context of a server at this address that asks for client certificates of this authority."""
        pair, context = self.issue(address), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        context.load_verify_locations(self.path)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def issue_for_server_alone(self, address: str) -> Pair:
        """Issue a certificate for this address that is valid for a server alone, as careful authorities do."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        issuer = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        builder = (
            x509.CertificateBuilder(issuer.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )
        signing = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        assert isinstance(signing, ec.EllipticCurvePrivateKey)
        pem, cert, private = serialization.Encoding.PEM, self.folder / "server.pem", self.folder / "server-key.pem"
        cert.write_bytes(builder.sign(signing, hashes.SHA256()).public_bytes(pem))
        form, secret = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        private.write_bytes(key.private_bytes(pem, form, secret))
        return Pair(str(cert), str(private))


def authority(folder: Path) -> Authority:
    """Create an authority with its files in this folder, which must not exist yet."""
    folder.mkdir()
    return Authority(trustme.CA(), folder)


@frozen
class Setting:
    """A server, the credentials that it accepts, the authority that issued them, and the API that the registry uses."""

    server: EtcdServer
    good: Credentials
    ours: Authority
    api: int = 2

    def registry(
        self,
        credentials: Credentials,
        host: str = "",
        lifetime: Lifetime = Lifetime(),
        transports: Transports = Transports(),
    ) -> Registry:
        """Return a registry with these credentials. ``host`` is another name of the server, empty for its address."""
        address, _, port = self.server.endpoint.rpartition(":")
        endpoints = [(host or address, int(port))]
        if self.api == 3:
            v3 = EtcdV3Client(endpoints, credentials=credentials, transport=transports.etcd_v3 or kept_connection)
            return etcd_v3_registry(v3, "/services", lifetime)
        v2 = EtcdV2Client(endpoints, credentials=credentials, transport=transports.etcd_v2 or pool_manager)
        return etcd_v2_registry(v2, "/services", lifetime)


class _NotingRoute(TcpRoute):
    """The way to a server, which notes the TLS context of each connection."""

    def __init__(self, endpoint: HostPort, context: Callable[[], Context], contexts: list[Context]) -> None:
        super().__init__(endpoint.host, endpoint.port, MACHINE, context)
        self._context, self._contexts = context, contexts

    def connect(self, time: RequestTime) -> socket.socket:
        """See Route."""
        self._contexts.append(self._context())
        return super().connect(time)


def transports_that_note_contexts() -> tuple[Transports, list[Context]]:
    """Return transports as the program has them, and a list of the TLS contexts for which they made a pool or a
    connection."""
    contexts: list[Context] = []

    def pool(context: Context) -> PoolManager:
        contexts.append(context)
        return pool_manager(context)

    def connection(endpoint: HostPort, context: Callable[[], Context]) -> HttpClient:
        return KeptConnection(_NotingRoute(endpoint, context, contexts), Clock())

    return Transports(pool, connection), contexts


def soon() -> Deadline:
    """A deadline that is not what the test is about."""
    return Deadline.after(10, Clock())


def problem(registry: Registry) -> str:
    """Return the message with which a read fails. A write fails with the same message."""
    with pytest.raises(RegistryUnavailable) as unavailable:
        registry.read(OWNER, soon())
    outcome = registry.apply(OWNER, create(KEY), soon())
    assert outcome.result in {Result.FAILED, Result.REJECTED}
    assert str(unavailable.value).endswith(outcome.detail)
    return str(unavailable.value)


def works(registry: Registry) -> bool:
    """Return whether a key can be written and read."""
    registry.apply(OWNER, create(KEY), soon())
    return KEY in registry.read(OWNER, soon(), consistent=True).stored


class TlsEtcd(EtcdServer):
    """An etcd that serves clients over TLS alone; with ``client_auth``, only clients with a certificate of the CA."""

    def __init__(self, of: Authority, server: Pair, *more: str, client_auth: bool = True) -> None:
        """``more`` are further flags of etcd."""
        self._tls = [f"--cert-file={server.cert}", f"--key-file={server.key}", *more]
        if client_auth:
            self._tls += ["--client-cert-auth", f"--trusted-ca-file={of.path}"]
        super().__init__()

    def _argv(self, client: str, peer: str) -> list[str]:
        return [*super()._argv(client.replace("http:", "https:"), peer), *self._tls]

    def answers(self) -> bool:
        """Return whether it listens. Whether it accepts a client is what the tests are about."""
        return _listens(self.endpoint)


class WithoutV2(EtcdServer):
    """An etcd whose v2 API is off, as is the default since 3.4, or that has none, as since 3.6."""

    def _argv(self, client: str, peer: str) -> list[str]:
        return [each for each in super()._argv(client, peer) if each != "--enable-v2"]


class Flagged(EtcdServer):
    """An etcd with flags of the test's own."""

    def __init__(self, *flags: str) -> None:
        self._more = flags
        super().__init__()

    def _argv(self, client: str, peer: str) -> list[str]:
        return [*super()._argv(client, peer), *self._more]


def add_user(server: EtcdServer, name: str, password: str) -> None:
    """Turn on the authentication of the v2 API, with one user who may do everything and without a guest."""
    root = ("root", "root's own")
    _auth(server, "users/root", {"user": root[0], "password": root[1]})
    _auth(server, "roles/all", {"role": "all", "permissions": {"kv": {"read": ["/*"], "write": ["/*"]}}})
    _auth(server, f"users/{name}", {"user": name, "password": password, "roles": ["all"]})
    _auth(server, "enable", {})
    _auth(server, "roles/guest", None, root)


def change_v2_password(server: EtcdServer, name: str, password: str) -> None:
    """Give a user that ``add_user`` added another password."""
    _auth(server, f"users/{name}", {"user": name, "password": password}, ("root", "root's own"))


class V2Users:
    """The users of a server's v2 API: those that a test adds, and guests, who give no name and may do everything."""

    def __init__(self, server: EtcdServer) -> None:
        self._server = server
        self._root = ("root", "root's own")
        self.reader = EtcdV2(server.endpoint)
        _auth(server, "users/root", {"user": self._root[0], "password": self._root[1]})

    def add(self, name: str, password: str, *ranges: tuple[str, str]) -> None:
        """Add a user with a role of the same name. ``ranges`` are pairs of a kind (READ, WRITE or READWRITE) and a
        path."""
        paths = {kind: [f"{path}/*" for each, path in ranges if kind in each] for kind in ("READ", "WRITE")}
        permissions = {"kv": {"read": ["/*"] if paths["READ"] else [], "write": paths["WRITE"]}}
        _auth(self._server, f"roles/{name}", {"role": name, "permissions": permissions})
        _auth(self._server, f"users/{name}", {"user": name, "password": password, "roles": [name]})

    def grant(self, role: str, kind: str, path: str) -> None:
        """Give a role a further permission, for the keys below a path. ``kind`` is READ, WRITE or READWRITE."""
        paths = {each: [f"{path}/*"] if each in kind else [] for each in ("READ", "WRITE")}
        granted = {"kv": {"read": paths["READ"], "write": paths["WRITE"]}}
        _auth(self._server, f"roles/{role}", {"role": role, "grant": granted}, self._root)

    def enable(self) -> None:
        """Turn authentication on."""
        _auth(self._server, "enable", {})


class V3Users:
    """The users of a server's v3 API: ``root``, who may do everything, and those that a test adds."""

    def __init__(self, server: EtcdServer) -> None:
        self._root = EtcdV3(server.endpoint)

    @property
    def reader(self) -> EtcdV3:
        """A client of the store as root."""
        return self._root

    def add(self, name: str, password: str, *ranges: tuple[str, str]) -> None:
        """Add a user with a role of the same name. ``ranges`` are pairs of READ, WRITE or READWRITE and a path."""
        self._root.call("auth/user/add", {"name": name, "password": password})
        self._root.call("auth/role/add", {"name": name})
        self._root.call("auth/user/grant", {"user": name, "role": name})
        for kind, path in ranges:
            self.grant(name, kind, path)

    def grant(self, role: str, kind: str, path: str) -> None:
        """Give a role a permission for the keys below a path; ``kind`` is READ, WRITE or READWRITE."""
        self._root.call("auth/role/grant", {"name": role, "perm": {"permType": kind, **_below(path)}})

    def deny(self, role: str, path: str) -> None:
        """Take a role's permissions for the keys below a path away."""
        self._root.call("auth/role/revoke", {"role": role, **_below(path)})

    def enable(self) -> None:
        """Turn authentication on: from now on, etcd refuses all requests without a token."""
        self._root.call("auth/user/add", {"name": "root", "password": "root's own"})
        self._root.call("auth/user/grant", {"user": "root", "role": "root"})
        self._root.call("auth/enable", {})
        self._root.token = self.token("root", "root's own")

    def disable(self) -> None:
        """Turn authentication off."""
        self._root.call("auth/disable", {})

    def token(self, name: str, password: str) -> str:
        """Sign in as a user; return the token."""
        return str(EtcdV3(self._root.endpoint).call("auth/authenticate", {"name": name, "password": password})["token"])

    def knows(self, token: str) -> bool:
        """Return whether etcd still accepts this token for reading the prefix."""
        somebody = EtcdV3(self._root.endpoint)
        somebody.token = token
        try:
            somebody.node(KEY)
        except EtcdV3Error as error:
            if error.code != GrpcStatus.UNAUTHENTICATED:
                raise
            return False
        return True


def _below(path: str) -> dict[str, str]:
    return {"key": encoded(f"{path}/"), "range_end": encoded(f"{path}0")}


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
