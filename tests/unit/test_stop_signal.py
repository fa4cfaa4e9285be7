"""The signals of Linux by name and number."""

from __future__ import annotations

import signal

import pytest

from model.stop_signal import KILL, TERM, signal_name, signal_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", TERM),
        ("SIGTERM", TERM),
        ("sigterm", TERM),
        (" SIGKILL ", KILL),
        ("15", 15),
        ("0015", 15),
        ("64", 64),
        ("WINCH", 28),
        ("USR1", 10),
        ("POLL", 29),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("RTMAX-14", 50),
        ("RTMAX", 64),
    ],
)
def test_a_signal_is_named_as_the_engine_takes_it(text: str, number: int) -> None:
    """In capital or small letters, with SIG or without, by its number, or by its place among those for real time."""
    assert signal_number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "0", "00", "65", "1500", "6400000", "-1", "NONE", "RTMIN-1", "RTMAX+1", "RTMIN+99", "RTMIN+", "\u0661\u0665"],
)
def test_a_text_that_names_no_signal_has_no_number(text: str) -> None:
    """Whoever asks has to know what to take instead."""
    assert signal_number(text) is None


@pytest.mark.parametrize("each", [each for each in signal.Signals if each.value < 32])
def test_the_names_and_numbers_are_those_of_this_machine(each: signal.Signals) -> None:
    """The tests run on Linux, as the engine does."""
    assert signal_number(each.name) == each.value
    assert signal_number(signal_name(each.value)) == each.value


@pytest.mark.parametrize(("number", "name"), [(1, "HUP"), (15, "TERM"), (34, "RTMIN+0"), (37, "RTMIN+3"), (33, "33")])
def test_a_signal_is_shown_by_its_name(number: int, name: str) -> None:
    """A number without a name is shown as it is."""
    assert signal_name(number) == name
