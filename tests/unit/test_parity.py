"""Tests of several modules of model/ together: from recorded containers to the keys that registrator wrote."""

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
from tests.support.parity import DIFFERENT, Case, load_cases

CASES = load_cases()


def rules_from_flags(case: Case) -> Rules:
    """Return the rules that registrator's flags stand for."""
    flags = dict(zip(case.flags, (*case.flags[1:], ""), strict=False))
    address = AddressRules(
        ip=flags.get("-ip", ""), label=flags.get("-useIpFromLabel", ""), internal="-internal" in flags
    )
    deregister = Deregister(flags.get("-deregister", "always"))
    return Rules(case.hostname, address, explicit="-explicit" in flags, deregister=deregister)


def desired_at_the_end(case: Case, layout: Layout) -> Desired:
    """Return the desired state at the end of the case."""
    snapshot = Snapshot(tuple(from_inspect(document) for document in case.inspect.values()))
    return desired(snapshot, rules_from_flags(case), layout)


def keys_after_one_pass(case: Case) -> dict[str, str]:
    """Return the keys and values after one pass that found the keys recorded before and the containers at the end."""
    layout = layout_for(parse_uri(case.registry))
    actual = Actual({key: Stored(key, value, 1) for key, value in case.before.items()})
    keys = dict(case.before)
    for change in plan(desired_at_the_end(case, layout), actual, Ownership(case.hostname, layout)).changes:
        if change.action is Action.DELETE:
            del keys[change.key]
        else:
            keys[change.key] = change.value
    return keys


def test_there_are_53_recorded_cases() -> None:
    """No case was lost from the file."""
    assert len(CASES) == 53


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_pass_leaves_the_keys_and_values_that_registrator_left(case: Case) -> None:
    """The keys and values after one pass are those that registrator wrote, but for the known differences."""
    assert keys_after_one_pass(case) == case.wanted


def test_each_difference_is_one() -> None:
    """No case is called different without need."""
    assert [case.name for case in CASES if case.name in DIFFERENT and DIFFERENT[case.name] != case.expect] == [
        *DIFFERENT
    ]
