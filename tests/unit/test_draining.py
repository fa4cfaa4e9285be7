"""Which containers drain because they are being stopped, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from model.container import STOP_TIMEOUT
from model.draining import (
    AFTER_TIMEOUT,
    BEING_STOPPED,
    DEFAULT_STOP_RULE,
    MAX_GRACE,
    NO_DRAINING,
    STOP_GRACE,
    Draining,
    Signalled,
    StopRule,
)
from model.stop_signal import KILL, TERM
from tests.support.builders import container

#: The numbers of other signals.
HUP, QUIT, USR1, WINCH, RTMIN_3 = 1, 3, 10, 28, 37

#: When a container was started, and moments after that.
STARTED, LATER, LATEST = (f"2026-01-01T00:00:{second}.000000000Z" for second in ("10", "20", "30"))


def running(**changed: Any) -> Any:
    """Return a container that runs since STARTED."""
    return container(started=STARTED, **changed)


def sent(signal: int = TERM, moment: str = LATER, at: float = 100.0) -> Signalled:
    """Return a signal."""
    return Signalled(signal, moment, at)


def drains(one: Any, *signals: Signalled, now: float = 100.0, rule: StopRule = DEFAULT_STOP_RULE) -> bool:
    """Return whether a container drains after these signals."""
    return rule.draining(one, signals, now) is not None


@pytest.mark.parametrize(
    ("stop_signal", "signal", "is_drained"),
    [
        (TERM, TERM, True),
        (TERM, KILL, True),
        (TERM, HUP, False),
        (TERM, QUIT, False),
        (USR1, USR1, True),
        (USR1, TERM, True),
        (USR1, WINCH, False),
        (WINCH, WINCH, True),
        (QUIT, QUIT, True),
        (RTMIN_3, RTMIN_3, True),
        (HUP, HUP, True),
        (KILL, TERM, True),
    ],
)
def test_the_signal_that_stops_a_container_makes_it_drain(stop_signal: int, signal: int, is_drained: bool) -> None:
    """TERM and KILL stop every container. Any other signal is one that only some take for a stop."""
    assert drains(running(stop_signal=stop_signal), sent(signal)) == is_drained


def test_a_container_that_was_sent_nothing_does_not_drain() -> None:
    """Nobody stops it."""
    assert not drains(running())


@pytest.mark.parametrize(("moment", "is_drained"), [(LATER, True), (STARTED, False), ("2025", False)])
def test_a_signal_to_an_earlier_run_does_not_count(moment: str, is_drained: bool) -> None:
    """The container was started again since, as by ``docker restart``."""
    assert drains(running(), sent(moment=moment)) == is_drained


def test_the_reason_names_the_last_signal() -> None:
    """It is what the log and the plan say."""
    signals = (sent(KILL, LATEST), sent(TERM, LATER), sent(HUP, "2027"))
    expected = Draining("the engine has sent it the signal KILL", LATEST)
    assert DEFAULT_STOP_RULE.draining(running(), signals, 100) == expected


@pytest.mark.parametrize(
    ("stop_timeout", "grace", "seconds"),
    [
        (STOP_TIMEOUT, STOP_GRACE, STOP_GRACE),
        (0.0, STOP_GRACE, STOP_GRACE),
        (-1.0, STOP_GRACE, STOP_GRACE),
        (300.0, STOP_GRACE, 300 + AFTER_TIMEOUT),
        (STOP_TIMEOUT, 1.0, STOP_TIMEOUT + AFTER_TIMEOUT),
        (-1.0, 30.0, 30.0),
    ],
)
def test_a_container_drains_for_longer_than_the_engine_gives_it_to_end(
    stop_timeout: float, grace: float, seconds: float
) -> None:
    """It drains for at least ``--stop-grace``, also if the engine gives it no limit. If it runs after that, then the
    signal was none that stops it."""
    rule, one = StopRule(grace=grace), running(stop_timeout=stop_timeout)
    assert rule.until(one, [sent()]) == 100 + seconds
    assert drains(one, sent(), now=100 + seconds - 0.1, rule=rule)
    assert not drains(one, sent(), now=100 + seconds, rule=rule)


def test_the_grace_begins_with_the_last_signal() -> None:
    """Whoever stops it once more still wants it to end."""
    signals = [sent(at=100), sent(KILL, LATEST, at=150)]
    assert DEFAULT_STOP_RULE.until(running(), signals) == 150 + STOP_GRACE
    assert drains(running(), *signals, now=149 + STOP_GRACE)


def test_what_does_not_drain_has_drained_since_ever() -> None:
    """There is no signal from which to count."""
    assert DEFAULT_STOP_RULE.until(running(), [sent(HUP)]) == float("-inf")


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("0.5", 0.5), (" 30 ", 30), ("86400", MAX_GRACE), ("0", 0)])
def test_a_container_may_ask_for_a_grace_of_its_own(text: str, seconds: float) -> None:
    """It counts as given, even if the engine gives the container more time."""
    one = running(labels={"SERVICE_STOP_GRACE": text}, stop_timeout=60.0)
    assert DEFAULT_STOP_RULE.until(one, [sent()]) == 100 + seconds
    told = DEFAULT_STOP_RULE.draining(one, [sent()], 100)
    assert told == (Draining("the engine has sent it the signal TERM", LATER) if seconds else None)


@pytest.mark.parametrize("text", ["soon", "30s", "-1", "nan", "inf", "86401", "1e9"])
def test_a_grace_that_makes_no_sense_does_not_count_and_is_told(text: str) -> None:
    """The reason of the delete says so, and the container drains as long as any other."""
    one = running(env=(f"SERVICE_STOP_GRACE={text}",))
    assert DEFAULT_STOP_RULE.until(one, [sent()]) == 100 + STOP_GRACE
    draining = DEFAULT_STOP_RULE.draining(one, [sent()], 100)
    assert draining is not None
    assert draining.why == (
        "the engine has sent it the signal TERM "
        f"(its SERVICE_STOP_GRACE '{text}' is no number of seconds up to 86400, and does not count)"
    )


@pytest.mark.parametrize("text", ["false", "FALSE", "f", "0", "no", " off "])
@pytest.mark.parametrize("variable", ["SERVICE_DRAIN", "SERVICE_drain"])
def test_a_container_may_have_no_draining(variable: str, text: str) -> None:
    """It keeps its entries until it has ended."""
    assert not drains(running(labels={variable: text}), sent())
    assert not drains(running(env=(f"{variable}={text}",)), sent(KILL))


@pytest.mark.parametrize("text", ["", "true", "1", "yes", "maybe"])
def test_any_other_text_leaves_it_on(text: str) -> None:
    """Only a clear no switches it off."""
    assert drains(running(labels={"SERVICE_DRAIN": text}), sent())


def test_a_label_beats_the_environment() -> None:
    """As with all metadata."""
    assert drains(running(env=("SERVICE_DRAIN=false",), labels={"SERVICE_DRAIN": "true"}), sent())


@pytest.mark.parametrize("variable", ["SERVICE_80_DRAIN", "SERVICE_80_STOP_GRACE"])
def test_what_is_said_of_one_port_does_not_count(variable: str) -> None:
    """A container drains as a whole."""
    one = running(labels={variable: "0"})
    assert drains(one, sent())
    assert DEFAULT_STOP_RULE.until(one, [sent()]) == 100 + STOP_GRACE


def test_the_operator_may_switch_it_off_for_the_host() -> None:
    """With ``--no-drain-on-stop``, and with ``-deregister on-success``."""
    assert not drains(running(), sent(KILL), rule=NO_DRAINING)
    assert NO_DRAINING.being_stopped(running()) is None


def test_a_container_in_state_stopping_drains_without_a_signal() -> None:
    """Podman's engine tells of no signal, and shows this state instead."""
    one = running(status="stopping")
    assert DEFAULT_STOP_RULE.being_stopped(one) == BEING_STOPPED
    assert DEFAULT_STOP_RULE.being_stopped(running(labels={"SERVICE_DRAIN": "false"})) is None
