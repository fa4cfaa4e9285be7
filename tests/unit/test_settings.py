"""The settings: words in, one value out, or everything that is wrong with them."""

from __future__ import annotations

import re

import pytest

from controller.options import FLAGS, SWITCHES
from controller.server import Address
from controller.settings import RegistryUri, Settings, WrongUsage, parse, parse_uri
from model.address import AddressRules
from model.desired import Deregister, Rules
from model.plan import Lifetime

URI = "etcd://10.0.0.1:2379/services"

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
    "pass-timeout": "10",
    "hostname": "",
    "listen": "0.0.0.0:9119",
    "docker-host": "",
    "log-format": "text",
    "log-level": "info",
}
OFF = {"internal": "", "explicit": "", "cleanup": ""}


def read(uri: str = URI, **given: str) -> Settings:
    """The settings for these words, with an underscore for a dash, and every other flag at its default."""
    return parse({**DEFAULTS, **OFF, **{name.replace("_", "-"): word for name, word in given.items()}}, (uri,))


def problems(uri: str = URI, **given: str) -> list[str]:
    """What is wrong with these words."""
    with pytest.raises(WrongUsage) as wrong:
        read(uri, **given)
    return wrong.value.problems


def test_every_flag_has_the_default_that_is_promised() -> None:
    """The flags and their defaults are those of the table above, none more and none less."""
    assert {flag.name: flag.default for flag in FLAGS} == DEFAULTS
    assert {switch.name for switch in SWITCHES} == OFF.keys()


def test_the_defaults_mean_what_they_say() -> None:
    """With the URI alone: a pass a second, always deregistering, keys that do not expire, metrics for everybody."""
    assert read() == Settings(
        registry=RegistryUri("etcd", (("10.0.0.1", 2379),), "/services"),
        rules=Rules(owner="", address=AddressRules(), explicit=False, tags=(), deregister=Deregister.ALWAYS),
        lifetime=Lifetime(0, 0),
        interval=1.0,
        pass_timeout=10.0,
        listen=Address("0.0.0.0", 9119),
        docker_host="",
        log_format="text",
        log_level="info",
        needless=(),
    )


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - {"listen"}))
def test_an_empty_word_is_a_flag_not_given(name: str) -> None:
    """``--interval ''`` and an empty variable mean the default, as in a compose file with ``${INTERVAL:-}``."""
    assert parse({**DEFAULTS, **OFF, name: ""}, (URI,)) == read()


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
        internal="true",
        explicit="true",
    )
    address = AddressRules(ip="10.1.1.1", label="addr", internal=True)
    assert settings.rules == Rules("core-02", address, True, ("a", "b"), Deregister.ON_SUCCESS)
    assert (settings.lifetime, settings.interval, settings.pass_timeout) == (Lifetime(30, 10), 2.5, 3.0)
    assert (settings.docker_host, settings.log_format, settings.log_level) == ("tcp://10.0.0.9:2375", "json", "debug")


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


@pytest.mark.parametrize(
    ("text", "endpoints", "prefix"),
    [
        ("etcd://10.0.0.1:2379/services", (("10.0.0.1", 2379),), "/services"),
        ("etcd://etcd.example:4001/services", (("etcd.example", 4001),), "/services"),
        ("etcd://a:1,b:2,c/services", (("a", 1), ("b", 2), ("c", 2379)), "/services"),
        ("etcd://10.0.0.1/services", (("10.0.0.1", 2379),), "/services"),
        ("etcd://[fd00::1]:2380/services", (("fd00::1", 2380),), "/services"),
        ("etcd://[fd00::1],[fd00::2]:1/services", (("fd00::1", 2379), ("fd00::2", 1)), "/services"),
        ("etcd:///services", (("127.0.0.1", 2379),), "/services"),
        ("etcd://a:1/services/", (("a", 1),), "/services"),
        ("etcd://a:1/services//", (("a", 1),), "/services"),
        ("etcd://a:1/team/services", (("a", 1),), "/team/services"),
        ("etcd://a:1/a%20b", (("a", 1),), "/a b"),
        ("etcd://a:1/", (("a", 1),), ""),
        ("etcd://a:1", (("a", 1),), ""),
        ("etcd://", (("127.0.0.1", 2379),), ""),
    ],
)
def test_a_registry_uri_is_read(text: str, endpoints: tuple[tuple[str, int], ...], prefix: str) -> None:
    """Several endpoints, IPv6 in brackets, 2379 where no port is given, slashes at the end for nothing."""
    assert parse_uri(text) == RegistryUri("etcd", endpoints, prefix)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it has no scheme"),
        ("10.0.0.1:2379/services", "it has no scheme"),
        ("etcd:/a/services", "it has no scheme"),
        ("consul://a:1/services", "the scheme 'consul' is not supported; etcd is"),
        ("http://a:1/services", "the scheme 'http' is not supported; etcd is"),
        ("ETCD://a:1/services", "the scheme 'ETCD' is not supported; etcd is"),
        ("etcd://user:secret@a:1/services", "a user, a query or a fragment has no place in it"),
        ("etcd://a:1/services?x=1", "a user, a query or a fragment has no place in it"),
        ("etcd://a:1/services#x", "a user, a query or a fragment has no place in it"),
        ("etcd://a:1/../x", "the prefix has the path part '..'"),
        ("etcd://a:1/x/%2e%2e/y", "the prefix has the path part '..'"),
        ("etcd://a:1/x//y", "the prefix has the path part ''"),
        ("etcd://a:1/_hidden/x", "the prefix has a part that begins with '_'"),
        ("etcd://a:1/x%0ay", "the prefix has a control character"),
        ("etcd://a:0/x", "'0' is not a port number"),
        ("etcd://a:65536/x", "'65536' is not a port number"),
        ("etcd://a:/x", "'' is not a port number"),
        ("etcd://a:http/x", "'http' is not a port number"),
        ("etcd://a:٣/x", "is not a port number"),
        ("etcd://:2379/x", "the endpoint ':2379' has no host"),
        ("etcd://a:1,,b:1/x", "the endpoint '' has no host"),
        ("etcd://[]:1/x", "the endpoint '[]:1' has no host"),
        ("etcd://fd00::1:2379/x", "needs brackets, as in [::1]:2379"),
        ("etcd://0.0.0.0:1/x", "the host of endpoint '0.0.0.0:1' is the unspecified address"),
        ("etcd://10.0.0.300:1/x", "the host of endpoint '10.0.0.300:1' is neither an IP address nor a host name"),
        ("etcd://a b:1/x", "the host of endpoint 'a b:1' is neither an IP address nor a host name"),
    ],
)
def test_a_registry_uri_that_makes_no_sense_is_refused(text: str, problem: str) -> None:
    """The message says what is wrong, in plain words, and which URI it is about."""
    with pytest.raises(ValueError, match=re.escape(problem)) as wrong:
        parse_uri(text)
    assert problems(uri=text) == [f"registry URI {text!r}: {wrong.value}"]


@pytest.mark.parametrize(
    ("uris", "end"),
    [((), "none was given"), (("etcd://a/x", "etcd://b/x"), "2 were given: etcd://a/x etcd://b/x")],
    ids=["none", "two"],
)
def test_exactly_one_registry_is_needed(uris: tuple[str, ...], end: str) -> None:
    """None is not enough, and two are not (yet) a meaning."""
    with pytest.raises(WrongUsage) as wrong:
        parse({**DEFAULTS, **OFF}, uris)
    assert wrong.value.problems == [
        f"one registry URI is needed, as in etcd://127.0.0.1:2379/services; {end}",
    ]


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("", None, "None"),
        (":9119", Address("0.0.0.0", 9119), "0.0.0.0:9119"),
        ("127.0.0.1:80", Address("127.0.0.1", 80), "127.0.0.1:80"),
        ("localhost:80", Address("localhost", 80), "localhost:80"),
        ("[::]:9119", Address("::", 9119), "[::]:9119"),
        ("[::1]:9119", Address("::1", 9119), "[::1]:9119"),
    ],
)
def test_where_to_listen_is_read(text: str, address: Address | None, shown: str) -> None:
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
        ("pass_timeout", "0", "--pass-timeout '0': it must be from 0.05 to 86400 seconds"),
        ("hostname", "a:b", "--hostname 'a:b': it has a ':' or '/', which separate the parts of a key"),
        ("hostname", "a/b", "--hostname 'a/b': it has a ':' or '/', which separate the parts of a key"),
        ("hostname", "..", "--hostname '..': it has the path part '..'"),
        ("hostname", "_a", "--hostname '_a': it has a part that begins with '_', which etcd hides: '_a'"),
        ("log_format", "xml", "--log-format 'xml': it must be one of text, json"),
        ("log_level", "loud", "--log-level 'loud': it must be one of debug, info, warning, error"),
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


def test_plain_tags_are_kept_in_order() -> None:
    """Tags are separated by commas, and are otherwise taken as they are."""
    assert read(tags="b,a,b c").rules.tags == ("b", "a", "b c")
