"""What goes out as XLIFF comes back byte for byte, whatever is in it; what is no XLIFF is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.demo.templates import demo_templates
from whisperer.content.errors import TemplateError
from whisperer.content.translations import exported, imported
from whisperer.content.xliff import MAX_CHARS, read, written

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.lists(
    st.sampled_from(
        [
            "{{ user.name }}",
            "{% if a %}",
            "{% endif %}",
            "{{ user.name | default: '<&\">' }}",
            " ",
            "Hi\r\n",
            "<b>",
            "]]>",
        ]
    ),
    max_size=8,
).map("".join)
PAIRS = st.fixed_dictionaries({"source": TEXTS, "target": TEXTS})


def document(**texts: dict[str, str]) -> dict[str, Any]:
    return {"template": "tips-email", "source": "en", "target": "de-AT", "texts": texts}


@given(st.dictionaries(st.sampled_from(["subject", "html", "text"]), PAIRS, min_size=1))
@example({"text": {"source": "a\x00\ufffe{{ a\x01 }}\r\t", "target": "\r"}})
def test_what_is_written_is_read_byte_for_byte(texts: dict[str, dict[str, str]]) -> None:
    said = document(**texts)
    assert read(written(said)) == said | {
        "texts": {
            part: pair | {"target": pair["target"] if pair["source"] or pair["target"] else ""}
            for part, pair in texts.items()
        }
    }


@pytest.mark.parametrize("name", list(demo_templates()))
def test_the_demos_templates_go_out_and_come_back(name: str) -> None:
    body = demo_templates()[name]
    for locale in body["locales"]:
        if locale != "en":
            text = written(exported(name, body, locale))
            assert imported(body, read(text.encode())) == body | {
                "locales": {
                    **{k: v for k, v in body["locales"].items() if k != locale},
                    locale: body["locales"][locale],
                }
            }


def test_liquid_is_a_placeholder_and_its_like_in_the_target_has_its_id() -> None:
    text = written(document(subject={"source": "Hi {{ a }} {{ b }}", "target": "{{ b }} {{ a }} {{ b }}"}))
    root = fromstring(text)
    space = "{urn:oasis:names:tc:xliff:document:2.0}"
    source, target = (
        [ph.get("id") for ph in root.find(f".//{space}{name}").iter(f"{space}ph")] for name in ("source", "target")
    )
    assert (source, target) == (["1", "2"], ["2", "1", "3"])
    assert "{{" not in "".join(root.find(f".//{space}source").itertext())


def test_xliff_1_2_is_read_too() -> None:
    text = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
    <file original="tips" source-language="en" target-language="de" datatype="plaintext"><body>
    <trans-unit id="1" resname="subject"><source>Hi <ph id="1">{{ user.name }}</ph>!</source>
      <target>Hallo <mrk mtype="seg" mid="0"><x id="1" equiv-text="{{ user.name }}"/></mrk>!</target></trans-unit>
    <trans-unit id="text"><source>Bye</source><target state="needs-translation">Bye</target></trans-unit>
    </body></file></xliff>"""
    assert read(text) == {
        "template": "tips",
        "source": "en",
        "target": "de",
        "texts": {
            "subject": {"source": "Hi {{ user.name }}!", "target": "Hallo {{ user.name }}!"},
            "text": {"source": "Bye", "target": ""},
        },
    }


def test_a_unit_that_a_tool_has_split_is_put_together_and_counts_once_it_is_whole() -> None:
    def said(second: str) -> str:
        return f"""<xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="en" trgLang="de">
        <file id="f" original="t"><group id="g"><unit id="text"><segment><source>A.</source><target>B.</target></segment>
        <ignorable><source> </source></ignorable><segment><source>C.</source>{second}</segment></unit></group></file></xliff>"""

    assert read(said("<target>D.</target>"))["texts"]["text"] == {"source": "A. C.", "target": "B. D."}
    assert read(said(""))["texts"]["text"] == {"source": "A. C.", "target": ""}


HEAD = '<xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="en" trgLang="de">'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{}", "invalid_xliff"),
        ("<xliff/>", "invalid_xliff"),
        (f"{HEAD}</xliff>", "invalid_xliff"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]>' + f"{HEAD}<file/>&a;</xliff>", "invalid_xliff"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd">' + f"{HEAD}<file/></xliff>", "invalid_xliff"),
        (f'{HEAD}<file><unit id="a"/><unit id="a"/></file></xliff>', "invalid_xliff"),
        (
            f'{HEAD}<file><unit id="a"><segment><source><ph dataRef="d9"/></source></segment></unit></file></xliff>',
            "lost_placeholder",
        ),
        (
            f'{HEAD}<file><unit id="a"><segment><source><sc/></source></segment></unit></file></xliff>',
            "lost_placeholder",
        ),
        (
            f'{HEAD}<file><unit id="a"><segment><source>{"<pc>" * 99}{"</pc>" * 99}</source></segment></unit></file></xliff>',
            "invalid_xliff",
        ),
        (
            f'{HEAD}<file><unit id="a"><segment><source><cp hex="FFFFFF"/></source></segment></unit></file></xliff>',
            "invalid_xliff",
        ),
        ("x" * (MAX_CHARS + 1), "too_long"),
    ],
)
def test_what_is_none_is_refused(text: str, code: str) -> None:
    with pytest.raises(TemplateError) as caught:
        read(text)
    assert [problem["code"] for problem in caught.value.errors] == [code]


@given(st.text() | st.binary())
def test_whatever_is_read_is_a_document_or_refused(text: str | bytes) -> None:
    with suppress(TemplateError):
        read(text)
