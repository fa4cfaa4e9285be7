"""The metrics. This is the only module that imports prometheus_client. A test compares docs/metrics.md with it.

Every label value exists from the start, at 0, and none comes from a container.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    make_wsgi_app,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller import __version__
from controller.observe.key_delays import Phase
from controller.source.events import Origin
from model.desired import ExclusionReason
from model.drain_order import DrainScope
from model.drift import Attendance
from model.hint import HintOutcome
from model.plan import DRIFT, Action
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result, Stage
from model.stored import FOREVER, Lifetime

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: From the quickest change of a key to one that had to wait for a registry that was away.
_KEY_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: The results that are counted. ``waiting`` is missing because such a change was not tried, and ``pending`` because
#: only a dry run has it.
_RESULTS = (Result.APPLIED, Result.CONFLICT, Result.FAILED, Result.REJECTED, Result.SKIPPED)


#: The most endpoints of a registry that have series.
_MOST_ENDPOINTS = 32


class Metrics:
    """All metrics of one agent, in a collector registry of its own."""

    def __init__(
        self,
        *labels: str,
        engine: str = "",
        endpoints: Mapping[str, Sequence[str]] = MappingProxyType({}),
        lifetime: Lifetime = FOREVER,
    ) -> None:
        """``labels`` are those of the registries that the agent keeps in step, whose keys have this ``lifetime``.
        ``engine`` is the engine's URL, and ``endpoints`` has the URLs of each registry's members, by its label."""
        disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus_client types only part of itself
        self.registry = CollectorRegistry()
        self.passes = self._counter("passes", "Passes by how they ended.", "registry", "result")
        self.seconds = Histogram(
            "wharfinger_pass_duration_seconds",
            "Duration of the stages of a pass.",
            ["registry", "stage"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.whole = Histogram(
            "wharfinger_whole_pass_duration_seconds",
            "Duration of a pass as a whole.",
            ["registry"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.key_delay = Histogram(
            "wharfinger_key_delay_seconds",
            "How long it took from a container's start or end to its key.",
            ["registry", "phase"],
            buckets=_KEY_BUCKETS,
            registry=self.registry,
        )
        self.operations = self._counter(
            "operations", "Changes of the registry, by action and result.", "registry", "action", "result"
        )
        self.drift = self._counter(
            "drift_repaired", "Drift that was repaired: missing or overwritten keys, and orphans.", "registry", "kind"
        )
        self.desired = self._gauge("entries_desired", "Entries that this host should have.", "registry")
        self.actual = self._gauge("entries_actual", "Entries of this host that the registry held.", "registry")
        self.in_sync = self._gauge("entries_in_sync", "Desired entries that are correct in the registry.", "registry")
        self.refused = self._gauge(
            "entries_refused", "Ports that should be registered and cannot be.", "registry", "reason"
        )
        self.foreign = self._gauge("entries_foreign", "Keys under the prefix that are not this host's.", "registry")
        self.unreadable = self._gauge("entries_unreadable", "Foreign keys that cannot be read.", "registry")
        self.held = self._gauge("entries_held", "Entries of this host that stay as they are for now.", "registry")
        self.held_back = self._gauge(
            "deletes_held_back", "Deletes that the guard held back in the last pass.", "registry"
        )
        self.waiting = self._gauge(
            "changes_waiting",
            "Changes that the registry did not make, and that are tried again less and less often.",
            "registry",
        )
        self.guarded = self._counter("guarded_passes", "Passes in which the guard held deletes back.", "registry")
        self.seen = self._gauge("containers_seen", "Containers that the engine described.", "registry")
        self.unknown = self._gauge("containers_unknown", "Containers that the engine did not describe.", "registry")
        self.excluded = self._gauge(
            "containers_excluded", "Containers that run, and are to have no entries.", "registry", "reason"
        )
        self.drain_order = self._gauge("drain_order", "What the operator drains of this host.", "registry", "scope")
        self.disagree = self._gauge(
            "agents_disagree", "1 if another agent of this host was started with other flags, else 0.", "registry"
        )
        self.attempt = self._gauge("last_attempt_timestamp_seconds", "When the last pass began.", "registry")
        self.success = self._gauge("last_success_timestamp_seconds", "When the last successful pass ended.", "registry")
        self.engine_errors = self._counter("engine_request_errors", "Requests to the Docker engine that failed.")
        self.registry_errors = self._counter(
            "registry_request_errors", "Requests to the registry that failed.", "registry"
        )
        self.requests = self._counter("endpoint_requests", "Requests to each endpoint.", "registry", "endpoint")
        self.request_errors = self._counter(
            "endpoint_request_errors", "Requests to each endpoint that failed.", "registry", "endpoint"
        )
        self._start_requests_at_zero(engine, endpoints)
        self.hints_flow = self._gauge("hints_flowing", "1 while the engine's events arrive, else 0.")
        self.hints = self._counter("hints", "What came of the engine's events.", "outcome")
        for outcome in HintOutcome:
            self.hints.labels(outcome.value)
        self._engine = engine
        self.build = _BuildInfo()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(self.build)
        self.lost_lines = self._counter("log_lines_lost", "Lines of the log that could not be written.")
        self._of = {label: PassMetrics(self, label, lifetime) for label in labels}

    def _start_requests_at_zero(self, engine: str, endpoints: Mapping[str, Sequence[str]]) -> None:
        for label, urls in {"": [engine], **endpoints}.items():
            for url in urls:
                self.requests.labels(label, url)
                self.request_errors.labels(label, url)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"wharfinger_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"wharfinger_{name}", about, labels, registry=self.registry)

    def of(self, label: str) -> PassMetrics:
        """Return an observer for the loop of this registry."""
        return self._of[label]

    def engine_failed(self) -> None:
        """Count a request to the engine that got no usable answer."""
        self.engine_errors.inc()
        self.request_errors.labels("", self._engine).inc()

    def engine_asked(self) -> None:
        """Count a request to the engine."""
        self.requests.labels("", self._engine).inc()

    def hints_come_from(self, origin: Origin) -> None:
        """Note where the engine's events come from now."""
        self.hints_flow.set(origin is not Origin.NOWHERE)

    def hinted(self, outcome: HintOutcome, number: int = 1) -> None:
        """Count what came of events."""
        self.hints.labels(outcome.value).inc(number)

    def log_lines_lost(self, lines: int) -> None:
        """Count lines of the log that could not be written."""
        self.lost_lines.inc(lines)

    def app(self) -> Any:
        """Return a WSGI application that serves the metrics in the Prometheus or the OpenMetrics format."""
        return make_wsgi_app(self.registry)


class PassMetrics:
    """Observes the loop of one registry and counts its passes."""

    def __init__(self, metrics: Metrics, label: str, lifetime: Lifetime) -> None:
        self._all = metrics
        self._label = label
        self._began = 0.0
        self._attendance = Attendance(lifetime)
        #: The endpoints that have been asked, the one that was asked last at the end.
        self._endpoints: dict[str, None] = {}
        self._start_at_zero()

    def _start_at_zero(self) -> None:
        shown = self._all
        for metric in (
            shown.desired,
            shown.actual,
            shown.in_sync,
            shown.foreign,
            shown.unreadable,
            shown.held,
            shown.held_back,
            shown.waiting,
            shown.guarded,
            shown.seen,
            shown.unknown,
            shown.disagree,
            shown.attempt,
            shown.success,
            shown.registry_errors,
            shown.whole,
        ):
            metric.labels(self._label)
        self._touch(shown.passes, PassResult)
        self._touch(shown.seconds, Stage)
        self._touch(shown.key_delay, Phase)
        self._touch(shown.refused, RefusalReason)
        self._touch(shown.drift, DRIFT)
        self._touch(shown.excluded, ExclusionReason)
        self._touch(shown.drain_order, DrainScope)
        for action in Action:
            for result in _RESULTS:
                shown.operations.labels(self._label, action.value, result.value)

    def _touch(self, metric: Counter | Gauge | Histogram, values: Iterable[Enum]) -> None:
        for value in values:
            metric.labels(self._label, value.value)

    def begun(self, now: float) -> None:
        """Note when a pass begins."""
        self._began = now
        self._all.attempt.labels(self._label).set(now)

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Count a pass, and set the gauges if it made a plan."""
        shown, label = self._all, self._label
        shown.passes.labels(label, report.result.value).inc()
        for stage, seconds in report.seconds.items():
            shown.seconds.labels(label, stage.value).observe(seconds)
        if report.duration is not None:
            shown.whole.labels(label).observe(report.duration)
        if report.owner:
            shown.build.owner = report.owner
        if report.follows_host:
            shown.success.labels(label).set(now)
        if report.planned:
            self._show(report)
        for outcome in report.outcomes:
            if outcome.result not in _RESULTS:
                continue
            shown.operations.labels(label, outcome.change.action.value, outcome.result.value).inc()
        for reason in self._attendance.drift_repaired(report, now):
            shown.drift.labels(label, reason.value).inc()
        self._attendance = self._attendance.after(report, self._began)

    def _show(self, report: PassReport) -> None:
        shown, label, plan = self._all, self._label, report.plan
        shown.desired.labels(label).set(plan.wanted)
        shown.actual.labels(label).set(plan.own)
        shown.in_sync.labels(label).set(plan.in_sync)
        shown.foreign.labels(label).set(plan.foreign)
        shown.unreadable.labels(label).set(plan.unreadable)
        shown.held.labels(label).set(len(plan.held))
        shown.held_back.labels(label).set(len(plan.held_back))
        shown.waiting.labels(label).set(report.waiting)
        shown.guarded.labels(label).inc(bool(plan.held_back))
        shown.seen.labels(label).set(report.containers)
        shown.unknown.labels(label).set(len(report.unknown))
        shown.disagree.labels(label).set(bool(report.disagreement))
        for why in ExclusionReason:
            shown.excluded.labels(label, why.value).set([*report.excluded.values()].count(why))
        for scope in DrainScope:
            shown.drain_order.labels(label, scope.value).set(report.drain_order.count(scope))
        refused = [refusal.reason for refusal in plan.refusals]
        for reason in RefusalReason:
            shown.refused.labels(label, reason.value).set(refused.count(reason))

    def asked(self, endpoint: str, *, usable: bool) -> None:
        """Count a request to the member of the cluster with this URL, and whether its answer was ``usable``."""
        self._make_room_for(endpoint)
        self._all.requests.labels(self._label, endpoint).inc()
        errors = self._all.request_errors.labels(self._label, endpoint)
        if not usable:
            self._all.registry_errors.labels(self._label).inc()
            errors.inc()

    def _make_room_for(self, endpoint: str) -> None:
        """Note that an endpoint is asked. If there are too many, remove the series of the one that was not asked for
        the longest time: a name in the DNS may stand for ever new endpoints."""
        self._endpoints.pop(endpoint, None)
        self._endpoints[endpoint] = None
        if len(self._endpoints) > _MOST_ENDPOINTS:
            oldest = next(iter(self._endpoints))
            del self._endpoints[oldest]
            for metric in (self._all.requests, self._all.request_errors):
                metric.remove(self._label, oldest)

    def key_followed(self, phase: Phase, seconds: float) -> None:
        """Count a key that followed its container after so many seconds."""
        self._all.key_delay.labels(self._label, phase.value).observe(seconds)


class _BuildInfo(Collector):
    """Shows the versions and the owner as the labels of one series. The owner is known after the first pass."""

    def __init__(self) -> None:
        self.owner = ""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metric as it is now. A gauge of the library would have one series more for each owner."""
        about = "Version of this program and of Python, and the owner of the entries."
        family = GaugeMetricFamily("wharfinger_build_info", about, labels=["version", "python", "owner"])
        family.add_metric([__version__, platform.python_version(), self.owner], 1)
        return [family]
