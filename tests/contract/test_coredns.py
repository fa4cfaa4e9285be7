"""A real CoreDNS answers from the records that the program wrote, also beside records of others that are hostile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import dns.exception
import dns.flags
import dns.name
import dns.rcode
import pytest

from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.registry import etcd_v3_registry
from model.container import Container
from model.host_port import HostPort
from model.skydns import SkyDnsLayout
from model.stored import Lifetime
from tests.support.agent import run_once
from tests.support.builders import container
from tests.support.cases import serving
from tests.support.coredns import READABLE, UNREADABLE, Answer, answer, dns_name
from tests.support.coredns_server import CoreDnsServer, etcd_corefile
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3, encoded
from tests.support.nasty import ODD, OTHERS, UNFIT, UNFIT_ADDRESSES
from tests.support.pass_harness import RealHost
from tests.support.recorded_containers import Json, answers, engine_of, exposing

DOMAIN = "cluster.local"
PREFIX = "/skydns/local/cluster"

#: The label in which a container may give its address.
IP_LABEL = "my.ip"

#: Seconds after which a question counts as not answered. CoreDNS sends nothing if it cannot write its answer.
NO_ANSWER = 2.0


class Dns:
    """A domain: etcd, what the program writes to it, and what CoreDNS answers from that."""

    def __init__(self, server: CoreDnsServer, etcd: EtcdServer, folder: Path) -> None:
        self.server = server
        self.store = EtcdV3(etcd.endpoint)
        self._folder = folder

    def registers(self, *running: tuple[Json, Json], flags: tuple[str, ...] = ("-ip", "192.0.2.10")) -> str:
        """Run the program once on a host that runs these containers, and return what it printed."""
        named = ("--hostname", "core-01", *flags, f"skydns3://{self.store.endpoint}/{DOMAIN}")
        with serving(engine_of(*running), self._folder) as url:
            done = run_once(url, "reconcile", *named)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, name: str, kind: str) -> Answer:
        """Return the answer to a question about a name of the domain."""
        return self.server.ask(f"{name}.{DOMAIN}", kind)

    def records(self, name: str, kind: str) -> set[str]:
        """Return what the records of an answer say, which has to have some: ``30 192.0.2.1`` for an address."""
        found = self.ask(name, kind)
        assert found.rcode == "NOERROR"
        return {" ".join((line.split()[1], *line.split()[4:])) for line in found.records}

    def put(self, values: Mapping[str, str]) -> None:
        """Write keys of the domain as somebody else."""
        for key, value in values.items():
            self.store.put(f"{PREFIX}/{key}", value)

    def has_no_answer(self, name: str, kind: str) -> bool:
        """Return whether CoreDNS fails, or sends nothing."""
        try:
            message = self.server.message(f"{name}.{DOMAIN}", kind, tcp=False, patience=NO_ANSWER)
        except (dns.exception.Timeout, dns.exception.FormError, dns.name.NameTooLong):
            return True
        return message.rcode() == dns.rcode.SERVFAIL


@pytest.fixture(scope="module")
def server(shared_server: EtcdServer) -> Iterator[CoreDnsServer]:
    """A CoreDNS that has its records from the etcd that all tests share."""
    server = CoreDnsServer(etcd_corefile(shared_server.endpoint, DOMAIN), DOMAIN)
    yield server.start()
    server.close()


@pytest.fixture
def domain(server: CoreDnsServer, good: EtcdServer, tmp_path: Path) -> Dns:
    """A domain without records."""
    return Dns(server, good, tmp_path)


def record(host: str = "192.0.2.66", **fields: object) -> str:
    """Return a record as somebody else may write it."""
    return json.dumps({"host": host, "port": 80, **fields})


def labelled(**labels: str) -> dict[str, object]:
    """Return what an inspect answer shows of a container with these ``SERVICE_`` labels."""
    return {"Config.Labels": {f"SERVICE_{name}": text for name, text in labels.items()}}


# What the program writes, and what clients are answered.


@pytest.mark.every_etcd
def test_a_service_is_answered_with_all_its_containers_and_each_id_with_its_own(domain: Dns) -> None:
    """By SRV with port and target, whose address comes along; by A; with a wildcard; by UDP as by TCP."""
    domain.registers(
        answers("one", 1, ports={"80/tcp": 8001}, inspect=labelled(NAME="web")),
        answers("two", 2, ports={"80/tcp": 8002}, inspect=labelled(NAME="Web", ID="Web.2")),
        answers("deep", 3, ports={"80/tcp": 8003}, inspect=labelled(NAME="team/db")),
    )
    (second,) = (dns_name(key) for key in domain.store.keys(f"{PREFIX}/web") if "web-2" in key)
    first = f"core-01--one--80.web.{DOMAIN}"
    assert domain.ask("web", "SRV") == Answer(
        "NOERROR",
        {f"web.{DOMAIN}. 30 IN SRV 10 50 8001 {first}.", f"web.{DOMAIN}. 30 IN SRV 10 50 8002 {second}."},
        {f"{first}. 30 IN A 192.0.2.10", f"{second}. 30 IN A 192.0.2.10"},
    )
    assert domain.records("core-01--one--80.web", "SRV") == {f"30 10 100 8001 {first}."}
    assert domain.records("WEB", "A") == domain.records("core-01--deep--80.db.team", "A") == {"30 192.0.2.10"}
    assert domain.records("*.team", "SRV") == domain.records("any.team", "SRV") == domain.records("db.team", "SRV")
    assert len(domain.records("*", "SRV")) == 3
    assert domain.ask("web", "AAAA") == Answer("NOERROR")
    assert domain.ask("nobody", "A") == Answer("NXDOMAIN")
    assert domain.server.ask(f"web.{DOMAIN}", "SRV", tcp=False) == domain.ask("web", "SRV")


def test_several_ports_of_a_container_are_several_services(domain: Dns) -> None:
    """Under one name they are several answers of one service. Of one port by tcp and by udp each has a name of its own
    only if the container gives it one."""
    names = labelled(**{"53_NAME": "dns", "80_NAME": "status", "8080_NAME": "status", "54_UDP_NAME": "dns-udp"})
    ports = {"53/tcp": 5301, "53/udp": 5302, "80/tcp": 8001, "8080/tcp": 8002, "54/tcp": 5401, "54/udp": 5402}
    domain.registers(answers("box", 1, ports=ports, inspect=names))
    own = f"core-01--box--%s.%s.{DOMAIN}."
    assert domain.records("dns", "SRV") == {
        f"30 10 50 5301 {own % ('53', 'dns')}",
        f"30 10 50 5302 {own % ('53--udp', 'dns')}",
    }
    assert domain.records("status", "SRV") == {
        f"30 10 50 8001 {own % ('80', 'status')}",
        f"30 10 50 8002 {own % ('8080', 'status')}",
    }
    assert domain.records("app-54", "SRV") == {f"30 10 100 5401 {own % ('54', 'app-54')}"}
    assert domain.records("dns-udp", "SRV") == {f"30 10 100 5402 {own % ('54--udp', 'dns-udp')}"}


def test_an_ipv6_address_is_an_aaaa_record(domain: Dns) -> None:
    """By SRV it is the address of the target."""
    domain.registers(answers("six", 1, inspect=exposing("80/tcp")), flags=("-ip", "2001:db8::10"))
    assert domain.records("app", "AAAA") == {"30 2001:db8::10"}
    assert domain.ask("app", "A") == Answer("NOERROR")
    assert domain.ask("app", "SRV").additional == {f"core-01--six--80.app.{DOMAIN}. 30 IN AAAA 2001:db8::10"}


def test_weights_are_shares_of_those_with_the_same_priority(domain: Dns) -> None:
    """A record without a weight has 100, one without a priority 10, and 0 counts as none. The least share is 1."""
    given = {
        "a": {"PRIORITY": "1", "WEIGHT": "30"},
        "b": {"PRIORITY": "1", "WEIGHT": "10"},
        "c": {"WEIGHT": "65535"},
        "d": {},
        "e": {"PRIORITY": "0", "WEIGHT": "0"},
        "f": {"PRIORITY": "65535", "WEIGHT": "1"},
    }
    domain.registers(
        *(
            answers(name, number, ports={"80/tcp": 8000 + number}, inspect=labelled(ID=name, NAME="web", **labels))
            for number, (name, labels) in enumerate(given.items())
        )
    )
    shares = {line.split()[4].partition(".")[0]: line.split()[1:3] for line in domain.records("web", "SRV")}
    assert shares == {
        "a": ["1", "75"],
        "b": ["1", "25"],
        "c": ["10", "99"],
        "d": ["10", "1"],
        "e": ["10", "1"],
        "f": ["65535", "100"],
    }


def test_groups_targetstrip_and_mail_do_what_the_page_says(domain: Dns) -> None:
    """The first record of a service sets the group. A stripped target is a name of all its containers."""
    domain.registers(
        answers("a", 1, ports={"80/tcp": 8001}, inspect=labelled(ID="a", NAME="web", GROUP="blue")),
        answers("b", 2, ports={"80/tcp": 8002}, inspect=labelled(ID="b", NAME="web")),
        answers("c", 3, ports={"80/tcp": 8003}, inspect=labelled(ID="c", NAME="web/old", GROUP="green")),
        answers("d", 4, ports={"80/tcp": 8004}, inspect=labelled(ID="d", NAME="api", TARGETSTRIP="1", MAIL="true")),
        answers("e", 5, ports={"80/tcp": 8004}, inspect=labelled(ID="e", NAME="api", TARGETSTRIP="127", TEXT="hello")),
    )
    assert {line.split()[-1] for line in domain.records("web", "SRV")} == {f"a.web.{DOMAIN}.", f"b.web.{DOMAIN}."}
    assert domain.records("old.web", "SRV") == {f"30 10 100 8003 c.old.web.{DOMAIN}."}
    assert domain.records("api", "SRV") == {f"30 10 50 8004 api.{DOMAIN}.", f"30 10 50 8004 e.api.{DOMAIN}."}
    assert domain.records("api", "MX") == {f"30 10 api.{DOMAIN}."}
    assert domain.ask("api", "TXT") == Answer("NOERROR")
    domain.put({"api/f": record("192.0.2.11", port=8004, targetstrip=1, ttl=30)})
    assert domain.ask("api", "SRV").additional >= {f"api.{DOMAIN}. 30 IN A 192.0.2.{last}" for last in (10, 11)}


def test_a_host_name_is_the_target_of_an_srv_record(domain: Dns) -> None:
    """By A it is a CNAME. Beside a text, only a question for TXT is answered."""
    domain.registers(
        answers("plain", 1, ports={"80/tcp": 8001}, inspect=labelled(NAME="web")),
        answers("texted", 2, ports={"80/tcp": 8002}, inspect=labelled(NAME="web", TEXT="hello")),
        flags=("-ip", "core-01.example.com"),
    )
    assert domain.records("web", "SRV") == {"30 10 50 8001 core-01.example.com."}
    assert domain.ask("web", "A").records == {f"web.{DOMAIN}. 30 IN CNAME core-01.example.com."}
    assert '30 "hello"' in domain.records("web", "TXT")


def test_the_ttl_of_an_answer_is_that_of_the_record(domain: Dns) -> None:
    """By default it is 30 seconds. Without one, CoreDNS answers with 300."""
    running = [
        answers("default", 1, ports={"80/tcp": 8001}, inspect=labelled(NAME="default")),
        answers("own", 2, ports={"80/tcp": 8002}, inspect=labelled(NAME="own", TTL="7")),
        answers("none", 3, ports={"80/tcp": 8003}, inspect=labelled(NAME="none", TTL="0")),
        answers("longest", 4, ports={"80/tcp": 8004}, inspect=labelled(NAME="longest", TTL="2147483647")),
    ]
    domain.registers(*running)
    ttls = {name: domain.records(name, "A") for name in ("default", "own", "none", "longest")}
    assert ttls == {
        "default": {"30 192.0.2.10"},
        "own": {"7 192.0.2.10"},
        "none": {"300 192.0.2.10"},
        "longest": {"2147483647 192.0.2.10"},
    }
    domain.registers(running[0], flags=("-ip", "192.0.2.10", "--record-ttl", "0"))
    assert domain.records("default", "A") == {"300 192.0.2.10"}


@pytest.mark.parametrize(
    ("lifetime", "least", "most"), [(20, 30, 30), pytest.param(100, 80, 100, marks=pytest.mark.every_etcd)]
)
def test_the_ttl_of_an_answer_is_not_longer_than_the_lease(domain: Dns, lifetime: int, least: int, most: int) -> None:
    """A lease counts as one of at least 30 seconds. A record's own TTL counts if it is less."""
    domain.registers(
        answers("bare", 1, ports={"80/tcp": 8001}, inspect=labelled(NAME="bare", TTL="0")),
        answers("long", 2, ports={"80/tcp": 8002}, inspect=labelled(NAME="long", TTL="900")),
        answers("short", 3, ports={"80/tcp": 8003}, inspect=labelled(NAME="short", TTL="5")),
        flags=("-ip", "192.0.2.10", "-ttl", str(lifetime), "-ttl-refresh", "10"),
    )
    for name in ("bare", "long"):
        ((ttl, _),) = (line.split() for line in domain.records(name, "A"))
        assert least <= int(ttl) <= most
    assert domain.records("short", "A") == {"5 192.0.2.10"}


def test_a_container_that_ends_is_in_no_answer_any_more(domain: Dns) -> None:
    """The name of a service goes with its last container."""
    first = answers("first", 1, ports={"80/tcp": 8001}, inspect=labelled(NAME="web"))
    second = answers("second", 2, ports={"80/tcp": 8002}, inspect=labelled(NAME="web"))
    alone = answers("alone", 3, ports={"80/tcp": 8003}, inspect=labelled(NAME="api"))
    domain.registers(first, second, alone)
    assert (len(domain.records("web", "SRV")), len(domain.records("api", "SRV"))) == (2, 1)
    domain.registers(second, flags=("-ip", "192.0.2.10", "--delete-guard", "0"))
    assert domain.records("web", "SRV") == {f"30 10 100 8002 core-01--second--80.web.{DOMAIN}."}
    assert domain.ask("core-01--first--80.web", "A") == domain.ask("api", "A") == Answer("NXDOMAIN")


# Hostile containers.


def test_no_container_breaks_the_answers_for_another(domain: Dns) -> None:
    """Names and ids that DNS servers take for something else are refused or become other labels, and so are attributes
    and addresses that no answer can carry. The zone gets no name server and no address of its own."""
    hostile: tuple[dict[str, str], ...] = (
        *({"SERVICE_NAME": name} for name in ("dns/ns", "DNS/NS", "dns/apex", "web/dns/ns")),
        *({"SERVICE_NAME": name} for name in ("*", "any", "ANY", "web/*")),
        *({"SERVICE_NAME": name} for name in ("_web", "web_", "a.b", "x" * 64, "web/" + "/".join(["y" * 60] * 4))),
        *({"SERVICE_NAME": "dns", "SERVICE_ID": name} for name in ("ns", "apex", "NS")),
        *({"SERVICE_NAME": "web", "SERVICE_ID": name} for name in ("any", "*", "A.b", "x" * 300, "_tcp", "good/below")),
        *({"SERVICE_NAME": "web", f"SERVICE_{each}": "-1"} for each in ("PRIORITY", "WEIGHT", "TTL", "TARGETSTRIP")),
        {"SERVICE_NAME": "web", "SERVICE_MAIL": "maybe"},
        {"SERVICE_NAME": "web", "SERVICE_TEXT": "x" * 5000},
        {"SERVICE_NAME": "web", "SERVICE_TEXT": '\u2028"\\', "SERVICE_GROUP": "\x00", "SERVICE_WEIGHT": "65535"},
        {"SERVICE_NAME": "web", "SERVICE_TARGETSTRIP": "127", "SERVICE_PRIORITY": "65535", "SERVICE_TTL": "2147483647"},
        *({"SERVICE_NAME": "web", IP_LABEL: text} for text in UNFIT_ADDRESSES.values()),
    )
    good = answers("good", 0, ports={"80/tcp": 8000}, inspect=labelled(NAME="web", ID="good"))
    others = (
        answers(f"c{number}", number, ports={"80/tcp": 8000 + number}, inspect={"Config.Labels": labels})
        for number, labels in enumerate(hostile, 1)
    )
    printed = domain.registers(good, *others, flags=("-ip", "192.0.2.10", "-useIpFromLabel", IP_LABEL))
    assert printed.count("(bad-address)") == len(UNFIT_ADDRESSES)
    assert "30 192.0.2.10" in domain.records("web", "A")
    assert domain.records("good.web", "A") == {"30 192.0.2.10"}
    targets = {line.split()[4].partition(".")[0]: line.split()[3] for line in domain.records("web", "SRV")}
    assert targets["good"] == "8000"
    assert {"any", "x"} & targets.keys() == set()
    assert domain.server.ask(DOMAIN, "NS") == Answer("NXDOMAIN")
    assert domain.ask("ns.dns", "A") == domain.ask("apex.dns", "A") == Answer("NXDOMAIN")
    _agree(domain, "web", "dns", "*", "any.web")


def _agree(domain: Dns, *names: str) -> None:
    """Assert that CoreDNS answers about these names, and about the name of each record, what the tests' reading of it
    does."""
    values = domain.store.keys("/skydns")
    own = {dns_name(key).removesuffix(f".{DOMAIN}") for key in values}
    asked = [*product(names, ("A", "AAAA", "SRV")), *product(own, ("A", "SRV"))]
    assert [(each, domain.ask(*each)) for each in asked] == [
        (each, answer(values, f"{each[0]}.{DOMAIN}", each[1])) for each in asked
    ]


def _containers() -> Iterator[Container]:
    """Yield containers with nasty names and ids, and with attributes of all kinds."""
    nasty = [text for texts in (UNFIT, ODD, OTHERS) for text in texts.values()]
    attributes = (
        {
            "NAME": ("web", "web/one", "api")[number % 3],
            "PRIORITY": number % 3,
            "WEIGHT": number % 7 * 20,
            "TTL": number % 5 * 10,
            "TARGETSTRIP": number % 4,
            "GROUP": ("", "", "blue", "green")[number // 3 % 4],
            "TEXT": ("", "text")[number % 2],
        }
        for number in range(240)
    )
    settings: Iterable[Mapping[str, object]] = (
        *({"NAME": text} for text in nasty),
        *({"NAME": "nasty", "ID": text} for text in nasty),
        *attributes,
    )
    for number, each in enumerate(settings):
        labels = {f"SERVICE_{name}": str(value) for name, value in each.items()}
        yield container(f"c{number}", publish={"80/tcp": f"0.0.0.0:{10000 + number}"}, labels=labels)


def test_the_tests_reading_of_coredns_answers_as_coredns_does_about_hundreds_of_odd_records(domain: Dns) -> None:
    """Unit tests check the records of the program against this reading."""
    host, _, port = domain.store.endpoint.rpartition(":")
    registry = etcd_v3_registry(EtcdV3Client([HostPort(host, int(port))]), PREFIX, Lifetime())
    RealHost(registry, *_containers(), layout=SkyDnsLayout(PREFIX, 30)).has_a_pass()
    assert len(domain.store.keys(PREFIX)) > 300
    _agree(domain, "web", "one.web", "api", "nasty", "*.web", "any", "*.one.web")


# Records of others.

_HEALTHY = {"web/good": record("192.0.2.1"), "api/good": record("192.0.2.2")}


def test_a_record_that_cannot_be_read_breaks_the_answers_for_the_names_above_it_and_no_others(domain: Dns) -> None:
    """The tests' reading of CoreDNS reads what CoreDNS reads, and no more. Each value is in a service of its own."""
    services = {f"v{number}": value for number, value in enumerate([*READABLE, *UNREADABLE])}
    for name, value in services.items():
        domain.put({f"{name}/odd": value, f"{name}/good": record("192.0.2.1")})
    _agree(domain, *services)
    broken = {name for name in services if domain.ask(name, "A").rcode == "SERVFAIL"}
    assert broken == {name for name, value in services.items() if value in UNREADABLE}
    assert {domain.ask(f"good.{name}", "A").rcode for name in services} == {"NOERROR"}
    assert domain.ask("*", "A") == domain.server.ask(DOMAIN, "A") == Answer("SERVFAIL")


#: Keys and records of others that change nobody's answers but those for their own name and the names above it.
HARMLESS: Mapping[str, Mapping[str, str]] = {
    "of another service": {"x/y": record()},
    "a service whose name only begins alike": {"web2/x": "broken", "we/b": "broken", "web-good/x": ""},
    "wildcards": {"*/x": "broken", "any/any": "broken", "*/*": "broken"},
    "a name server": {"dns/ns/x": record()},
    "a name server that is a name": {"dns/ns/x": record("evil.example")},
    "an unreadable name server": {"dns/ns": "broken", "dns/apex": "broken", "dns/stub": "broken"},
    "odd names": {"a\nb/x": "broken", "ü/x": "", "x//y": "", "A/x": "", "-/": "", "a.b/c\\": "", " /'\"": ""},
    "huge": {"x/y": record(text="x" * 1_000_000)},
    "a loop of names": {"a/x": record("b.cluster.local"), "b/x": record("a.cluster.local")},
    "a name that is its own host": {"c/x": record("c.cluster.local"), "d/x": record("x.d.cluster.local")},
    "a key of the domain itself": {"": "broken"},
}


@pytest.mark.parametrize("others", HARMLESS.values(), ids=HARMLESS)
def test_records_of_others_change_no_answer_for_another_name(domain: Dns, others: Mapping[str, str]) -> None:
    """Neither for a service nor for one container."""
    domain.put({**_HEALTHY, **others})
    for name, address in (("web", "192.0.2.1"), ("good.web", "192.0.2.1"), ("api", "192.0.2.2")):
        assert domain.records(name, "A") == {f"300 {address}"}
        assert len(domain.records(name, "SRV")) == 1


_NO_ADDRESS, _ALL, _NONE = frozenset({"SRV"}), frozenset({"A", "AAAA", "SRV"}), frozenset[str]()

#: Keys below a service and records of others there, each with the questions for the service that get no answer.
HARMFUL: Mapping[str, tuple[Mapping[str, str], frozenset[str]]] = {
    "no JSON": ({"x": "192.0.2.66:80"}, _ALL),
    "an empty value": ({"x/y/z": ""}, _ALL),
    "a host with a long label": ({"x": record("x" * 64)}, _ALL),
    "a long host": ({"x": record(".".join(["x" * 60] * 5))}, _ALL),
    "a host without a label": ({"x": record("a..b")}, _ALL),
    "a key with a long label": ({"x" * 64: record()}, _NO_ADDRESS),
    "a long key": ({"/".join(["x" * 60] * 5): record()}, _NO_ADDRESS),
    "a key with an empty part": ({"/x": record()}, _NO_ADDRESS),
    "a key with two dots": ({"a..b": record()}, _NO_ADDRESS),
    "a host that is its own service": ({"x": record("web.cluster.local")}, _NONE),
    "odd numbers": ({"x": record(port=70000, weight=-100, priority=-1, ttl=2**32 - 1, targetstrip=99)}, _NONE),
    "a great weight": ({"x": record(weight=2**62)}, _NONE),
    "odd characters": ({"a b\n\\": record(), "ü": record(), "A(;@": record(), "a.b": record()}, _NONE),
    "an end that is a slash": ({"": record()}, _NONE),
}


def test_the_records_of_others_that_break_the_answers_for_a_service_are_known(domain: Dns) -> None:
    """docs/layouts.md lists them. They break no other service, and not the answers for a container's own name."""
    services = dict(zip(HARMFUL, (f"s{number}" for number in range(len(HARMFUL))), strict=True))
    for title, (others, _) in HARMFUL.items():
        own = {f"{services[title]}/good": record("192.0.2.1")}
        domain.put(own | {f"{services[title]}/{key}": value for key, value in others.items()})
    asked = [(title, kind) for title in HARMFUL for kind in _ALL]
    with ThreadPoolExecutor(len(asked)) as pool:
        failed = list(pool.map(lambda each: domain.has_no_answer(services[each[0]], each[1]), asked))
    broken = [each for each, has_failed in zip(asked, failed, strict=True) if has_failed]
    assert {title: {kind for of, kind in broken if of == title} for title in HARMFUL} == {
        title: kinds for title, (_, kinds) in HARMFUL.items()
    }
    for service in services.values():
        assert domain.records(f"good.{service}", "A") == {"300 192.0.2.1"}
        assert len(domain.records(f"good.{service}", "SRV")) == 1


def test_a_record_below_another_one_hides_it_from_questions_for_its_own_name_alone(domain: Dns) -> None:
    """A question for the service has both. Clients that found the upper record by SRV get the lower one's address."""
    domain.put({**_HEALTHY, "web/good/x": record("192.0.2.66")})
    assert domain.records("good.web", "A") == {"300 192.0.2.66"}
    assert domain.records("web", "A") == {"300 192.0.2.1", "300 192.0.2.66"}


def test_ten_thousand_records_of_others_cost_other_services_nothing(domain: Dns) -> None:
    """An answer has at most 64 KiB, so one for all of them is cut short, and says so."""
    domain.put(_HEALTHY)
    for start in range(0, 10_000, 100):
        keys = (f"{PREFIX}/many/h{number}" for number in range(start, start + 100))
        puts = [{"request_put": {"key": encoded(key), "value": encoded(record())}} for key in keys]
        domain.store.call("kv/txn", {"success": puts})
    assert domain.records("web", "SRV") == {f"300 10 100 80 good.web.{DOMAIN}."}
    assert domain.records("h1.many", "A") == {"300 192.0.2.66"}
    message = domain.server.message(f"many.{DOMAIN}", "SRV")
    assert message.flags & dns.flags.TC
    assert 1000 < len(message.answer) < 10_000
