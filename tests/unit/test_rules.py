"""Tests of model.rules: which containers the health rule admits."""

from __future__ import annotations

import pytest

from model.rules import HealthRule
from tests.support.builders import container


@pytest.mark.parametrize(
    ("rule", "health", "admitted"),
    [
        (HealthRule.ANY, "unhealthy", True),
        (HealthRule.ANY, "", True),
        (HealthRule.HEALTHY, "healthy", True),
        (HealthRule.HEALTHY, "", True),
        (HealthRule.HEALTHY, "starting", False),
        (HealthRule.HEALTHY, "unhealthy", False),
    ],
)
def test_the_health_rule_admits_healthy_containers_and_those_without_healthcheck(
    rule: HealthRule, health: str, admitted: bool
) -> None:
    """Without --health healthy every container is admitted."""
    assert rule.admits(container(health=health)) is admitted
