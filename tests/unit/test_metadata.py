"""Tests of model.metadata: the ``SERVICE_`` metadata of a port."""

from __future__ import annotations

import pytest

from model.container import PortId, ports_in
from model.metadata import Metadata, metadata_for, split_tags, value_for_container


@pytest.mark.parametrize(
    ("env", "labels", "expected"),
    [
        pytest.param(["SERVICE_NAME=a"], {}, {"name": "a"}, id="env"),
        pytest.param([], {"SERVICE_NAME": "a"}, {"name": "a"}, id="label"),
        pytest.param(["SERVICE_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "b"}, id="label-beats-env"),
        pytest.param(["SERVICE_NAME=a", "SERVICE_NAME=b"], {}, {"name": "b"}, id="later-env-line-wins"),
        pytest.param(["SERVICE_80_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "a"}, id="port-beats-general-label"),
        pytest.param(["SERVICE_80_NAME=a", "SERVICE_NAME=b"], {}, {"name": "a"}, id="port-beats-later-general"),
        pytest.param(["SERVICE_80_NAME=a"], {"SERVICE_80_NAME": "b"}, {"name": "b"}, id="port-label-beats-port-env"),
        pytest.param(["SERVICE_443_NAME=a"], {}, {}, id="another-port's"),
        pytest.param(["SERVICE_080_NAME=a"], {}, {}, id="a-number-that-is-not-the-port's"),
        pytest.param(["SERVICE_80=a"], {}, {"80": "a"}, id="a-number-alone-is-a-key"),
        pytest.param(["SERVICE_a_b=c"], {}, {"a_b": "c"}, id="underscore-in-a-key"),
        pytest.param(["SERVICE_NaMe=a=b=c"], {}, {"name": "a=b=c"}, id="case-and-equals-signs"),
        pytest.param(["SERVICE_NAME", "PATH=/bin", "XSERVICE_NAME=a"], {}, {}, id="not-metadata"),
        pytest.param([], {"SERVICE_NAME": "a", "SERVICE_name": "b"}, {"name": "b"}, id="case-twins-in-sorted-order"),
    ],
)
def test_metadata_has_registrators_precedence(env: list[str], labels: dict[str, str], expected: dict[str, str]) -> None:
    """Each row is one rule of the module's docstring, for port 80/tcp."""
    assert metadata_for(PortId(80, "tcp"), env, labels).values == expected


@pytest.mark.parametrize(
    ("lines", "tcp", "udp"),
    [
        pytest.param(
            ["SERVICE_53_TCP_NAME=t", "SERVICE_53_UDP_NAME=u"], {"name": "t"}, {"name": "u"}, id="each-its-own"
        ),
        pytest.param(["SERVICE_53_UDP_NAME=u"], {}, {"name": "u"}, id="the-other's-is-no-attribute"),
        pytest.param(["SERVICE_53_udp_Name=u"], {}, {"name": "u"}, id="any-case"),
        pytest.param(["SERVICE_53_SCTP_NAME=s"], {}, {}, id="sctp"),
        pytest.param(
            ["SERVICE_53_UDP_NAME=u", "SERVICE_53_NAME=p"], {"name": "p"}, {"name": "u"}, id="beats-the-port's"
        ),
        pytest.param(["SERVICE_53_UDP_NAME=u", "SERVICE_NAME=g"], {"name": "g"}, {"name": "u"}, id="beats-the-general"),
        pytest.param(["SERVICE_53_UDP_NAME=u", "SERVICE_53_UDP_NAME=v"], {}, {"name": "v"}, id="later-wins"),
        pytest.param(["SERVICE_53_UDP_NAME="], {}, {"name": ""}, id="empty-counts"),
        pytest.param(["SERVICE_80_UDP_NAME=u"], {}, {}, id="another-port's"),
        pytest.param(["SERVICE_53_UDP=x"], {"udp": "x"}, {"udp": "x"}, id="a-protocol-alone-is-a-key"),
        pytest.param(["SERVICE_53_UDP_=x"], {"udp_": "x"}, {"udp_": "x"}, id="nothing-behind-it"),
        pytest.param(["SERVICE_UDP_NAME=x"], {"udp_name": "x"}, {"udp_name": "x"}, id="no-port"),
        pytest.param(["SERVICE_53_HTTP_CHECK=x"], {"http_check": "x"}, {"http_check": "x"}, id="no-protocol"),
        pytest.param(["SERVICE_53_UDP_A_B=x"], {}, {"a_b": "x"}, id="underscore-in-a-key"),
    ],
)
def test_metadata_for_a_protocol_applies_to_that_protocol_only(
    lines: list[str], tcp: dict[str, str], udp: dict[str, str]
) -> None:
    """Metadata for a protocol beats metadata for the port's number and for all ports, in the environment and in labels,
    in any order."""
    for env, labels in ((lines, {}), ([], dict(line.split("=", 1) for line in lines))):
        assert metadata_for(PortId(53, "tcp"), env, labels).values == tcp
        assert metadata_for(PortId(53, "udp"), env, labels).values == udp


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["SERVICE_8000-8010_NAME=r"], {"name": "r"}, id="range"),
        pytest.param(["SERVICE_8005-8010_NAME=r", "SERVICE_8000-8005_ID=s"], {"name": "r", "id": "s"}, id="its-ends"),
        pytest.param(["SERVICE_8005-8005_NAME=r"], {"name": "r"}, id="one-port"),
        pytest.param(["SERVICE_8006-8010_NAME=r", "SERVICE_80-90_NAME=r"], {}, id="another-range"),
        pytest.param(["SERVICE_8010-8000_NAME=r"], {}, id="reverse"),
        pytest.param(["SERVICE_0-99999_NAME=r", "SERVICE_NAME=g"], {"name": "r"}, id="every-port-beats-general"),
        pytest.param(["SERVICE_8000-8010_NAME=r", "SERVICE_NAME=g"], {"name": "r"}, id="beats-a-later-general"),
        pytest.param(["SERVICE_8005_NAME=p", "SERVICE_8000-8010_NAME=r"], {"name": "p"}, id="a-port-beats-it"),
        pytest.param(
            ["SERVICE_8005_NAME=p", "SERVICE_8000-8010_TCP_NAME=r"], {"name": "p"}, id="a-port-beats-its-protocol"
        ),
        pytest.param(["SERVICE_8004-8006_NAME=n", "SERVICE_8000-8010_NAME=w"], {"name": "n"}, id="narrower-wins"),
        pytest.param(["SERVICE_8000-8005_NAME=a", "SERVICE_8005-8010_NAME=b"], {"name": "b"}, id="as-wide-last-wins"),
        pytest.param(
            ["SERVICE_8000-8005_TCP_NAME=a", "SERVICE_8005-8010_NAME=b"], {"name": "a"}, id="as-wide-protocol-wins"
        ),
        pytest.param(["SERVICE_8000-8010_UDP_NAME=u"], {}, id="another-protocol's"),
        pytest.param(["SERVICE_8000-8010_Tcp_NaMe=t"], {"name": "t"}, id="any-case"),
        pytest.param(["SERVICE_8000-8010=x"], {"8000-8010": "x"}, id="a-range-alone-is-a-key"),
        pytest.param(["SERVICE_8000-8010_=x"], {"8000-8010_": "x"}, id="nothing-behind-it"),
        pytest.param(["SERVICE_8000-8010_TCP=x"], {"tcp": "x"}, id="a-protocol-alone-is-a-key"),
        pytest.param(["SERVICE_8-BIT_NAME=x"], {"8-bit_name": "x"}, id="no-range"),
        pytest.param(["SERVICE_8000 - 8010_NAME=x"], {"8000 - 8010_name": "x"}, id="no-range-for-its-spaces"),
        pytest.param(["SERVICE_٨٠٠٠-8010_NAME=x"], {"٨٠٠٠-8010_name": "x"}, id="no-range-for-its-digits"),
        pytest.param([f"SERVICE_8000-{'9' * 5000}_X=x"], {f"8000-{'9' * 5000}_x": "x"}, id="no-range-for-its-length"),
        pytest.param([f"SERVICE_{'9' * 5000}_X=x"], {}, id="a-number-that-is-no-port"),
    ],
)
def test_metadata_for_a_range_applies_to_its_ports(lines: list[str], expected: dict[str, str]) -> None:
    """For port 8005/tcp, the key that selects the fewest ports counts, in the environment and in labels."""
    for env, labels in ((lines, {}), ([], dict(line.split("=", 1) for line in lines))):
        found = metadata_for(PortId(8005, "tcp"), env, labels)
        assert {key: found.values[key] for key in expected} == expected
        assert found.values.keys() == expected.keys()


def test_a_label_for_a_range_beats_a_variable_for_the_same_range() -> None:
    """Of equally near keys the last counts, and labels come last."""
    found = metadata_for(PortId(8005, "tcp"), ["SERVICE_8000-8010_NAME=e"], {"SERVICE_8000-8010_NAME": "l"})
    assert found == Metadata({"name": "l"}, {"name": "label SERVICE_8000-8010_NAME"}, frozenset({"name"}))


@pytest.mark.parametrize(
    ("text", "key", "hidden"),
    [
        ("http/tcp", "SERVICE_IGNORE", True),
        ("http/tcp", "SERVICE_0_IGNORE", False),
        ("http/tcp", "SERVICE_0-65535_IGNORE", False),
        ("10000-20000/udp", "SERVICE_10000-20000_IGNORE", True),
        ("10000-20000/udp", "SERVICE_10000-20000_UDP_IGNORE", True),
        ("10000-20000/udp", "SERVICE_10000-20000_TCP_IGNORE", False),
        ("10000-20000/udp", "SERVICE_10000-19999_IGNORE", False),
        ("10000-20000/udp", "SERVICE_10000_IGNORE", False),
    ],
)
def test_metadata_applies_to_a_bad_port_if_it_is_about_all_of_it(text: str, key: str, hidden: bool) -> None:
    """A range of too many ports is refused as a whole. SERVICE_IGNORE for that range hides the refusal."""
    (bad,) = ports_in(text)
    assert bool(metadata_for(bad, [f"{key}=true"], {}).get("ignore")) is hidden


def test_a_label_for_the_port_does_not_beat_a_variable_for_its_protocol() -> None:
    """The closest key wins, whether it is a label or a variable."""
    found = metadata_for(PortId(53, "udp"), ["SERVICE_53_UDP_ID=u"], {"SERVICE_53_ID": "p", "SERVICE_ID": "g"})
    variable = "environment variable SERVICE_53_UDP_ID"
    assert found == Metadata({"id": "u"}, {"id": variable}, frozenset({"id"}))


@pytest.mark.parametrize(
    ("env", "labels", "variables"),
    [
        (["SERVICE_NAME=a"], {}, {"name": "environment variable SERVICE_NAME"}),
        (["SERVICE_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "label SERVICE_NAME"}),
        (["SERVICE_80_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "environment variable SERVICE_80_NAME"}),
        (["SERVICE_80_tcp_Id=a"], {}, {"id": "environment variable SERVICE_80_tcp_Id"}),
        ([], {"SERVICE_ID": "a", "SERVICE_Id": "b"}, {"id": "label SERVICE_Id"}),
        ([], {"SERVICE_81_ID": "a", "SERVICE_80_ttl": "b"}, {"ttl": "label SERVICE_80_ttl"}),
    ],
)
def test_the_variable_that_counts_is_told_as_the_container_spells_it(
    env: list[str], labels: dict[str, str], variables: dict[str, str]
) -> None:
    """A message can name the variable that has to be corrected, and whether it is a label."""
    assert metadata_for(PortId(80, "tcp"), env, labels).variables == variables


def test_attributes_are_all_metadata_besides_name_id_and_tags() -> None:
    """The values stand by their keys in lower case."""
    env = ["SERVICE_NAME=n", "SERVICE_ID=i", "SERVICE_TAGS=t", "SERVICE_REGION=us", "SERVICE_80_CHECK=/ping"]
    assert metadata_for(PortId(80, "tcp"), env, {}).attributes == {"region": "us", "check": "/ping"}


@pytest.mark.parametrize(
    ("texts", "tags"),
    [(["", ""], ()), (["a,b", "c"], ("a", "b", "c")), (["a", ""], ("a",)), (["a,,b"], ("a", "", "b"))],
)
def test_tags_are_split_at_commas(texts: list[str], tags: tuple[str, ...]) -> None:
    """As with registrator, an empty tag between two commas is kept, and an empty text has no tags."""
    assert split_tags(*texts) == tags


@pytest.mark.parametrize(
    ("env", "labels", "value"),
    [
        ([], {}, ""),
        (["SERVICE_DRAIN=a"], {}, "a"),
        (["SERVICE_DRAIN=a", "SERVICE_Drain=b"], {}, "b"),
        (["SERVICE_DRAIN=a"], {"SERVICE_DRAIN": "b"}, "b"),
        (["SERVICE_80_DRAIN=a", "DRAIN=b", "SERVICE_DRAIN"], {"SERVICE_DRAINS": "c"}, ""),
    ],
)
def test_what_a_container_says_of_itself_has_the_same_precedence(
    env: list[str], labels: dict[str, str], value: str
) -> None:
    """It is about no port."""
    assert value_for_container("drain", env, labels) == value
