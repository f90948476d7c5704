"""Blocks and layouts: what a text becomes, and what is refused instead of going round for ever."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.content.requests import ReadableLinks, request
from whisperer.content.blocks import MAX_BLOCKS, MAX_DEPTH, Block, filled_in, references_in, split
from whisperer.content.errors import TemplateError
from whisperer.content.message import Rendered
from whisperer.content.render import render
from whisperer.content.template import parse_template


def block(*, version: int = 1, default: str = "en", **locales: dict[str, str]) -> Block:
    return Block(version, {"channel": "block", "default_locale": default, "locales": locales})


def mail(html: str, **more: Any) -> dict[str, Any]:
    return {"channel": "email", "locales": {"en": {"subject": "Hi", "html": html}}, "missing": "blank", **more}


def codes(body: Any, blocks: dict[str, Block]) -> list[str]:
    with pytest.raises(TemplateError) as caught:
        filled_in(body, blocks)
    return [problem["code"] for problem in caught.value.errors]


def test_a_block_is_filled_in_and_sees_the_templates_variables() -> None:
    blocks = {"foot": block(version=7, en={"html": "<p>{{ brand.name }} for {{ user.name }}</p>"})}
    filled = filled_in(mail("<p>Hi</p>{% render 'foot' %}{%- render \"foot\" -%}"), blocks)
    assert filled.used == {"foot": 7}
    found = render(
        parse_template(filled.body), request({"name": "<Ada>"}, channel="email"), ReadableLinks(), {"name": "Acme"}
    )
    assert isinstance(found, Rendered)
    assert found.parts["html"].count("<p>Acme for &lt;Ada&gt;</p>") == 2


def test_a_layout_goes_around_a_text_in_mjml_too() -> None:
    layout = "<mjml><mj-body>{% render 'head' %}{% content %}</mj-body></mjml>"
    head = "<mj-section><mj-column><mj-text>Acme</mj-text></mj-column></mj-section>"
    body = "{% layout 'main' %}<mj-section><mj-column><mj-text>Hi {{ user.name }}</mj-text></mj-column></mj-section>"
    blocks = {"main": block(en={"html": layout}), "head": block(version=2, en={"html": head})}
    filled = filled_in(mail(body), blocks)
    assert filled.used == {"main": 1, "head": 2}
    found = render(parse_template(filled.body), request({"name": "Ada"}, channel="email"), ReadableLinks())
    assert isinstance(found, Rendered)
    assert found.parts["html"].index("Acme") < found.parts["html"].index("Hi Ada")


def test_a_layout_may_have_a_layout() -> None:
    blocks = {
        "outer": block(en={"text": "[{% content %}]"}),
        "inner": block(en={"text": "{% layout 'outer' %}({% content %})"}),
    }
    sms = {"channel": "sms", "locales": {"en": {"text": "{% layout 'inner' %}Hi"}}}
    assert filled_in(sms, blocks).body["locales"]["en"]["text"] == "[(Hi)]"


def test_a_block_is_in_the_language_of_the_message_or_in_its_own_default() -> None:
    blocks = {"foot": block(en={"text": "Bye"}, de={"text": "Tschüs"}, ar={"html": "<p>x</p>"})}
    texts = {tag: {"text": "{% render 'foot' %}"} for tag in ("en", "de-AT", "fr", "ar")}
    filled = filled_in({"channel": "sms", "locales": texts}, blocks).body["locales"]
    assert [filled[tag]["text"] for tag in texts] == ["Bye", "Tschüs", "Bye", "Bye"]


def test_a_line_stays_a_line() -> None:
    blocks = {"name": block(en={"text": "Acme\nInc.\n"})}
    push = {"channel": "push", "locales": {"en": {"title": "{% render 'name' %}!", "body": "{% render 'name' %}!"}}}
    assert filled_in(push, blocks).body["locales"]["en"] == {"title": "Acme Inc.!", "body": "Acme\nInc.\n!"}


def test_what_is_shown_as_written_or_commented_out_stays() -> None:
    text = "{% raw %}{% render 'x' %}{% endraw %}{% comment %}{% render 'y' %}{% endcomment %}"
    assert filled_in(mail(text), {}).body["locales"]["en"]["html"] == text
    assert references_in(mail(text)) == set()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{% render 'nowhere' %}", "missing_block"),
        ("{% render 'texts' %}", "missing_block"),
        ("{% layout 'plain' %}x", "missing_block"),
        ("x{% layout 'plain' %}", "misplaced_block"),
        ("{% render plain %}", "syntax_error"),
        ("{% render 'plain', user: user %}", "syntax_error"),
        ("{% render 'self' %}", "block_cycle"),
        ("{% render 'a' %}", "block_cycle"),
        ("{% render 'd0' %}", "block_too_deep"),
        ("{% render 'plain' %}" * (MAX_BLOCKS + 1), "too_many"),
        ("{% render 'big' %}" * 5, "too_long"),
        ("{% render 'bomb' %}", "too_many"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(text: str, code: str) -> None:
    blocks = {
        "plain": block(en={"html": "x"}),
        "texts": block(en={"text": "x"}),
        "self": block(en={"html": "{% render 'self' %}"}),
        "a": block(en={"html": "{% render 'b' %}"}),
        "b": block(en={"html": "{% render 'a' %}"}),
        "big": block(en={"html": "x" * 50_000}),
        "bomb": block(en={"html": "{% render 'bomb2' %}" * 50}),
        "bomb2": block(en={"html": "{% render 'plain' %}" * 50}),
        **{f"d{n}": block(en={"html": f"{{% render 'd{n + 1}' %}}"}) for n in range(MAX_DEPTH)},
        f"d{MAX_DEPTH}": block(en={"html": "x"}),
    }
    assert codes(mail(text), blocks) == [code]


def test_a_version_that_is_named_is_kept_to_and_what_it_names_follows() -> None:
    blocks = {
        "foot": block(version=9, en={"html": "new"}),
        "foot@3": block(version=3, en={"html": "old {% render 'street' %}"}),
        "street": block(version=5, en={"html": "5 Street"}),
    }
    text = "{% render 'foot@3' %}, {% render \"foot\" %}"
    filled = filled_in(mail(text), blocks)
    assert filled.body["locales"]["en"]["html"] == "old 5 Street, new"
    assert filled.used == {"foot": 9, "street": 5}, "what is kept to never becomes out of date"
    assert references_in(mail(text)) == {"foot@3", "foot"}
    assert [split(one) for one in ("foot@3", "foot")] == [("foot", 3), ("foot", None)]


@pytest.mark.parametrize("name", ["foot@", "foot@0", "foot@-1", "foot@x", "foot@1234567890", "@1", "foot@1@2"])
def test_a_version_is_a_whole_number_above_0(name: str) -> None:
    assert codes(mail(f"{{% render '{name}' %}}"), {name: block(en={"html": "x"})}) == ["syntax_error"]


def test_a_version_that_is_not_there_is_named() -> None:
    with pytest.raises(TemplateError, match="there is no version 4 of a block 'foot'"):
        filled_in(mail("{% layout 'foot@4' %}x"), {"foot": block(en={"html": "{% content %}"})})


def test_a_block_may_hold_an_older_version_of_itself_and_still_no_circle() -> None:
    old = block(en={"html": "old"})
    blocks = {"foot": block(version=2, en={"html": "new, {% render 'foot@1' %}"}), "foot@1": old}
    assert filled_in(mail("{% render 'foot' %}"), blocks).body["locales"]["en"]["html"] == "new, old"
    blocks["foot@1"] = block(en={"html": "{% render 'foot' %}"})
    assert codes(mail("{% render 'foot' %}"), blocks) == ["block_cycle"]


def test_a_circle_is_named() -> None:
    blocks = {"a": block(en={"html": "{% render 'b' %}"}), "b": block(en={"html": "{% render 'a' %}"})}
    with pytest.raises(TemplateError, match="a → b → a"):
        filled_in(mail("{% render 'a' %}"), blocks)


def test_json_holds_no_blocks() -> None:
    hook = {"channel": "webhook", "locales": {"en": {"body": "{% render 'x' %}"}}}
    assert codes(hook, {"x": block(en={"text": "{}"})}) == ["misplaced_block"]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: st.dictionaries(st.sampled_from(["channel", "locales", "en", "html", "text"]), inner, max_size=3),
    )
)
def test_whatever_it_is_given_it_is_filled_in_or_refused(body: Any) -> None:
    with contextlib.suppress(TemplateError):
        filled_in(body, {})


def test_many_tags_that_never_end_take_no_time() -> None:
    began = time.perf_counter()
    filled_in(mail("{% raw %}{% comment %}{% render" * 3_000), {})
    assert time.perf_counter() - began < 2
