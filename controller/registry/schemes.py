"""The schemes of registry URIs, and what each of them means. This table is the only place that says so."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType

from attrs import frozen


class Api(IntEnum):
    """An API through which a registry is read and written. ``controller.registry.factory`` has a constructor for
    each."""

    #: etcd's v2 API: https://etcd.io/docs/v2.3/api/
    ETCD_V2 = 2
    #: etcd's v3 API: https://etcd.io/docs/v3.5/learning/api/
    ETCD_V3 = 3


class LayoutKind(Enum):
    """How service entries become keys and values. ``controller.registry.factory`` has a layout for each."""

    #: ``PREFIX/NAME/ID`` with an address as value; see ``model.layout``.
    PLAIN = "plain"
    #: Records of a DNS domain, as SkyDNS and CoreDNS read them; see ``model.skydns``.
    SKYDNS = "skydns"


@frozen
class Scheme:
    """What the scheme of a registry URI means."""

    #: What stands before ``://``.
    name: str
    api: Api
    layout: LayoutKind
    #: Whether connections use TLS.
    tls: bool


#: Every scheme by its name. Each API and layout has a scheme without TLS, and one with TLS that ends in an ``s``.
SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            Scheme("etcd", Api.ETCD_V2, LayoutKind.PLAIN, tls=False),
            Scheme("etcds", Api.ETCD_V2, LayoutKind.PLAIN, tls=True),
            Scheme("etcd3", Api.ETCD_V3, LayoutKind.PLAIN, tls=False),
            Scheme("etcd3s", Api.ETCD_V3, LayoutKind.PLAIN, tls=True),
            Scheme("skydns2", Api.ETCD_V2, LayoutKind.SKYDNS, tls=False),
            Scheme("skydns2s", Api.ETCD_V2, LayoutKind.SKYDNS, tls=True),
            Scheme("skydns3", Api.ETCD_V3, LayoutKind.SKYDNS, tls=False),
            Scheme("skydns3s", Api.ETCD_V3, LayoutKind.SKYDNS, tls=True),
        )
    }
)


@frozen
class OtherSpelling:
    """A scheme of registrator 9, and the scheme of this program that means the same."""

    #: What stands before ``://``.
    name: str
    #: The name of one of SCHEMES.
    scheme: str
    #: Whether the path and the domain of the records are given apart, as ``/skydns?zone=DOMAIN``.
    zone_in_query: bool = False


#: Every other spelling by its name. Each has a twin with TLS, as the schemes have.
OTHER_SPELLINGS: Mapping[str, OtherSpelling] = MappingProxyType(
    {
        other.name: other
        for other in (
            OtherSpelling("etcd-legacy", "etcd"),
            OtherSpelling("etcd-legacys", "etcds"),
            OtherSpelling("coredns", "skydns3", zone_in_query=True),
            OtherSpelling("corednss", "skydns3s", zone_in_query=True),
        )
    }
)

#: The schemes of registrator's other registries, and what each of them stores its entries in.
OTHER_STORES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("consul", "consul-tls", "consul-unix", "consulkv", "consulkv-unix"), "Consul"),
        "zookeeper": "ZooKeeper",
    }
)

#: What follows the name of a scheme if a domain stands in the place of the endpoints, whose SRV records have them. It
#: goes with every scheme.
BY_SRV = "+srv"


def schemes_for(*, tls: bool) -> str:
    """Return the schemes with TLS, or those without, as a list for people: ``etcd://, etcd3://``."""
    return ", ".join(f"{each.name}://" for each in SCHEMES.values() if each.tls is tls)
