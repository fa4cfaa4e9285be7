"""The sweep: reading everything under a prefix to find the own keys that nothing else leads to.

A pass looks at the keys that it knows of. A key of this host that no container backs, and that the agent has never
seen, is found by a sweep alone. A sweep costs etcd in proportion to the keys of all hosts, and each host sweeps, so
large clusters sweep less often. A sweep reads page after page, and goes on from pass to pass, so that no pass waits for
the whole of it, and none fails because of it.
"""

from __future__ import annotations

from attrs import frozen

#: The number of hosts under a prefix from which on passes no longer read what the others write.
MANY_HOSTS = 20

#: Seconds between two sweeps in a cluster of few hosts if ``-resync`` does not say.
PERIOD = 60.0

#: Seconds over which the sweeps after a start or a doubt are spread, for each MANY_HOSTS of the cluster. A whole fleet
#: can be started, or lose a member of etcd, at one moment.
SPREAD = 10.0

#: Seconds of a pass after which a sweep reads no further page. The page that is being read may take longer.
SECONDS_OF_A_PASS = 0.05

#: How many times as long as its last pages took a sweep rests, and the most seconds that it does. The slower etcd
#: answers, the less is asked of it, so that the sweeps of a whole fleet cannot keep it busy.
REST, MOST_REST = 20.0, 30.0

#: The most keys under a prefix that are read together with the own ones, for each of the own ones, and in any case.
#: For etcd, looking through this many keys for newer ones is as much work as comparing one revision.
KEYS_FOR_EACH_OWN, FEW_KEYS = 25, 500


def is_small(hosts: int, keys: int, own: int) -> bool:
    """Return whether a prefix with so many hosts and keys, ``own`` of them this host's, is small: reading whatever
    anybody has written there costs etcd no more than comparing the revisions of the own keys."""
    return hosts < MANY_HOSTS and keys <= max(FEW_KEYS, KEYS_FOR_EACH_OWN * own)


def rest_after(seconds: float) -> float:
    """Return for how many seconds a sweep rests after pages that took so long, whether or not they were answered."""
    return min(REST * seconds, MOST_REST)


@frozen
class SweepRule:
    """When sweeps are made."""

    #: Seconds between two sweeps in a cluster of few hosts (``-resync``).
    period: float = PERIOD
    #: Whether the first pass sweeps, however large the cluster. A single pass has to find everything.
    at_once: bool = False

    def sweeps_first(self, hosts: int) -> bool:
        """Return whether the first pass looks at what others have under the prefix. In a large cluster, the host's own
        entries must not wait for that."""
        return self.at_once or hosts < MANY_HOSTS

    def next(self, now: float, hosts: int, random: float) -> float:
        """Return when the sweep after the one of ``now`` is due. ``random``, from 0 to 1, lets the sweeps of several
        hosts drift apart. Three quarters of the period are the shortest time between two sweeps, and the period is the
        longest."""
        return now + self.period * max(1.0, hosts / MANY_HOSTS) * (3 + random) / 4

    def after_doubt(self, now: float, hosts: int, random: float) -> float:
        """Return when a sweep is due that a start or a doubt calls for: at once, or in a large cluster at a random
        moment, because what caused it may have met all hosts."""
        if self.sweeps_first(hosts):
            return now
        return now + random * SPREAD * hosts / MANY_HOSTS
