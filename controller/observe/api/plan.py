"""The plan of a pass as a JSON document: ``/api/v1/plan``, and what ``wharfinger reconcile -o json`` prints."""

from __future__ import annotations

from controller.observe.api.values import VERSION, Document, change_document, refusal_document
from model.plan import Action
from model.report import PassReport

#: The actions that are counted: those that a reader of the prefix can see.
_COUNTED = (Action.CREATE, Action.UPDATE, Action.DELETE)


def plan_document(label: str, report: PassReport) -> Document:
    """Return the document of a pass over the registry with this label."""
    plan, results = report.plan, {outcome.change.key: outcome for outcome in report.outcomes}
    return {
        "version": VERSION,
        "registry": label,
        "result": report.result.value,
        "problem": report.problem,
        "owner": report.owner,
        "changes": [change_document(change, results.get(change.key)) for change in plan.visible],
        "held": [{"key": each.key, "value": each.value} for each in plan.held],
        "held_back": [
            change_document(change, None) | {"detail": report.held_deletes[change.key].presence.about}
            for change in plan.held_back
        ],
        "refused": [refusal_document(refusal) for refusal in plan.refusals],
        "unknown": [{"container": each.ref.name, "problem": each.problem} for each in report.unknown],
        "loopback": [
            {"container": each.container.name, "port": str(each.container_port), "address": each.address}
            for each in report.loopback
        ],
        "draining": [
            {"container": ref.name, "container_id": ref.id, "detail": each.why} for ref, each in report.draining.items()
        ],
        "counts": {
            **{action.value: plan.count(action) for action in _COUNTED},
            "in_sync": plan.in_sync,
            "refused": len(plan.refusals),
            "foreign": plan.foreign,
            "held_back": len(plan.held_back),
        },
    }


def plans_document(plans: list[Document]) -> Document:
    """Return the document of several plans."""
    return {"version": VERSION, "registries": plans}
