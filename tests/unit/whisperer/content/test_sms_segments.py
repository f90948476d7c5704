"""Segments are counted as those do who bill for them."""

from __future__ import annotations

import gsm0338
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import npm
from tests.unit.whisperer.content.requests import parts, request, sms, template
from whisperer.content.errors import TemplateError
from whisperer.content.sms_segments import BASIC, EXTENDED, LOOKALIKES, smart_encoded, sms_size
from whisperer.content.template import parse_template

COUNT = """
const {SegmentedMessage} = require('sms-segments-calculator');
const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(texts.map(text => {
  const one = new SegmentedMessage(text);
  return [one.encodingName, one.segmentsCount];
})))
"""


@pytest.mark.parametrize(
    ("text", "encoding", "segments"),
    [
        ("", "GSM-7", 0),
        ("x" * 160, "GSM-7", 1),
        ("x" * 161, "GSM-7", 2),
        ("x" * 306, "GSM-7", 2),
        ("x" * 307, "GSM-7", 3),
        ("€" * 80, "GSM-7", 1),
        ("x" * 152 + "€" + "x" * 152, "GSM-7", 3),
        ("я" * 70, "UCS-2", 1),
        ("я" * 71, "UCS-2", 2),
        ("я" * 134, "UCS-2", 2),
        ("я" * 66 + "👋" + "я" * 66, "UCS-2", 3),
        ("👋" * 35, "UCS-2", 1),
    ],
)
def test_segments_are_counted(text: str, encoding: str, segments: int) -> None:
    size = sms_size(text)
    assert (size.encoding, size.segments) == (encoding, segments)


def test_the_alphabet_is_that_of_the_standard() -> None:
    codec = gsm0338.Codec()
    for point in range(0x10000):
        char = chr(point)
        try:
            n_septets = len(codec.encode(char)[0])
        except UnicodeEncodeError:
            n_septets = 0
        ours = 1 if char in BASIC else 2 if char in EXTENDED else 0
        assert ours == n_septets or char in "\x1b\xa0", hex(point)


@given(st.text(max_size=400), st.text(alphabet="abc€[]é", max_size=400))
def test_the_size_is_bounded_by_what_fits(any_text: str, gsm: str) -> None:
    for text in (any_text, gsm):
        size = sms_size(text)
        joined = 153 if size.encoding == "GSM-7" else 67
        assert size.units <= max(160 if joined == 153 else 70, size.segments * joined)
        assert (size.segments == 0) == (text == "")
        assert bool(size.forcing) == (size.encoding == "UCS-2")


def test_the_calculator_of_npm_counts_the_same() -> None:
    folder = npm.installed("sms-segments-calculator@1.3.0")
    texts = [
        *("x" * n for n in (1, 159, 160, 161, 306, 307, 500)),
        *("€" * n for n in (79, 80, 81, 153)),
        *("x" * n + "€" + "y" * m for n in (151, 152, 153) for m in (100, 152, 153)),
        *("я" * n for n in (69, 70, 71, 134, 135, 201, 202)),
        *("я" * n + "👋" + "я" * m for n in (65, 66, 67) for m in (3, 66, 67)),
        *("Grüße aus Köln [{}]", "It’s “here”…", "العربية", "日本語" * 30, "हिन्दी"),
    ]
    theirs = [("GSM-7" if name == "GSM-7" else "UCS-2", count) for name, count in npm.answer(folder, COUNT, texts)]
    assert [(sms_size(text).encoding, sms_size(text).segments) for text in texts] == theirs


def test_lookalikes_are_replaced_where_that_makes_it_cheaper() -> None:
    assert smart_encoded("“It’s”\u00a0here — now…\u200b") == '"It\'s" here - now...'
    for kept in ("“Привет”", "‘👋’", "a\u200db 日本"):
        assert smart_encoded(kept) == kept


@given(st.text(alphabet=[*LOOKALIKES, *"abcé€"], max_size=60))
def test_what_is_replaced_is_cheaper_and_stays_so(text: str) -> None:
    once = smart_encoded(text)
    assert sms_size(once).encoding == "GSM-7"
    assert smart_encoded(once) == once


def test_a_template_asks_for_it() -> None:
    definition = template("sms", text="It’s {{ user.name }}")
    assert sms("It’s {{ user.name }}", {"name": "“Ada”"}).startswith("It’s “Ada”")
    found = parts({**definition, "smart_encoding": True}, request({"name": "“Ada”"}, purpose="transactional"))
    assert found["text"] == 'It\'s "Ada"'
    for wrong in (
        {**definition, "smart_encoding": "yes"},
        {**template("push", title="a", body="b"), "smart_encoding": True},
    ):
        with pytest.raises(TemplateError) as caught:
            parse_template(wrong)
        assert caught.value.errors[0]["pointer"] == "/smart_encoding"
