"""Registry URIs, and the schemes that they may have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.registry.schemes import BY_SRV, OTHER_SPELLINGS, OTHER_STORES, SCHEMES, LayoutKind
from controller.registry.uri import RegistryUri, parse_uri
from model.host_port import HostPort

ROOT = Path(__file__).parents[2]

#: The schemes without TLS.
IN_THE_CLEAR = [name for name, scheme in SCHEMES.items() if not scheme.tls]


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
def test_a_registry_uri_is_read(text: str, endpoints: tuple[HostPort, ...], prefix: str) -> None:
    """There may be several endpoints. IPv6 addresses are in brackets, the default port is 2379, and slashes at the end
    are ignored."""
    assert parse_uri(text) == RegistryUri("etcd", endpoints, prefix)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it has no scheme"),
        ("10.0.0.1:2379/services", "it has no scheme"),
        ("etcd:/a/services", "it has no scheme"),
        ("http://a:1/services", "the scheme 'http' is not supported; etcd, "),
        ("ETCD://a:1/services", "each also with an s at its end for TLS; did you mean etcd://?"),
        ("ectd://a:1/services", "did you mean etcd://?"),
        (
            "etcd2://a:1/services",
            "the scheme 'etcd2' means the v3 API in registrator 9.0; here this is etcd3://, and v2 is etcd://",
        ),
        ("etcd-legcy://a:1/services", "did you mean etcd-legacy://?"),
        ("etcd-legacy://a:1/services?x=1", "it must not contain a user, a query or a fragment"),
        (
            "coredns://a:1/skydns",
            "one zone is needed, for which there is no default; it should look like coredns://HOST:",
        ),
        ("coredns://a:1/skydns?zone=", "one zone is needed"),
        ("coredns://a:1/skydns?zone=a.b&zone=c.d", "one zone is needed"),
        ("coredns://a:1/skydns?zone=a..b", "the domain 'a..b' has the part '', which is no DNS label"),
        ("coredns://a:1/skydns?zone=a%2Fb", "the domain 'a/b' has the part 'a/b', which is no DNS label"),
        (
            "coredns://a:1/skydns?zone=a.b&ttl=5",
            "the query 'ttl' is not known; it should look like coredns://HOST:PORT/",
        ),
        ("coredns://a:1/skydns?", "one zone is needed"),
        (
            "coredns://a:1/dns?zone=a.b",
            "the records cannot lie under '/dns', but only under /skydns, where DNS servers",
        ),
        ("coredns://a:1/skydns/local?zone=a.b", "the records cannot lie under '/skydns/local'"),
        ("coredns://a:1/cluster.local", "the records cannot lie under '/cluster.local'"),
        (
            "corednss://a:1/skydns?zone=a.b#c",
            "it must not contain a user or a fragment; it should look like corednss://",
        ),
        ("coredns://a:0/skydns?zone=a.b", "'0' is not a port number"),
        ("etcdv3://a:1/services", "did you mean etcd3://?"),
        ("skydns2ss://a:1/local", "did you mean skydns2s://?"),
        ("http://a:1/services", "did you mean etcd:// or etcd3://?"),
        ("HTTPS://a:1/services", "did you mean etcds:// or etcd3s://?"),
        (
            "etcd://user:secret@a:1/services",
            "it must not contain a user, a query or a fragment",
        ),
        (
            "etcd://a:1/services?x=1",
            "it must not contain a user, a query or a fragment",
        ),
        ("etcd://a:1/services#x", "it must not contain a user, a query or a fragment"),
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
        ("skydns://a:1/local", "the scheme 'skydns' is not supported"),
        ("skydns2://a:1", "a DNS domain is needed behind the host, as in HOST:PORT/cluster.local"),
        ("skydns3://a:1/", "a DNS domain is needed behind the host, as in HOST:PORT/cluster.local"),
        ("skydns2://a:1/.", "a DNS domain is needed behind the host, as in HOST:PORT/cluster.local"),
        ("skydns2://a:1/cluster..local", "the domain 'cluster..local' has the part '', which is no DNS label"),
        (
            "skydns2://a:1/team/cluster.local",
            "the domain 'team/cluster.local' has the part 'team/cluster', which is no",
        ),
        ("skydns2://a:1/_tcp.local", "the domain '_tcp.local' has the part '_tcp', which is no DNS label"),
        ("skydns2://a:1/\u212aube.local", "has the part '\u212aube', which is no DNS label"),
        (
            "skydns2://a:1/any.local",
            "the domain 'any.local' has the part 'any', which is what a DNS server takes for any",
        ),
        (f"skydns2://a:1/{'a.' * 127}b", "is longer than 253 characters"),
    ],
)
def test_an_invalid_registry_uri_is_refused(text: str, problem: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_uri(text)


@pytest.mark.parametrize("scheme", [*OTHER_STORES, "Consul"])
def test_a_registry_that_is_no_etcd_is_refused_in_one_sentence(scheme: str) -> None:
    """It says what to do. registrator keeps such registries, too."""
    store = "ZooKeeper" if scheme == "zookeeper" else "Consul"
    with pytest.raises(ValueError, match="this program is for etcd") as wrong:
        parse_uri(f"{scheme}://a:1/services")
    assert str(wrong.value) == (
        f"this program is for etcd and does not write to {store}; leave that registry to registrator, or name an etcd, "
        "as in etcd3://HOST:PORT/PREFIX"
    )


@pytest.mark.parametrize(
    ("other", "canonical"),
    [
        ("etcd-legacy://a:1,b/services", "etcd://a:1,b/services"),
        ("etcd-legacys://a/services/", "etcds://a/services"),
        ("etcd-legacy://", "etcd://"),
        ("coredns://a:1,b/skydns?zone=cluster.local", "skydns3://a:1,b/cluster.local"),
        ("coredns://a/skydns/?zone=Cluster.Local.", "skydns3://a/cluster.local"),
        ("coredns://a?zone=cluster.local", "skydns3://a/cluster.local"),
        ("coredns://a/?zone=cluster%2elocal", "skydns3://a/cluster.local"),
        ("coredns:///skydns?zone=local", "skydns3:///local"),
        ("corednss://a/skydns?zone=cluster.local", "skydns3s://a/cluster.local"),
    ],
)
def test_another_spelling_means_the_same_registry(other: str, canonical: str) -> None:
    """Everything that is decided by the URI is the same, such as the label of the registry and which keys it has in
    common with another one."""
    assert parse_uri(other) == parse_uri(canonical)


def test_each_other_spelling_has_a_twin_with_tls() -> None:
    """It ends in an ``s`` and stands for the twin of the scheme. No scheme has the name of another spelling."""
    spellings = {(each.name, each.scheme) for each in OTHER_SPELLINGS.values()}
    without_tls = {(name, scheme) for name, scheme in spellings if not SCHEMES[scheme].tls}
    assert spellings == without_tls | {(f"{name}s", f"{scheme}s") for name, scheme in without_tls}
    assert not {*OTHER_SPELLINGS, *OTHER_STORES} & {*SCHEMES}


def test_a_scheme_for_tls_ends_in_an_s() -> None:
    """The rest of the URI is the same."""
    assert parse_uri("etcds://a:1,b/services") == RegistryUri(
        "etcds", (HostPort("a", 1), HostPort("b", 2379)), "/services"
    )


@pytest.mark.parametrize(
    ("scheme", "kind", "api", "tls", "skydns"),
    [
        ("etcd", "etcd", 2, False, False),
        ("etcds", "etcd", 2, True, False),
        ("etcd3", "etcd3", 3, False, False),
        ("etcd3s", "etcd3", 3, True, False),
        ("skydns2", "skydns2", 2, False, True),
        ("skydns2s", "skydns2", 2, True, True),
        ("skydns3", "skydns3", 3, False, True),
        ("skydns3s", "skydns3", 3, True, True),
    ],
)
def test_a_scheme_stands_for_an_api_a_layout_and_tls(scheme: str, kind: str, api: int, tls: bool, skydns: bool) -> None:
    """``kind`` is the scheme for the same API and layout without TLS."""
    uri = parse_uri(f"{scheme}://a:1/cluster")
    assert (uri.api, uri.tls, uri.layout is LayoutKind.SKYDNS) == (api, tls, skydns)
    without_tls = parse_uri(f"{kind}://a:1/cluster")
    assert (without_tls.api, without_tls.tls, without_tls.layout) == (api, False, uri.layout)
    assert uri.prefix == ("/skydns/cluster" if skydns else "/cluster")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_may_have_its_endpoints_looked_up(scheme: str) -> None:
    """The name before the path is a DNS domain then. All else is as without ``+srv``, also the domain of records."""
    named, looked_up = parse_uri(f"{scheme}://a:1/cluster"), parse_uri(f"{scheme}{BY_SRV}://Example.COM./cluster")
    assert looked_up == RegistryUri(named.scheme, (), named.prefix, "example.com")
    assert named.record(tls=named.tls) == ""
    service = "_etcd-client-ssl" if named.tls else "_etcd-client"
    assert looked_up.record(tls=looked_up.tls) == f"{service}._tcp.example.com"
    assert looked_up.record(tls=True) == "_etcd-client-ssl._tcp.example.com"


def test_another_spelling_may_have_its_endpoints_looked_up() -> None:
    """It means the same as under the scheme of this program."""
    assert parse_uri("etcd-legacy+srv://example.com/x") == parse_uri("etcd+srv://example.com/x")
    assert parse_uri("corednss+srv://example.com/skydns?zone=cluster.local") == parse_uri(
        "skydns3s+srv://example.com/cluster.local"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("etcd3+srv:///services", "+srv:// needs a DNS domain before the path, as in example.com/services"),
        ("etcd3+srv://", "+srv:// needs a DNS domain before the path"),
        ("etcd3+srv://.", "+srv:// needs a DNS domain before the path"),
        ("etcd3+srv://example.com:2379/x", "SRV records of a domain have the ports: give a domain alone, and not 'exa"),
        ("etcd3+srv://[fd00::1]/x", "SRV records of a domain have the ports: give a domain alone"),
        ("etcd3+srv://a.example,b.example/x", "one domain names one cluster, so +srv:// takes only one"),
        ("etcd3+srv://10.0.0.1/x", "'10.0.0.1' is an address; give a DNS domain, or the scheme without +srv"),
        ("etcd3+srv://10.0.0.300/x", "the domain '10.0.0.300' is neither an IP address nor a host name"),
        ("etcd3+srv://_tcp.example.com/x", "the domain '_tcp.example.com' is neither"),
        ("etcd3+srv://user@example.com/x", "it must not contain a user"),
        ("skydns3+srv://example.com", "a DNS domain is needed behind the host, as in"),
        ("etcd3+srvs://example.com/x", "the scheme 'etcd3+srvs' is not supported; etcd, "),
        ("etcd3+srvs://example.com/x", "did you mean etcd3+srv://?"),
        ("ectd3+srv://example.com/x", "did you mean etcd3+srv://?"),
        ("consul+srv://example.com/x", "this program is for etcd and does not write to Consul"),
        ("srv://example.com/x", "the scheme 'srv' is not supported; etcd, "),
    ],
)
def test_a_uri_whose_endpoints_cannot_be_looked_up_is_refused(text: str, problem: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_uri(text)


def test_each_scheme_has_a_twin_with_tls() -> None:
    """It ends in an ``s`` and stands for the same API and layout."""
    without_tls = {(each.name, each.api, each.layout) for each in SCHEMES.values() if not each.tls}
    with_tls = {(each.name.removesuffix("s"), each.api, each.layout) for each in SCHEMES.values() if each.tls}
    assert with_tls == without_tls
    assert {name: each.name for name, each in SCHEMES.items()} == {name: name for name in SCHEMES}


@pytest.mark.parametrize(
    "domain", ["cluster.local", "Cluster.LOCAL", "cluster.local.", "cluster.local/", "cluster%2elocal"]
)
def test_a_domain_is_read(domain: str) -> None:
    """It may have capital letters, and a dot at its end for the DNS root. The prefix is the same as registrator's."""
    expected = RegistryUri("skydns2", (HostPort("a", 2379), HostPort("b", 1)), "/skydns/local/cluster")
    assert parse_uri(f"skydns2://a,b:1/{domain}") == expected


@pytest.mark.parametrize(
    "text",
    [
        "etcd://user:sec/ret@a:1/x",
        "etcd://user:secret@a/x",
        "etcd://user:1/sec/ret@a/x",
        "etcd3s://user/sec@ret@a:1,b/x",
        "skydns3://user:1/sec@a/cluster.local",
        "etcd-legacy://user:sec/ret@a:1/x",
        "coredns://user:sec/ret@a:1/skydns?zone=a.b",
        "coredns://user:sec?ret@a:1/skydns?zone=a.b",
    ],
)
def test_no_message_has_a_password(text: str) -> None:
    """Not even a part of one, whatever characters it has."""
    with pytest.raises(ValueError, match="it must not contain a user") as wrong:
        parse_uri(text)
    assert "sec" not in str(wrong.value)


def test_a_prefix_may_have_an_at_sign() -> None:
    """It has to be escaped, because without that it is the end of a user and a password."""
    assert parse_uri("etcd://a:1/services%40dc1").prefix == "/services@dc1"


def test_the_documentation_shows_every_scheme() -> None:
    """docs/registries.md has all of them, and an example of each one without TLS. The README has those without TLS."""
    page = (ROOT / "docs" / "registries.md").read_text()
    assert [scheme for scheme in SCHEMES if f"{scheme}://" not in page] == []
    assert [kind for kind in IN_THE_CLEAR if f"$ wharfinger reconcile {kind}://" not in page] == []
    assert [kind for kind in IN_THE_CLEAR if f"`{kind}://" not in (ROOT / "README.md").read_text()] == []
    spellings = [name for name, other in OTHER_SPELLINGS.items() if not SCHEMES[other.scheme].tls]
    assert [name for name in spellings if f"`{name}://" not in page] == []
