"""What is observed for the metrics, from the start of the program on.

The library of the metrics takes as long to load as a first pass, so it is loaded after that. What is observed before is
kept, and told to the metrics when they are there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import frozen

from controller.source.events import Origin
from model.hint import HintOutcome
from model.report import PassReport
from model.stored import FOREVER, Lifetime

if TYPE_CHECKING:
    from controller.observe.key_delays import Phase
    from controller.observe.metrics import Metrics


class MetricsFeed:
    """Tells the metrics what is observed. Until they are loaded it keeps everything."""

    def __init__(
        self,
        *labels: str,
        engine: str = "",
        endpoints: Mapping[str, Sequence[str]] = MappingProxyType({}),
        lifetime: Lifetime = FOREVER,
        wanted: bool = True,
    ) -> None:
        """``labels``, ``engine``, ``endpoints`` and ``lifetime`` are as for Metrics. Nothing is kept if the metrics are
        not ``wanted``, because nobody can read them."""
        self._labels = labels
        self._engine, self._endpoints, self._lifetime = engine, endpoints, lifetime
        self._wanted = wanted
        self._lock = threading.Lock()
        self._kept: list[Callable[[Metrics], None]] = []
        self._metrics: Metrics | None = None

    def metrics(self) -> Metrics:
        """Return the metrics, which have counted everything since the start. The first call loads their library."""
        from controller.observe.metrics import Metrics  # noqa: PLC0415 - it loads prometheus_client

        with self._lock:
            if self._metrics is None:
                self._metrics = Metrics(
                    *self._labels, engine=self._engine, endpoints=self._endpoints, lifetime=self._lifetime
                )
                for observation in self._kept:
                    observation(self._metrics)
                self._kept.clear()
            return self._metrics

    def tell(self, observation: Callable[[Metrics], None]) -> None:
        """Call ``observation`` with the metrics, at once or when they are loaded."""
        with self._lock:
            if self._metrics is None:
                if self._wanted:
                    self._kept.append(observation)
                return
        observation(self._metrics)

    def of(self, label: str) -> PassFeed:
        """Return an observer for the loop of this registry."""
        return PassFeed(self, label)

    def engine_failed(self) -> None:
        """Count a request to the engine that got no usable answer."""
        self.tell(lambda metrics: metrics.engine_failed())

    def engine_asked(self) -> None:
        """Count a request to the engine."""
        self.tell(lambda metrics: metrics.engine_asked())

    def hints_come_from(self, origin: Origin) -> None:
        """Note where the engine's events come from now."""
        self.tell(lambda metrics: metrics.hints_come_from(origin))

    def hinted(self, outcome: HintOutcome, number: int = 1) -> None:
        """Count what came of events."""
        self.tell(lambda metrics: metrics.hinted(outcome, number))

    def log_lines_lost(self, lines: int) -> None:
        """Count lines of the log that could not be written."""
        self.tell(lambda metrics: metrics.log_lines_lost(lines))


@frozen
class PassFeed:
    """Observes the loop of one registry for the metrics."""

    feed: MetricsFeed
    label: str

    def begun(self, now: float) -> None:
        """Tell the metrics that a pass begins."""
        self.feed.tell(lambda metrics: metrics.of(self.label).begun(now))

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Tell the metrics how a pass ended."""
        self.feed.tell(lambda metrics: metrics.of(self.label).ended(report, now, wait))

    def asked(self, endpoint: str, usable: bool) -> None:
        """Count a request to the member of the cluster with this URL, and whether its answer was ``usable``."""
        self.feed.tell(lambda metrics: metrics.of(self.label).asked(endpoint, usable=usable))

    def key_followed(self, phase: Phase, seconds: float) -> None:
        """Count a key that followed its container after so many seconds."""
        self.feed.tell(lambda metrics: metrics.of(self.label).key_followed(phase, seconds))
