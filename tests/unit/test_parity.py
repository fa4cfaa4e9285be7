"""registrator's own behaviour, replayed from what it was recorded to write."""

from __future__ import annotations

import json

import pytest

from model.address import AddressRules
from model.container import from_inspect
from model.desired import Deregister, Desired, Rules, Snapshot, desired
from model.layout import PlainLayout
from model.ownership import Ownership
from model.plan import Action, plan
from model.stored import Actual, Stored
from tests.support.parity import Case, load_cases

CASES = load_cases()
SKYDNS = [case for case in CASES if case.registry.startswith("skydns2:")]
PLAIN = [case for case in CASES if case not in SKYDNS]


def rules_of(case: Case) -> Rules:
    """The rules that registrator's flags mean."""
    flags = dict(zip(case.flags, (*case.flags[1:], ""), strict=False))
    address = AddressRules(
        ip=flags.get("-ip", ""), label=flags.get("-useIpFromLabel", ""), internal="-internal" in flags
    )
    deregister = Deregister(flags.get("-deregister", "always"))
    return Rules(case.hostname, address, explicit="-explicit" in flags, deregister=deregister)


def wanted_in(case: Case) -> Desired:
    """The desired state at the end of the case."""
    snapshot = Snapshot(tuple(from_inspect(document) for document in case.inspect.values()))
    return desired(snapshot, rules_of(case))


def carry_out(case: Case) -> dict[str, str]:
    """The keys after one pass over the recorded end of the case, which began with the keys recorded before."""
    layout = PlainLayout.under("/" + case.registry.split("/", 3)[3])
    actual = Actual({key: Stored(key, value, 1) for key, value in case.before.items()})
    keys = dict(case.before)
    for change in plan(wanted_in(case), actual, Ownership(case.hostname, layout)).changes:
        if change.action is Action.DELETE:
            del keys[change.key]
        else:
            keys[change.key] = change.value
    return keys


def test_all_cases_are_here() -> None:
    """53 cases were recorded."""
    assert len(PLAIN) + len(SKYDNS) == 53


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_the_same_keys_and_values_as_registrator(case: Case) -> None:
    """What registrator wrote, key for key and value for value."""
    assert carry_out(case) == case.expect


@pytest.mark.parametrize("case", SKYDNS, ids=lambda case: case.name)
def test_the_same_entries_under_skydns(case: Case) -> None:
    """The SkyDNS layout writes the same entries in another form: name, id, host and port are what is compared."""
    expect = {
        (*key.split("/")[-2:], json.loads(value)["host"], json.loads(value)["port"])
        for key, value in case.expect.items()
    }
    assert {(each.name, each.id, each.address, each.port) for each in wanted_in(case).entries} == expect
