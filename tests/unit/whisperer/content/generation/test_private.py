"""What is personal stays here: placeholders leave, and come back as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.content.generation.private import Private, gather
from whisperer.content.generation.prompt import Voice, ask_for
from whisperer.content.generation.record import MAX_BYTES, GenerationRecord, Provenance, clipped, read, written

USER = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "phone": "+44 20 7946 0958",
    "plan": "pro",
    "note": "Ada Lovelace likes tea",
    "contact": "ask bob@example.org",
    "customer": 4_915_112_345_678,
    "seats": 12,
}


def test_names_and_addresses_leave_as_placeholders_and_return_as_values() -> None:
    facts, private = gather([f"user.{name}" for name in USER], {"user": USER})
    assert facts.shown["user.name"] == "[[user.name]]"
    assert facts.shown["user.plan"] == "pro"
    assert facts.shown["user.seats"] == 12
    assert facts.shown["user.note"] == "[[user.name]] likes tea"
    assert facts.shown["user.customer"] == "[[user.customer]]"
    prompt = ask_for(private.hidden("Ask ada@example.com"), Voice(), "en", {"lead": 90}, facts).text
    for value in ("Ada", "Lovelace", "example.com", "example.org", "7946", "4915112345678"):
        assert value not in prompt
    assert private.restored("Hi [[user.name]], on [[user.email]]") == "Hi Ada Lovelace, on ada@example.com"


def test_equal_facts_give_equal_prompts_whoever_the_user_is() -> None:
    def digest(name: str) -> str:
        facts, _ = gather(["user.name", "user.plan"], {"user": {"name": name, "plan": "pro"}})
        return ask_for("Say hello", Voice("Acme"), "en", {"lead": 90}, facts).digest

    assert digest("Ada") == digest("Grace")


@given(st.text(min_size=3, max_size=60), st.text(max_size=60))
def test_no_personal_value_is_in_a_prompt_whatever_it_is(name: str, plan: str) -> None:
    """A value of three characters or more that is no part of the product's own words."""
    marked = f"zq{name.strip()}qz"
    facts, _ = gather(["user.name", "user.plan", "user.email"], {"user": {"name": marked, "plan": f"{plan} {marked}"}})
    assert marked.lower() not in str(dict(facts.shown)).lower()


@given(st.dictionaries(st.sampled_from(["user.name", "user.email", "hidden_3"]), st.text(max_size=300), max_size=3))
def test_what_was_hidden_comes_back_and_nothing_else(values: dict[str, str]) -> None:
    private = Private()
    text = "".join(f"<{private.hold(name, value)}>" for name, value in values.items())
    assert private.unknown(text) == []
    assert private.unknown("[[user.phone]]") == ["user.phone"]
    assert private.restored(text) == "".join(f"<{private.values[name]}>" for name in values)


@pytest.mark.parametrize("text", ["", "é" * 9_000, '"\\' * 9_000, "\x01" * 9_000, "日本" * 4_000])
def test_a_record_is_bounded_and_is_read_again(text: str) -> None:
    record = GenerationRecord("written", text, text, "ab", text, text, withheld=[text] * 20)
    data = written(Provenance(4.2, record))
    assert len(data) <= MAX_BYTES
    found = read(data)
    assert found is not None
    assert found.quality == 4.2
    assert found.generation is not None
    assert found.generation.ruling == "written"
    assert text.startswith(found.generation.output.removesuffix("…"))


def test_nothing_to_say_takes_no_bytes_and_nonsense_is_nothing() -> None:
    assert written(Provenance()) == b""
    assert read(b"") is None
    assert read(b"{") is None
    assert clipped("abc", 3) == "abc"
