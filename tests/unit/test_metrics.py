"""The metrics, and the page that lists them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest
from attrs import evolve
from prometheus_client import parser as prometheus
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.samples import Sample

from controller.observe.metrics import Metrics
from model.container import ContainerRef
from model.desired import ExclusionReason
from model.plan import Action, Reason
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result, Stage
from tests.support.fakes import EPOCH
from tests.support.reports import added, altered, failed, planned, recorded, refused, removed, renewed, unreadable

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
CODE = re.compile(r"`([^`]+)`")

KEY = "/services/web/core-01:web:80"
OF_ETCD = {"registry": "etcd"}


@pytest.fixture
def metrics() -> Metrics:
    """The metrics of an agent that has just started."""
    return Metrics("etcd")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample, None when there is none."""
    return metrics.registry.get_sample_value(f"wharfinger_{name}", labels)


def total(metrics: Metrics, name: str) -> float:
    """The sum over all labels."""
    samples = [each for family in ours(metrics) for each in family.samples if each.name == f"wharfinger_{name}"]
    return sum(each.value for each in samples)


def ours(metrics: Metrics) -> list[Metric]:
    """The families that this program adds to the client library's own."""
    return [each for each in metrics.registry.collect() if not each.name.startswith(("process_", "python_"))]


def documented(family: Metric) -> str:
    """The name that operators use in their queries."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def rows(title: str) -> Iterator[list[str]]:
    """The cells of the page's table with this first line."""
    lines = iter(PAGE.read_text().splitlines())
    for line in lines:
        if line == title:
            break
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_lists_every_metric_and_no_other(metrics: Metrics) -> None:
    """Name, type and labels, in both directions."""
    on_page = {
        CODE.findall(name)[0]: (kind, set(CODE.findall(labels)))
        for name, kind, labels, _ in rows("| Metric | Type | Labels | Meaning |")
    }
    in_code = {
        documented(each): (each.type, {label for sample in each.samples for label in sample.labels} - {"le"})
        for each in ours(metrics)
    }
    assert on_page == in_code


def test_the_page_lists_every_value_of_a_label_and_no_other(metrics: Metrics) -> None:
    """They are all there before the first pass, so that a query never meets a series that is yet to come."""
    on_page = {
        (CODE.findall(name)[0], CODE.findall(label)[0]): set(CODE.findall(values))
        for name, label, values in rows("| Metric | Label | Values |")
    }
    in_code: dict[tuple[str, str], set[str]] = {}
    for family in ours(metrics):
        for sample in family.samples:
            for label in sample.labels.keys() - {"registry", "version", "python", "le"}:
                in_code.setdefault((documented(family), label), set()).add(sample.labels[label])
    assert on_page == in_code


def test_the_page_speaks_of_no_metric_that_is_not_there(metrics: Metrics) -> None:
    """The alerts among it: a query for a metric that does not exist never fires."""
    names = set(re.findall(r"wharfinger_[a-z_]+", PAGE.read_text()))
    assert names == {documented(each) for each in ours(metrics)}


def test_everything_starts_at_zero(metrics: Metrics) -> None:
    """All but the build's information, which is always 1."""
    started = {sample.name: sample.value for family in ours(metrics) for sample in family.samples if sample.value}
    assert started == {"wharfinger_build_info": 1}


@pytest.mark.parametrize("result", PassResult, ids=lambda result: result.value)
def test_a_pass_is_counted_by_its_result(metrics: Metrics, result: PassResult) -> None:
    """Once, and under no other."""
    metrics.of("etcd").ended(PassReport(result), EPOCH, 1.0)
    assert value(metrics, "passes_total", result=result.value, **OF_ETCD) == 1
    assert total(metrics, "passes_total") == 1


def test_attempt_and_success_are_told_apart(metrics: Metrics) -> None:
    """The first moves with every pass that begins, the second with those that end well."""
    metrics.of("etcd").begun(EPOCH)
    metrics.of("etcd").ended(planned(), EPOCH + 1, 1.0)
    metrics.of("etcd").begun(EPOCH + 2)
    metrics.of("etcd").ended(failed(), EPOCH + 3, 1.0)
    assert value(metrics, "last_attempt_timestamp_seconds", **OF_ETCD) == EPOCH + 2
    assert value(metrics, "last_success_timestamp_seconds", **OF_ETCD) == EPOCH + 1


def test_the_stages_that_were_reached_are_timed(metrics: Metrics) -> None:
    """A pass that ended early says nothing about the later ones."""
    metrics.of("etcd").ended(planned(seconds={Stage.REGISTRY_READ: 0.25, Stage.DOCKER: 2.0}), EPOCH, 1.0)
    assert value(metrics, "pass_duration_seconds_sum", stage="registry-read", **OF_ETCD) == 0.25
    assert value(metrics, "pass_duration_seconds_count", stage="docker", **OF_ETCD) == 1
    assert value(metrics, "pass_duration_seconds_count", stage="apply", **OF_ETCD) == 0


@pytest.mark.parametrize("ended", [Result.APPLIED, Result.CONFLICT, Result.FAILED, Result.SKIPPED])
@pytest.mark.parametrize(
    "change",
    [added(KEY), altered(KEY, "a:1", "b:2"), removed(KEY), renewed(KEY), recorded()],
    ids=lambda each: each.action.value,
)
def test_operations_are_counted_by_action_and_result(metrics: Metrics, change: object, ended: Result) -> None:
    """Each outcome once."""
    report = planned(change, ended=ended)  # type: ignore[arg-type] # pytest's parameters have no type
    metrics.of("etcd").ended(report, EPOCH, 1.0)
    action = report.outcomes[0].change.action.value
    assert value(metrics, "operations_total", action=action, result=ended.value, **OF_ETCD) == 1
    assert total(metrics, "operations_total") == 1


@pytest.mark.parametrize(
    ("reason", "repairs"),
    [
        (Reason.MISSING, 1),
        (Reason.OVERWRITTEN, 1),
        (Reason.ORPHAN, 1),
        (Reason.NEW, 0),
        (Reason.CHANGED, 0),
        (Reason.GONE, 0),
        (Reason.CLAIMS, 0),
    ],
)
def test_drift_is_what_others_did(metrics: Metrics, reason: Reason, repairs: int) -> None:
    """Changes that follow the containers are no drift, and what could not be repaired is no repair."""
    metrics.of("etcd").ended(planned(added(reason=reason), ended=Result.FAILED), EPOCH, 1.0)
    assert total(metrics, "drift_repaired_total") == 0
    metrics.of("etcd").ended(planned(added(reason=reason)), EPOCH, 1.0)
    assert total(metrics, "drift_repaired_total") == repairs
    if repairs:
        assert value(metrics, "drift_repaired_total", kind=reason.value, **OF_ETCD) == 1


COUNTS = {"desired": 5, "actual": 6, "in_sync": 4, "foreign": 7, "unreadable": 2}
BUSY = planned(
    refusals=(refused(), refused("db"), refused("dns", RefusalReason.CONFLICT)),
    unknown=(unreadable(),),
    wanted=5,
    own=6,
    in_sync=4,
    foreign=7,
    unreadable=2,
)


def test_the_gauges_show_what_the_last_pass_saw(metrics: Metrics) -> None:
    """Counts of entries, refusals by reason, and containers that nobody would describe."""
    over = {ContainerRef("1", "a"): ExclusionReason.UNHEALTHY, ContainerRef("2", "b"): ExclusionReason.UNHEALTHY}
    metrics.of("etcd").ended(evolve(BUSY, excluded=over), EPOCH, 1.0)
    assert {name: value(metrics, f"entries_{name}", **OF_ETCD) for name in COUNTS} == COUNTS
    assert value(metrics, "containers_excluded", reason="unhealthy", **OF_ETCD) == 2
    assert value(metrics, "containers_excluded", reason="filtered", **OF_ETCD) == 0
    assert value(metrics, "entries_refused", reason="bad-name", **OF_ETCD) == 2
    assert value(metrics, "entries_refused", reason="conflict", **OF_ETCD) == 1
    assert value(metrics, "containers_unknown", **OF_ETCD) == 1


def test_the_gauges_keep_what_they_show_while_nothing_is_seen(metrics: Metrics) -> None:
    """A pass that saw nothing knows nothing: unknown is not absent."""
    metrics.of("etcd").ended(BUSY, EPOCH, 1.0)
    metrics.of("etcd").ended(failed(), EPOCH, 1.0)
    assert {name: value(metrics, f"entries_{name}", **OF_ETCD) for name in COUNTS} == COUNTS
    assert value(metrics, "containers_unknown", **OF_ETCD) == 1


def test_what_is_over_goes_back_to_zero(metrics: Metrics) -> None:
    """A refusal that was mended, a container that can be read again."""
    metrics.of("etcd").ended(BUSY, EPOCH, 1.0)
    metrics.of("etcd").ended(planned(), EPOCH, 1.0)
    assert total(metrics, "entries_refused") == 0
    assert total(metrics, "containers_unknown") == 0


def test_what_the_guard_holds_back_is_shown_and_counted(metrics: Metrics) -> None:
    """The gauge shows the last pass, and keeps it while nothing is seen; the counter counts the passes."""
    held = planned(held_back=(removed("/a/b/1"), removed("/a/b/2")))
    for report, shown, counted in ((held, 2, 1), (failed(), 2, 1), (held, 2, 2), (planned(), 0, 2)):
        metrics.of("etcd").ended(report, EPOCH, 1.0)
        assert value(metrics, "deletes_held_back", **OF_ETCD) == shown
        assert value(metrics, "guarded_passes_total", **OF_ETCD) == counted
    assert total(metrics, "operations_total") == 0


def test_the_alerts_words_are_labels(metrics: Metrics) -> None:
    """An owner conflict and a write of the owner record have series of their own from the start."""
    assert value(metrics, "passes_total", result="owner-conflict", **OF_ETCD) == 0
    assert value(metrics, "operations_total", action="record", result="failed", **OF_ETCD) == 0


def test_failed_requests_are_counted(metrics: Metrics) -> None:
    """The engine's and the registry's, each on its own."""
    metrics.engine_failed()
    metrics.of("etcd").registry_failed()
    metrics.of("etcd").registry_failed()
    assert value(metrics, "engine_request_errors_total") == 1
    assert value(metrics, "registry_request_errors_total", **OF_ETCD) == 2


def scrape(metrics: Metrics, accept: str = "") -> str:
    """What Prometheus gets."""
    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    start: Callable[..., None] = lambda *_: None  # noqa: E731 - WSGI's way to hear of status and headers
    return b"".join(metrics.app()({**environ, "HTTP_ACCEPT": accept}, start)).decode()


def test_both_formats_can_be_read(metrics: Metrics) -> None:
    """With the client library's own parsers, which are strict about OpenMetrics."""
    metrics.of("etcd").ended(planned(added(), unknown=(unreadable(),)), EPOCH, 1.0)
    openly = scrape(metrics, "application/openmetrics-text; version=1.0.0")
    assert openly.endswith("# EOF\n")
    families = openmetrics.text_string_to_metric_families(openly)  # type: ignore[no-untyped-call] # it has no types
    names = {family.name for family in families}
    assert names >= {family.name for family in ours(metrics)}
    assert names >= {family.name for family in prometheus.text_string_to_metric_families(scrape(metrics))}


def test_no_label_comes_from_a_container(metrics: Metrics) -> None:
    """However many containers come and go, and whatever they are called: the same series, before and after."""
    before = {line.rpartition(" ")[0] for line in scrape(metrics).splitlines()}
    for number in range(20):
        name = f"marker-{number}"
        change = added(f"/services/{name}/core-01:{name}:80")
        metrics.of("etcd").ended(planned(change, refusals=(refused(name),), unknown=(unreadable(name),)), EPOCH, 1.0)
        metrics.of("etcd").ended(failed(problem=name), EPOCH, 1.0)
    assert {line.rpartition(" ")[0] for line in scrape(metrics).splitlines()} == before


def test_every_closed_list_is_a_label() -> None:
    """The words of log, dry-run and metrics are the same: no reason of the model is missing among the labels."""
    values = {sample.labels.get("reason") for family in ours(Metrics("etcd")) for sample in family.samples}
    assert values >= {reason.value for reason in RefusalReason}
    assert {action.value for action in Action} <= {
        sample.labels.get("action") for family in ours(Metrics("etcd")) for sample in family.samples
    }


def test_registries_are_counted_apart() -> None:
    """Each has every series from the start, and moves none of another's."""
    both = Metrics("etcd", "etcd-2")
    both.of("etcd-2").begun(EPOCH)
    both.of("etcd-2").ended(BUSY, EPOCH, 1.0)
    both.of("etcd-2").registry_failed()
    samples = [sample for family in ours(both) for sample in family.samples]
    moved = {sample.labels["registry"] for sample in samples if sample.value and "registry" in sample.labels}
    assert moved == {"etcd-2"}
    series = [
        {
            (sample.name, *sorted((sample.labels | {"registry": ""}).items()))
            for sample in samples
            if _is_of(sample, one)
        }
        for one in ("etcd", "etcd-2")
    ]
    assert series[0] == series[1] != set()


def _is_of(sample: Sample, label: str) -> bool:
    return sample.labels.get("registry") == label


def test_the_engine_is_nobodys() -> None:
    """A failed request to it is counted once, whichever loop made it."""
    both = Metrics("etcd", "etcd-2")
    both.engine_failed()
    assert value(both, "engine_request_errors_total") == 1
