"""Which requests benchmarks/rolling.py counts as lost, what nginx is told, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pytest

from benchmarks.figures import FLOOR, OURS
from benchmarks.load import Answer, lost_kinds
from benchmarks.proxy import Reload, ServiceKeys, reloaded_without, upstream
from benchmarks.rolling import WAYS, Replaced, Run, last_answer, row, told_after


def answer(at: float = 0.0, status: int | None = 200, text: str = "one", server: str = "10.0.0.1:1") -> Answer:
    """Return what became of a request."""
    return Answer(at, status, text, server)


GOOD = answer()
GATEWAY = answer(status=502, text="<html>")
REFUSED = answer(status=None, text="ConnectionRefusedError", server="")


@pytest.mark.parametrize(
    ("found", "lost"),
    [(GOOD, False), (GATEWAY, True), (REFUSED, True), (answer(status=204), True), (answer(status=301), True)],
)
def test_every_end_but_the_status_200_is_a_lost_request(found: Answer, lost: bool) -> None:
    """Also one that never reached the proxy."""
    assert found.lost is lost


def test_lost_requests_are_counted_by_what_became_of_them() -> None:
    """The text is empty if none was lost."""
    assert lost_kinds([GATEWAY, GOOD, REFUSED, GATEWAY]) == "2 x 502, 1 x ConnectionRefusedError"
    assert lost_kinds([GOOD]) == ""


def test_the_upstream_has_each_server_once_and_never_gives_one_up() -> None:
    """The order is that of the addresses, so that the same servers make the same file."""
    assert upstream(["10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"]) == (
        "server 10.0.0.1:1 max_fails=0;\nserver 10.0.0.2:1 max_fails=0;\n"
    )


def test_an_upstream_without_servers_is_one_that_nginx_accepts() -> None:
    """nginx refuses an upstream that names no server."""
    assert upstream([]) == "server 127.0.0.1:1 down;\n"


@pytest.mark.parametrize(
    ("api", "arguments"),
    [
        (2, ["watch", "--recursive", "--forever", "--after-index=7", "/services/web"]),
        (3, ["watch", "--prefix", "--rev=8", "/services/web/"]),
    ],
)
def test_the_watch_begins_after_what_was_read(api: int, arguments: Sequence[str]) -> None:
    """So no change between the read and the watch is missed."""
    keys = ServiceKeys("127.0.0.1:2379", "/services/web", api)
    assert keys.watch_arguments(7) == ["--endpoints=http://127.0.0.1:2379", *arguments]


def test_a_server_is_out_at_the_first_reload_without_it() -> None:
    """A reload before the moment does not count, and a server that is always there is never out."""
    one, two = frozenset({"one"}), frozenset({"two"})
    reloads = [Reload(1.0, two), Reload(2.0, one | two), Reload(3.0, two), Reload(4.0, two)]
    assert reloaded_without("one", 1.5, reloads) == 3.0
    assert reloaded_without("two", 0.0, reloads) is None


def test_the_last_answer_of_a_container_is_counted_from_the_call_that_ends_it() -> None:
    """An answer of another container does not count, and none after the call is 0 seconds."""
    answers = [answer(9.0), answer(10.25), answer(10.5, text="two"), answer(11.0, 502, "<html>")]
    assert last_answer(Replaced("one", 10.0), answers) == 0.25
    assert last_answer(Replaced("one", 20.0), answers) == 0.0


def test_nginx_is_told_of_a_container_by_the_address_in_its_answers() -> None:
    """A container of which nginx is never told counts as one that takes for ever."""
    answers = [answer(text="two", server="10.0.0.2:1"), answer()]
    reloads = [Reload(10.5, frozenset({"10.0.0.2:1"}))]
    assert told_after(Replaced("one", 10.25), answers, reloads) == 0.25
    assert told_after(Replaced("two", 10.25), answers, reloads) == inf


def runs(*lost: int) -> list[Run]:
    """Return a run for each number of lost requests."""
    return [Run([GOOD] * 3 + [GATEWAY] * each, [0.02, 0.03], [0.1, 0.16]) for each in lost]


def test_one_lost_request_in_one_run_misses_the_target() -> None:
    """The row has the lost requests of each run."""
    assert row(WAYS["stop"], {OURS: runs(0, 0, 0)}).reached is True
    found = row(WAYS["stop"], {OURS: runs(0, 1, 0)})
    assert found.reached is False
    assert found.cells()[3:] == ("0 / 0 / 1", "0 / 0 / 0", "NOT REACHED")


def test_runs_say_what_was_lost_and_how_long_traffic_went_on() -> None:
    """The longest times of a run count."""
    times = "at most 0.03 s from the call that ends a container to nginx's reload, and 0.16 s to the last request that"
    assert row(WAYS["stop"], {OURS: runs(2)}).notes == [f"wharfinger, lost: 2 x 502; {times} it answers"]
    assert str(runs(0)[0]) == f"lost: none; {times} it answers"


def test_ways_that_lose_requests_have_no_target_of_their_own() -> None:
    """Beside registrator, its figures are the target."""
    assert row(WAYS["undrained"], {OURS: runs(3)}).reached is None
    assert row(WAYS["kill"], {OURS: runs(3), FLOOR: runs(4)}).reached is None
