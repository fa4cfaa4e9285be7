"""docs/layouts.md's configurations of CoreDNS, HAProxy and Prometheus, with the containers of a real engine."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.coredns_server import CoreDnsServer
from tests.support.dns_host import DnsHost
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.processes import REPOSITORY, Child, free_ports
from tests.support.tools import need_tool
from tests.support.waiting import wait_until

PAGE = REPOSITORY / "docs/layouts.md"

#: What each container does: it serves its name, and one metric.
SERVE = "hostname > /www/80/index.html; echo served 1 > /www/80/metrics; exec httpd -f -p 9000 -h /www/80"

#: How often HAProxy is asked after a container has gone. It asks its servers in turn.
ASKED = 20

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def recipe(language: str, *changes: tuple[str, str]) -> str:
    """Return the page's one block of code in this language, with what the machine of a test has otherwise."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for shown, here in changes:
        assert text.count(shown) == 1, shown
        text = text.replace(shown, here)
    return str(text)


class Site:
    """A host with an agent, and a CoreDNS at port 53, which `resolv_conf` names as the name server."""

    def __init__(self, host: DnsHost, folder: Path) -> None:
        self.host = host
        self.folder = folder
        # The loopback has 2^24 addresses, so another test does not have the same one.
        self.address = f"127.53.{random.randrange(256)}.{random.randrange(1, 255)}"
        corefile = recipe("corefile", ("127.0.0.1:2379", host.etcd.endpoint), ("cache 5", "cache 1"))
        self.coredns = CoreDnsServer(corefile, address=(self.address, 53))
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {self.address}\noptions timeout:2\n")

    def serve(self, *names: str) -> None:
        """Start containers of the service `web`."""
        for name in names:
            flags = f"--name {name} --hostname {name} -P -e SERVICE_NAME=web"
            self.host.engine.run(f"{flags} worker:1 sh -c {shlex.quote(SERVE)}")

    def target(self, name: str) -> str:
        """Return the name and the port by which the record of a container is found."""
        return f"core-01--{name}--9000.web.cluster.local:{self.host.port(name)}"

    def targets(self, name: str) -> set[str]:
        """Return the addresses that CoreDNS has for the targets of the SRV records of a name."""
        named = {record.split()[-1] for record in self.coredns.ask(name, "SRV").records}
        return {record.split()[-1] for each in named for record in self.coredns.ask(each, "A").records}

    def through_its_dns(self, *argv: str) -> Sequence[str]:
        """Return a command that asks this CoreDNS for names: it has an /etc/resolv.conf of its own."""
        script = f"mount --bind {self.resolv_conf} /etc/resolv.conf && exec {shlex.join(argv)}"
        return ["unshare", "--mount", "sh", "-c", script]


@pytest.fixture
def site(host: Host, fresh_etcd: EtcdServer, tmp_path: Path) -> Iterator[Site]:
    """A site whose agent runs, without containers. Skips the test if it is not root's, as nobody else has port 53."""
    if os.geteuid() != 0:
        pytest.skip("only root can listen at port 53")
    dns = DnsHost(host.engine, fresh_etcd, tmp_path, api=3)
    with closing(dns):
        site = Site(dns, tmp_path)
        with closing(site.coredns.start()):
            dns.agent("--hostname", "core-01").wait_ready()
            yield site


def get(url: str) -> str:
    """Return the body of an answer; empty if there is none."""
    try:
        with _opener.open(url, timeout=5) as response:
            return str(response.read().decode()).strip()
    except OSError:
        return ""


def test_haproxy_has_its_servers_from_coredns(site: Site) -> None:
    """It asks for ``_web._tcp``, follows the containers that come, and asks none that has gone."""
    need_tool("haproxy", "haproxy")
    site.serve("one", "two")
    (port,) = free_ports(1)
    config = site.folder / "haproxy.cfg"
    config.write_text(recipe("haproxy", ("127.0.0.1:53", f"{site.address}:53"), (":8080", f"127.0.0.1:{port}")))
    haproxy = Child(["haproxy", "-db", "-f", str(config)], site.folder / "haproxy.log")

    def answers() -> set[str]:
        return {get(f"http://127.0.0.1:{port}/") for _ in range(ASKED)}

    haproxy.start()
    try:
        wait_until(lambda: answers() == {"one", "two"}, 20, "both servers")
        assert site.targets("_web._tcp.cluster.local") == {site.host.engine.address}
        site.host.engine.docker("rm", "--force", "one")
        wait_until(lambda: answers() == {"two"}, 20, "the server that is left")
        site.serve("three")
        wait_until(lambda: answers() == {"two", "three"}, 20, "the new server")
    finally:
        haproxy.stop()


def test_prometheus_scrapes_what_coredns_tells(site: Site) -> None:
    """Each container is a target at a name and port of its own, and the target goes with it. Prometheus also asks
    CoreDNS for the addresses of these names."""
    need_tool("prometheus", "prometheus")
    site.serve("one", "two")
    first, second = site.target("one"), site.target("two")
    config = site.folder / "prometheus.yml"
    often = ("scrape_configs:", "global: {scrape_interval: 1s}\nscrape_configs:")
    config.write_text(recipe("yaml", often, ("refresh_interval: 15s", "refresh_interval: 1s")))
    (port,) = free_ports(1)
    flags = (f"--config.file={config}", f"--storage.tsdb.path={site.folder / 'tsdb'}", "--log.level=warn")
    command = site.through_its_dns("prometheus", *flags, f"--web.listen-address=127.0.0.1:{port}")
    prometheus = Child(command, site.folder / "prometheus.log")

    def targets() -> dict[str, str]:
        answer = get(f"http://127.0.0.1:{port}/api/v1/targets?state=active")
        active = json.loads(answer)["data"]["activeTargets"] if answer else []
        return {each["labels"]["instance"]: each["health"] for each in active}

    prometheus.start()
    try:
        wait_until(lambda: targets() == {first: "up", second: "up"}, 20, "both targets")
        site.host.engine.docker("rm", "--force", "one")
        wait_until(lambda: targets() == {second: "up"}, 20, "the target that is left")
    finally:
        prometheus.stop()


def test_the_c_library_finds_no_address_beside_a_host_name(site: Site) -> None:
    """It takes a CNAME for the only answer. So the page tells people not to mix names and addresses in a service."""
    site.serve("one")
    wait_until(lambda: addresses(site) == {site.host.engine.address}, 5, "the address")
    site.host.store.put(f"{site.host.prefix}/web/other", '{"host":"other.example","port":80}')
    wait_until(lambda: not addresses(site), 5, "an answer with a CNAME")


def addresses(site: Site) -> set[str]:
    """Return the IPv4 addresses that the C library finds for the service `web`."""
    argv = site.through_its_dns("getent", "ahostsv4", "web.cluster.local")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode in {0, 2}, done.stderr
    return {line.split()[0] for line in done.stdout.splitlines()}
