"""Registry URIs."""

from __future__ import annotations

from urllib.parse import unquote

from attrs import frozen

from controller.host_port import HostPort
from model.address import address_problem
from model.dns import domain_problem
from model.keys import key_part_problem, quoted
from model.skydns import prefix_of

DEFAULT_PORT = 2379

#: etcd's v2 and v3 API, in the plain layout and in SkyDNS'.
KINDS = ("etcd", "etcd3", "skydns2", "skydns3")

#: Each of them in the clear and over TLS.
SCHEMES = tuple(f"{kind}{tls}" for kind in KINDS for tls in ("", "s"))


@frozen
class RegistryUri:
    """``etcd://HOST:PORT[,HOST:PORT…]/PREFIX`` or ``skydns2://HOST:PORT[,HOST:PORT…]/DOMAIN``; with an ``s`` behind the
    scheme for TLS. ``prefix`` is where the entries are, without a slash at its end, and empty for all of etcd."""

    scheme: str
    endpoints: tuple[HostPort, ...]
    prefix: str

    @property
    def kind(self) -> str:
        """The scheme without its mark for TLS."""
        return self.scheme.removesuffix("s")

    @property
    def tls(self) -> bool:
        """Whether the scheme asks for TLS."""
        return self.scheme.endswith("s")

    @property
    def api(self) -> int:
        """The version of etcd's API: 2 or 3."""
        return 3 if self.kind.endswith("3") else 2

    @property
    def skydns(self) -> bool:
        """Whether the entries are records of a DNS domain."""
        return self.kind.startswith("skydns")


def parse_uri(text: str) -> RegistryUri:
    """Read a registry URI; raises ValueError in plain words."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError("it has no scheme; it should look like etcd://HOST:PORT/PREFIX")
    if scheme not in SCHEMES:
        raise ValueError(f"the scheme {scheme!r} is not supported; {', '.join(KINDS)} are, with an s behind for TLS")
    hosts, _, path = rest.partition("/")
    if {"?", "#"} & set(rest) or "@" in hosts:
        raise ValueError("a user, a query or a fragment has no place in it")
    below = _below_domain if scheme.startswith("skydns") else _below_prefix
    prefix = below(unquote(path).strip("/"))
    endpoints = tuple(_endpoint(each) for each in hosts.split(",")) if hosts else (HostPort("127.0.0.1", DEFAULT_PORT),)
    return RegistryUri(scheme, endpoints, prefix)


def _below_prefix(path: str) -> str:
    if path and (problem := key_part_problem(path)):
        raise ValueError(f"the prefix {problem}")
    return f"/{path}" if path else ""


def _below_domain(path: str) -> str:
    """Names of the DNS are asked for in small letters, and may end in the dot that is the root of all."""
    domain = path.removesuffix(".")
    if not domain:
        raise ValueError("a DNS domain is needed behind the host, as in HOST:PORT/cluster.local")
    if problem := domain_problem(domain):
        raise ValueError(f"the domain {quoted(domain)} {problem}")
    return prefix_of(domain.lower())


def masked(text: str) -> str:
    """A URI that can be shown: without the user and the password that have no place in it."""
    scheme, separator, rest = text.partition("://")
    return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else text


def _endpoint(text: str) -> HostPort:
    host, port = HostPort.parse(text, str(DEFAULT_PORT))
    if not host:
        raise ValueError(f"the endpoint {text!r} has no host")
    if problem := address_problem(host):
        raise ValueError(f"the host of endpoint {text!r} {problem}")
    return HostPort(host, port)
