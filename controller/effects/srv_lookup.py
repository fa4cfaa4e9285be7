"""Look up SRV records in the DNS. This is the only module that imports dnspython.

The standard library has no look-up of SRV records. Loading dnspython takes 75 ms of CPU, so this module is imported at
the first look-up, which runs in the background.
"""

from __future__ import annotations

from collections.abc import Sequence

import dns.exception
import dns.name
import dns.resolver

from controller.errors import one_line
from model.srv import SrvRecord

#: Seconds that a look-up may take, over all name servers and tries.
LIFETIME = 5.0


def look_up(name: str, servers: Sequence[str] = (), port: int = 53, seconds: float = LIFETIME) -> Sequence[SrvRecord]:
    """Return the SRV records with this name, which is taken as a whole: no search domain is added.

    ``servers`` are the addresses of the name servers to ask, at ``port``. By default they are those in the machine's
    resolv.conf, as it is now. Raises OSError if there is no such record, or no name server answers within ``seconds``.
    """
    try:
        resolver = dns.resolver.Resolver(configure=not servers)
        if servers:
            resolver.nameservers, resolver.port = [*servers], port
        answer = resolver.resolve(dns.name.from_text(name), "SRV", search=False, lifetime=seconds)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
        raise OSError("the DNS has no such record") from error
    except dns.exception.Timeout as error:
        raise OSError(f"no name server answered within {seconds:g} seconds") from error
    except dns.exception.DNSException as error:
        raise OSError(one_line(error)) from error
    return [SrvRecord(each.priority, each.weight, each.port, each.target.to_text()) for each in answer]
