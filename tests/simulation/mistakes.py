"""Put mistakes into the program that it once had, or that break a rule, one at a time: the simulation has to find each.

`python -m tests.simulation.mistakes [NAME...] [--seconds 300]` makes a copy of the tree for each mistake, puts the
mistake into the copy, and runs the simulation there with one seed after the other, until a run fails or the time is
over. A failed run does not count if the same seed also fails without the mistake.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen

ROOT = Path(__file__).parents[2]

#: Hosts and virtual seconds of each run.
HOSTS, SECONDS = 3, 1800.0

#: Makes one run in a copy of the tree, and prints its violation, the last line of its trace and its seconds of CPU. Its
#: arguments: seed, hosts, virtual seconds, API.
SCRIPT = """
import json, sys
from tests.simulation.run import Plan, run
seed, hosts, seconds, api = sys.argv[1:]
outcome = run(Plan(int(seed), int(hosts), float(seconds), int(api)))
print(json.dumps([outcome.violation, outcome.trace[-1] if outcome.violation else "", outcome.cpu]))
"""


@frozen
class Mistake:
    """A mistake that was in the program once, or that breaks one of its rules."""

    name: str
    #: What was wrong, in a sentence.
    wrong: str
    #: The commit that corrected the mistake, or that introduced the rule which the mistake breaks.
    mended_in: str
    file: str
    #: The text that the file has exactly once now, and the text that replaces it to bring the mistake back.
    now: str
    then: str
    #: The versions of etcd's API with which the mistake shows.
    apis: tuple[int, ...] = (3, 2)
    #: The scripted test that shows the mistake, if a run is unlikely to; empty: runs show it.
    test: str = ""

    def put_back(self, tree: Path) -> None:
        """Put the mistake into a copy of the tree. Raises ValueError if the file does not have the text to replace
        exactly once."""
        path = tree / self.file
        text = path.read_text()
        if text.count(self.now) != 1:
            raise ValueError(f"{self.name}: {self.file} has this {text.count(self.now)} times, not once: {self.now}")
        path.write_text(text.replace(self.now, self.then))


MISTAKES = (
    Mistake(
        "late-create",
        "A create under a custom id that etcd carried out late brought back the key of a container that had ended.",
        "df71908",
        "controller/registry/etcd_v3/writer.py",
        "        compare.append(record_is_unchanged)",
        "        pass",
        apis=(3,),
    ),
    Mistake(
        "last-second-of-a-lease",
        "Every read failed while the lease had less than a second left, because the gateway leaves out a TTL of 0.",
        "df71908",
        "controller/registry/etcd_v3/lease.py",
        'return int(answer.get("TTL", 0))',
        'return int(answer["TTL"])',
        apis=(3,),
    ),
    Mistake(
        "held-back-keys-expire",
        "Keys whose delete the guard held back were not renewed meanwhile.",
        "df71908",
        "model/guard.py",
        "        elif stored and stored.renewable and self.lifetime.due(stored.ttl):",
        "        elif stored and stored.renewable and self.lifetime.unwanted(stored.ttl):",
    ),
    Mistake(
        "new-keys-on-a-dying-lease",
        "New keys were attached to a lease that was about to expire, because nothing had renewed it.",
        "df71908",
        "controller/registry/etcd_v3/writer.py",
        "            self._lease.revive(owner, deadline)",
        "            pass",
        apis=(3,),
    ),
    Mistake(
        "wiped-store-taken-for-the-same",
        "A wiped store that had passed its old revision again was taken for the store of the earlier reads.",
        "df71908",
        "controller/registry/etcd_v3/reader.py",
        "            and self.record >= earlier.record\n            and self.failures == earlier.failures\n",
        "",
        apis=(3,),
    ),
    Mistake(
        "a-standby-loses-its-id",
        "A host that gave up an id deleted its key, although another host had waited for it and now held it.",
        "5d5a750",
        "model/ownership.py",
        "        return evolve(self, claims=claims, contested=claimed_keys(others))",
        "        return evolve(self, contested=claimed_keys(others))",
    ),
    Mistake(
        "claims-of-others-do-not-count",
        "When two hosts claimed one key, the host that had lost the race for the key overwrote it.",
        "b5e01c9",
        "model/ownership.py",
        "        return evolve(self, claims=claims, contested=claimed_keys(others))",
        "        return evolve(self, claims=claims)",
    ),
    Mistake(
        "never-a-consistent-read",
        "An agent read old data from a cut-off member for ever, as only passes with a delete read through the quorum.",
        "ec06676",
        "controller/reconcile/one_pass.py",
        "MAX_PASSES_WITHOUT_CONSISTENT_READ = 29",
        "MAX_PASSES_WITHOUT_CONSISTENT_READ = 10**9",
        apis=(2,),
    ),
    Mistake(
        "a-stale-read-decides-a-delete",
        "A delete was decided by the first read of etcd, which may be stale; nothing was read again.",
        "b5e01c9",
        "controller/reconcile/one_pass.py",
        "        return frozenset(each.key for each in deletes if each.key not in self.waiting)",
        "        return frozenset()",
    ),
    Mistake(
        "unreadable-is-gone",
        "A container whose inspect failed counted as gone, and its keys were deleted.",
        "1b6e90d",
        "controller/source/docker.py",
        ' if self._has_ended(line["Id"]) else UnknownContainer(listed_ref(line), _silence_message(reply))',
        "",
    ),
    Mistake(
        "inspect-that-disagrees-is-kept",
        "An inspect answer from the middle of a restart was kept, although it disagreed with the engine's list.",
        "c571ee9",
        "controller/source/docker.py",
        "            if container and agrees_with_list(container, line):",
        "            if container:",
    ),
    Mistake(
        "health-unseen",
        "A change of health went unseen, because a kept inspect answer was compared with the list without the health.",
        "380f630",
        "model/listing.py",
        '    return {**shown, "exit": ended, "health": _health_in(status)}',
        '    return {**shown, "exit": ended}',
    ),
    Mistake(
        "custom-ids-only-in-memory",
        "A key under a custom id was the host's only while its agent remembered it, so a restart left it for ever.",
        "b5e01c9",
        "controller/reconcile/one_pass.py",
        "Ownership(self.owner, self.settings.layout, record.claims, memory.known, may_adopt=may_adopt)",
        "Ownership(self.owner, self.settings.layout, {}, memory.known, may_adopt=may_adopt)",
    ),
    Mistake(
        "no-guard",
        "A mass delete was made in the first pass that called for it.",
        "b5e01c9",
        "model/guard.py",
        "    return deletes > rule.spared and deletes * 100 > own * rule.percent",
        "    return deletes > own",
    ),
    Mistake(
        "guard-ends-early",
        "A mass delete was made in the second pass that called for it.",
        "b5e01c9",
        "model/guard.py",
        "    passes: int = 3",
        "    passes: int = 2",
    ),
    Mistake(
        "what-runs-is-gone",
        "A container that runs and is missing from one list of the engine lost its keys.",
        "d558f38",
        "model/guard.py",
        "_UNSUPPORTED = (Presence.RUNNING, Presence.UNKNOWN)",
        "_UNSUPPORTED = ()",
    ),
    Mistake(
        "guard-forgets",
        "The guard counted anew in each pass, so a mass delete was held back for ever.",
        "b5e01c9",
        "model/memory.py",
        "        held_deletes=report.held_deletes,",
        "        held_deletes={},",
    ),
    Mistake(
        "owner-by-its-beginning",
        "The keys of a host whose name begins with this host's name were taken for this host's.",
        "b5e01c9",
        "model/ownership.py",
        '    return DefaultId.parse(key_id) if key_id.startswith(f"{owner}:") and is_utf8(key) else None',
        "    return DefaultId.parse(key_id) if key_id.startswith(owner) and is_utf8(key) else None",
    ),
    Mistake(
        "updates-without-a-lifetime",
        "A key that was updated lost its lifetime, and outlived its host.",
        "d2b387c",
        "controller/registry/etcd_v3/writer.py",
        "        return self._lease.id(owner) if change.action in {Action.CREATE, Action.UPDATE} else 0",
        "        return self._lease.id(owner) if change.action is Action.CREATE else 0",
        apis=(3,),
    ),
    Mistake(
        "keys-from-before-the-ttl-live-for-ever",
        "Keys that were there before -ttl was given never got a lifetime, and outlived their host.",
        "c571ee9",
        "model/stored.py",
        "        return self.ttl > 0 and (left is None or not self.kept < left <= self.ttl)",
        "        return self.ttl > 0 and left is not None and not self.kept < left <= self.ttl",
    ),
    Mistake(
        "keys-from-before-the-end-of-the-ttl-expire",
        "After -ttl was taken away, keys kept the lifetime that they had, and expired.",
        "c571ee9",
        "model/stored.py",
        "        return self.ttl == 0 and left is not None",
        "        return False",
    ),
    Mistake(
        "any-lease-is-ours",
        "Keys on the lease of an earlier -ttl were taken for keys on the present lease, and expired with their own.",
        "d2b387c",
        "controller/registry/etcd_v3/documents.py",
        "        renewable=bool(lease) and key_lease == lease,",
        "        renewable=bool(lease) and key_lease != 0,",
        apis=(3,),
    ),
    Mistake(
        "deletes-first",
        "A renamed container's old key was deleted before its new key was there.",
        "c571ee9",
        "model/plan.py",
        "(change.action is Action.DELETE, by_number(change.key))",
        "(change.action is not Action.DELETE, by_number(change.key))",
    ),
    Mistake(
        "record-not-needed",
        "Entries under custom ids were written although the owner record that claims them could not be written.",
        "b5e01c9",
        "controller/reconcile/one_pass.py",
        "    return record.result is Result.CONFLICT or (change.claimed and unwritten)",
        "    return record.result is Result.CONFLICT and not unwritten",
    ),
    Mistake(
        "deletes-without-a-condition",
        "A key was deleted without the condition that it is still as it was read.",
        "c571ee9",
        "controller/registry/etcd_v2/writer.py",
        'self._client.request("DELETE", change.key, guard, deadline)',
        'self._client.request("DELETE", change.key, {}, deadline)',
        apis=(2,),
    ),
    Mistake(
        "deleted-keys-stay-in-the-cache",
        "The cache of earlier reads went on showing keys that had been deleted since.",
        "d2b387c",
        "controller/registry/etcd_v3/reader.py",
        "        if self._prefix and len(stored) == newer.count:",
        "        if self._prefix:",
        apis=(3,),
        test="tests/simulation/test_large_fleet.py::test_in_a_small_fleet_too",
    ),
    Mistake(
        "the-list-revives-the-dead",
        "A container that an event had ended was taken for running again, because the engine's list still showed it.",
        "1e570d5",
        "controller/source/hinted.py",
        "        return told is not None and told.died is not None and told.state(known) is None",
        "        return False",
        test="tests/simulation/test_hints.py"
        "::test_the_key_of_a_container_that_ends_goes_at_once_however_long_the_engine_takes_to_clear_up",
    ),
    Mistake(
        "an-earlier-end-ends-the-present-run",
        "The event of a container's end was taken to end a later run of the container, too.",
        "1e570d5",
        "model/hint.py",
        "        return self.kind is HintKind.DIE and container.started < self.moment",
        "        return self.kind is HintKind.DIE",
    ),
    Mistake(
        "no-list-while-events-arrive",
        "While the event stream was open, the engine's list was not read, so that a lost event was never made up for.",
        "1e570d5",
        "controller/source/docker.py",
        "LIST_INTERVAL = 5.0",
        "LIST_INTERVAL = 1e9",
        test="tests/simulation/test_hints.py::test_without_events_all_is_right_in_time",
    ),
    Mistake(
        "what-the-engine-told-is-suspicious",
        "The guard held back the deletes of many containers, although the engine had told of the end of each.",
        "2ee0f02",
        "model/guard.py",
        "if not each.is_supported(self.confirmed))",
        "if each.key)",
    ),
    Mistake(
        "sweeps-end",
        "In a large fleet, no sweep followed the first one, so that an orphan stayed for ever.",
        "2ee0f02",
        "model/sweep.py",
        "        return now + self.period * max(1.0, hosts / MANY_HOSTS) * (3 + random) / 4",
        "        return now + 1e9",
        apis=(3,),
        test="tests/simulation/test_large_fleet.py::test_an_orphan_that_the_agent_never_saw_is_found_by_a_sweep",
    ),
    Mistake(
        "a-sweep-within-one-pass",
        "A pass failed if etcd was too slow for a whole sweep, and so did all passes after it.",
        "2fbe91c",
        "controller/registry/etcd_v3/reader.py",
        "            except RegistryUnavailable:\n                break",
        "            except RegistryUnavailable:\n                raise",
        apis=(3,),
        test="tests/simulation/test_slow_sweeps.py::test_while_no_page_is_answered_every_key_that_is_wanted_gets_right",
    ),
    Mistake(
        "own-keys-without-the-quorum",
        "A member that was cut off from the others could tell an agent that nothing had changed.",
        "2ee0f02",
        "controller/registry/etcd_v3/documents.py",
        '    return {"key": encoded(start), "range_end"',
        '    return {"key": encoded(start), "serializable": True, "range_end"',
        apis=(3,),
        test="tests/simulation/test_large_fleet.py::test_a_member_that_is_cut_off_from_the_others_hides_nothing",
    ),
    Mistake(
        "a-full-etcd-cannot-be-read",
        "Passes failed while etcd was full, because it refuses transactions that only compare and read.",
        "2ee0f02",
        "controller/registry/etcd_v3/reader.py",
        "            if not error.full:\n                raise\n",
        "            raise\n",
        apis=(3,),
        test="tests/simulation/test_large_fleet.py::test_an_agent_goes_on_reading_a_full_etcd",
    ),
    Mistake(
        "every-signal-drains",
        "A container lost its entries at a signal that stops nothing, such as HUP.",
        "da62930",
        "model/draining.py",
        "        ending = {container.stop_signal, TERM, KILL}",
        "        ending = range(1, 65)",
    ),
    Mistake(
        "a-signal-to-an-earlier-run-drains",
        "A container that was started again was without entries because of the signal that had stopped it before.",
        "da62930",
        "model/draining.py",
        "each.signal in ending and each.moment > container.started)",
        "each.signal in ending)",
    ),
    Mistake(
        "the-stop-grace-never-ends",
        "A container that ran on after a signal which should stop it never got its entries back.",
        "da62930",
        "model/draining.py",
        "        return max(container.stop_timeout + AFTER_TIMEOUT, self.grace) if given is None else given",
        "        return inf",
    ),
    Mistake(
        "nothing-drains",
        "A container kept its entries until it had ended, although the engine had told of the signal that stops it.",
        "da62930",
        "model/draining.py",
        "        if last is None or now >= last.at + self.grace_of(container):",
        "        if last is None or now:",
    ),
    Mistake(
        "a-drain-is-suspicious",
        "The guard held back the deletes of many containers that drained.",
        "da62930",
        "model/plan.py",
        "        return self.reason is Reason.DRAINING or self.container_id in confirmed",
        "        return self.container_id in confirmed",
        test="tests/simulation/test_operators_drain.py"
        "::test_the_drain_of_a_whole_host_takes_in_new_containers_and_the_guard_does_not_hold_it_back",
    ),
    Mistake(
        "the-grace-begins-when-the-agent-hears-of-the-signal",
        "A container was without entries for longer if the agent was started, or heard of its signal, late.",
        "17b0de8",
        "controller/source/sent_signals.py",
        "        age = max(0.0, wall - hint.seconds)",
        "        age = 0.0",
        test="tests/simulation/test_draining.py"
        "::test_the_grace_counts_from_the_signal_although_etcd_does_not_answer_meanwhile",
    ),
    Mistake(
        "signals-are-not-looked-up",
        "An agent that was started while a container was being stopped registered it again.",
        "da62930",
        "controller/source/docker.py",
        "            self._signals.recall(reply.value, self._clock.monotonic(), now)",
        "            pass",
        test="tests/simulation/test_draining.py"
        "::test_an_agent_that_is_killed_during_the_drain_and_started_again_goes_on",
    ),
    Mistake(
        "a-drained-restart-unnoticed",
        "A container stayed without entries after a restart of which no event told, if it looked the same in the list.",
        "5d77bcd",
        "controller/source/docker.py",
        "        matters = before.container.id in self._joined or before.container.id in self._signals.draining",
        "        matters = before.container.id in self._joined",
        test="tests/simulation/test_draining.py"
        "::test_a_restart_that_changes_nothing_in_the_list_is_noticed_although_its_events_are_lost",
    ),
    Mistake(
        "an-order-drains-every-run",
        "A container that the operator drained was without entries after it was started again.",
        "cda8bd5",
        "model/drain_order.py",
        "        return (container.id, container.started) == (self.id, self.started)",
        "        return container.id == self.id",
    ),
    Mistake(
        "an-order-never-ends",
        "A container that the operator drained for a while was without entries after it.",
        "cda8bd5",
        "controller/reconcile/one_pass.py",
        "drain_order_in(reading.actual.drain_order).at(self.settings.clock.wall())",
        "drain_order_in(reading.actual.drain_order)",
    ),
    Mistake(
        "an-old-order-deletes",
        "By v2, a member of etcd that lagged showed a drain order that was withdrawn, and the agent deleted by it.",
        "7d62b89",
        "controller/reconcile/one_pass.py",
        "each.is_supported(confirmed) and ordered.isdisjoint((each.container_id, each.container_name))",
        "each.is_supported(confirmed)",
        apis=(2,),
        test="tests/simulation/test_operators_drain.py"
        "::test_an_order_that_has_ended_deletes_nothing_although_a_member_of_etcd_still_shows_it",
    ),
)


@define
class Copies:
    """Makes copies of the tree, and remembers which seeds the unchanged copy passes."""

    folder: Path
    _passes: dict[tuple[int, int], bool] = field(factory=dict)

    def make(self, name: str) -> Path:
        """Copy all files that git tracks into a new folder of this name, and return the folder."""
        command = ["git", "ls-files", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        tree = self.folder / name
        for file in filter(None, listed.stdout.split("\0")):
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, tree / file)
        return tree

    def passes(self, seed: int, api: int) -> bool:
        """Return whether the unchanged tree passes a seed."""
        if (seed, api) not in self._passes:
            self._passes[seed, api] = not simulate(self.folder / "unchanged", seed, api).violation
        return self._passes[seed, api]


@frozen
class Finding:
    """How one run in a copy of the tree ended."""

    violation: str
    #: The virtual second of the violation.
    moment: float
    cpu: float


def simulate(tree: Path, seed: int, api: int) -> Finding:
    """Make one run in a copy of the tree."""
    command = [sys.executable, "-c", SCRIPT, str(seed), str(HOSTS), str(SECONDS), str(api)]
    ended = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if ended.returncode:
        return Finding(f"the run broke: {ended.stderr.strip().splitlines()[-1]}", 0.0, 0.0)
    violation, last_line, cpu = json.loads(ended.stdout)
    return Finding(violation, float(last_line.split()[0]) if last_line else 0.0, cpu)


def fails(tree: Path, test: str) -> bool:
    """Return whether a test fails in a copy of the tree."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", test]
    return subprocess.run(command, cwd=tree, capture_output=True, check=False).returncode == 1


def search(mistake: Mistake, copies: Copies, seconds: float, first_seed: int) -> tuple[str, bool]:
    """Put a mistake back into a copy of the program, and run seeds until one fails because of it, or run its test.
    Return a line that says which seed or test failed, and whether there was one."""
    tree = copies.make(mistake.name)
    mistake.put_back(tree)
    if mistake.test:
        found = fails(tree, mistake.test) and not fails(copies.folder / "unchanged", mistake.test)
        return f"{'found     ' if found else 'NOT FOUND '} {mistake.name}: by {mistake.test}", found
    began, cpu, runs = time.monotonic(), 0.0, 0
    for seed, api in _attempts(mistake.apis, first_seed):
        if time.monotonic() - began > seconds:
            break
        runs += 1
        finding = simulate(tree, seed, api)
        cpu += finding.cpu
        if finding.violation and copies.passes(seed, api):
            where = f"v{api} seed {seed} at {finding.moment:.0f} s, {cpu:.0f} s of CPU"
            return f"found      {mistake.name}: {where}: {finding.violation}", True
    return f"NOT FOUND  {mistake.name}: {runs} runs, {cpu:.0f} s of CPU: {mistake.wrong}", False


def _attempts(apis: Sequence[int], first_seed: int) -> Iterator[tuple[int, int]]:
    seed = first_seed
    while True:
        for api in apis:
            yield seed, api
        seed += 1


def main() -> int:
    """Put back the named mistakes, or all of them. Return 1 if the simulation did not find one, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mistakes", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which mistakes; all by default")
    parser.add_argument("--seconds", type=float, default=300.0, help="real seconds for each mistake")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    options = parser.parse_args()
    if unknown := set(options.names) - {each.name for each in MISTAKES}:
        parser.error(f"there is no mistake {', '.join(sorted(unknown))}")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copies = Copies(Path(folder))
        copies.make("unchanged")
        for mistake in MISTAKES:
            if not options.names or mistake.name in options.names:
                line, found = search(mistake, copies, options.seconds, options.seed)
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
                missed += not found
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
