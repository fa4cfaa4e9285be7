"""Registry URIs, and addresses with ports."""

from __future__ import annotations

from urllib.parse import unquote

from attrs import frozen

from model.address import address_problem
from model.entry import key_part_problem

DEFAULT_PORT = 2379

#: etcd's v2 and v3 API, in the clear and over TLS.
SCHEMES = ("etcd", "etcds", "etcd3", "etcd3s")


@frozen
class RegistryUri:
    """``etcd://HOST:PORT[,HOST:PORT…]/PREFIX``, or ``etcds://`` for TLS; ``prefix`` without a slash at its end, empty
    for all of etcd."""

    scheme: str
    endpoints: tuple[tuple[str, int], ...]
    prefix: str

    @property
    def api(self) -> int:
        """The version of etcd's API: 2 or 3."""
        return 3 if "3" in self.scheme else 2

    @property
    def tls(self) -> bool:
        """Whether the scheme asks for TLS."""
        return self.scheme.endswith("s")


def parse_uri(text: str) -> RegistryUri:
    """Read a registry URI; raises ValueError in plain words."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError("it has no scheme; it should look like etcd://HOST:PORT/PREFIX")
    if scheme not in SCHEMES:
        raise ValueError(f"the scheme {scheme!r} is not supported; etcd and etcd3 are, with an s behind for TLS")
    hosts, _, path = rest.partition("/")
    if {"?", "#"} & set(rest) or "@" in hosts:
        raise ValueError("a user, a query or a fragment has no place in it")
    prefix = unquote(path).strip("/")
    if prefix and (problem := key_part_problem(prefix)):
        raise ValueError(f"the prefix {problem}")
    endpoints = tuple(_endpoint(each) for each in hosts.split(",")) if hosts else (("127.0.0.1", DEFAULT_PORT),)
    return RegistryUri(scheme, endpoints, f"/{prefix}" if prefix else "")


def masked(text: str) -> str:
    """A URI that can be shown: without the user and the password that have no place in it."""
    scheme, separator, rest = text.partition("://")
    return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else text


def _endpoint(text: str) -> tuple[str, int]:
    host, port = split_port(text, str(DEFAULT_PORT))
    if not host:
        raise ValueError(f"the endpoint {text!r} has no host")
    if problem := address_problem(host):
        raise ValueError(f"the host of endpoint {text!r} {problem}")
    return host, port


def split_port(text: str, default: str) -> tuple[str, int]:
    """Host and port of ``host:port``, an IPv6 host in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, default
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"the IPv6 address in {text!r} needs brackets, as in [::1]:2379")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"{port!r} is not a port number")
    return host, int(port)
