"""What translators are given comes back whole, or is refused with everything that is wrong with it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.demo.templates import demo_templates
from whisperer.content.errors import TemplateError
from whisperer.content.template import parse_template
from whisperer.content.translations import exported, imported, missing

BODY: dict[str, Any] = {
    "channel": "email",
    "default_locale": "en",
    "locales": {
        "en": {"subject": 'Hi {{ user.name | default: "there" }}', "text": "{% if user.plan %}Plan{% endif %} <b>"},
        "iw": {"subject": 'שלום {{ user.name | default: "" }}'},
    },
    "missing": "blank",
}


def codes(document: object) -> list[tuple[str, str]]:
    with pytest.raises(TemplateError) as caught:
        imported(BODY, document)
    return [(problem["pointer"], problem["code"]) for problem in caught.value.errors]


def test_a_language_is_taken_out_translated_and_put_in() -> None:
    document = exported("hi", BODY, "de")
    assert (document["source"], document["target"]) == ("en", "de")
    assert [pair["target"] for pair in document["texts"].values()] == ["", ""]
    document["texts"]["subject"]["target"] = 'Hallo {{ user.name | default: "du" }}'
    made = imported(BODY, document)
    assert made["locales"]["de"] == {"subject": 'Hallo {{ user.name | default: "du" }}'}
    assert missing(made, "de") == ["text"]
    assert missing(made, "fr") == ["subject", "text"]
    assert BODY["locales"].keys() == {"en", "iw"}, "what was given is as it was"


def test_old_tags_are_the_same_language() -> None:
    document = exported("hi", BODY, "he")
    assert document["texts"]["subject"]["target"].startswith("שלום")
    assert set(imported(BODY, document)["locales"]) == {"en", "he"}


@pytest.mark.parametrize("name", [name for name, body in demo_templates().items() if len(body["locales"]) > 1])
def test_what_is_put_in_unchanged_changes_nothing(name: str) -> None:
    body = demo_templates()[name]
    for locale in body["locales"]:
        if locale != "en":
            document = exported(name, body, locale)
            made = imported({**body, "locales": {"en": body["locales"]["en"]}}, {**document})
            assert made["locales"][locale] == body["locales"][locale]
            assert parse_template(made).locales.keys() == {"en", locale}


def test_everything_that_is_wrong_is_reported() -> None:
    document = {
        "target": "de",
        "texts": {
            "subject": {"source": "Hi", "target": "Hallo"},
            "html": {"target": "x"},
            "text": {"target": "{% if user.tarif %}Tarif{% endif %}"},
        },
    }
    assert codes(document) == [
        ("/texts/subject", "stale_source"),
        ("/texts/html", "unknown_part"),
        ("/texts/text", "foreign_variable"),
    ]


@pytest.mark.parametrize("wrong", [None, [], {"texts": []}, {"texts": {}, "target": "en"}, {"texts": {}, "target": 3}])
def test_what_is_no_document_is_refused(wrong: object) -> None:
    assert codes(wrong)


@given(
    st.dictionaries(
        st.text(max_size=8), st.one_of(st.none(), st.text(), st.dictionaries(st.text(max_size=8), st.integers()))
    )
)
def test_whatever_comes_back_is_put_in_or_refused(texts: dict[str, Any]) -> None:
    with suppress(TemplateError):
        assert imported(BODY, {"target": "de", "texts": texts})["locales"]["en"] == BODY["locales"]["en"]
