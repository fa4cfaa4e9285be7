"""Render the report of a pass as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model.plan import Action, Change
from model.refusal import Refusal
from model.report import Outcome, PassReport

#: The actions that are counted.
_COUNTED = (Action.CREATE, Action.UPDATE, Action.DELETE)


def as_json(reports: Mapping[str, PassReport]) -> str:
    """Return one JSON document for the reports, which are given by the labels of their registries.

    The report of a single registry is the document itself. Several reports are a list under ``registries``.
    """
    documents = [_document(label, report) for label, report in reports.items()]
    document = documents[0] if len(documents) == 1 else {"registries": documents}
    return json.dumps(document, indent=2, sort_keys=True)


def _document(label: str, report: PassReport) -> dict[str, Any]:
    results = {outcome.change.key: outcome for outcome in report.outcomes}
    return {
        "registry": label,
        "result": report.result.value,
        "problem": report.problem,
        "owner": report.owner,
        "changes": [_change_document(change, results.get(change.key)) for change in report.plan.visible],
        "held": [{"key": each.key, "value": each.value} for each in report.plan.held],
        "held_back": [
            _change_document(change, None) | {"detail": report.held_deletes[change.key].presence.about}
            for change in report.plan.held_back
        ],
        "refused": [_refusal_document(refusal) for refusal in report.plan.refusals],
        "unknown": [{"container": each.ref.name, "problem": each.problem} for each in report.unknown],
        "loopback": [
            {"container": each.container.name, "port": str(each.container_port), "address": each.address}
            for each in report.loopback
        ],
        "draining": [
            {"container": ref.name, "container_id": ref.id, "detail": each.why} for ref, each in report.draining.items()
        ],
        "counts": {
            **{action.value: report.plan.count(action) for action in _COUNTED},
            "in_sync": report.plan.in_sync,
            "refused": len(report.plan.refusals),
            "foreign": report.plan.foreign,
            "held_back": len(report.plan.held_back),
        },
    }


def _change_document(change: Change, outcome: Outcome | None) -> dict[str, Any]:
    return {
        "action": change.action.value,
        "key": change.key,
        "value": change.value or None,
        "before": change.before.value if change.before else None,
        "reason": change.reason.value,
        "container": change.container_id or None,
        "result": outcome.result.value if outcome else None,
        "detail": (outcome.detail if outcome else "") or change.detail,
    }


def _refusal_document(refusal: Refusal) -> dict[str, str]:
    return {
        "container": refusal.container.name,
        "container_id": refusal.container.id,
        "port": str(refusal.port),
        "reason": refusal.reason.value,
        "detail": refusal.detail,
    }
