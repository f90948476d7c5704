"""What the demo's messages say, by language: one file of ``words`` each, all with the same members."""

from __future__ import annotations

from importlib.resources import files

import msgspec

LOCALES = ("en", "de", "fr", "es", "pt-BR", "it", "nl", "pl", "ru", "tr", "ar", "he", "ja", "zh-Hans", "ko", "hi")


class Letter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of one mail that are its own."""

    subject: str
    lead: str
    points: tuple[str, ...]
    close: str
    button: str


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said in one language; ``push``: title and body."""

    why: str
    unsubscribe: str
    greeting: str
    tips: Letter
    offer: Letter
    sms: str
    push: tuple[str, str]


def words(locale: str) -> Words:
    """Return what is said in one of LOCALES."""
    text = files(__package__).joinpath("words", f"{locale}.json").read_bytes()
    return msgspec.json.decode(text, type=Words)


WORDS: dict[str, Words] = {locale: words(locale) for locale in LOCALES}
