"""Which texts can be names in DNS."""

from __future__ import annotations

import re

#: A label that a service's name may have. A host name has no ``_``, but resolvers accept it and image names have it. It
#: may not be the first character, as etcd's v2 API hides a key that begins with it.
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")

#: CoreDNS and SkyDNS answer a query that has one of these as a label with every name that could stand there.
_WILDCARDS = frozenset({"any", "*"})

#: The longest name in characters, written with dots. Source: RFC 1035, 2.3.4: 255 octets with the length of each label.
NAME_LIMIT = 253


def is_label(text: str) -> bool:
    """Return whether ``text`` can be one label of a name, in small or capital letters."""
    return _LABEL.fullmatch(text) is not None


def label_problem(text: str) -> str | None:
    """Return why ``text`` cannot be a label that clients query for, or None when it can."""
    if text.lower() in _WILDCARDS:
        return "is what a DNS server takes for any name"
    if not is_label(text):
        return "is no DNS label: up to 63 letters, digits, '-' and '_', with a letter or digit at both ends"
    return None


def domain_problem(text: str) -> str | None:
    """Return why ``text`` cannot be a domain, or None when it can. It is written with dots, and without one at its
    end."""
    for label in text.split("."):
        if problem := label_problem(label):
            return f"has the part {label!r}, which {problem}"
    return f"is longer than {NAME_LIMIT} characters" if len(text) > NAME_LIMIT else None
