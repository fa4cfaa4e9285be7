"""Draining: a container that is about to end loses its entries while it still answers.

The engine tells of each signal that it sends a container. One that is to stop the container makes it drain, so that
its clients turn to others before it ends. It is the one thing that an event decides, and not only hurries; losing the
event costs nothing but the lead. If the container still runs when its stop grace is over, then the signal was none that
stops it, and its entries return.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite

from attrs import frozen

from model.container import Container
from model.keys import quoted
from model.metadata import value_for_container
from model.stop_signal import KILL, TERM, signal_name

#: Seconds after its last signal for which a container drains at least, if nothing else is said (``--stop-grace``).
STOP_GRACE = 120.0

#: Seconds for which a container drains beyond the time that the engine gives it to end.
AFTER_TIMEOUT = 10.0

#: The longest stop grace in seconds that a container may ask for: a day.
MAX_GRACE = 86400.0

#: The texts that switch draining off for a container.
_OFF = frozenset({"false", "f", "0", "no", "off"})


@frozen
class Signalled:
    """A signal that the engine sent to a container."""

    signal: int
    #: When it did, in the form of ``Container.started``.
    moment: str
    #: When it did, in seconds of the monotonic clock.
    at: float


@frozen
class Draining:
    """Why a container that runs is to have no entries for now."""

    #: What makes it drain, for people: a sentence without its end, that begins with the container.
    why: str
    #: When the last signal was sent that makes it drain, in the form of ``Container.started``; empty if none does.
    since: str = ""
    #: Whether the operator wants it so, as the registry says, and not a signal of the engine's.
    by_operator: bool = False


#: Why a container drains whose state says that the engine is stopping it.
BEING_STOPPED = Draining("the engine is stopping it")


@frozen
class StopRule:
    """Which signals make a container drain, and for how long (``--no-drain-on-stop`` and ``--stop-grace``)."""

    on: bool = True
    #: Seconds after its last signal for which a container drains at least.
    grace: float = STOP_GRACE

    def draining(self, container: Container, signals: Iterable[Signalled], now: float) -> Draining | None:
        """Return why a container drains at this moment, in seconds of the monotonic clock; None if it does not.
        ``signals`` are those that the engine sent it."""
        last = self._last(container, signals)
        if last is None or now >= last.at + self.grace_of(container):
            return None
        problem = f" ({text})" if (text := _problem(container)) else ""
        return Draining(f"the engine has sent it the signal {signal_name(last.signal)}{problem}", last.moment)

    def being_stopped(self, container: Container) -> Draining | None:
        """Return why a container drains whose state says that the engine is stopping it; None if it does not."""
        return BEING_STOPPED if self._applies_to(container) else None

    def until(self, container: Container, signals: Iterable[Signalled]) -> float:
        """Return when the container drains no longer, in seconds of the monotonic clock; minus infinity if no signal
        makes it drain."""
        last = self._last(container, signals)
        return last.at + self.grace_of(container) if last else -inf

    def grace_of(self, container: Container) -> float:
        """Return for how many seconds after its last signal a container drains.

        By default that is longer than the time which the engine gives it to end. ``docker stop --time`` can give it
        more, and no request to the engine tells that.
        """
        given = _grace_label(container)
        return max(container.stop_timeout + AFTER_TIMEOUT, self.grace) if given is None else given

    def _last(self, container: Container, signals: Iterable[Signalled]) -> Signalled | None:
        """Return the last signal that makes a container drain; None if none does. A signal to an earlier run of it
        does not."""
        if not self._applies_to(container):
            return None
        ending = {container.stop_signal, TERM, KILL}
        counting = (each for each in signals if each.signal in ending and each.moment > container.started)
        return max(counting, key=lambda each: each.moment, default=None)

    def _applies_to(self, container: Container) -> bool:
        """Return whether a stop makes the container drain."""
        return self.on and value_for_container("drain", container.env, container.labels).strip().lower() not in _OFF


#: The rule without any flags.
DEFAULT_STOP_RULE = StopRule()

#: No container drains because it is being stopped.
NO_DRAINING = StopRule(on=False)


def _grace_label(container: Container) -> float | None:
    """Return the stop grace in seconds that a container asks for; None if it asks for none that makes sense."""
    text = value_for_container("stop_grace", container.env, container.labels)
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if isfinite(seconds) and 0 <= seconds <= MAX_GRACE else None


def _problem(container: Container) -> str:
    """Return what is wrong with the stop grace that a container asks for; an empty text if nothing is."""
    text = value_for_container("stop_grace", container.env, container.labels)
    if not text or _grace_label(container) is not None:
        return ""
    return f"its SERVICE_STOP_GRACE {quoted(text)} is no number of seconds up to {MAX_GRACE:.0f}, and does not count"
