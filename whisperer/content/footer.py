"""Add a line with an unsubscribe link to messages whose template shows none."""

from __future__ import annotations

from html import escape

from whisperer.content.links import before_the_end
from whisperer.content.locales import direction, language
from whisperer.content.plain_text import text_of
from whisperer.vocabulary.channels import Syntax

_LINES = {
    "en": ("You no longer want these messages?", "Unsubscribe"),
    "de": ("Sie möchten diese Nachrichten nicht mehr erhalten?", "Hier abmelden"),
    "es": ("¿Ya no quieres recibir estos mensajes?", "Cancelar la suscripción"),
    "ja": ("今後このメールの受信を希望されない場合はこちら：", "配信停止"),
    "ar": ("لم تعد ترغب في تلقي هذه الرسائل؟", "إلغاء الاشتراك"),
}
"""Language -> (question, link text). English for every other language."""


def with_footer(syntax: Syntax, text: str, locale: str, url: str) -> str:
    """Return ``text``, which is html or plain text, with the line added unless it shows ``url`` already.

    A ``url`` in a comment, or where nobody sees it, does not count as shown.
    """
    if url in text and (syntax == "text" or url in text_of(text)):
        return text
    known = language(locale) if language(locale) in _LINES else "en"
    question, label = _LINES[known]
    if syntax == "text":
        return f"{text.rstrip()}\n\n--\n{question} {label}: {url}"
    style = "margin:24px 0 0;font-size:12px;color:#6b6b6b"
    line = f'{escape(question)} <a href="{escape(url)}" style="color:#6b6b6b">{escape(label)}</a>'
    return before_the_end(text, f'<p lang="{known}" dir="{direction(known)}" style="{style}">{line}</p>')
