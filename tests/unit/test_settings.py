"""The settings: the texts of all options, parsed into one value or a list of all problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config.flags import CONNECTION_FLAGS, FLAGS, SWITCHES
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import OwnerSettings, Settings, parse_owner_settings, parse_settings
from controller.errors import WrongUsage
from controller.registry.credentials import Credentials
from controller.registry.uri import RegistryUri, parse_uri
from model.draining import StopRule
from model.family import Family
from model.guard import GuardRule
from model.heartbeat import NO_HEARTBEAT, Heartbeat
from model.host_port import HostPort
from model.layout import ValueFormat
from model.rules import AddressRules, Deregister, HealthRule, Rules
from model.stored import Lifetime
from tests.support.docker_contexts import write_context

URI = "etcd://10.0.0.1:2379/services"

#: The same URI, parsed.
PARSED = RegistryUri("etcd", (HostPort("10.0.0.1", 2379),), "/services")

#: The text of each flag that is not given. Operators rely on it, so a change here is a change for them.
DEFAULTS = {
    "ip": "",
    "useIpFromLabel": "",
    "tags": "",
    "deregister": "always",
    "ttl": "0",
    "ttl-refresh": "0",
    "resync": "",
    "retry-attempts": "",
    "retry-interval": "",
    "interval": "1",
    "delete-guard": "50",
    "pass-timeout": "10",
    "hostname": "",
    "listen": "0.0.0.0:9119",
    "web-token-file": "",
    "docker-host": "",
    "log-format": "text",
    "log-level": "info",
    "value-format": "hostport",
    "record-ttl": "",
    "health": "any",
    "filter": "",
    "stop-grace": "120",
    "heartbeat": "0",
    "network": "",
    "ip-family": "any",
}
CONNECTING = {"etcd-ca": "", "etcd-cert": "", "etcd-key": "", "etcd-user": "", "etcd-password-file": ""}
OFF = {
    "internal": "",
    "ip-from-container": "",
    "explicit": "",
    "cleanup": "",
    "take-over": "",
    "adopt": "",
    "all-bindings": "",
    "strict-names": "",
    "one-offs": "",
    "no-drain-on-stop": "",
    "no-hints": "",
}

#: The texts of all options. The password is the one that no flag gives.
#: What comes from the environment and has no flag.
WITHOUT_FLAGS = {"etcd-password": "", "ETCD_ENDPOINTS": ""}
DEFAULT_OPTIONS = {**DEFAULTS, **CONNECTING, **OFF, **WITHOUT_FLAGS}


def parsed(uri: str = URI, **given: str) -> Settings:
    """Return the settings for these options, with underscores for dashes and defaults for all other options."""
    return parse_settings({**DEFAULT_OPTIONS, **{name.replace("_", "-"): text for name, text in given.items()}}, (uri,))


def credentials(uri: str = URI, **given: str) -> Credentials:
    """Return the credentials for the only registry."""
    (only,) = parsed(uri, **given).registries
    return only.credentials


def problems(uri: str = URI, **given: str) -> list[str]:
    """Return the problems with these options."""
    with pytest.raises(WrongUsage) as wrong:
        parsed(uri, **given)
    return wrong.value.problems


def test_the_flags_and_their_defaults_are_these() -> None:
    """There are exactly the flags of the table above, with the defaults there."""
    assert {flag.name: flag.default for flag in FLAGS} == DEFAULTS
    assert {flag.name: flag.default for flag in CONNECTION_FLAGS} == CONNECTING
    assert {switch.name for switch in SWITCHES} == OFF.keys()


def test_the_defaults_mean_these_settings() -> None:
    """A URI alone: a pass each second, stopped containers are deregistered, keys do not expire, metrics are served."""
    assert parsed() == Settings(
        registries=(RegistrySettings("etcd", URI, PARSED, Credentials(tls=False)),),
        rules=Rules(owner="", address=AddressRules(), explicit=False, tags=(), deregister=Deregister.ALWAYS),
        lifetime=Lifetime(0, 0),
        guard=GuardRule(percent=50, spared=3, passes=3),
        take_over=False,
        adopt=False,
        interval=1.0,
        sweep_period=60.0,
        pass_timeout=10.0,
        listen=HostPort("0.0.0.0", 9119),
        docker_host="",
        log_format="text",
        log_level="info",
        unneeded_flags=(),
        unused_endpoints=(),
        value_format=ValueFormat.HOSTPORT,
        filters=(),
    )


@pytest.mark.parametrize(
    ("flags", "reserve", "longest_wait"),
    [
        ({}, 0.0, 30.0),
        ({"ttl": "15", "ttl_refresh": "10"}, 12.0, 2.0),
        ({"ttl": "60", "ttl_refresh": "30", "interval": "5"}, 16.0, 20.0),
        ({"ttl": "600", "ttl_refresh": "200"}, 12.0, 30.0),
        ({"ttl": "15", "ttl_refresh": "10", "interval": "8", "pass_timeout": "4"}, 13.0, 9.0),
        ({"ttl": "15", "ttl_refresh": "10", "interval": "60"}, 21.0, 11.0),
    ],
    ids=str,
)
def test_keys_outlast_a_long_pass_and_the_wait_after_it(
    flags: dict[str, str], reserve: float, longest_wait: float
) -> None:
    """Keys are renewed while they have enough of their lifetime left for both. No wait after a failed pass is longer
    than the lifetimes allow."""
    settings = parsed(**flags)
    assert (settings.lifetime.reserve, settings.longest_wait) == (reserve, longest_wait)


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - {"listen"}))
def test_an_empty_text_is_an_option_that_was_not_given(name: str) -> None:
    """``--interval ''`` and an empty variable mean the default, as in a compose file with ``${INTERVAL:-}``."""
    assert parse_settings({**DEFAULT_OPTIONS, name: ""}, (URI,)) == parsed()


def test_every_flag_ends_up_in_its_setting() -> None:
    """Each flag that is given changes the setting that it is about."""
    settings = parsed(
        ip="10.1.1.1",
        useIpFromLabel="addr",
        tags="a,b",
        deregister="on-success",
        ttl="30",
        ttl_refresh="10",
        interval="2.5",
        pass_timeout="3",
        hostname="core-02",
        docker_host="tcp://10.0.0.9:2375",
        log_format="json",
        log_level="debug",
        delete_guard="30",
        value_format="json",
        internal="true",
        explicit="true",
        take_over="true",
        adopt="true",
        health="healthy",
        filter="label=a=b c\0name=x",
        network="backend",
        ip_family="ipv4",
        all_bindings="true",
        strict_names="true",
        one_offs="true",
        no_hints="true",
        no_drain_on_stop="true",
        stop_grace="30",
    )
    address = AddressRules("10.1.1.1", "", "addr", internal=True, network="backend", family=Family.IPV4)
    assert settings.rules == Rules(
        "core-02",
        address,
        True,
        ("a", "b"),
        Deregister.ON_SUCCESS,
        HealthRule.HEALTHY,
        all_bindings=True,
        strict_names=True,
        one_offs=True,
    )
    assert settings.filters == (("label", "a=b c"), ("name", "x"))
    assert (settings.lifetime, settings.interval, settings.pass_timeout) == (Lifetime(30, 10, 6.5), 2.5, 3.0)
    assert (settings.guard, settings.take_over, settings.adopt) == (GuardRule(percent=30), True, True)
    assert (settings.docker_host, settings.log_format, settings.log_level) == ("tcp://10.0.0.9:2375", "json", "debug")
    assert settings.value_format is ValueFormat.JSON
    assert not settings.hints
    assert settings.stop_rule == StopRule(on=False, grace=30.0)


#: The flags that decide which keys and values are written, each with a text for it and what the agent note has then.
SHAPING = {
    "ip": ("10.1.1.1", "10.1.1.1"),
    "useIpFromLabel": ("addr", "addr"),
    "tags": ("a,b", "a,b"),
    "deregister": ("on-success", "on-success"),
    "value-format": ("json", "json"),
    "internal": ("true", "true"),
    "ip-from-container": ("true", "true"),
    "explicit": ("true", "true"),
    "health": ("healthy", "healthy"),
    "filter": ("name=x\0label=a=b c", "label=a=b c name=x"),
    "ip-family": ("ipv4", "ipv4"),
    "all-bindings": ("true", "true"),
    "strict-names": ("true", "true"),
    "one-offs": ("true", "true"),
    "no-drain-on-stop": ("true", "true"),
    "heartbeat": ("30", "30"),
}

#: The flags on which two agents of one host need not agree. --hostname is not in the note, because the note's key has
#: it.
NOT_SHAPING = {
    "adopt",
    "cleanup",
    "delete-guard",
    "docker-host",
    "hostname",
    "no-hints",
    "interval",
    "listen",
    "log-format",
    "log-level",
    "pass-timeout",
    "resync",
    "retry-attempts",
    "retry-interval",
    "stop-grace",
    "take-over",
    "ttl-refresh",
    "web-token-file",
}


def test_the_agent_note_has_the_flags_on_which_two_agents_of_one_host_must_agree() -> None:
    """A flag that has its default is left out of the note. A new flag has to be put into SHAPING or NOT_SHAPING."""
    assert parsed().flags_that_shape_keys == {}
    for name, (text, noted) in SHAPING.items():
        assert parsed(**{name: text}).flags_that_shape_keys == {name: noted}
    assert parsed(ttl="30", ttl_refresh="10").flags_that_shape_keys == {"ttl": "30"}
    for switch in ("internal", "ip-from-container"):
        assert parsed(**{switch: "true"}, network="back").flags_that_shape_keys == {switch: "true", "network": "back"}
    assert SHAPING.keys() | {"ttl", "network", "record-ttl"} | NOT_SHAPING == DEFAULTS.keys() | OFF.keys()


@pytest.mark.parametrize(
    ("options", "interval"),
    [
        ({}, 1.0),
        ({"interval": "5"}, 5.0),
        ({"interval": "5", "resync": "3"}, 3.0),
        ({"interval": "2", "resync": "3"}, 2.0),
        ({"interval": "60", "ttl": "30", "ttl_refresh": "10"}, 10.0),
        ({"interval": "60", "resync": "20", "ttl": "30", "ttl_refresh": "10"}, 10.0),
        ({"interval": "60", "resync": "0"}, 60.0),
        ({"interval": "60", "heartbeat": "20"}, 20.0),
        ({"interval": "60", "heartbeat": "0"}, 60.0),
        ({"interval": "0.05"}, 0.05),
        ({"interval": "86400"}, 86400.0),
    ],
    ids=str,
)
def test_the_interval_is_the_shortest_that_any_option_asks_for(options: dict[str, str], interval: float) -> None:
    """``-resync``, ``-ttl-refresh`` and ``--heartbeat`` each ask for a pass at least that often, and 0 asks for
    nothing."""
    assert parsed(**options).interval == interval


def test_a_heartbeat_outlasts_the_wait_after_failed_passes() -> None:
    """Else the agent would look dead while its engine does not answer. The default is 30 seconds at most."""
    assert (parsed().heartbeat, parsed().longest_wait) == (NO_HEARTBEAT, 30.0)
    assert (parsed(heartbeat="10").heartbeat, parsed(heartbeat="10").longest_wait) == (Heartbeat(10), 10.0)
    assert parsed(heartbeat="600").longest_wait == 30.0


def test_a_heartbeat_is_not_renewed_more_often_than_a_pass_ends() -> None:
    """It would expire during a slow pass."""
    assert problems(heartbeat="5") == [
        "--heartbeat 5 must not be less than --pass-timeout 10, or an agent would look dead during a slow pass"
    ]
    assert parsed(heartbeat="5", pass_timeout="5").heartbeat == Heartbeat(5)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ()),
        ({"cleanup": "true"}, ("cleanup",)),
        ({"retry_attempts": "-1", "retry_interval": "2000"}, ("retry-attempts", "retry-interval")),
        ({"resync": "60"}, ("resync",)),
        ({"resync": "1"}, ("resync",)),
        ({"resync": "0"}, ("resync",)),
        ({"resync": "1", "interval": "60"}, ()),
        ({"resync": "5", "interval": "60", "ttl": "30", "ttl_refresh": "10"}, ()),
        ({"resync": "20", "interval": "60", "ttl": "30", "ttl_refresh": "10"}, ("resync",)),
        ({"resync": "1", "interval": "60", "cleanup": "true"}, ("cleanup",)),
    ],
    ids=str,
)
def test_flags_that_have_no_effect_are_listed(options: dict[str, str], names: tuple[str, ...]) -> None:
    """registrator's flags that a level-triggered loop does not need are accepted, and listed for the log. ``-resync``
    has an effect if it shortens the interval."""
    assert parsed(**options).unneeded_flags == names


@pytest.mark.parametrize("uri", ["", "consul://a:1/services", "etcd://a:0/x"], ids=repr)
def test_a_registry_uri_that_makes_no_sense_is_refused(uri: str) -> None:
    """The message names the URI, and says what is wrong with it."""
    with pytest.raises(ValueError, match=r"it has|is for etcd|not a port") as wrong:
        parse_uri(uri)
    assert problems(uri=uri) == [f"registry URI {uri!r}: {wrong.value}"]


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("", None, "None"),
        (":9119", HostPort("0.0.0.0", 9119), "0.0.0.0:9119"),
        ("127.0.0.1:80", HostPort("127.0.0.1", 80), "127.0.0.1:80"),
        ("localhost:80", HostPort("localhost", 80), "localhost:80"),
        ("[::]:9119", HostPort("::", 9119), "[::]:9119"),
        ("[::1]:9119", HostPort("::1", 9119), "[::1]:9119"),
        ("[0::0]:9119", HostPort("::", 9119), "[::]:9119"),
        ("[0:0:0:0:0:0:0:0]:9119", HostPort("::", 9119), "[::]:9119"),
        ("[fe80::1%eth0]:9119", HostPort("fe80::1%eth0", 9119), "[fe80::1%eth0]:9119"),
    ],
)
def test_the_address_to_listen_at_is_parsed(text: str, address: HostPort | None, shown: str) -> None:
    """An empty text means no server, and a port alone every interface. IPv6 addresses are in brackets, in any form."""
    assert parsed(listen=text).listen == address
    assert str(address) == shown


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("9119", "it should be HOST:PORT or :PORT"),
        ("localhost", "it should be HOST:PORT or :PORT"),
        ("localhost:", "'' is not a port number"),
        ("localhost:http", "'http' is not a port number"),
        (":0", "'0' is not a port number"),
        (":99999", "'99999' is not a port number"),
        ("::1:9119", "the IPv6 address in '::1:9119' needs brackets, as in [::1]:2379"),
        ("a b:9119", "its host is neither an IP address nor a host name"),
        ("10.0.0.300:9119", "its host is neither an IP address nor a host name"),
    ],
)
def test_an_address_that_nobody_can_listen_at_is_refused(text: str, problem: str) -> None:
    """The mistake is found before anything is contacted."""
    assert problems(listen=text) == [f"--listen {text!r}: {problem}"]


@pytest.mark.parametrize(
    ("ip", "family", "good"),
    [
        ("10.0.0.1", "ipv4", True),
        ("10.0.0.1", "ipv6", False),
        ("2001:db8::1", "ipv6", True),
        ("2001:db8::1", "ipv4", False),
        ("2001:db8::1", "any", True),
        ("host.example", "ipv6", True),
    ],
)
def test_the_given_address_must_be_of_the_family(ip: str, family: str, good: bool) -> None:
    """The operator gave both, so they must agree. A host name may stand for addresses of either family."""
    if good:
        assert parsed(ip=ip, ip_family=family).rules.address.ip == ip
    else:
        kind = {"ipv4": "IPv4", "ipv6": "IPv6"}[family]
        assert problems(ip=ip, ip_family=family) == [
            f"-ip {ip!r} is not an {kind} address, but --ip-family allows no others"
        ]


def test_every_filter_that_makes_no_sense_is_refused() -> None:
    """Each has a message of its own."""
    found = problems(filter="label=a\0label\0name")
    assert [each.split(":")[0] for each in found] == ["--filter 'label'", "--filter 'name'"]


@pytest.mark.parametrize(
    ("ttl", "refresh", "problem"),
    [
        ("30", "0", "-ttl and -ttl-refresh go together: give both, or neither"),
        ("0", "10", "-ttl and -ttl-refresh go together: give both, or neither"),
        ("10", "10", "-ttl 10 must be greater than -ttl-refresh 10, or keys expire before they are renewed"),
        ("10", "30", "-ttl 10 must be greater than -ttl-refresh 30, or keys expire before they are renewed"),
        ("-1", "", "-ttl '-1': it must not be negative"),
        ("-1", "10", "-ttl '-1': it must not be negative"),
        ("x", "10", "-ttl 'x': it is not a whole number"),
        ("30", "-1", "--ttl-refresh '-1': it must not be negative"),
        ("30", "10s", "--ttl-refresh '10s': it is not a whole number"),
        ("1.5", "", "-ttl '1.5': it is not a whole number"),
    ],
)
def test_lifetimes_follow_registrators_rules(ttl: str, refresh: str, problem: str) -> None:
    """``-ttl`` and ``-ttl-refresh`` are given together or not at all, and the first is greater than the second. If one
    of them is no number, nothing is said about how they go together."""
    assert problems(ttl=ttl, ttl_refresh=refresh) == [problem]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("ip", "0.0.0.0", "-ip '0.0.0.0': it is the unspecified address"),
        ("ip", "10.0.0.1/24", "-ip '10.0.0.1/24': it is neither an IP address nor a host name"),
        (
            "tags",
            "{{.Name | toUpper}}",
            'and only {{.Field}} and {{index .Field "key"}} are understood; give plain tags, separated by commas',
        ),
        ("tags", "a,{{ index .Config.Env 0 }}", "which may have secrets in it; give plain tags, separated by commas"),
        ("deregister", "never", "--deregister 'never': it must be one of always, on-success"),
        ("resync", "-1", "--resync '-1': it must not be negative"),
        ("resync", "soon", "--resync 'soon': it is not a whole number"),
        ("retry_attempts", "many", "--retry-attempts 'many': it is not a whole number"),
        ("retry_interval", "2s", "--retry-interval '2s': it is not a whole number"),
        ("interval", "0", "--interval '0': it must be from 0.05 to 86400 seconds"),
        ("interval", "-1", "--interval '-1': it must be from 0.05 to 86400 seconds"),
        ("interval", "nan", "--interval 'nan': it must be from 0.05 to 86400 seconds"),
        ("interval", "inf", "--interval 'inf': it must be from 0.05 to 86400 seconds"),
        ("interval", "1s", "--interval '1s': it is not a number of seconds"),
        ("delete_guard", "-1", "--delete-guard '-1': it must be from 0 to 100"),
        ("delete_guard", "101", "--delete-guard '101': it must be from 0 to 100"),
        ("delete_guard", "50%", "--delete-guard '50%': it is not a whole number"),
        ("pass_timeout", "0", "--pass-timeout '0': it must be from 0.05 to 86400 seconds"),
        ("hostname", "a:b", "--hostname 'a:b': it has a ':' or '/', which separate the parts of a key"),
        ("hostname", "a/b", "--hostname 'a/b': it has a ':' or '/', which separate the parts of a key"),
        ("hostname", "..", "--hostname '..': it has the path part '..'"),
        ("hostname", "_a", "--hostname '_a': it has a part that begins with '_', which etcd hides: '_a'"),
        ("log_format", "xml", "--log-format 'xml': it must be one of text, json"),
        ("value_format", "yaml", "--value-format 'yaml': it must be one of hostport, json"),
        ("log_level", "loud", "--log-level 'loud': it must be one of trace, debug, info, warning, error"),
        ("health", "good", "--health 'good': it must be one of any, healthy"),
        ("ip_family", "6", "--ip-family '6': it must be one of any, ipv4, ipv6"),
        (
            "network",
            "backend",
            "--network 'backend' applies to addresses of -internal and -ip-from-container only: give one of them, too",
        ),
        (
            "filter",
            "label",
            "--filter 'label': it should be NAME=VALUE, as in label=com.example.public or label=tier=web",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(name: str, text: str, problem: str) -> None:
    """The message names the flag and its text, and says what would be right."""
    (found,) = problems(**{name: text})
    assert found.endswith(problem)


def test_a_problem_names_the_variable_that_gave_the_option_its_text() -> None:
    """Whoever has set a variable does not look for a flag."""
    options = {
        **DEFAULT_OPTIONS,
        "interval": "0",
        "docker-host": "banana",
        "etcd-ca": "/nowhere/ca",
        "log-level": "loud",
    }
    variables = {
        "interval": "WHARFINGER_INTERVAL",
        "docker-host": "WHARFINGER_DOCKER_HOST",
        "etcd-ca": "ETCDCTL_CACERT",
    }
    with pytest.raises(WrongUsage) as wrong:
        parse_settings(options, (URI,), variables)
    assert [problem.partition(": ")[0] for problem in wrong.value.problems] == [
        "ETCDCTL_CACERT '/nowhere/ca'",
        "WHARFINGER_INTERVAL '0'",
        "WHARFINGER_DOCKER_HOST 'banana'",
        "--log-level 'loud'",
    ]
    with pytest.raises(WrongUsage, match=r"^ETCDCTL_CACERT '/nowhere/ca': it cannot be read"):
        parse_owner_settings(
            {**CONNECTING, **WITHOUT_FLAGS, "hostname": "a", "etcd-ca": "/nowhere/ca"}, (URI,), variables
        )


def test_all_problems_are_reported_at_once() -> None:
    """Nobody has to run the program again for each mistake."""
    found = problems(uri="consul://a/x", ttl="5", tags="{{x}}", interval="0", listen="9119", log_level="loud")
    assert [problem.split()[0] for problem in found] == [
        "-ttl",
        "registry",
        "--tags",
        "--interval",
        "--listen",
        "--log-level",
    ]


@pytest.mark.parametrize("scheme", ["skydns2", "skydns3s"])
def test_json_values_are_for_the_plain_layout_only(scheme: str) -> None:
    """A flag that can have no effect is refused, unless it has its default."""
    uri = f"{scheme}://10.0.0.1/cluster.local"
    expected = (
        "--value-format json applies to etcd:// and etcd3:// only; "
        f"the values of {scheme}:// are always records for CoreDNS"
    )
    assert problems(uri=uri, value_format="json") == [expected]
    assert parsed(uri, value_format="hostport").value_format is ValueFormat.HOSTPORT


@pytest.mark.parametrize(("text", "ttl"), [("", None), ("0", 0), ("30", 30), ("2147483647", 2147483647)])
def test_the_ttl_of_records_is_for_the_skydns_layout_only(text: str, ttl: int | None) -> None:
    """A flag that can have no effect is refused. It is in the agent note, as two agents of one host have to agree."""
    settings = parsed("skydns3://10.0.0.1/cluster.local", record_ttl=text)
    assert settings.record_ttl == ttl
    assert settings.flags_that_shape_keys == ({"record-ttl": text} if text else {})
    if text:
        expected = f"--record-ttl {text} applies to skydns2:// and skydns3:// only; the values of etcd:// have no TTL"
        assert problems(record_ttl=text) == [expected]


@pytest.mark.parametrize("text", ["-1", "2147483648", "30s", "1.5"])
def test_a_ttl_of_records_that_makes_no_sense_is_refused(text: str) -> None:
    """DNS has 31 bits for it."""
    (found,) = problems("skydns3://10.0.0.1/cluster.local", record_ttl=text)
    assert found.startswith(f"--record-ttl {text!r}: it ")


def test_plain_tags_are_kept_in_order() -> None:
    """Tags are separated by commas, and are not changed otherwise."""
    assert parsed(tags="b,a,b c").rules.tags == ("b", "a", "b c")


# Credentials

TLS = "etcds://10.0.0.1/services"
SECRET = "correct horse"


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return the path of a file that can be read. Its first line is a password."""
    path = tmp_path / "file"
    path.write_text(f"{SECRET}\nsecond line\n")
    return str(path)


def test_the_scheme_or_a_tls_file_turns_tls_on(file: str) -> None:
    """The paths of the files are kept as they were given."""
    assert credentials(TLS) == Credentials(tls=True)
    assert credentials("skydns2s://10.0.0.1/cluster.local") == Credentials(tls=True)
    assert credentials(etcd_ca=file) == Credentials(tls=True, ca=file)
    assert credentials(TLS, etcd_cert=file, etcd_key=file) == Credentials(tls=True, cert=file, key=file)


def test_the_password_has_three_sources(file: str) -> None:
    """The file has precedence over the environment, and both over etcdctl's form ``name:password``."""
    of_all = {"etcd_user": "agent:in-one", "etcd_password": "of-env", "etcd_password_file": file}
    assert credentials(**of_all) == Credentials(user="agent", password=SECRET, password_file=file)
    assert credentials(**{**of_all, "etcd_password_file": ""}) == Credentials(user="agent", password="of-env")
    assert credentials(etcd_user="agent:in:one") == Credentials(user="agent", password="in:one")


def test_tls_depends_on_each_registrys_scheme_and_the_user_is_that_of_all(file: str) -> None:
    """A file that is given turns TLS on for all registries."""
    uris = ("etcd://a/x", "etcds://b/x")
    login = {"etcd-user": "agent", "etcd-password": SECRET}
    plain, secure = (Credentials(tls=tls, user="agent", password=SECRET) for tls in (False, True))
    registries = parse_settings({**DEFAULT_OPTIONS, **login}, uris).registries
    assert [each.credentials for each in registries] == [plain, secure]
    with_ca = parse_settings({**DEFAULT_OPTIONS, "etcd-ca": file}, uris).registries
    assert [each.credentials for each in with_ca] == [Credentials(tls=True, ca=file)] * 2


def test_a_problem_of_the_credentials_is_reported_once() -> None:
    """It is not repeated for each registry."""
    with pytest.raises(WrongUsage) as wrong:
        parse_settings({**DEFAULT_OPTIONS, "etcd-ca": "/nowhere/ca"}, ("etcd://a/x", "etcd://b/x"))
    assert len(wrong.value.problems) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"etcd_user": "agent"}, "a user name and a password go together: give both, or neither"),
        ({"etcd_password": SECRET}, "a user name and a password go together: give both, or neither"),
        ({"etcd_user": f":{SECRET}"}, "a user name and a password go together: give both, or neither"),
        ({"etcd_cert": __file__}, "--etcd-cert and --etcd-key go together: give both, or neither"),
        ({"etcd_key": __file__}, "--etcd-cert and --etcd-key go together: give both, or neither"),
        ({"etcd_ca": "/nowhere/ca"}, "--etcd-ca '/nowhere/ca': it cannot be read: [Errno 2]"),
        ({"etcd_password_file": "/nowhere/p"}, "--etcd-password-file '/nowhere/p': it cannot be read: [Errno 2]"),
        ({"etcd_cert": "/nowhere/c", "etcd_key": __file__}, "--etcd-cert '/nowhere/c': it cannot be read: [Errno 2]"),
        ({"etcd_cert": __file__, "etcd_key": "/nowhere/k"}, "--etcd-key '/nowhere/k': it cannot be read: [Errno 2]"),
        (
            {"etcd_user": "agent", "etcd_password_file": "/nowhere/p"},
            "--etcd-password-file '/nowhere/p': it cannot be read: [Errno 2]",
        ),
    ],
    ids=[
        "no password",
        "no user",
        "no name",
        "no key",
        "no cert",
        "no ca",
        "no password file",
        "an unreadable cert",
        "an unreadable key",
        "an unreadable password file",
    ],
)
def test_credentials_that_make_no_sense_are_refused(options: dict[str, str], problem: str) -> None:
    """There is one message. It names the flag and the file, and never contains the password."""
    (found,) = problems(**options)
    assert found.startswith(problem)
    assert SECRET not in found


@pytest.mark.parametrize("content", ["", "\n", "\nsecond line\n", " \t \n", "\r\n"], ids=repr)
@pytest.mark.parametrize("user", ["", "agent"])
def test_an_empty_password_file_is_refused(tmp_path: Path, user: str, content: str) -> None:
    """There is one message, which names the file. A password in the environment does not hide the mistake."""
    path = tmp_path / "password"
    path.write_text(content)
    for more in ({}, {"etcd_password": SECRET}):
        expected = f"--etcd-password-file '{path}': it has nothing in its first line, which has to be the password"
        assert problems(etcd_user=user, etcd_password_file=str(path), **more) == [expected]


def test_a_password_may_begin_and_end_with_spaces(tmp_path: Path) -> None:
    """Only the end of the line is left out."""
    path = tmp_path / "password"
    path.write_text(" secret \r\n")
    assert credentials(etcd_user="agent", etcd_password_file=str(path)).password == " secret "


@pytest.mark.parametrize("given", ["--docker-host", "DOCKER_HOST"])
def test_the_url_of_the_engine_is_checked_wherever_it_comes_from(given: str) -> None:
    """The message names the flag or the variable, and shows no password."""
    flag, variable = ("ftp://me@x", "") if given == "--docker-host" else ("", "ftp://me@x")
    with pytest.raises(WrongUsage) as wrong:
        parse_settings({**DEFAULT_OPTIONS, "docker-host": flag}, (URI,), environment={"DOCKER_HOST": variable})
    expected = f"{given} 'ftp://***@x': the scheme 'ftp' is not supported; give unix:///PATH or tcp://HOST:PORT"
    assert wrong.value.problems == [expected]


def test_docker_host_is_checked_only_where_it_counts() -> None:
    """The flag has precedence over the variable, and an empty variable is one that is not set."""
    options = {**DEFAULT_OPTIONS, "docker-host": "tcp://10.0.0.9:2375"}
    assert parse_settings(options, (URI,), environment={"DOCKER_HOST": "banana"}).docker_host == "tcp://10.0.0.9:2375"
    assert parse_settings(DEFAULT_OPTIONS, (URI,), environment={"DOCKER_HOST": ""}) == parsed()
    assert parse_settings(DEFAULT_OPTIONS, (URI,), environment={"DOCKER_HOST": "tcp://10.0.0.9:2375"}).docker_host == ""


def test_a_context_says_where_the_engine_is_if_nothing_else_does(tmp_path: Path) -> None:
    """--docker-host and DOCKER_HOST have precedence, and the context is not looked for then."""
    write_context(tmp_path, "prod", "tcp://10.0.0.1:2375")
    environment = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "prod"}
    context = parse_settings(DEFAULT_OPTIONS, (URI,), environment=environment).docker_context
    assert context is not None
    assert context.host == "tcp://10.0.0.1:2375"
    nowhere = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "nowhere"}
    options = {**DEFAULT_OPTIONS, "docker-host": "tcp://10.0.0.9:2375"}
    assert parse_settings(options, (URI,), environment=nowhere).docker_context is None
    variable = {**nowhere, "DOCKER_HOST": "tcp://10.0.0.9:2375"}
    assert parse_settings(DEFAULT_OPTIONS, (URI,), environment=variable).docker_context is None


def test_a_context_that_cannot_be_used_is_wrong_usage(tmp_path: Path) -> None:
    """The message names the context, and says what to do."""
    write_context(tmp_path, "far", "ssh://me@core-01")
    write_context(tmp_path, "odd", "tcp://me:secret@core-01")
    problems = []
    for name in ("nowhere", "far", "odd"):
        environment = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": name}
        with pytest.raises(WrongUsage) as wrong:
            parse_settings(DEFAULT_OPTIONS, (URI,), environment=environment)
        problems += wrong.value.problems
    assert [each.partition(";")[0] for each in problems] == [
        f"DOCKER_CONTEXT 'nowhere': there is no context of this name in {tmp_path}/contexts",
        "DOCKER_CONTEXT 'far', which has the engine at 'ssh://***@core-01': ssh:// is not supported",
        "DOCKER_CONTEXT 'odd', which has the engine at 'tcp://***@core-01': it must not contain a user or a password, "
        "which an engine does not ask for",
    ]


def test_no_setting_shows_the_password(file: str) -> None:
    """That is so for every way to give it."""
    for options in ({"etcd_password": SECRET}, {"etcd_password_file": file}):
        settings = parsed(TLS, etcd_user="agent", **options)
        assert settings.registries[0].credentials.password == SECRET
        assert SECRET not in f"{settings!r} {settings}"
    found = problems(uri=f"etcd://agent:{SECRET}@a/x", etcd_user=f"a:{SECRET}", etcd_password=SECRET, interval="0")
    assert SECRET not in " ".join(found)


def test_the_settings_of_deregister_are_the_registries_and_the_owner(file: str) -> None:
    """They include how to connect to the registries."""
    options = {**CONNECTING, **WITHOUT_FLAGS, "etcd-user": "agent", "etcd-ca": file, "hostname": "core-02"}
    options["etcd-password"] = SECRET
    only = RegistrySettings("etcd", URI, PARSED, Credentials(True, file, "", "", "agent", SECRET))
    expected = OwnerSettings((only,), "core-02")
    assert parse_owner_settings(options, (URI,)) == expected
    assert SECRET not in repr(expected)


def test_deregister_without_a_host_name_is_refused() -> None:
    """The name is never guessed. All problems are reported at once, as for the other commands."""
    with pytest.raises(WrongUsage) as wrong:
        parse_owner_settings({**CONNECTING, **WITHOUT_FLAGS, "hostname": ""}, ())
    assert [each.split()[0] for each in wrong.value.problems] == ["at", "--hostname"]
    with pytest.raises(WrongUsage, match="separate the parts of a key"):
        parse_owner_settings({**CONNECTING, **WITHOUT_FLAGS, "hostname": "a:b"}, (URI,))


@pytest.mark.parametrize(
    ("variable", "uri", "endpoints"),
    [
        ("a:1,b", "etcd3:///services", "a:1,b:2379"),
        (" a:1 , http://b:2/ ,, ", "etcd:///services", "a:1,b:2"),
        ("http://[fd00::1]:5,a,a:2379", "etcd3://", "[fd00::1]:5,a:2379"),
        ("a:1", "coredns:///skydns?zone=cluster.local", "a:1"),
        ("a:1", "coredns://?zone=cluster.local", "a:1"),
        ("https://a:1,b:2", "etcd3s:///services", "a:1,b:2"),
        ("a:1", "etcd3://own:7/services", "own:7"),
        ("", "etcd3:///services", "127.0.0.1:2379"),
        (" , ", "etcd3:///services", "127.0.0.1:2379"),
    ],
)
def test_endpoints_of_the_environment_count_for_a_uri_that_names_none(variable: str, uri: str, endpoints: str) -> None:
    """They may be written as etcd's clients take them. The settings show the URI with the endpoints that count, so that
    whoever asks the agent for its registries needs no variable."""
    (only,) = parse_settings({**DEFAULT_OPTIONS, "ETCD_ENDPOINTS": variable}, (uri,)).registries
    assert ",".join(map(str, only.uri.endpoints)) == endpoints
    assert parse_uri(only.given) == only.uri


def test_endpoints_of_the_environment_without_effect_are_known() -> None:
    """They are those that no registry has, because each URI names its own: registrator 9 uses both."""
    options = {**DEFAULT_OPTIONS, "ETCD_ENDPOINTS": "a:1,b:2,http://c:3"}
    assert parse_settings(options, ("etcd3://b:2/x", "etcd3://own/y")).unused_endpoints == (("a", 1), ("c", 3))
    assert parse_settings(options, ("etcd3:///x", "etcd3://own/y")).unused_endpoints == ()


@pytest.mark.parametrize(
    ("variable", "uri", "problem"),
    [
        (
            "b:1,https://a:1",
            "etcd3:///x",
            "ETCD_ENDPOINTS has https://a:1, which asks for TLS, and registry URI 'etcd3:///x' does not: "
            "give its scheme an s at the end, or give --etcd-ca",
        ),
        (
            "http://a:1",
            "etcds:///x",
            "ETCD_ENDPOINTS has http://a:1, which asks for no TLS, and registry URI 'etcds:///",
        ),
        ("http://a:1,https://b:1", "etcd3s:///x", "https://b:1 asks for TLS, and http://a:1 for none"),
        (
            "a:1/x",
            "etcd3:///x",
            "ETCD_ENDPOINTS 'a:1/x': a:1/x should be HOST:PORT, http://HOST:PORT or https://HOST:PO",
        ),
        ("unix:///run/etcd.sock", "etcd3:///x", "should be HOST:PORT"),
        ("http://:1", "etcd3:///x", "the endpoint ':1' has no host"),
        ("a:70000", "etcd3:///x", "'70000' is not a port number"),
        ("a:1", "etcd3+srv:///x", "registry URI 'etcd3+srv:///x': +srv:// needs a DNS domain before the path"),
    ],
)
def test_endpoints_of_the_environment_that_make_no_sense_are_refused(variable: str, uri: str, problem: str) -> None:
    """A mismatch of TLS names both sides, and is none if a file for TLS is given."""
    with pytest.raises(WrongUsage) as wrong:
        parse_settings({**DEFAULT_OPTIONS, "ETCD_ENDPOINTS": variable}, (uri,))
    assert problem in wrong.value.problems[0]


def test_endpoints_of_the_environment_may_ask_for_the_tls_that_a_file_turns_on(file: str) -> None:
    """registrator 9 has no scheme for TLS."""
    options = {**DEFAULT_OPTIONS, "ETCD_ENDPOINTS": "https://a:1", "etcd-ca": file}
    assert parse_settings(options, ("etcd3:///x",)).registries[0].credentials.tls
    with pytest.raises(WrongUsage, match="http://a:1, which asks for no TLS"):
        parse_settings({**options, "ETCD_ENDPOINTS": "http://a:1"}, ("etcd3:///x",))


def test_no_message_about_endpoints_has_a_password() -> None:
    """Some people write a user into a URL."""
    with pytest.raises(WrongUsage) as wrong:
        parse_settings({**DEFAULT_OPTIONS, "ETCD_ENDPOINTS": f"http://agent:{SECRET}@a:1"}, ("etcd3:///x",))
    assert (SECRET in str(wrong.value), "***@a:1" in str(wrong.value)) == (False, True)
