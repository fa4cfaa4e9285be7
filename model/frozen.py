"""An immutable mapping for frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def frozen_dict(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A read-only copy of ``mapping``. As an attrs converter it leaves the field's declared type in force."""
    return MappingProxyType(dict(mapping))
