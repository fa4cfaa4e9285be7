"""An immutable mapping for frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def frozen_dict(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a read-only copy of ``mapping``, or a mapping that this function has made itself as it is: nobody can
    change it, and it need not be copied or compared in full by each value that takes it over. It is an attrs converter
    that leaves the field's declared type as it is."""
    return mapping if isinstance(mapping, MappingProxyType) else MappingProxyType(dict(mapping))
