"""A Docker host whose agents write records for DNS servers."""

from __future__ import annotations

from pathlib import Path

from tests.support.coredns import Service, dns_name, read_service
from tests.support.engine import DockerEngine
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host


class DnsHost(Host):
    """A host whose agents register into a domain. A domain is in a fixed place in etcd, so each test needs its own
    etcd."""

    def __init__(self, engine: DockerEngine, etcd: EtcdServer, folder: Path, api: int) -> None:
        super().__init__(engine, etcd, folder, api)
        self.prefix = "/skydns/local/cluster"

    @property
    def uri(self) -> str:
        """See Host."""
        return f"skydns{self.api}://{self.etcd.endpoint}/Cluster.Local"

    def port(self, name: str) -> int:
        """Return the host port that the engine published for a container of `start()`."""
        return int(self.engine.docker("port", name, "9000/tcp").split()[0].rpartition(":")[2])

    def services(self) -> dict[str, Service]:
        """Return the records that CoreDNS would answer with, by name."""
        return {dns_name(key): read_service(value) for key, value in self.store.keys("/skydns").items()}
