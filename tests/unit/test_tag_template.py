"""Templates in tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from model.tag_template import (
    LIMIT,
    SECRET_FIELDS,
    BadTemplate,
    Query,
    check_templates,
    expanded,
    has_templates,
    queries_in,
)
from tests.support.parity import load_case

#: A recorded inspect answer, with some labels.
(RECORDED,) = load_case("quickstart-nginx").inspect.values()
LABELS = {"tier": "front", "a,b": "c", "rack}}": "7", "empty": "", "two tags": "x,y"}
INSPECT = {
    **RECORDED,
    "Config": {**RECORDED["Config"], "Hostname": "web-1", "Labels": LABELS},
    "State": {**RECORDED["State"], "Running": True, "OOMKilled": False},
}


def answered(text: str, document: Mapping[str, Any] = INSPECT) -> str:
    """Return a text with what the answer says in the place of its templates."""
    answers = {query: query.answer(document) for query in queries_in(text)}
    return expanded(text, {query: found for query, found in answers.items() if found is not None})


# The table in the docstring of model.tag_template.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, and }} closing", "plain, and }} closing"),
        ("{{.Config.Hostname}}", "web-1"),
        ("host-{{ .Config.Hostname\t}},web", "host-web-1,web"),
        ("{{.Name}}", "/nginx"),
        ("{{.ID}}", RECORDED["Id"]),
        ("{{.Id}}{{.Id}}", RECORDED["Id"] * 2),
        ("{{.State.Running}},{{.State.OOMKilled}}", "true,false"),
        ("{{.State.ExitCode}}", "0"),
        ("{{.Config.Labels.tier}}", "front"),
        ('{{index .Config.Labels "tier"}}', "front"),
        ('{{ index  .Config.Labels\n"tier" }}', "front"),
        ("{{index .Config.Labels `tier`}}", "front"),
        ('{{index .Config.Labels "a,b"}}', "c"),
        ('{{index .Config.Labels "rack}}"}}', "7"),
        ('a{{index .Config.Labels "missing"}}b', "ab"),
        ('{{index .Config.Labels ""}}', ""),
        ('{{index .Config.Labels "empty"}}', ""),
        ('{{index .NetworkSettings "IPAddress"}}', RECORDED["NetworkSettings"]["IPAddress"]),
    ],
)
def test_a_template_is_replaced_by_what_the_engine_says(text: str, expected: str) -> None:
    """It is written as Go prints it, and the text around it stays as it is."""
    check_templates(text)
    assert answered(text) == expected


@pytest.mark.parametrize(("number", "expected"), [("0", "8.8.8.8"), ("1", "9.9.9.9"), ("000001", "9.9.9.9")])
def test_an_element_of_a_list_has_a_number(number: str, expected: str) -> None:
    """The first one has 0."""
    document = {"HostConfig": {"Dns": ["8.8.8.8", "9.9.9.9"]}}
    assert answered(f"{{{{index .HostConfig.Dns {number}}}}}", document) == expected


def test_a_mapping_that_is_null_has_no_key() -> None:
    """The engine writes null for a mapping that a container does not have, and Go prints nothing for its keys."""
    assert answered('<{{index .Config.Labels "tier"}}>', {"Config": {"Labels": None}}) == "<>"


@pytest.mark.parametrize(
    "text",
    [
        "{{.Config.Nothing}}",
        "{{.Config.Labels.missing}}",
        "{{.Name.First}}",
        "{{.Config.Labels}}",
        "{{.NetworkSettings.Networks}}",
        '{{index .NetworkSettings.Networks "bridge"}}',
        '{{index .Name "x"}}',
        "{{index .Name 0}}",
        "{{index .Nothing 0}}",
        "{{index .HostConfig.Dns 0}}",
        "{{index .Config.Labels 0}}",
        "{{.config.Hostname}}",
        "{{.HostConfig.Share}}",
        "{{.HostConfig.Nothing}}",
    ],
)
def test_what_the_engine_does_not_tell_is_never_written(text: str) -> None:
    """Nor is a list, a mapping, a fraction or null. Go would write such as ``<no value>`` or ``map[]``."""
    document = {**INSPECT, "HostConfig": {"Dns": [], "Share": 0.5, "Nothing": None}}
    with pytest.raises(BadTemplate) as bad:
        answered(f"a,{text}", document)
    expected = f"asks for {text!r}, and the engine does not tell that as text, a whole number, true or false"
    assert str(bad.value) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{x}}",
        "{{}}",
        "{{.}}",
        "{{..}}",
        "{{.Name.}}",
        "{{toUpper .Name}}",
        "{{.Name | toLower}}",
        "{{if .Name}}a{{end}}",
        "{{range .Mounts}}a{{end}}",
        "{{- .Name}}",
        "{{.Name -}}",
        "{{/* nothing */}}",
        "{{$x := .Name}}",
        "{{index .Config.Labels}}",
        '{{index .Config.Labels "a" "b"}}',
        '{{index .Config.Labels "a\\"b"}}',
        '{{index .Config.Labels "a\nb"}}',
        "{{index .Config.Labels 'a'}}",
        "{{index .Mounts -1}}",
        "{{index .Mounts 1234567}}",
        '{{index.Config.Labels "a"}}',
        '{{index .Config.Labels"a"}}',
        '{{(index .NetworkSettings.Networks "a").IPAddress}}',
        '{{with index .Config.Labels "a"}}',
        "{{.Größe}}",
        "{{.Name",
        "{{.Name}",
        "{{",
    ],
)
def test_anything_more_is_refused(text: str) -> None:
    """The message shows it, and says what is understood. Nothing is looked up for a text with such a template."""
    given = f"{{{{.Name}}}}{text}"
    for refuse in (check_templates, answered):
        with pytest.raises(BadTemplate) as bad:
            refuse(given)
        assert str(bad.value)[:7] in {"has '{{", 'has "{{'}
        assert str(bad.value).endswith('and only {{.Field}} and {{index .Field "key"}} are understood')
    assert queries_in(given) == frozenset()
    assert has_templates(given)


@pytest.mark.parametrize("secret", SECRET_FIELDS, ids=".".join)
def test_no_template_reads_what_an_operator_tells_a_container_alone(secret: tuple[str, ...]) -> None:
    """An image may bring labels of its own, so who writes a template need not know the container's environment. No way
    leads there."""
    path, last = "".join(f".{name}" for name in secret[:-1]), secret[-1]
    ways = [f"{{{{{path}.{last}}}}}", f"{{{{index {path}.{last} 0}}}}", f'{{{{index {path}.{last} "x"}}}}']
    ways.append(f"{{{{ {path}.{last}.More }}}}")
    if path:
        ways.append(f'{{{{index {path} "{last}"}}}}')
    for way in ways:
        with pytest.raises(BadTemplate) as bad:
            check_templates(way)
        assert str(bad.value) == f"asks for {way!r}, which may have secrets in it"


def test_templates_cannot_grow_without_bounds() -> None:
    """A container's labels have no limit. Neither the text nor what becomes of it may be longer than a JSON value."""
    document = {"Config": {"Labels": {"long": "x" * 1000}}}
    template = '{{index .Config.Labels "long"}}'
    assert len(answered(template * 65, document)) == 65_000
    with pytest.raises(BadTemplate, match="has templates that make more than 65536 characters"):
        answered(template * 66, document)
    with pytest.raises(BadTemplate, match="has templates and more than 65536 characters"):
        check_templates(f"{{{{.Name}}}}{'x' * LIMIT}")


def test_the_same_question_is_asked_once() -> None:
    """However it is written."""
    assert queries_in("{{.Name}} {{ .Name }}") == {Query(("Name",))}
    assert queries_in('{{index .A "b"}}{{index .A `b`}}{{index .A 0}}') == {Query(("A",), "b"), Query(("A",), 0)}
    assert not has_templates("a}}{b{")
