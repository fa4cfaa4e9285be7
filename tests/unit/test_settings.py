"""The settings: words in, one value out, or everything that is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config.flags import CONNECTION, FLAGS, SWITCHES
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import OwnerSettings, Settings, WrongUsage, parse, parse_owner
from controller.host_port import HostPort
from controller.registry.credentials import Credentials
from controller.registry.uri import RegistryUri, parse_uri
from model.family import Family
from model.guard import GuardRule
from model.layout import ValueFormat
from model.rules import AddressRules, Deregister, HealthRule, Rules
from model.stored import Lifetime

URI = "etcd://10.0.0.1:2379/services"

#: What it says.
PARSED = RegistryUri("etcd", (HostPort("10.0.0.1", 2379),), "/services")

#: The word that each flag stands at when nobody gives it. A promise to operators: a change here is one for them.
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
    "docker-host": "",
    "log-format": "text",
    "log-level": "info",
    "value-format": "hostport",
    "health": "any",
    "filter": "",
    "network": "",
    "ip-family": "any",
}
CONNECTING = {"etcd-ca": "", "etcd-cert": "", "etcd-key": "", "etcd-user": "", "etcd-password-file": ""}
OFF = {"internal": "", "explicit": "", "cleanup": "", "take-over": "", "all-bindings": ""}

#: Every word there is. The password is one that no flag gives.
WORDS = {**DEFAULTS, **CONNECTING, **OFF, "etcd-password": ""}


def read(uri: str = URI, **given: str) -> Settings:
    """The settings for these words, with an underscore for a dash, and every other flag at its default."""
    return parse({**WORDS, **{name.replace("_", "-"): word for name, word in given.items()}}, (uri,))


def credentials(uri: str = URI, **given: str) -> Credentials:
    """Those for the only registry."""
    (only,) = read(uri, **given).registries
    return only.credentials


def problems(uri: str = URI, **given: str) -> list[str]:
    """What is wrong with these words."""
    with pytest.raises(WrongUsage) as wrong:
        read(uri, **given)
    return wrong.value.problems


def test_every_flag_has_the_default_that_is_promised() -> None:
    """The flags and their defaults are those of the table above, none more and none less."""
    assert {flag.name: flag.default for flag in FLAGS} == DEFAULTS
    assert {flag.name: flag.default for flag in CONNECTION} == CONNECTING
    assert {switch.name for switch in SWITCHES} == OFF.keys()


def test_the_defaults_mean_what_they_say() -> None:
    """With the URI alone: a pass a second, always deregistering, keys that do not expire, metrics for everybody."""
    assert read() == Settings(
        registries=(RegistrySettings("etcd", URI, PARSED, Credentials(tls=False)),),
        rules=Rules(owner="", address=AddressRules(), explicit=False, tags=(), deregister=Deregister.ALWAYS),
        lifetime=Lifetime(0, 0),
        guard=GuardRule(percent=50, spared=3, passes=3),
        take_over=False,
        interval=1.0,
        pass_timeout=10.0,
        listen=HostPort("0.0.0.0", 9119),
        docker_host="",
        log_format="text",
        log_level="info",
        needless=(),
        value_format=ValueFormat.HOSTPORT,
        filters=(),
    )


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - {"listen"}))
def test_an_empty_word_is_a_flag_not_given(name: str) -> None:
    """``--interval ''`` and an empty variable mean the default, as in a compose file with ``${INTERVAL:-}``."""
    assert parse({**WORDS, name: ""}, (URI,)) == read()


def test_every_flag_is_heard() -> None:
    """A word for each flag ends up in its setting."""
    settings = read(
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
        health="healthy",
        filter="label=a=b c\0name=x",
        network="backend",
        ip_family="ipv4",
        all_bindings="true",
    )
    address = AddressRules("10.1.1.1", "", "addr", internal=True, network="backend", family=Family.IPV4)
    expected = Rules("core-02", address, True, ("a", "b"), Deregister.ON_SUCCESS, HealthRule.HEALTHY, all_bindings=True)
    assert settings.rules == expected
    assert settings.filters == (("label", "a=b c"), ("name", "x"))
    assert (settings.lifetime, settings.interval, settings.pass_timeout) == (Lifetime(30, 10), 2.5, 3.0)
    assert (settings.guard, settings.take_over) == (GuardRule(percent=30), True)
    assert (settings.docker_host, settings.log_format, settings.log_level) == ("tcp://10.0.0.9:2375", "json", "debug")
    assert settings.value_format is ValueFormat.JSON


@pytest.mark.parametrize(
    ("words", "interval"),
    [
        ({}, 1.0),
        ({"interval": "5"}, 5.0),
        ({"interval": "5", "resync": "3"}, 3.0),
        ({"interval": "2", "resync": "3"}, 2.0),
        ({"interval": "60", "ttl": "30", "ttl_refresh": "10"}, 10.0),
        ({"interval": "60", "resync": "20", "ttl": "30", "ttl_refresh": "10"}, 10.0),
        ({"interval": "60", "resync": "0"}, 60.0),
        ({"interval": "0.05"}, 0.05),
        ({"interval": "86400"}, 86400.0),
    ],
    ids=str,
)
def test_the_interval_is_the_shortest_that_was_asked_for(words: dict[str, str], interval: float) -> None:
    """``-resync`` and ``-ttl-refresh`` each ask for a pass at least so often; 0 asks for nothing."""
    assert read(**words).interval == interval


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ({}, ()),
        ({"cleanup": "true"}, ("cleanup",)),
        ({"retry_attempts": "-1", "retry_interval": "2000"}, ("retry-attempts", "retry-interval")),
        ({"resync": "60"}, ("resync",)),
    ],
    ids=["none", "cleanup", "retries", "resync"],
)
def test_needless_flags_are_named(words: dict[str, str], names: tuple[str, ...]) -> None:
    """registrator's flags that a level-triggered loop makes needless are accepted, and listed for the log."""
    assert read(**words).needless == names


@pytest.mark.parametrize("uri", ["", "consul://a:1/services", "etcd://a:0/x"], ids=repr)
def test_a_registry_uri_that_makes_no_sense_is_refused(uri: str) -> None:
    """The message says which URI it is about, and what is wrong with it."""
    with pytest.raises(ValueError, match=r"it has|the scheme|not a port") as wrong:
        parse_uri(uri)
    assert problems(uri=uri) == [f"registry URI {uri!r}: {wrong.value}"]


def told(*uris: str) -> list[str]:
    """What is wrong with these registries."""
    with pytest.raises(WrongUsage) as wrong:
        parse(WORDS, uris)
    return wrong.value.problems


def test_a_registry_is_needed() -> None:
    """The message has an example."""
    assert told() == [
        "at least one registry URI is needed, as in etcd://127.0.0.1:2379/services; none was given",
    ]


def test_each_registry_has_a_label_of_its_own() -> None:
    """The scheme, and a number where it has come before, in the order of the command line."""
    uris = ("etcd://a/x", "etcds://b/x", "etcd://c/x", "etcds://d/x", "etcd://a/y")
    registries = parse(WORDS, uris).registries
    assert [each.label for each in registries] == ["etcd", "etcds", "etcd-2", "etcds-2", "etcd-3"]
    assert tuple(each.given for each in registries) == uris
    assert [each.uri for each in registries] == list(map(parse_uri, uris))


def test_every_uri_that_makes_no_sense_is_told() -> None:
    """All at once, beside the rest, and none of them is shown with a password."""
    found = told("etcd://a/x", "consul://b/x", f"etcd://agent:{SECRET}@c/x", "etcd://d:0/x")
    assert [problem.split(": ")[0] for problem in found] == [
        "registry URI 'consul://b/x'",
        "registry URI 'etcd://***@c/x'",
        "registry URI 'etcd://d:0/x'",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("etcd://a/x", "etcd://a/x"),
        ("etcd://a/x", "etcd://a:2379/x/"),
        ("etcd://a,b/x", "etcd://b,a/x"),
        ("etcd://a,b/x", "etcd://c,b/x"),
        ("etcd://a/x", "etcds://a/x"),
        ("etcd://a", "etcd://a/"),
        ("etcd3://a/x", "etcd3s://a/x"),
        ("skydns3://a/x.y", "etcd3://a/skydns/y/x"),
    ],
)
def test_the_same_place_twice_is_refused(one: str, other: str) -> None:
    """However it is written: one endpoint in common is one store."""
    assert told(one, other) == [f"registry URIs {one!r} and {other!r} are the same place: give it once"]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("etcd://a/x", "etcd://a/x/y"),
        ("etcd://a", "etcd://a/x"),
        ("etcd://a,b/x", "etcd://b/x/y/z"),
        ("etcd://a", "skydns2://a/cluster.local"),
        ("skydns3://a/local", "skydns3://a/cluster.local"),
    ],
)
def test_a_place_within_another_is_refused(outer: str, inner: str) -> None:
    """In either order: the outer one's passes would remove what the inner one's write."""
    expected = [f"registry URI {inner!r} lies within {outer!r}: give prefixes beside each other"]
    assert told(outer, inner) == told(inner, outer) == expected


@pytest.mark.parametrize(
    "other", ["etcd://b/x", "etcd://a:1/x", "etcd://a/y", "etcd://a/xy", "etcd://b/x/y", "etcd3://a/x"]
)
def test_other_places_are_beside_each_other(other: str) -> None:
    """Another server, another port, another prefix, another API, whose store is another one."""
    assert [each.given for each in parse(WORDS, ("etcd://a/x", other)).registries] == ["etcd://a/x", other]


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("", None, "None"),
        (":9119", HostPort("0.0.0.0", 9119), "0.0.0.0:9119"),
        ("127.0.0.1:80", HostPort("127.0.0.1", 80), "127.0.0.1:80"),
        ("localhost:80", HostPort("localhost", 80), "localhost:80"),
        ("[::]:9119", HostPort("::", 9119), "[::]:9119"),
        ("[::1]:9119", HostPort("::1", 9119), "[::1]:9119"),
    ],
)
def test_where_to_listen_is_read(text: str, address: HostPort | None, shown: str) -> None:
    """Nothing is nowhere; a port alone is every interface; IPv6 goes in brackets, and is shown so."""
    assert read(listen=text).listen == address
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
def test_where_nobody_can_listen_is_refused(text: str, problem: str) -> None:
    """A listen address that makes no sense is found before anything is contacted."""
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
    """It is the operator's own word, as the family is. A host name may be of either."""
    if good:
        assert read(ip=ip, ip_family=family).rules.address.ip == ip
    else:
        kind = {"ipv4": "IPv4", "ipv6": "IPv6"}[family]
        assert problems(ip=ip, ip_family=family) == [
            f"-ip {ip!r} is not an {kind} address, and --ip-family asks for those"
        ]


def test_every_filter_that_makes_no_sense_is_named() -> None:
    """Each on its own, however many there are."""
    found = problems(filter="label=a\0label\0name")
    assert [each.split(":")[0] for each in found] == ["--filter 'label'", "--filter 'name'"]


@pytest.mark.parametrize(
    ("ttl", "refresh", "problem"),
    [
        ("30", "0", "-ttl and -ttl-refresh go together: give both, or neither"),
        ("0", "10", "-ttl and -ttl-refresh go together: give both, or neither"),
        ("10", "10", "-ttl 10 must be greater than -ttl-refresh 10, or keys expire before that"),
        ("10", "30", "-ttl 10 must be greater than -ttl-refresh 30, or keys expire before that"),
        ("-1", "", "-ttl '-1': it must not be negative"),
        ("1.5", "", "-ttl '1.5': it is not a whole number"),
    ],
)
def test_lifetimes_follow_registrators_rules(ttl: str, refresh: str, problem: str) -> None:
    """``-ttl`` and ``-ttl-refresh`` together or not at all, and the first greater than the second."""
    assert problems(ttl=ttl, ttl_refresh=refresh) == [problem]


@pytest.mark.parametrize(
    ("name", "word", "problem"),
    [
        ("ip", "0.0.0.0", "-ip '0.0.0.0': it is the unspecified address"),
        ("ip", "10.0.0.1/24", "-ip '10.0.0.1/24': it is neither an IP address nor a host name"),
        ("tags", "{{.Node}}", "templates are not supported; give plain tags, separated by commas"),
        ("tags", 'a,{{ index .Env "B" }}', "templates are not supported; give plain tags, separated by commas"),
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
        ("log_level", "loud", "--log-level 'loud': it must be one of debug, info, warning, error"),
        ("health", "good", "--health 'good': it must be one of any, healthy"),
        ("ip_family", "6", "--ip-family '6': it must be one of any, ipv4, ipv6"),
        ("network", "backend", "--network 'backend' says which address -internal takes: give -internal, too"),
        (
            "filter",
            "label",
            "--filter 'label': it should be NAME=VALUE, as in label=com.example.public or label=tier=web",
        ),
    ],
)
def test_a_word_that_makes_no_sense_is_refused(name: str, word: str, problem: str) -> None:
    """The message names the flag and the word, and says what would do."""
    (found,) = problems(**{name: word})
    assert found.endswith(problem)


def test_all_problems_are_told_at_once() -> None:
    """Nobody has to run the program once a mistake."""
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
def test_json_is_for_plain_values(scheme: str) -> None:
    """A flag that can have no effect is a mistake; its default is none."""
    uri = f"{scheme}://10.0.0.1/cluster.local"
    expected = f"--value-format json is for etcd:// and etcd3://; what {scheme}:// writes is for CoreDNS"
    assert problems(uri=uri, value_format="json") == [expected]
    assert read(uri, value_format="hostport").value_format is ValueFormat.HOSTPORT


def test_plain_tags_are_kept_in_order() -> None:
    """Tags are separated by commas, and are otherwise taken as they are."""
    assert read(tags="b,a,b c").rules.tags == ("b", "a", "b c")


# How to be sure of etcd, and etcd of us.

TLS = "etcds://10.0.0.1/services"
SECRET = "correct horse"


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file that can be read; its first line is a password."""
    path = tmp_path / "file"
    path.write_text(f"{SECRET}\nsecond line\n")
    return str(path)


def test_the_scheme_says_tls(file: str) -> None:
    """And so does any of the files; what is given is kept as it is."""
    assert credentials(TLS) == Credentials(tls=True)
    assert credentials("skydns2s://10.0.0.1/cluster.local") == Credentials(tls=True)
    assert credentials(etcd_ca=file) == Credentials(tls=True, ca=file)
    assert credentials(TLS, etcd_cert=file, etcd_key=file) == Credentials(tls=True, cert=file, key=file)


def test_the_password_has_three_sources(file: str) -> None:
    """The file before the environment, and both before etcdctl's ``name:password`` in one word."""
    of_all = {"etcd_user": "agent:in-one", "etcd_password": "of-env", "etcd_password_file": file}
    assert credentials(**of_all) == Credentials(user="agent", password=SECRET)
    assert credentials(**{**of_all, "etcd_password_file": ""}) == Credentials(user="agent", password="of-env")
    assert credentials(etcd_user="agent:in:one") == Credentials(user="agent", password="in:one")


def test_tls_is_each_registrys_own_and_the_user_is_everybodys(file: str) -> None:
    """By the scheme; a file that is given counts for all."""
    uris = ("etcd://a/x", "etcds://b/x")
    login = {"etcd-user": "agent", "etcd-password": SECRET}
    plain, secure = (Credentials(tls=tls, user="agent", password=SECRET) for tls in (False, True))
    assert [each.credentials for each in parse({**WORDS, **login}, uris).registries] == [plain, secure]
    with_ca = parse({**WORDS, "etcd-ca": file}, uris).registries
    assert [each.credentials for each in with_ca] == [Credentials(tls=True, ca=file)] * 2


def test_wrong_credentials_are_told_once() -> None:
    """Not once a registry."""
    with pytest.raises(WrongUsage) as wrong:
        parse({**WORDS, "etcd-ca": "/nowhere/ca"}, ("etcd://a/x", "etcd://b/x"))
    assert len(wrong.value.problems) == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"etcd_user": "agent"}, "a user name and a password go together: give both, or neither"),
        ({"etcd_password": SECRET}, "a user name and a password go together: give both, or neither"),
        ({"etcd_user": f":{SECRET}"}, "a user name and a password go together: give both, or neither"),
        ({"etcd_cert": __file__}, "--etcd-cert and --etcd-key go together: give both, or neither"),
        ({"etcd_key": __file__}, "--etcd-cert and --etcd-key go together: give both, or neither"),
        ({"etcd_ca": "/nowhere/ca"}, "--etcd-ca '/nowhere/ca': it cannot be read: [Errno 2]"),
        ({"etcd_password_file": "/nowhere/p"}, "--etcd-password-file '/nowhere/p': it cannot be read: [Errno 2]"),
    ],
    ids=["no password", "no user", "no name", "no key", "no cert", "no ca", "no password file"],
)
def test_credentials_that_make_no_sense_are_refused(words: dict[str, str], problem: str) -> None:
    """With the flag's name and the file's, and never the password."""
    (found,) = problems(**words)
    assert found.startswith(problem)
    assert SECRET not in found


def test_no_setting_shows_the_password(file: str) -> None:
    """However it came."""
    for words in ({"etcd_password": SECRET}, {"etcd_password_file": file}):
        settings = read(TLS, etcd_user="agent", **words)
        assert settings.registries[0].credentials.password == SECRET
        assert SECRET not in f"{settings!r} {settings}"
    found = problems(uri=f"etcd://agent:{SECRET}@a/x", etcd_user=f"a:{SECRET}", etcd_password=SECRET, interval="0")
    assert SECRET not in " ".join(found)


def test_what_deregistering_needs(file: str) -> None:
    """The registries, how to reach them, and whose entries."""
    words = {**CONNECTING, "etcd-password": SECRET, "etcd-user": "agent", "etcd-ca": file, "hostname": "core-02"}
    only = RegistrySettings("etcd", URI, PARSED, Credentials(True, file, "", "", "agent", SECRET))
    expected = OwnerSettings((only,), "core-02")
    assert parse_owner(words, (URI,)) == expected
    assert SECRET not in repr(expected)


def test_deregistering_without_a_name_is_refused() -> None:
    """With all that is wrong; a name is never guessed here."""
    with pytest.raises(WrongUsage) as wrong:
        parse_owner({**CONNECTING, "etcd-password": "", "hostname": ""}, ())
    assert [each.split()[0] for each in wrong.value.problems] == ["at", "--hostname"]
    with pytest.raises(WrongUsage, match="separate the parts of a key"):
        parse_owner({**CONNECTING, "etcd-password": "", "hostname": "a:b"}, (URI,))
