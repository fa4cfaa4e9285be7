"""What is observed before the metrics are loaded."""

from __future__ import annotations

from controller.observe.key_delays import Phase
from controller.observe.metrics import Metrics
from controller.observe.metrics_feed import MetricsFeed
from tests.support.reports import failed, planned


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return the value of a sample."""
    return metrics.registry.get_sample_value(f"wharfinger_{name}", labels)


def observe(feed: MetricsFeed) -> None:
    """Let a first pass fail, after requests that failed and lines of the log that were lost."""
    passes = feed.of("etcd")
    passes.begun(100.0)
    passes.asked("http://a:1", usable=False)
    feed.engine_asked()
    feed.engine_failed()
    feed.log_lines_lost(3)
    passes.key_followed(Phase.START, 0.5)
    passes.ended(failed(), 101.0, 1.0)


def test_what_was_observed_before_the_metrics_were_loaded_is_counted() -> None:
    """The first scrape shows the first pass, and the errors that came before it."""
    feed = MetricsFeed("etcd", engine="unix:///e.sock")
    observe(feed)
    metrics = feed.metrics()
    assert value(metrics, "last_attempt_timestamp_seconds", registry="etcd") == 100.0
    assert value(metrics, "registry_request_errors_total", registry="etcd") == 1
    assert value(metrics, "engine_request_errors_total") == 1
    assert value(metrics, "endpoint_requests_total", registry="", endpoint="unix:///e.sock") == 1
    assert value(metrics, "log_lines_lost_total") == 3
    assert value(metrics, "passes_total", registry="etcd", result="registry-error") == 1
    assert value(metrics, "key_delay_seconds_sum", registry="etcd", phase="start") == 0.5


def test_what_is_observed_later_is_counted_at_once() -> None:
    """There is one set of metrics, and nothing is counted twice."""
    feed = MetricsFeed("etcd")
    observe(feed)
    metrics = feed.metrics()
    feed.of("etcd").ended(planned(wanted=7), 102.0, 1.0)
    observe(feed)
    assert feed.metrics() is metrics
    assert value(metrics, "entries_desired", registry="etcd") == 7
    assert value(metrics, "engine_request_errors_total") == 2
    assert value(metrics, "passes_total", registry="etcd", result="registry-error") == 2


def test_what_is_observed_is_kept_in_its_order() -> None:
    """A gauge shows what was observed last."""
    feed = MetricsFeed("etcd")
    for now in (100.0, 200.0):
        feed.of("etcd").begun(now)
    assert value(feed.metrics(), "last_attempt_timestamp_seconds", registry="etcd") == 200.0


def test_nothing_is_kept_for_metrics_that_nobody_can_read() -> None:
    """Without an HTTP server the agent would keep more with each pass."""
    feed = MetricsFeed("etcd", wanted=False)
    observe(feed)
    assert value(feed.metrics(), "engine_request_errors_total") == 0
