"""registrator's own behaviour, replayed from what it was recorded to write."""

from __future__ import annotations

import pytest

from controller.registry.factory import layout_for
from controller.registry.uri import parse_uri
from model.container import from_inspect
from model.desired import Desired, desired
from model.layout import Layout
from model.ownership import Ownership
from model.plan import Action, plan
from model.rules import AddressRules, Deregister, Rules
from model.snapshot import Snapshot
from model.stored import Actual, Stored
from tests.support.parity import Case, load_cases

CASES = load_cases()


def rules_of(case: Case) -> Rules:
    """The rules that registrator's flags mean."""
    flags = dict(zip(case.flags, (*case.flags[1:], ""), strict=False))
    address = AddressRules(
        ip=flags.get("-ip", ""), label=flags.get("-useIpFromLabel", ""), internal="-internal" in flags
    )
    deregister = Deregister(flags.get("-deregister", "always"))
    return Rules(case.hostname, address, explicit="-explicit" in flags, deregister=deregister)


def wanted_in(case: Case, layout: Layout) -> Desired:
    """The desired state at the end of the case."""
    snapshot = Snapshot(tuple(from_inspect(document) for document in case.inspect.values()))
    return desired(snapshot, rules_of(case), layout)


def carry_out(case: Case) -> dict[str, str]:
    """The keys after one pass over the recorded end of the case, which began with the keys recorded before."""
    layout = layout_for(parse_uri(case.registry))
    actual = Actual({key: Stored(key, value, 1) for key, value in case.before.items()})
    keys = dict(case.before)
    for change in plan(wanted_in(case, layout), actual, Ownership(case.hostname, layout)).changes:
        if change.action is Action.DELETE:
            del keys[change.key]
        else:
            keys[change.key] = change.value
    return keys


def test_all_cases_are_here() -> None:
    """53 cases were recorded."""
    assert len(CASES) == 53


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_keys_and_values_as_registrator(case: Case) -> None:
    """What registrator wrote, key for key and value for value."""
    assert carry_out(case) == case.expect
