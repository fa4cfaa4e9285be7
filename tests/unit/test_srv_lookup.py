"""Looking up SRV records at a name server."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from controller.effects.srv_lookup import look_up
from model.srv import SrvRecord
from tests.support.dns_server import DnsServer
from tests.support.processes import REPOSITORY, clean_environment

NAME = "_etcd-client._tcp.example.test"


def ask(server: DnsServer, name: str = NAME) -> list[SrvRecord]:
    """Return what this name server has under a name."""
    return [*look_up(name, [server.address], server.port)]


def test_the_records_of_a_name_are_returned_with_all_they_say() -> None:
    """A name is asked for as it stands, with or without the dot of the DNS root."""
    with DnsServer(**{NAME: ("10 20 2379 etcd-1.test.", "0 0 4001 etcd-2.test.")}) as server:
        expected = {SrvRecord(10, 20, 2379, "etcd-1.test."), SrvRecord(0, 0, 4001, "etcd-2.test.")}
        assert {*ask(server)} == {*ask(server, f"{NAME}.")} == expected
        assert server.asked == 2


def test_an_answer_that_is_too_long_for_udp_is_fetched_by_tcp() -> None:
    """All its records count."""
    records = tuple(f"0 0 2379 a-member-with-a-long-name-{number}.example.test." for number in range(40))
    with DnsServer(**{NAME: records}) as server:
        assert len(ask(server)) == 40
        assert server.asked_by_tcp == 1


@pytest.mark.parametrize("records", [{}, {NAME: ()}], ids=["no such name", "no such record"])
def test_a_name_without_records_is_an_error(records: dict[str, tuple[str, ...]]) -> None:
    """It is the same error for a name that does not exist, and for one that has other records."""
    with DnsServer(**records) as server, pytest.raises(OSError, match="the DNS has no such record"):
        ask(server)


def test_a_name_server_that_refuses_is_an_error() -> None:
    """The message says what the name server answered."""
    with DnsServer() as server:
        server.refusing = True
        with pytest.raises(OSError, match="REFUSED"):
            ask(server)


def test_a_name_server_that_is_dead_is_an_error_after_a_while() -> None:
    """The look-up ends by itself."""
    with DnsServer() as server:
        server.dead = True
        with pytest.raises(OSError, match=r"no name server answered within 0\.3 seconds"):
            look_up(NAME, [server.address], server.port, seconds=0.3)


@pytest.mark.parametrize("name", ["a" * 64, f"{'a.' * 127}b", "a..b"])
def test_what_cannot_be_a_name_is_an_error(name: str) -> None:
    """Nobody is asked for it."""
    with DnsServer() as server, pytest.raises(OSError, match=re.compile("label|name", re.IGNORECASE)):
        ask(server, name)
    assert server.asked == 0


def test_what_looks_records_up_is_loaded_by_a_look_up_alone() -> None:
    """Few agents look up SRV records, and the library takes its time."""
    source = (
        "import sys, controller.commands.build, controller.commands.run, controller.registry.etcd_v3.client\n"
        "print([each for each in sys.modules if each == 'model.srv' or each.startswith('dns')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
