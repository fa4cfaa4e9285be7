"""When everything under a large prefix is read."""

from __future__ import annotations

import pytest

from model.sweep import MOST_REST, SweepRule, is_small, rest_after


@pytest.mark.parametrize(
    ("hosts", "keys", "own", "small"),
    [
        (0, 0, 0, True),
        (19, 500, 0, True),
        (19, 501, 20, False),
        (19, 501, 21, True),
        (19, 2500, 100, True),
        (19, 2501, 100, False),
        (20, 1, 100, False),
    ],
)
def test_a_prefix_is_small_if_few_hosts_have_few_keys(hosts: int, keys: int, own: int, small: bool) -> None:
    """What is few depends on the number of the host's own keys."""
    assert is_small(hosts, keys, own) is small


@pytest.mark.parametrize(
    ("hosts", "random", "seconds"), [(0, 0.0, 45), (1, 1.0, 60), (20, 0.0, 45), (40, 1.0, 120), (1000, 0.5, 2625)]
)
def test_the_more_hosts_there_are_the_seldomer_each_sweeps(hosts: int, random: float, seconds: float) -> None:
    """The random number shortens the period by a quarter at most."""
    assert SweepRule().next(100.0, hosts, random) == 100.0 + seconds


def test_the_period_can_be_chosen() -> None:
    """``-resync`` gives it."""
    assert SweepRule(7.0).next(0.0, 40, 1.0) == 14.0


@pytest.mark.parametrize(
    ("hosts", "random", "seconds"), [(0, 1.0, 0), (19, 1.0, 0), (20, 1.0, 10), (1000, 0.0, 0), (1000, 0.5, 250)]
)
def test_after_a_doubt_the_sweeps_of_many_hosts_are_spread(hosts: int, random: float, seconds: float) -> None:
    """Few hosts sweep at once."""
    assert SweepRule().after_doubt(100.0, hosts, random) == 100.0 + seconds


def test_a_single_pass_sweeps_at_once() -> None:
    """There is no later pass, however many hosts there are."""
    rule = SweepRule(at_once=True)
    assert (rule.sweeps_first(1000), rule.after_doubt(100.0, 1000, 1.0)) == (True, 100.0)
    assert [SweepRule().sweeps_first(hosts) for hosts in (19, 20)] == [True, False]


def test_a_sweep_rests_longer_the_longer_its_pages_took() -> None:
    """It takes a twentieth of the time at most, and never rests long."""
    assert (rest_after(0.0), rest_after(0.05), rest_after(100.0)) == (0.0, 1.0, MOST_REST)
