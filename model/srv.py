"""DNS SRV records that name the endpoints of an etcd cluster, as etcdctl's ``--discovery-srv`` has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, groupby

from attrs import frozen

from model.address import address_problem
from model.host_port import HostPort


@frozen
class SrvRecord:
    """One SRV record. Source: RFC 2782."""

    #: Records with a lower number come first.
    priority: int
    #: Of records with the same priority, one with twice the weight is twice as often the first one.
    weight: int
    #: The port of the target, 0 if it has none.
    port: int
    #: The name of the host. It may end in a dot; a dot alone says that there is no host.
    target: str

    @property
    def endpoint(self) -> HostPort | None:
        """The endpoint that the record names; None if it names none that can be connected to."""
        host = self.target.removesuffix(".")
        return HostPort(host, self.port) if self.port and not address_problem(host) else None


def record_name(domain: str, *, tls: bool) -> str:
    """Return the name of the SRV records that have the endpoints of a domain: those of clients with TLS, or those of
    clients without."""
    return f"_etcd-client{'-ssl' if tls else ''}._tcp.{domain}"


def endpoints_in_order(records: Sequence[SrvRecord], draw: Callable[[], float]) -> tuple[HostPort, ...]:
    """Return the endpoints that these records name, each once, in the order in which they should be tried: by priority,
    and drawn by weight among those of one priority. ``draw`` returns a random number from 0 to 1."""
    by_priority = groupby(sorted(records, key=lambda each: each.priority), key=lambda each: each.priority)
    ordered = (record for _, group in by_priority for record in _drawn([*group], draw))
    return tuple(dict.fromkeys(endpoint for record in ordered if (endpoint := record.endpoint)))


def _drawn(records: Sequence[SrvRecord], draw: Callable[[], float]) -> Iterator[SrvRecord]:
    """Yield records of one priority in an order that is drawn by their weights. Those without a weight stand first when
    one is drawn, so that they have a small chance. Source: RFC 2782, "Weight"."""
    left = sorted(records, key=lambda each: each.weight)
    while left:
        drawn = draw() * sum(each.weight for each in left)
        sums = accumulate(each.weight for each in left)
        yield left.pop(next(number for number, so_far in enumerate(sums) if so_far >= drawn))
