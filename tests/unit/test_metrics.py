"""The metrics, and docs/metrics.md, which lists them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest
from attrs import evolve
from prometheus_client import parser as prometheus
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics

from controller.observe.key_delays import Phase
from controller.observe.metrics import Metrics
from controller.source.events import Origin
from model.container import ContainerRef
from model.described import DescribedEnum
from model.desired import ExclusionReason
from model.drain_order import DrainedContainer, DrainOrder, DrainScope
from model.hint import HintOutcome
from model.plan import DRIFT, Action, Reason
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result, Stage
from model.stored import Stored
from tests.support.fakes import EPOCH
from tests.support.reports import added, altered, failed, planned, recorded, refused, removed, renewed, unreadable

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
CODE = re.compile(r"`([^`]+)`")

KEY = "/services/web/core-01:web:80"
OF_ETCD = {"registry": "etcd"}


@pytest.fixture
def metrics() -> Metrics:
    """Return the metrics of an agent that has just started."""
    return Metrics("etcd")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return the value of a sample, or None if there is no such sample."""
    return metrics.registry.get_sample_value(f"wharfinger_{name}", labels)


def total(metrics: Metrics, name: str) -> float:
    """Return the sum of a metric over all labels."""
    samples = [each for family in own_families(metrics) for each in family.samples if each.name == f"wharfinger_{name}"]
    return sum(each.value for each in samples)


def own_families(metrics: Metrics) -> list[Metric]:
    """Return the metrics without those of the client library itself."""
    return [each for each in metrics.registry.collect() if not each.name.startswith(("process_", "python_"))]


def query_name(family: Metric) -> str:
    """Return the name that queries use."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def page_rows(header: str) -> list[str]:
    """Return the rows of the page's table with this header."""
    lines = PAGE.read_text().splitlines()
    return list(takewhile(lambda line: line.startswith("|"), lines[lines.index(header) + 2 :]))


def cells(row: str) -> list[str]:
    """Return the cells of a table's row."""
    return [cell.strip() for cell in row.strip("|").split("|")]


#: The results of changes that were tried.
COUNTED_RESULTS = [each for each in Result if each not in {Result.PENDING, Result.WAITING}]

#: The labels with a closed list of values, and the enumerations that they are taken from.
LABEL_VALUES: dict[tuple[str, str], Iterable[DescribedEnum]] = {
    ("wharfinger_passes_total", "result"): PassResult,
    ("wharfinger_pass_duration_seconds", "stage"): Stage,
    ("wharfinger_key_delay_seconds", "phase"): Phase,
    ("wharfinger_operations_total", "action"): Action,
    ("wharfinger_operations_total", "result"): COUNTED_RESULTS,
    ("wharfinger_drift_repaired_total", "kind"): DRIFT,
    ("wharfinger_containers_excluded", "reason"): ExclusionReason,
    ("wharfinger_drain_order", "scope"): DrainScope,
    ("wharfinger_hints_total", "outcome"): HintOutcome,
    ("wharfinger_entries_refused", "reason"): RefusalReason,
}

VALUES_HEADER = "| Metric | Label | Value | Meaning |"


def expected_value_rows() -> list[str]:
    """Return the rows that the page's table of label values must have, in order."""
    return [
        f"| `{metric}` | `{label}` | `{each.value}` | {each.about} |"
        for (metric, label), values in LABEL_VALUES.items()
        for each in values
    ]


# docs/metrics.md.


def test_the_page_lists_every_metric_and_no_other(metrics: Metrics) -> None:
    """The table has the name, the type and the labels of each metric."""
    on_page = {
        CODE.findall(name)[0]: (kind, set(CODE.findall(labels)))
        for name, kind, labels, _ in map(cells, page_rows("| Metric | Type | Labels | Meaning |"))
    }
    in_code = {
        query_name(each): (each.type, {label for sample in each.samples for label in sample.labels} - {"le"})
        for each in own_families(metrics)
    }
    assert on_page == in_code


def test_the_page_lists_every_value_of_a_label_and_no_other(metrics: Metrics) -> None:
    """Every series exists before the first pass, so that a query finds each value that the page lists."""
    on_page: dict[tuple[str, str], set[str]] = {}
    for name, label, listed, _ in map(cells, page_rows(VALUES_HEADER)):
        key = CODE.findall(name)[0], CODE.findall(label)[0]
        on_page.setdefault(key, set()).update(CODE.findall(listed))
    in_code: dict[tuple[str, str], set[str]] = {}
    for family in own_families(metrics):
        for sample in family.samples:
            for label in sample.labels.keys() - {"registry", "version", "python", "owner", "endpoint", "le"}:
                in_code.setdefault((query_name(family), label), set()).add(sample.labels[label])
    assert in_code.keys() == LABEL_VALUES.keys(), "add a label with a closed list of values to LABEL_VALUES"
    assert on_page == in_code


def test_the_page_explains_each_value_of_a_label_in_the_words_of_the_code() -> None:
    """The sentences are those of the enumerations, in their order."""
    expected = expected_value_rows()
    assert page_rows(VALUES_HEADER) == expected, (
        f"The table of label values in {PAGE.name} differs from the code. Replace its rows by these:\n"
        + "\n".join(expected)
    )


def test_the_page_names_every_metric_and_no_other(metrics: Metrics) -> None:
    """This includes the alerts: an alert on a metric that does not exist never fires."""
    names = set(re.findall(r"wharfinger_[a-z_]+", PAGE.read_text()))
    assert names == {query_name(each) for each in own_families(metrics)}


# Values from the start, and after a pass.


def test_every_metric_starts_at_zero_except_build_info(metrics: Metrics) -> None:
    """build_info is always 1."""
    started = {
        sample.name: sample.value for family in own_families(metrics) for sample in family.samples if sample.value
    }
    assert started == {"wharfinger_build_info": 1}


@pytest.mark.parametrize("result", PassResult, ids=lambda result: result.value)
def test_a_pass_is_counted_by_its_result(metrics: Metrics, result: PassResult) -> None:
    """No other result is counted."""
    metrics.of("etcd").ended(PassReport(result), EPOCH, 1.0)
    assert value(metrics, "passes_total", result=result.value, **OF_ETCD) == 1
    assert total(metrics, "passes_total") == 1


def test_a_failed_pass_changes_the_time_of_the_last_attempt_and_not_of_the_last_success(metrics: Metrics) -> None:
    """The first is set when a pass begins, the second when a successful pass ends."""
    metrics.of("etcd").begun(EPOCH)
    metrics.of("etcd").ended(planned(), EPOCH + 1, 1.0)
    metrics.of("etcd").begun(EPOCH + 2)
    metrics.of("etcd").ended(failed(), EPOCH + 3, 1.0)
    assert value(metrics, "last_attempt_timestamp_seconds", **OF_ETCD) == EPOCH + 2
    assert value(metrics, "last_success_timestamp_seconds", **OF_ETCD) == EPOCH + 1


def test_entries_that_are_held_are_counted(metrics: Metrics) -> None:
    """The gauge shows the number of held entries in the last plan."""
    held = (Stored("/a", "x", 1), Stored("/b", "y", 1))
    for keys in (held, ()):
        metrics.of("etcd").ended(planned(held=keys), EPOCH, 1.0)
        assert value(metrics, "entries_held", **OF_ETCD) == len(keys)


def test_only_the_stages_that_a_pass_reached_are_timed(metrics: Metrics) -> None:
    """A pass that ended early is not counted in the later stages."""
    metrics.of("etcd").ended(planned(seconds={Stage.REGISTRY_READ: 0.25, Stage.DOCKER: 2.0}), EPOCH, 1.0)
    assert value(metrics, "pass_duration_seconds_sum", stage="registry-read", **OF_ETCD) == 0.25
    assert value(metrics, "pass_duration_seconds_count", stage="docker", **OF_ETCD) == 1
    assert value(metrics, "pass_duration_seconds_count", stage="apply", **OF_ETCD) == 0


@pytest.mark.parametrize("ended", COUNTED_RESULTS)
@pytest.mark.parametrize(
    "change",
    [added(KEY), altered(KEY, "a:1", "b:2"), removed(KEY), renewed(KEY), recorded()],
    ids=lambda each: each.action.value,
)
def test_operations_are_counted_by_action_and_result(metrics: Metrics, change: object, ended: Result) -> None:
    """Each outcome is counted once."""
    report = planned(change, ended=ended)  # type: ignore[arg-type] # pytest's parameters have no type
    metrics.of("etcd").ended(report, EPOCH, 1.0)
    action = report.outcomes[0].change.action.value
    assert value(metrics, "operations_total", action=action, result=ended.value, **OF_ETCD) == 1
    assert total(metrics, "operations_total") == 1


def test_a_change_that_waits_is_no_operation(metrics: Metrics) -> None:
    """A change that waits was not tried. A gauge shows how many changes were not made when they were last tried, except
    those that lost a race for the first time."""
    metrics.of("etcd").ended(planned(added(KEY), ended=Result.WAITING), EPOCH, 1.0)
    assert total(metrics, "operations_total") == 0
    metrics.of("etcd").ended(planned(added(KEY), removed("/a/b"), ended=Result.REJECTED), EPOCH, 1.0)
    assert value(metrics, "changes_waiting", **OF_ETCD) == 2
    metrics.of("etcd").ended(planned(added(KEY), ended=Result.CONFLICT), EPOCH, 1.0)
    assert value(metrics, "changes_waiting", **OF_ETCD) == 0


@pytest.mark.parametrize(
    ("result", "good"),
    [
        (PassResult.SUCCESS, True),
        (PassResult.INCOMPLETE, True),
        (PassResult.UNFINISHED, True),
        (PassResult.OPERATION_ERROR, False),
    ],
)
def test_a_rejected_change_is_no_sign_of_a_dead_host(metrics: Metrics, result: PassResult, good: bool) -> None:
    """The time of the last success goes on while everything but the rejected change is in step, and while a long pass
    makes progress."""
    metrics.of("etcd").ended(planned(result=result), EPOCH, 1.0)
    assert (value(metrics, "last_success_timestamp_seconds", **OF_ETCD) == EPOCH) is good


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
def test_only_applied_changes_with_a_drift_reason_are_counted_as_drift(
    metrics: Metrics, reason: Reason, repairs: int
) -> None:
    """A change that follows the containers is not drift, and a change that failed repaired nothing. What the first pass
    repairs is no drift either."""
    metrics.of("etcd").ended(planned(added(reason=reason)), EPOCH, 1.0)
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


def test_the_gauges_show_the_counts_of_the_last_pass(metrics: Metrics) -> None:
    """These are the entries, the refusals and excluded containers by reason, and the unknown containers."""
    excluded = {ContainerRef("1", "a"): ExclusionReason.UNHEALTHY, ContainerRef("2", "b"): ExclusionReason.UNHEALTHY}
    metrics.of("etcd").ended(evolve(BUSY, excluded=excluded, containers=9), EPOCH, 1.0)
    assert value(metrics, "containers_seen", **OF_ETCD) == 9
    assert {name: value(metrics, f"entries_{name}", **OF_ETCD) for name in COUNTS} == COUNTS
    assert value(metrics, "containers_excluded", reason="unhealthy", **OF_ETCD) == 2
    assert value(metrics, "containers_excluded", reason="filtered", **OF_ETCD) == 0
    assert value(metrics, "entries_refused", reason="bad-name", **OF_ETCD) == 2
    assert value(metrics, "entries_refused", reason="conflict", **OF_ETCD) == 1
    assert value(metrics, "containers_unknown", **OF_ETCD) == 1


def test_the_gauges_keep_their_values_in_a_pass_without_a_plan(metrics: Metrics) -> None:
    """Such a pass does not know how many entries or containers there are."""
    metrics.of("etcd").ended(BUSY, EPOCH, 1.0)
    metrics.of("etcd").ended(failed(), EPOCH, 1.0)
    assert {name: value(metrics, f"entries_{name}", **OF_ETCD) for name in COUNTS} == COUNTS
    assert value(metrics, "containers_unknown", **OF_ETCD) == 1


def test_gauges_of_refusals_and_unknown_containers_return_to_zero(metrics: Metrics) -> None:
    """They are 0 after a pass without refusals and unknown containers."""
    metrics.of("etcd").ended(BUSY, EPOCH, 1.0)
    metrics.of("etcd").ended(planned(), EPOCH, 1.0)
    assert total(metrics, "entries_refused") == 0
    assert total(metrics, "containers_unknown") == 0


def test_what_the_operator_drains_is_shown_until_it_ends(metrics: Metrics) -> None:
    """The whole host by itself, and how many containers were named."""
    named = {each: DrainedContainer(each, "", each) for each in ("web", "db")}
    metrics.of("etcd").ended(evolve(planned(), drain_order=DrainOrder(named)), EPOCH, 1.0)
    assert value(metrics, "drain_order", scope="containers", **OF_ETCD) == 2
    assert value(metrics, "drain_order", scope="all", **OF_ETCD) == 0
    metrics.of("etcd").ended(evolve(planned(), drain_order=DrainOrder(all_until=EPOCH)), EPOCH, 1.0)
    assert value(metrics, "drain_order", scope="containers", **OF_ETCD) == 0
    assert value(metrics, "drain_order", scope="all", **OF_ETCD) == 1
    metrics.of("etcd").ended(planned(), EPOCH, 1.0)
    assert total(metrics, "drain_order") == 0


def test_held_deletes_are_shown_and_their_passes_are_counted(metrics: Metrics) -> None:
    """The gauge has the deletes of the last pass that made a plan. The counter has the passes that held deletes
    back."""
    held = planned(held_back=(removed("/a/b/1"), removed("/a/b/2")))
    for report, shown, counted in ((held, 2, 1), (failed(), 2, 1), (held, 2, 2), (planned(), 0, 2)):
        metrics.of("etcd").ended(report, EPOCH, 1.0)
        assert value(metrics, "deletes_held_back", **OF_ETCD) == shown
        assert value(metrics, "guarded_passes_total", **OF_ETCD) == counted
    assert total(metrics, "operations_total") == 0


def test_the_series_of_owner_conflicts_and_owner_records_exist_from_the_start(metrics: Metrics) -> None:
    """Both are 0 before the first pass."""
    assert value(metrics, "passes_total", result="owner-conflict", **OF_ETCD) == 0
    assert value(metrics, "operations_total", action="record", result="failed", **OF_ETCD) == 0


def test_failed_requests_are_counted(metrics: Metrics) -> None:
    """Requests to the engine and to the registry are counted apart."""
    for _ in range(2):
        metrics.of("etcd").asked("http://a:1", usable=False)
    metrics.of("etcd").asked("http://a:1", usable=True)
    metrics.engine_failed()
    assert value(metrics, "engine_request_errors_total") == 1
    assert value(metrics, "registry_request_errors_total", **OF_ETCD) == 2


def test_requests_and_errors_are_counted_by_endpoint_from_zero_on() -> None:
    """The engine has no registry. The series exist before the first request, so that the first error is an increase."""
    metrics = Metrics("etcd", engine="unix:///e.sock", endpoints={"etcd": ("http://a:1", "http://b:2")})
    assert [total(metrics, name) for name in ("endpoint_requests_total", "endpoint_request_errors_total")] == [0, 0]
    metrics.engine_asked()
    metrics.engine_asked()
    metrics.engine_failed()
    metrics.of("etcd").asked("http://a:1", usable=False)
    metrics.of("etcd").asked("http://b:2", usable=True)
    found = {
        endpoint: [
            value(metrics, f"endpoint_{name}_total", registry=registry, endpoint=endpoint)
            for name in ("requests", "request_errors")
        ]
        for registry, endpoint in (("", "unix:///e.sock"), ("etcd", "http://a:1"), ("etcd", "http://b:2"))
    }
    assert found == {"unix:///e.sock": [2, 1], "http://a:1": [1, 1], "http://b:2": [1, 0]}


def test_the_endpoints_of_a_registry_that_have_series_are_limited() -> None:
    """A name in the DNS may stand for ever new endpoints. Those that were not asked for the longest time go first."""
    metrics = Metrics("etcd", "etcd-2", engine="unix:///e.sock")
    metrics.engine_asked()
    metrics.of("etcd-2").asked("http://0:1", usable=True)
    for number in range(100):
        metrics.of("etcd").asked("http://stays:1", usable=True)
        metrics.of("etcd").asked(f"http://{number}:1", usable=bool(number % 2))
    families = {each.name: each for each in own_families(metrics)}
    for name in ("endpoint_requests", "endpoint_request_errors"):
        shown = [each.labels for each in families[f"wharfinger_{name}"].samples]
        assert [each["registry"] for each in shown].count("etcd") == 32
        assert {"registry": "", "endpoint": "unix:///e.sock"} in shown
    assert value(metrics, "endpoint_requests_total", registry="etcd", endpoint="http://stays:1") == 100
    assert value(metrics, "endpoint_requests_total", registry="etcd-2", endpoint="http://0:1") == 1


def test_the_owner_is_a_label_of_build_info_once_it_is_known(metrics: Metrics) -> None:
    """There is one series at any time. A pass that did not learn the owner changes nothing."""
    owners = []
    for report in (failed(), planned(), failed()):
        metrics.of("etcd").ended(report, EPOCH, 1.0)
        (info,) = (each for each in own_families(metrics) if each.name == "wharfinger_build_info")
        owners += [(sample.labels["owner"], sample.value) for sample in info.samples]
    assert owners == [("", 1), ("core-01", 1), ("core-01", 1)]


def test_the_duration_of_whole_passes_is_counted(metrics: Metrics) -> None:
    """Also of a pass that failed, but not of one that broke."""
    for report in (planned(), failed()):
        metrics.of("etcd").ended(evolve(report, duration=0.25), EPOCH, 1.0)
    metrics.of("etcd").ended(failed(PassResult.INTERNAL_ERROR), EPOCH, 1.0)
    assert value(metrics, "whole_pass_duration_seconds_count", **OF_ETCD) == 2
    assert value(metrics, "whole_pass_duration_seconds_sum", **OF_ETCD) == 0.5


def test_the_delays_of_keys_are_counted_by_phase_from_a_millisecond_on(metrics: Metrics) -> None:
    """The smallest bucket ends at a millisecond."""
    for phase, seconds in ((Phase.START, 0.0009), (Phase.START, 0.004), (Phase.END, 70.0)):
        metrics.of("etcd").key_followed(phase, seconds)
    assert value(metrics, "key_delay_seconds_bucket", phase="start", le="0.001", **OF_ETCD) == 1
    assert value(metrics, "key_delay_seconds_bucket", phase="start", le="0.005", **OF_ETCD) == 2
    assert value(metrics, "key_delay_seconds_bucket", phase="end", le="60.0", **OF_ETCD) == 0
    assert value(metrics, "key_delay_seconds_count", phase="end", **OF_ETCD) == 1


def test_hints_are_counted_by_what_came_of_them(metrics: Metrics) -> None:
    """They flow while they come from somewhere."""
    metrics.hinted(HintOutcome.HURRIED_PASS)
    metrics.hinted(HintOutcome.NO_CHANGE, 3)
    assert value(metrics, "hints_total", outcome="hurried-pass") == 1
    assert value(metrics, "hints_total", outcome="no-change") == 3
    for origin in Origin:
        metrics.hints_come_from(origin)
        assert value(metrics, "hints_flowing") == (origin is not Origin.NOWHERE)


def test_lost_lines_of_the_log_are_counted(metrics: Metrics) -> None:
    """The first report may be about several lines: those that were lost before the agent was built."""
    metrics.log_lines_lost(3)
    metrics.log_lines_lost(1)
    assert value(metrics, "log_lines_lost_total") == 4


def scrape(metrics: Metrics, accept: str = "") -> str:
    """Return what Prometheus receives."""
    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    start: Callable[..., None] = lambda *_: None  # noqa: E731 - WSGI passes status and headers to it
    return b"".join(metrics.app()({**environ, "HTTP_ACCEPT": accept}, start)).decode()


def test_the_prometheus_and_the_openmetrics_format_can_be_parsed(metrics: Metrics) -> None:
    """The parsers are those of the client library, which are strict about OpenMetrics."""
    metrics.of("etcd").ended(planned(added(), unknown=(unreadable(),)), EPOCH, 1.0)
    text = scrape(metrics, "application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    families = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call] # it has no types
    names = {family.name for family in families}
    assert names >= {family.name for family in own_families(metrics)}
    assert names >= {family.name for family in prometheus.text_string_to_metric_families(scrape(metrics))}


def test_no_label_comes_from_a_container(metrics: Metrics) -> None:
    """The series stay the same, however many containers come and go and whatever their names are."""
    metrics.of("etcd").ended(planned(), EPOCH, 1.0)
    before = {line.rpartition(" ")[0] for line in scrape(metrics).splitlines()}
    for number in range(20):
        name = f"marker-{number}"
        change = added(f"/services/{name}/core-01:{name}:80")
        metrics.of("etcd").ended(planned(change, refusals=(refused(name),), unknown=(unreadable(name),)), EPOCH, 1.0)
        metrics.of("etcd").ended(failed(problem=name), EPOCH, 1.0)
    assert {line.rpartition(" ")[0] for line in scrape(metrics).splitlines()} == before


def test_every_refusal_reason_and_action_of_the_model_is_a_label_value() -> None:
    """Log, dry run and metrics use the same words."""
    values = {sample.labels.get("reason") for family in own_families(Metrics("etcd")) for sample in family.samples}
    assert values >= {reason.value for reason in RefusalReason}
    assert {action.value for action in Action} <= {
        sample.labels.get("action") for family in own_families(Metrics("etcd")) for sample in family.samples
    }


def test_each_registry_has_series_of_its_own() -> None:
    """Every series exists for each registry from the start, and a pass over one registry changes no series of
    another."""
    both = Metrics("etcd", "etcd-2", endpoints=dict.fromkeys(("etcd", "etcd-2"), ("http://a:1",)))
    both.of("etcd-2").begun(EPOCH)
    both.of("etcd-2").ended(BUSY, EPOCH, 1.0)
    both.of("etcd-2").asked("http://a:1", usable=False)
    samples = [sample for family in own_families(both) for sample in family.samples]
    changed = {sample.labels["registry"] for sample in samples if sample.value and "registry" in sample.labels}
    assert changed == {"etcd-2"}
    series = [
        {
            (sample.name, *sorted((sample.labels | {"registry": ""}).items()))
            for sample in samples
            if sample.labels.get("registry") == label
        }
        for label in ("etcd", "etcd-2")
    ]
    assert series[0] == series[1] != set()


def test_failed_requests_to_the_engine_have_no_registry_label() -> None:
    """All loops use one engine, so a failed request is counted once."""
    both = Metrics("etcd", "etcd-2")
    both.engine_failed()
    assert value(both, "engine_request_errors_total") == 1
