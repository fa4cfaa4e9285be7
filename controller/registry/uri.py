"""Registry URIs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from urllib.parse import parse_qsl, quote, unquote

from attrs import frozen

from controller.registry.schemes import BY_SRV, OTHER_SPELLINGS, OTHER_STORES, SCHEMES, Api, LayoutKind
from model.address import address_problem
from model.dns import domain_problem
from model.host_port import HostPort
from model.keys import key_part_problem, quoted
from model.skydns import SKYDNS, prefix_of

#: The port of an endpoint that is given without one: etcd's own default.
DEFAULT_PORT = 2379

_NO_USER = "it must not contain a user, a query or a fragment; give the user with --etcd-user"

#: What may be meant by the schemes of URLs that etcd's own programs take.
_MEANT = MappingProxyType({"http": ("etcd", "etcd3"), "https": ("etcds", "etcd3s")})

#: The scheme by which registrator 9.0 means the v3 API, although its name says v2.
_ETCD2 = "etcd2"


@frozen
class RegistryUri:
    """Which registry is meant: ``SCHEME://HOST:PORT[,HOST:PORT…]/PREFIX`` or, for the SkyDNS layout,
    ``SCHEME://HOST:PORT[,HOST:PORT…]/DOMAIN``. With ``SCHEME+srv://`` a domain stands in the place of the endpoints,
    and its SRV records have them. A URI in another spelling is equal to the one in these."""

    #: One of SCHEMES, by its name. It is the same whether the endpoints are named or looked up.
    scheme: str
    #: The members of one etcd cluster, at least one; none if they are looked up.
    endpoints: tuple[HostPort, ...]
    #: The path of the service entries, without a slash at its end; empty for all of etcd.
    prefix: str
    #: The domain whose SRV records have the endpoints; empty if they are named.
    srv_domain: str = ""

    def record(self, *, tls: bool) -> str:
        """Return the name of the SRV records that have the endpoints, for connections with TLS or without; an empty
        string if the endpoints are named."""
        if not self.srv_domain:
            return ""
        from model.srv import record_name  # noqa: PLC0415 - few agents need it

        return record_name(self.srv_domain, tls=tls)

    def names_same_cluster_as(self, other: RegistryUri) -> bool:
        """Return whether the two URIs name the same etcd cluster for certain: they have an endpoint in common, or the
        domain."""
        return bool({*self.endpoints} & {*other.endpoints} or (self.srv_domain and self.srv_domain == other.srv_domain))

    @property
    def api(self) -> Api:
        """The API that the scheme stands for."""
        return SCHEMES[self.scheme].api

    def shares_keys_with(self, other: RegistryUri) -> bool:
        """Return whether the two URIs have keys in common, if both are of the same cluster."""
        outer, inner = sorted((self.prefix, other.prefix), key=len)
        return self.api == other.api and f"{inner}/".startswith(f"{outer}/")

    @property
    def tls(self) -> bool:
        """Whether the scheme asks for TLS."""
        return SCHEMES[self.scheme].tls

    @property
    def urls(self) -> tuple[str, ...]:
        """The URL of each endpoint that is named."""
        return tuple(f"{'https' if self.tls else 'http'}://{each}" for each in self.endpoints)

    @property
    def layout(self) -> LayoutKind:
        """How service entries are written there."""
        return SCHEMES[self.scheme].layout


def parse_uri(text: str) -> RegistryUri:
    """Return the registry URI that a text is. Raises ValueError with a message for the operator."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError("it has no scheme; it should look like etcd://HOST:PORT/PREFIX")
    name = scheme.removesuffix(BY_SRV)
    if other := OTHER_SPELLINGS.get(name):
        by_srv = scheme.removeprefix(name)
        return parse_uri(f"{other.scheme}{by_srv}://{_with_domain(scheme, rest) if other.zone_in_query else rest}")
    if name not in SCHEMES:
        raise ValueError(_unsupported(scheme))
    hosts, _, path = rest.partition("/")
    if {"?", "#"} & set(rest) or "@" in hosts:
        raise ValueError(_NO_USER)
    if "@" in path:  # Behind a password with a slash in it, the host looks like a part of the path.
        raise ValueError(f"{_NO_USER}, and write an '@' that belongs to the prefix as %40")
    prefix = _PREFIX_READERS[SCHEMES[name].layout](unquote(path).strip("/"))
    if name == scheme:
        return RegistryUri(name, _endpoints(hosts), prefix)
    return RegistryUri(name, (), prefix, _srv_domain(hosts))


def _with_domain(scheme: str, rest: str) -> str:
    """Return ``HOST:PORT/DOMAIN`` for ``HOST:PORT/skydns?zone=DOMAIN``, which is what follows a scheme. Raises
    ValueError with a message for the operator."""
    example = f"it should look like {scheme}://HOST:PORT{SKYDNS}?zone=DOMAIN"
    if {"@", "#"} & set(rest):
        raise ValueError(f"it must not contain a user or a fragment; {example}, and give the user with --etcd-user")
    place, _, query = rest.partition("?")
    hosts, _, path = place.partition("/")
    if path.rstrip("/") not in {"", SKYDNS.strip("/")}:
        raise ValueError(
            f"the records cannot lie under {quoted(unquote(f'/{path}'))}, but only under {SKYDNS}, where DNS servers "
            f"look for them by default; {example}"
        )
    given = parse_qsl(query, keep_blank_values=True)
    if unknown := [name for name, _ in given if name != "zone"]:
        raise ValueError(f"the query {quoted(unknown[0])} is not known; {example}")
    domains = [domain for _, domain in given]
    if len(domains) != 1 or not domains[0]:
        raise ValueError(f"one zone is needed, for which there is no default; {example}")
    return f"{hosts}/{quote(domains[0], safe='')}"


def _unsupported(scheme: str) -> str:
    """Return the message about a scheme that does not exist, with those that may be meant."""
    without_srv = scheme.lower().removesuffix(BY_SRV)
    if store := OTHER_STORES.get(without_srv):
        return (
            f"this program is for etcd and does not write to {store}; leave that registry to registrator, or name an "
            "etcd, as in etcd3://HOST:PORT/PREFIX"
        )
    if without_srv == _ETCD2:
        return f"the scheme {scheme!r} means the v3 API in registrator 9.0; here this is etcd3://, and v2 is etcd://"
    names = ", ".join(each.name for each in SCHEMES.values() if not each.tls)
    known = [*SCHEMES, *OTHER_SPELLINGS, *(f"{each}{BY_SRV}" for each in SCHEMES)]
    meant = _MEANT.get(scheme.lower()) or get_close_matches(scheme.lower(), known, n=1)
    hint = f"; did you mean {' or '.join(f'{each}://' for each in meant)}?" if meant else ""
    return f"the scheme {scheme!r} is not supported; {names} are, each also with an s at its end for TLS{hint}"


def _endpoints(hosts: str) -> tuple[HostPort, ...]:
    """Return the endpoints before the path of a URI. Raises ValueError with a message for the operator."""
    if not hosts:
        return (HostPort("127.0.0.1", DEFAULT_PORT),)
    return tuple(parse_endpoint(each) for each in hosts.split(","))


def _srv_domain(text: str) -> str:
    """Return the domain before the path of a URI, as the names of its records have it. Raises ValueError with a message
    for the operator."""
    if "," in text:
        raise ValueError(f"one domain names one cluster, so {BY_SRV}:// takes only one, as in example.com/services")
    if ":" in text:
        raise ValueError(f"the SRV records of a domain have the ports: give a domain alone, and not {text!r}")
    domain = text.removesuffix(".").lower()
    if not domain:
        raise ValueError(f"{BY_SRV}:// needs a DNS domain before the path, as in example.com/services")
    if problem := address_problem(domain):
        raise ValueError(f"the domain {quoted(domain)} {problem}")
    if domain.replace(".", "").isdigit():
        raise ValueError(f"{domain!r} is an address; give a DNS domain, or the scheme without {BY_SRV}")
    return domain


def _plain_prefix(path: str) -> str:
    if path and (problem := key_part_problem(path)):
        raise ValueError(f"the prefix {problem}")
    return f"/{path}" if path else ""


def _domain_prefix(path: str) -> str:
    """Return the prefix of a DNS domain. The domain may have capital letters, which DNS servers look up as small ones,
    and may end in the dot that stands for the DNS root."""
    domain = path.removesuffix(".")
    if not domain:
        raise ValueError("a DNS domain is needed behind the host, as in HOST:PORT/cluster.local")
    if problem := domain_problem(domain):
        raise ValueError(f"the domain {quoted(domain)} {problem}")
    return prefix_of(domain.lower())


#: What reads the path of a URI, by the layout of its scheme. Each raises ValueError with a message for the operator.
_PREFIX_READERS: Mapping[LayoutKind, Callable[[str], str]] = MappingProxyType(
    {LayoutKind.PLAIN: _plain_prefix, LayoutKind.SKYDNS: _domain_prefix}
)


def parse_endpoint(text: str) -> HostPort:
    """Return the endpoint that a text is, ``HOST`` or ``HOST:PORT``. Raises ValueError with a message for the
    operator."""
    host, port = HostPort.parse(text, str(DEFAULT_PORT))
    if not host:
        raise ValueError(f"the endpoint {text!r} has no host")
    if problem := address_problem(host):
        raise ValueError(f"the host of endpoint {text!r} {problem}")
    return HostPort(host, port)
