"""From a registry URI to the registry and layout that its scheme stands for; CONTRIBUTING.md says how to add one.

The client of an API is imported when a registry of that API is opened. The library of the v2 API takes longer to load
than a first pass by the v3 API takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import frozen

from controller.effects.clock import Deadline
from controller.effects.discovery import BY_MACHINE, Discovery
from controller.effects.names import MACHINE, Names
from controller.registry.base import Registry, Sweeping
from controller.registry.credentials import Credentials
from controller.registry.failover import OnRequest, not_counted
from controller.registry.members import SrvEndpoints
from controller.registry.schemes import Api, LayoutKind
from controller.registry.uri import RegistryUri
from model.host_port import HostPort
from model.layout import Layout, PlainLayout, ValueFormat
from model.skydns import SkyDnsLayout
from model.stored import Lifetime

if TYPE_CHECKING:
    from controller.registry.etcd_v2.client import EtcdV2Client, EtcdV2Transport
    from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Transport
    from controller.registry.surveyor import Surveyor


@frozen
class Transports:
    """How each client reaches one member of a cluster. Without functions of a test or a simulation, the clients open
    sockets."""

    #: Makes the pool through which one member is reached by the v2 API; None: one that opens sockets.
    etcd_v2: EtcdV2Transport | None = None
    #: Makes the HTTP client through which one member is reached by the v3 API; None: one that opens sockets.
    etcd_v3: EtcdV3Transport | None = None
    #: Remembers the addresses that sockets are opened to.
    names: Names = MACHINE
    #: Remembers the endpoints that SRV records name.
    discovery: Discovery = BY_MACHINE


@frozen
class Use:
    """What a registry is opened for."""

    #: Whether nothing is to be written.
    dry_run: bool = False
    #: When a large v3 prefix is read as a whole.
    sweeping: Sweeping = Sweeping()


@frozen
class _Connection:
    """What it takes to make the client of a registry."""

    uri: RegistryUri
    credentials: Credentials
    on_request: OnRequest
    transports: Transports

    @property
    def endpoints(self) -> Sequence[HostPort] | SrvEndpoints:
        """The endpoints of the cluster, or where they are looked up."""
        record = self.uri.record(tls=self.credentials.tls)
        return SrvEndpoints(self.transports.discovery, record) if record else self.uri.endpoints


def _etcd_v2_client(to: _Connection) -> EtcdV2Client:
    from controller.registry.etcd_v2.client import EtcdV2Client, pool_manager  # noqa: PLC0415 - see above

    transport = to.transports.etcd_v2 or partial(pool_manager, names=to.transports.names)
    return EtcdV2Client(to.endpoints, to.on_request, to.credentials, transport)


def _etcd_v3_client(to: _Connection) -> EtcdV3Client:
    from controller.registry.etcd_v3.client import EtcdV3Client, kept_connection  # noqa: PLC0415 - see above

    transport = to.transports.etcd_v3 or partial(kept_connection, names=to.transports.names)
    return EtcdV3Client(to.endpoints, to.on_request, to.credentials, transport)


def _open_etcd_v2(to: _Connection, lifetime: Lifetime, use: Use) -> Registry:
    from controller.registry.etcd_v2.registry import etcd_v2_registry  # noqa: PLC0415 - see above

    return etcd_v2_registry(_etcd_v2_client(to), to.uri.prefix, lifetime, dry_run=use.dry_run)


def _open_etcd_v3(to: _Connection, lifetime: Lifetime, use: Use) -> Registry:
    from controller.registry.etcd_v3.registry import etcd_v3_registry  # noqa: PLC0415 - see above

    client = _etcd_v3_client(to)
    return etcd_v3_registry(client, to.uri.prefix, lifetime, dry_run=use.dry_run, sweeping=use.sweeping)


#: How a registry of each API is made.
_CONSTRUCTORS: Mapping[Api, Callable[[_Connection, Lifetime, Use], Registry]] = MappingProxyType(
    {Api.ETCD_V2: _open_etcd_v2, Api.ETCD_V3: _open_etcd_v3}
)


def open_registry(
    uri: RegistryUri,
    credentials: Credentials,
    lifetime: Lifetime,
    on_request: OnRequest = not_counted,
    *,
    use: Use = Use(),
    transports: Transports = Transports(),
) -> Registry:
    """Return the registry of a URI. No connection is made before its first use.

    Keys are written with ``lifetime``. ``on_request`` is called after each request to a member of the cluster. Raises
    Stop for credentials that cannot be used.
    """
    return _CONSTRUCTORS[uri.api](_Connection(uri, credentials, on_request, transports), lifetime, use)


def _etcd_v2_surveyor(to: _Connection) -> Surveyor:
    from controller.registry.etcd_v2.surveyor import EtcdV2Surveyor  # noqa: PLC0415 - no pass needs it

    return EtcdV2Surveyor(_etcd_v2_client(to), to.uri.prefix)


def _etcd_v3_surveyor(to: _Connection) -> Surveyor:
    from controller.registry.etcd_v3.surveyor import EtcdV3Surveyor  # noqa: PLC0415 - no pass needs it

    return EtcdV3Surveyor(_etcd_v3_client(to), to.uri.prefix)


#: How what reads everything of a registry is made, by API.
_SURVEYORS: Mapping[Api, Callable[[_Connection], Surveyor]] = MappingProxyType(
    {Api.ETCD_V2: _etcd_v2_surveyor, Api.ETCD_V3: _etcd_v3_surveyor}
)


def open_surveyor(uri: RegistryUri, credentials: Credentials, transports: Transports = Transports()) -> Surveyor:
    """Return what reads everything of the registry of a URI. No connection is made before its first use. Raises Stop
    for credentials that cannot be used."""
    return _SURVEYORS[uri.api](_Connection(uri, credentials, not_counted, transports))


def first_key_by_v3(
    uri: RegistryUri, credentials: Credentials, deadline: Deadline, transports: Transports = Transports()
) -> str:
    """Return the first key that the v3 API has under the prefix of a URI of either API; empty if there is none. Raises
    RegistryUnavailable, and Stop for credentials that cannot be used."""
    from controller.registry.etcd_v3.first_key import first_key  # noqa: PLC0415 - no pass needs it

    return first_key(_etcd_v3_client(_Connection(uri, credentials, not_counted, transports)), uri.prefix, deadline)


#: How a layout of each kind is made of a prefix, the format of plain values and the TTL of DNS records.
_LAYOUTS: Mapping[LayoutKind, Callable[[str, ValueFormat, int], Layout]] = MappingProxyType(
    {
        LayoutKind.PLAIN: lambda prefix, value_format, _: PlainLayout.under(prefix, value_format),
        LayoutKind.SKYDNS: lambda prefix, _, record_ttl: SkyDnsLayout(prefix, record_ttl),
    }
)

#: The TTL of DNS records in seconds if --record-ttl is not given; 0 for none. By v2, registrator's records stay as they
#: are. By v3 there is no registrator to be equal to, and without a TTL an answer of CoreDNS is valid for 300 seconds.
_RECORD_TTL: Mapping[Api, int] = MappingProxyType({Api.ETCD_V2: 0, Api.ETCD_V3: 30})


def layout_for(
    uri: RegistryUri, value_format: ValueFormat = ValueFormat.HOSTPORT, record_ttl: int | None = None
) -> Layout:
    """Return the layout of a URI's service entries. ``value_format`` is how values of the plain layout look.
    ``record_ttl`` is the TTL of DNS records in seconds, 0 for none; None means the default of the URI's API."""
    return _LAYOUTS[uri.layout](uri.prefix, value_format, _RECORD_TTL[uri.api] if record_ttl is None else record_ttl)
