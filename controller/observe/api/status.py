"""How the agent and each of its loops are: ``/api/v1/status``."""

from __future__ import annotations

from collections import Counter

from attrs import frozen

from controller.observe.api.values import VERSION, Document, moment_text
from controller.observe.last_reports import Seen
from model.desired import ExclusionReason
from model.drain_order import DrainOrder, moment_of
from model.refusal import RefusalReason
from model.report import PassReport


@frozen
class AgentStatus:
    """What is known of the agent as a whole."""

    #: The version of the program.
    program: str
    #: When the agent was started, in seconds since the epoch.
    started: float
    #: The owner of its entries; empty while no pass has learned it.
    owner: str
    #: The id of the engine; empty where the engine has none, or no pass has learned it.
    engine_id: str
    #: How the agent gets the engine's events: by a ``stream``, by asking for the ``history``, from ``nowhere`` because
    #: both fail, or not at all because --no-hints is given (``off``).
    hints: str


def status_document(agent: AgentStatus, registries: list[Document], now: float) -> Document:
    """Return the document of the agent. ``registries`` are those of ``registry_document``, and ``now`` is in seconds
    since the epoch."""
    return {
        "version": VERSION,
        "program": agent.program,
        "started_at": moment_text(agent.started),
        "now": moment_text(now),
        "owner": agent.owner or None,
        "engine_id": agent.engine_id or None,
        "hints": agent.hints,
        "registries": registries,
    }


def registry_document(label: str, uri: str, seen: Seen) -> Document:
    """Return how the loop of one registry is. ``uri`` has no secrets. What is known by no pass yet is null."""
    last, planned = seen.last, seen.planned
    return {
        "registry": label,
        "uri": uri,
        "result": last.report.result.value if last else None,
        "problem": last.report.problem if last else "no pass has ended yet",
        "ended_at": moment_text(last.at if last else None),
        "running_since": moment_text(seen.running_since),
        "planned_at": moment_text(planned.at if planned else None),
        "counts": _counts(planned.report) if planned else None,
        "drain_order": _drain_order(planned.report.drain_order) if planned else None,
        "unreadable_drain_order": (planned.report.unreadable_drain_order or None) if planned else None,
    }


def _counts(report: PassReport) -> Document:
    """Return what there was in a pass that made a plan, by number. Every reason is there, also with 0."""
    plan = report.plan
    refused, excluded = Counter(each.reason for each in plan.refusals), Counter(report.excluded.values())
    return {
        "containers": report.containers,
        "wanted": plan.wanted,
        "in_step": report.in_step,
        "pending": report.pending,
        "held": len(plan.held),
        "held_back": len(plan.held_back),
        "refused": {each.value: refused[each] for each in RefusalReason},
        "excluded": {each.value: excluded[each] for each in ExclusionReason},
        "unreadable_containers": len(report.unknown),
        "foreign": plan.foreign,
        "unreadable": plan.unreadable,
    }


def _drain_order(order: DrainOrder) -> Document:
    """Return what the operator drains. ``until`` is null for a drain that only ``wharfinger undrain`` ends."""
    everything = None if order.all_until is None else {"until": moment_of(order.all_until)}
    return {
        "all": everything,
        "containers": [
            {"id": each.id, "name": each.name, "until": moment_of(each.until)}
            for _, each in sorted(order.containers.items())
        ],
    }
