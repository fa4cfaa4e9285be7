"""Names of the DNS: which texts can be one."""

from __future__ import annotations

import re

#: A label of a name that a service can have. ``_`` is no host name's, but resolvers take it, and image names have it.
#: Not at the beginning, where etcd's v2 API hides a key that begins with it.
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")

#: CoreDNS and SkyDNS answer a question that has one of these as a label with everything in its place.
_WILDCARDS = frozenset({"any", "*"})

#: The longest name, written with dots. Source: RFC 1035, 2.3.4: 255 octets with the length of each label.
NAME_LIMIT = 253


def is_label(text: str) -> bool:
    """Whether ``text`` can be one label of a name, in small or capital letters."""
    return _LABEL.fullmatch(text) is not None


def label_problem(text: str) -> str | None:
    """Why ``text`` cannot be a label that somebody asks for, or None when it can."""
    if text.lower() in _WILDCARDS:
        return "is what a DNS server takes for any name"
    if not is_label(text):
        return "is no DNS label: up to 63 letters, digits, '-' and '_', with a letter or digit at both ends"
    return None


def domain_problem(text: str) -> str | None:
    """Why ``text`` cannot be a domain, written with dots and without one at its end, or None when it can."""
    for label in text.split("."):
        if problem := label_problem(label):
            return f"has the part {label!r}, which {problem}"
    return f"is longer than {NAME_LIMIT} characters" if len(text) > NAME_LIMIT else None
