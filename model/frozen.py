"""An immutable mapping for frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def frozen_dict(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a read-only copy of ``mapping``. It is an attrs converter that leaves the field's declared type as it
    is."""
    return MappingProxyType(dict(mapping))
