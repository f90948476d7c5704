"""What of a model's answer is used."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.content.generation.guardrails import Asked, judge
from whisperer.content.generation.private import gather
from whisperer.content.generation.prompt import Voice, ask_for
from whisperer.content.generation.ruling import Ruling

USER = {"user": {"name": "Ada"}, "offer": {"percent": 20}}
GOOD = {
    "en": "Hi [[user.name]], your projects are waiting. Take 20% off and pick up where you left off.",
    "de": "Hallo [[user.name]], Ihre Projekte warten auf Sie. Sichern Sie sich 20 % Rabatt.",
    "fr": "Bonjour [[user.name]], vos projets vous attendent. Profitez de 20 % de remise.",
    "es": "Hola [[user.name]], tus proyectos te esperan. Aprovecha un 20 % de descuento.",
    "ar": "مرحبًا [[user.name]]، مشاريعك بانتظارك. احصل على خصم ٢٠٪ الآن.",
    "he": "שלום [[user.name]], הפרויקטים שלך מחכים לך. קבל 20% הנחה.",
    "ja": "[[user.name]] 様、プロジェクトの続きを始めましょう。20%オフでご利用いただけます。",
    "zh-Hans": "[[user.name]]，您的项目正在等您。现在可享受 20% 的折扣。",
    "ko": "[[user.name]] 님, 프로젝트가 기다리고 있습니다. 20% 할인을 받으세요.",
    "hi": "नमस्ते [[user.name]], आपकी परियोजनाएँ आपकी प्रतीक्षा कर रही हैं। 20% की छूट पाएँ।",
    "ru": "Здравствуйте, [[user.name]]! Ваши проекты ждут вас. Скидка 20 % для вас.",
    "tr": "Merhaba [[user.name]], projelerin seni bekliyor. Yüzde 20 indirimden yararlan.",
    "pl": "Cześć [[user.name]], Twoje projekty czekają. Skorzystaj z 20% zniżki.",
    "nl": "Hallo [[user.name]], je projecten wachten op je. Profiteer van 20% korting.",
    "it": "Ciao [[user.name]], i tuoi progetti ti aspettano. Approfitta del 20% di sconto.",
    "pt-BR": "Olá, [[user.name]]! Seus projetos estão esperando por você. Aproveite 20% de desconto.",
}


def asked(locale: str = "en", hosts: frozenset[str] = frozenset(), **voice: tuple[str, ...]) -> Asked:
    facts, private = gather(["user.name", "offer.percent"], USER)
    made = Voice("Acme", **voice)  # type: ignore[arg-type]
    return Asked(ask_for("Invite them back", made, locale, {"lead": 120}, facts), made, locale, private, hosts)


def ruled(text: object, of: Asked) -> str:
    return judge(msgspec.json.encode({"lead": text}).decode(), of).ruling


@pytest.mark.parametrize("locale", GOOD)
def test_a_good_text_is_used_in_every_language_of_the_demo(locale: str) -> None:
    judged = judge(msgspec.json.encode({"lead": GOOD[locale]}).decode(), asked(locale))
    assert (judged.ruling, judged.detail) == (Ruling.WRITTEN, "")
    assert judged.slots == {"lead": GOOD[locale]}


@pytest.mark.parametrize("locale", GOOD)
def test_a_text_in_another_language_is_not(locale: str) -> None:
    other = "fr" if locale == "en" else "en"
    assert ruled(GOOD[other].replace("20", ""), asked(locale)) == Ruling.WRONG_LANGUAGE


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "nothing"),
        ("no JSON", "words"),
        ("[]", "a list"),
        ('{"lead": 3}', "a number"),
        ('{"lead": "a", "more": "b"}', "a member too many"),
        ('{"other": "a"}', "another member"),
        ('{"lead": null}', "null"),
        ('{"lead": "a"', "broken off"),
        ('{"lead": "' + "a" * 40_000 + '"}', "endless"),
        ("[" * 10_000, "deep"),
    ],
)
def test_what_does_not_fit_the_schema_is_not_used(answer: str, why: str) -> None:
    assert judge(answer, asked()).ruling == Ruling.NOT_THE_SCHEMA, why


@pytest.mark.parametrize(
    ("text", "ruling"),
    [
        ("   ", Ruling.EMPTY),
        ("Your projects are waiting for you. " * 8, Ruling.TOO_LONG),
        ("Hi [[user.phone]], your projects are waiting for you.", Ruling.UNKNOWN_PLACEHOLDER),
        ("Hi [[user.name], your projects are waiting for you.", Ruling.UNKNOWN_PLACEHOLDER),
        ("Your projects are waiting at http://app.acme.example/x", Ruling.FOREIGN_LINK),
        ("Your projects are waiting at https://other.example/x", Ruling.FOREIGN_LINK),
        ("Your projects are waiting at https://app.acme.example@evil.example/", Ruling.FOREIGN_LINK),
        ("Your projects are waiting at acme-offers.com today", Ruling.FOREIGN_LINK),
        ("Your projects are waiting, tel:+491234 to hear more", Ruling.FOREIGN_LINK),
        ("Your projects wait, 30% off until tomorrow for you", Ruling.INVENTED_FIGURE),
        ("Your projects wait, only €5 until tomorrow for you", Ruling.INVENTED_FIGURE),
        ("Ask grace@example.com about your waiting projects", Ruling.FOREIGN_DATA),
        ("Your projects are risk\u2060-free and wait for you", Ruling.BANNED_CLAIM),
        ("Our product is the Ｂｅｓｔ in the world, and waits", Ruling.BANNED_CLAIM),
        ("**Your projects** are waiting for you here", Ruling.MARKUP),
        ("Your &lt;b&gt;projects are waiting for you", Ruling.MARKUP),
    ],
)
def test_each_rule_objects_to_what_it_is_there_for(text: str, ruling: Ruling) -> None:
    assert ruled(text, asked(banned_claims=("best in the world",))) == ruling


def test_links_to_the_templates_and_the_tenants_hosts_are_allowed() -> None:
    text = "Your projects are waiting at https://app.acme.example/projects for you."
    assert ruled(text, asked(hosts=frozenset({"app.acme.example"}))) == Ruling.WRITTEN
    assert ruled(text, asked(allowed_hosts=frozenset({"app.acme.example"}))) == Ruling.WRITTEN  # type: ignore[arg-type]


@given(st.text(max_size=400))
def test_whatever_a_model_answers_a_judgement_is_made(answer: str) -> None:
    judged = judge(answer, asked())
    assert bool(judged.slots) == (judged.ruling == Ruling.WRITTEN)


@given(st.text(max_size=150))
def test_what_is_used_holds_no_markup_and_no_foreign_placeholder(text: str) -> None:
    judged = judge(msgspec.json.encode({"lead": text}).decode(), asked())
    for used in judged.slots.values():
        assert "{{" not in used
        assert "[[" not in used.replace("[[user.name]]", "")
        assert "\n" not in used
