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


#: What follows the name of a scheme if a domain stands in the place of the endpoints, whose SRV records have them. It
#: goes with every scheme.
BY_SRV = "+srv"


def schemes_for(*, tls: bool) -> str:
    """Return the schemes with TLS, or those without, as a list for people: ``etcd://, etcd3://``."""
    return ", ".join(f"{each.name}://" for each in SCHEMES.values() if each.tls is tls)
