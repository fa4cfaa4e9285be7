"""How two JSON values differ."""

from __future__ import annotations

import pytest

from controller.commands.json_difference import json_difference


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ('{"port":80}', '{"port":81}', "port: 80 -> 81"),
        ('{"host":"a","port":80}', '{"host":"b","port":80}', 'host: "a" -> "b"'),
        ('{"host":"a"}', '{"host":"a","ttl":30}', "ttl: none -> 30"),
        ('{"host":"a","ttl":30}', '{"host":"a"}', "ttl: 30 -> none"),
        ('{"b":1,"a":1}', '{"b":2,"a":2}', "a: 1 -> 2, b: 1 -> 2"),
        ('{"tags":["x"]}', '{"tags":["x","y"]}', 'tags: ["x"] -> ["x", "y"]'),
        ('{"attrs":{"a":"1","b":"2"}}', '{"attrs":{"a":"1","b":"3"}}', 'attrs.b: "2" -> "3"'),
        ('{"attrs":{}}', '{"attrs":{"a":"1"}}', 'attrs: {} -> none, attrs.a: none -> "1"'),
        ('{"name":"日本"}', '{"name":"ü"}', 'name: "日本" -> "ü"'),
        ('{"a":null}', "{}", "a: null -> none"),
    ],
)
def test_the_fields_that_differ_are_shown(before: str, after: str, difference: str) -> None:
    """They are sorted by name, and those that are equal are left out."""
    assert json_difference(before, after) == difference


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("10.0.0.1:80", '{"port":80}'),
        ('{"port":80}', "10.0.0.1:80"),
        ("10.0.0.1:80", "10.0.0.1:81"),
        ("80", "81"),
        ("[1]", "[2]"),
        ('{"port": 80}', '{"port":80}'),
        ('{"port":80', '{"port":80}'),
        ('{"a":' * 100_000, "{}"),
        ('{"a":' + "9" * 5000 + "}", "{}"),
    ],
    ids=lambda text: text[:20],
)
def test_other_values_have_no_difference_to_show(before: str, after: str) -> None:
    """One of them is no JSON object, or both are the same, or somebody wrote what nobody can read."""
    assert json_difference(before, after) == ""
