"""Add a line with an unsubscribe link to messages whose template shows none."""

from __future__ import annotations

from html import escape

from whisperer.content.links import before_the_end
from whisperer.content.locales import direction
from whisperer.content.plain_text import text_of
from whisperer.content.reader_texts import reader_texts, readers_locale
from whisperer.vocabulary.channels import Syntax


def with_footer(syntax: Syntax, text: str, locale: str, url: str) -> str:
    """Return ``text``, which is html or plain text, with the line added unless it shows ``url`` already.

    A ``url`` in a comment, or where nobody sees it, does not count as shown.
    """
    if url in text and (syntax == "text" or url in text_of(text)):
        return text
    known = readers_locale([locale])
    texts = reader_texts()[known]
    question, label = texts["footer_question"], texts["footer_link"]
    if syntax == "text":
        return f"{text.rstrip()}\n\n--\n{question} {label}: {url}"
    style = "margin:24px 0 0;font-size:12px;color:#6b6b6b"
    line = f'{escape(question)} <a href="{escape(url)}" style="color:#6b6b6b">{escape(label)}</a>'
    return before_the_end(text, f'<p lang="{known}" dir="{direction(known)}" style="{style}">{line}</p>')
