"""The metrics, and the door to prometheus_client. docs/metrics.md lists them; a test holds it against this module.

Every label value exists from the start, at 0, and none comes from a container.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from enum import Enum
from importlib.metadata import version
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

from model.entry import RefusalReason
from model.plan import DRIFT, Action
from model.report import PassReport, PassResult, Result, Stage

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: Results that an operation of the loop can have; ``pending`` is the dry run's.
_RESULTS = (Result.APPLIED, Result.CONFLICT, Result.FAILED, Result.SKIPPED)


class Metrics:
    """All metrics of one agent, on a registry of their own. An observer of the loop."""

    def __init__(self, registry_name: str) -> None:
        """``registry_name`` is the label of the registry that the passes are about."""
        disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus_client types only part of itself
        self.registry = CollectorRegistry()
        self._name = registry_name
        self._passes = self._counter("passes", "Passes by how they ended.", "result")
        self._seconds = Histogram(
            "wharfinger_pass_duration_seconds",
            "Duration of the stages of a pass.",
            ["stage"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._operations = self._counter("operations", "Writes to the registry.", "registry", "action", "result")
        self._drift = self._counter("drift_repaired", "Repairs of what others did to the registry.", "registry", "kind")
        self._desired = self._gauge("entries_desired", "Entries that this host should have.", "registry")
        self._actual = self._gauge("entries_actual", "Entries of this host that the registry held.", "registry")
        self._in_sync = self._gauge("entries_in_sync", "Desired entries found in order.", "registry")
        self._refused = self._gauge("entries_refused", "Service ports that are not registered.", "registry", "reason")
        self._foreign = self._gauge("entries_foreign", "Keys of others under the prefix.", "registry")
        self._unreadable = self._gauge("entries_unreadable", "Keys of others that cannot be read.", "registry")
        self._held_back = self._gauge("deletes_held_back", "Deletes that wait to be seen again.", "registry")
        self._guarded = self._counter("guarded_passes", "Passes that held deletes back.", "registry")
        self._unknown = self._gauge("containers_unknown", "Containers that the engine would not describe.")
        self._attempt = self._gauge("last_attempt_timestamp_seconds", "When the last pass began.")
        self._success = self._gauge("last_success_timestamp_seconds", "When the last successful pass ended.")
        self.engine_errors = self._counter("engine_request_errors", "Requests to the Docker engine that failed.")
        self.registry_errors = self._counter(
            "registry_request_errors", "Requests to the registry that failed.", "registry"
        )
        build = self._gauge("build_info", "Version of this program and of Python.", "version", "python")
        build.labels(version("wharfinger"), platform.python_version()).set(1)
        self._start_at_zero()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"wharfinger_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"wharfinger_{name}", about, labels, registry=self.registry)

    def _start_at_zero(self) -> None:
        _touch(self._passes, PassResult)
        _touch(self._seconds, Stage)
        for metric in (
            self._desired,
            self._actual,
            self._in_sync,
            self._foreign,
            self._unreadable,
            self._held_back,
            self._guarded,
            self.registry_errors,
        ):
            metric.labels(self._name)
        for reason in RefusalReason:
            self._refused.labels(self._name, reason.value)
        for kind in DRIFT:
            self._drift.labels(self._name, kind.value)
        for action in Action:
            for result in _RESULTS:
                self._operations.labels(self._name, action.value, result.value)

    def begun(self, now: float) -> None:
        """Note that a pass begins."""
        self._attempt.set(now)

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Count a pass. The gauges keep what the last pass saw that got as far as a plan."""
        self._passes.labels(report.result.value).inc()
        for stage, seconds in report.seconds.items():
            self._seconds.labels(stage.value).observe(seconds)
        if report.succeeded:
            self._success.set(now)
        if report.planned:
            self._show(report)
        for outcome in report.outcomes:
            self._operations.labels(self._name, outcome.change.action.value, outcome.result.value).inc()
            if outcome.result is Result.APPLIED and outcome.change.reason in DRIFT:
                self._drift.labels(self._name, outcome.change.reason.value).inc()

    def _show(self, report: PassReport) -> None:
        plan = report.plan
        self._desired.labels(self._name).set(plan.wanted)
        self._actual.labels(self._name).set(plan.own)
        self._in_sync.labels(self._name).set(plan.in_sync)
        self._foreign.labels(self._name).set(plan.foreign)
        self._unreadable.labels(self._name).set(plan.unreadable)
        self._held_back.labels(self._name).set(len(plan.held_back))
        self._guarded.labels(self._name).inc(bool(plan.held_back))
        self._unknown.set(len(report.unknown))
        refused = [refusal.reason for refusal in plan.refusals]
        for reason in RefusalReason:
            self._refused.labels(self._name, reason.value).set(refused.count(reason))

    def registry_failed(self) -> None:
        """Count a request to the registry that got no usable answer."""
        self.registry_errors.labels(self._name).inc()

    def engine_failed(self) -> None:
        """Count a request to the engine that got no usable answer."""
        self.engine_errors.inc()

    def app(self) -> Any:
        """A WSGI application that serves the metrics, in the Prometheus or the OpenMetrics format."""
        return make_wsgi_app(self.registry)


def _touch(metric: Counter | Histogram, values: Iterable[Enum]) -> None:
    for value in values:
        metric.labels(value.value)
