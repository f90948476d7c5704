"""A template is usable or everything that is wrong with it is said at once; whatever comes in."""

from __future__ import annotations

import pickle
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.content import limits
from whisperer.content.errors import TemplateError
from whisperer.content.schema import template_json_schema
from whisperer.content.template import parse_template

VALIDATOR = jsonschema.Draft202012Validator(template_json_schema())
MAIL = {"channel": "email", "locales": {"en": {"subject": "Hi", "text": "Hello"}}}


def problems(obj: object) -> list[tuple[str, str]]:
    with pytest.raises(TemplateError) as caught:
        parse_template(obj)
    return [(error["pointer"], error["code"]) for error in caught.value.errors]


def found_wrong(obj: object) -> list[Any]:
    """Like :func:`problems`, for what may be right."""
    try:
        parse_template(obj)
    except TemplateError as error:
        return error.errors or ["an error that names none"]
    return []


def text(source: str) -> dict[str, Any]:
    return {"channel": "sms", "locales": {"en": {"text": source}}}


def test_the_tags_of_locales_are_canonical_and_hosts_are_those_written_out() -> None:
    found = parse_template(
        {
            "channel": "sms",
            "default_locale": "zh_hant",
            "locales": {"zh_hant": {"text": "https://A.Example/x{{ now }}"}},
        }
    )
    assert (list(found.locales), found.default_locale, found.hosts) == (["zh-Hant"], "zh-Hant", {"a.example"})


def test_everything_wrong_is_said_at_once() -> None:
    found = problems(
        {
            "channel": "email",
            "missing": "ignore",
            "defaults": {"name": None, "": "x", "n": float("nan")},
            "more": 1,
            "default_locale": "fr",
            "locales": {
                "en": {"subject": "{% include 'x' %}", "html": "{{ user.name | shout }}{{ nobody }}", "body": "x"},
                "en_": {},
                "de": {"text": "Hallo"},
                "de_DE": {"subject": " ", "text": 3},
                "de-de": {},
            },
        }
    )
    assert sorted(found) == [
        ("/default_locale", "unknown_locale"),
        ("/defaults/", "empty"),
        ("/defaults/n", "not_finite"),
        ("/defaults/name", "invalid_type"),
        ("/locales/de", "missing_field"),
        ("/locales/de-de", "repeated_locale"),
        ("/locales/de_DE/subject", "empty"),
        ("/locales/de_DE/text", "invalid_type"),
        ("/locales/en/body", "unknown_part"),
        ("/locales/en/html", "unknown_filter"),
        ("/locales/en/html", "unknown_variable"),
        ("/locales/en/subject", "unknown_tag"),
        ("/locales/en_", "unknown_locale"),
        ("/missing", "unknown_policy"),
        ("/more", "unknown_field"),
    ]


@pytest.mark.parametrize("obj", [None, [], {}, {"channel": "fax", "locales": {}}, {"channel": "sms", "locales": []}])
def test_what_is_no_template_at_all_is_refused_by_parser_and_schema(obj: Any) -> None:
    assert problems(obj)
    assert not VALIDATOR.is_valid(obj)


@pytest.mark.parametrize(
    "parts",
    [{"subject": "Hi"}, {"text": "Hi"}, {"subject": "", "text": "Hi"}, {"subject": "Hi", "text": "x", "title": "y"}],
)
def test_parts_that_make_no_mail_are_refused_by_parser_and_schema(parts: dict[str, str]) -> None:
    definition = {"channel": "email", "locales": {"en": parts}}
    assert problems(definition)
    assert not VALIDATOR.is_valid(definition)


def test_the_schema_is_valid_and_so_is_what_the_parser_takes() -> None:
    jsonschema.Draft202012Validator.check_schema(template_json_schema())
    for definition in (MAIL, *template_json_schema()["examples"]):
        parse_template(definition)
        VALIDATOR.validate(definition)


@pytest.mark.parametrize("tag", ["include 'x'", "render 'x'", "echo user.name", "tablerow x in user", "increment x"])
def test_tags_that_reach_out_or_go_around_the_limits_are_unknown(tag: str) -> None:
    assert problems(text(f"{{% {tag} %}}")) == [("/locales/en/text", "unknown_tag")]


@pytest.mark.parametrize("name", ["safe", "escapejs", "base64_decode", "url_decode", "strip_html", "uniq"])
def test_filters_that_switch_escaping_off_or_cost_too_much_are_unknown(name: str) -> None:
    assert problems(text(f"{{{{ user.name | {name} }}}}")) == [("/locales/en/text", "unknown_filter")]


@pytest.mark.parametrize("name", ["capture x", "cycle user.name"])
def test_a_webhook_has_no_tag_that_would_write_unescaped(name: str) -> None:
    definition = {"channel": "webhook", "locales": {"en": {"body": f"{{% {name} %}}{{% endcapture %}}"}}}
    assert problems(definition) == [("/locales/en/body", "unknown_tag")]


@pytest.mark.parametrize(
    "source",
    [
        "{{" * 16_000,
        "{{" + " " * 30_000,
        "{% if" + " " * 30_000 + "x",
        "{{ " * 300 + "}}",
        "{% if true %}" * 40,
        "{{ }}",
    ],
)
def test_broken_delimiters_are_refused_before_the_lexer_could_choke_on_them(source: str) -> None:
    """Liquid's lexer takes minutes for some of these: a hang here is the failure."""
    assert problems(text(source))[0][1] in ("syntax_error", "too_long")


def test_sizes_are_bounded() -> None:
    assert problems(text("x" * 50_001)) == [("/locales/en/text", "too_long")]
    assert problems(text("{{ user.name }}" * 2_000)) == [("/locales/en/text", "too_long")]
    assert problems(text("{{ user.name | append: '" + "x" * 1_000 + "' }}")) == [("/locales/en/text", "too_long")]
    many = {f"en-x-{n}": {"text": "x"} for n in range(limits.MAX_LOCALES + 1)}
    assert ("/locales", "too_many") in problems({"channel": "sms", "locales": many, "default_locale": "en-x-1"})
    assert problems(text("\ud800")) == [("/locales/en/text", "invalid_text")]
    long = {"channel": "c" * 10_000, "locales": {"l" * 10_000: {}}, "u" * 10_000: 1}
    with pytest.raises(TemplateError) as caught:
        parse_template(long)
    assert len(str(caught.value)) < 2_000


def test_the_line_of_a_syntax_error_is_named() -> None:
    with pytest.raises(TemplateError, match="line 3: "):
        parse_template(text("a\nb\n{% iff x %}\n"))


def test_the_error_survives_pickling() -> None:
    error = TemplateError([{"pointer": "/channel", "code": "x", "message": "y"}])
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.errors, copy.code, copy.status, str(copy)) == (error.errors, "invalid_template", 422, str(error))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
nearly = st.fixed_dictionaries(
    {"channel": st.sampled_from(["email", "sms", "push", "webhook", "fax"]) | json_values},
    optional={
        "locales": st.dictionaries(
            st.sampled_from(["en", "de", "EN"]) | st.text(max_size=5),
            st.dictionaries(st.sampled_from(["subject", "html", "text", "title", "body"]), json_values, max_size=4),
            max_size=3,
        ),
        "missing": json_values,
        "defaults": json_values,
        "default_locale": json_values,
    },
)


@given(json_values | nearly)
def test_any_json_is_a_template_or_a_list_of_problems(obj: object) -> None:
    if not found_wrong(obj):
        VALIDATOR.validate(obj)


@given(st.text(st.sampled_from("{}%| ab.'\"[]()-\n:,1=#") | st.characters(codec="utf-8"), max_size=60))
def test_any_source_compiles_or_is_refused(source: str) -> None:
    assert isinstance(found_wrong(text(source)), list)
