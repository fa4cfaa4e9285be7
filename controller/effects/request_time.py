"""The time limits of one HTTP request, and the time that is left of it."""

from __future__ import annotations

from attrs import frozen

from controller.effects.clock import Clock, Deadline


@frozen
class TimeLimits:
    """The time limits of one request, in seconds."""

    #: For the request as a whole: connecting, the TLS handshake, sending, and every byte of headers and body.
    total: float
    #: For connecting to one address.
    connect: float
    #: The longest silence while the request is sent or its answer received.
    read: float


class RequestTime:
    """The time of the request that is being made. One request is made at a time, because each connection belongs to one
    client, and each client to one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits = TimeLimits(0.0, 0.0, 0.0)
        self._whole = Deadline.after(0, clock)

    def begin(self, limits: TimeLimits) -> None:
        """Start the time of a request with these limits."""
        self._limits = limits
        self._whole = Deadline.after(limits.total, self._clock)

    @property
    def left(self) -> float:
        """The seconds that are left of the request."""
        return self._whole.left

    def to_connect(self, addresses: int = 1) -> float:
        """Return the seconds that connecting to the next address may take, where ``addresses`` is the number of those
        that are still to be tried. Raises TimeoutError if no time is left."""
        return _some(min(self._limits.connect, self._whole.left / addresses))

    def to_go_on(self) -> float:
        """Return the seconds that sending or receiving the next piece may take. Raises TimeoutError if no time is
        left."""
        return _some(min(self._limits.read, self._whole.left))


def _some(seconds: float) -> float:
    """Return ``seconds``. Raises TimeoutError if they are 0, which would tell a socket not to wait at all."""
    if not seconds:
        raise TimeoutError("timed out")
    return seconds
