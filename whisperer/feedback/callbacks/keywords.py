"""Tell what a message that came in asks for: to stop, to start again, for help, in the languages of the product.

The whole message has to be the word, in any case, with or without accents and punctuation: "Stop!" asks for it, "please
don't stop" does not. English words are understood in every country, as carriers ask (CTIA Short Code Monitoring
Handbook), and so are those of the other languages: nobody's wish is missed because their locale is unknown.
"""

from __future__ import annotations

import unicodedata

from whisperer.feedback.callbacks.spec import Keyword

MAX_CHARS = 60
"""A longer message is no keyword."""

WORDS: dict[str, dict[Keyword, tuple[str, ...]]] = {
    "en": {
        Keyword.STOP: ("stop", "stop all", "unsubscribe", "cancel", "end", "quit", "opt out", "revoke", "remove me"),
        Keyword.START: ("start", "unstop", "subscribe", "opt in", "yes"),
        Keyword.HELP: ("help", "info", "support"),
    },
    "de": {
        Keyword.STOP: ("stopp", "abmelden", "abbestellen", "austragen", "beenden", "ende", "kündigen", "widerruf"),
        Keyword.START: ("anmelden", "starten", "ja"),
        Keyword.HELP: ("hilfe",),
    },
    "fr": {
        Keyword.STOP: (
            "arrêt",
            "arrêter",
            "arrêtez",
            "désabonner",
            "désabonnement",
            "désinscrire",
            "désinscription",
            "fin",
        ),
        Keyword.START: ("démarrer", "commencer", "abonner", "oui"),
        Keyword.HELP: ("aide",),
    },
    "es": {
        Keyword.STOP: ("parar", "pare", "alto", "baja", "darse de baja", "cancelar", "detener", "fin"),
        Keyword.START: ("iniciar", "comenzar", "alta", "empezar", "sí"),
        Keyword.HELP: ("ayuda",),
    },
    "pt-BR": {
        Keyword.STOP: ("parar", "pare", "sair", "cancelar", "descadastrar", "remover", "fim"),
        Keyword.START: ("iniciar", "começar", "voltar", "sim"),
        Keyword.HELP: ("ajuda",),
    },
    "it": {
        Keyword.STOP: ("ferma", "basta", "annulla", "cancella", "cancellami", "disiscrivi", "disiscrivimi"),
        Keyword.START: ("inizia", "iscrivi", "iscrivimi", "riprendi", "sì"),
        Keyword.HELP: ("aiuto",),
    },
    "nl": {
        Keyword.STOP: ("afmelden", "uitschrijven", "stoppen", "beëindigen", "einde"),
        Keyword.START: ("aanmelden", "inschrijven", "ja"),
        Keyword.HELP: ("hulp",),
    },
    "pl": {
        Keyword.STOP: ("wypisz", "rezygnuję", "anuluj", "koniec", "zatrzymaj", "nie chcę"),
        Keyword.START: ("zapisz", "wznów", "tak"),
        Keyword.HELP: ("pomoc",),
    },
    "ru": {
        Keyword.STOP: ("стоп", "отписаться", "отписка", "отмена", "отказ", "хватит"),
        Keyword.START: ("старт", "начать", "подписаться", "да"),
        Keyword.HELP: ("помощь", "справка"),
    },
    "tr": {
        Keyword.STOP: ("dur", "durdur", "iptal", "ret", "çık", "çıkış", "abonelikten çık"),
        Keyword.START: ("başla", "başlat", "onay", "evet"),
        Keyword.HELP: ("yardım",),
    },
    "ar": {
        Keyword.STOP: ("توقف", "أوقف", "إيقاف", "إلغاء", "الغاء الاشتراك", "إلغاء الاشتراك", "قف"),
        Keyword.START: ("ابدأ", "بدء", "اشتراك", "نعم"),
        Keyword.HELP: ("مساعدة",),
    },
    "he": {
        Keyword.STOP: ("הסר", "הסרה", "הסירו", "עצור", "הפסק", "ביטול", "די"),
        Keyword.START: ("התחל", "הצטרף", "הרשמה", "כן"),
        Keyword.HELP: ("עזרה",),
    },
    "ja": {
        Keyword.STOP: ("停止", "中止", "解除", "配信停止", "退会", "ストップ", "やめる"),
        Keyword.START: ("開始", "再開", "登録", "スタート", "はい"),
        Keyword.HELP: ("ヘルプ", "助けて"),
    },
    "zh-Hans": {
        Keyword.STOP: ("停止", "退订", "取消", "取消订阅", "拒收", "TD", "T"),
        Keyword.START: ("开始", "订阅", "恢复", "是"),
        Keyword.HELP: ("帮助",),
    },
    "ko": {
        Keyword.STOP: ("중지", "정지", "그만", "수신거부", "수신 거부", "취소", "해지"),
        Keyword.START: ("시작", "다시 시작", "구독", "네"),
        Keyword.HELP: ("도움말", "도움"),
    },
    "hi": {
        Keyword.STOP: ("रोकें", "रोको", "बंद", "बंद करें", "बंद करो", "रद्द करें", "हटाएं"),
        Keyword.START: ("शुरू", "शुरू करें", "चालू", "हाँ"),
        Keyword.HELP: ("मदद", "सहायता"),
    },
}
"""Locale -> what is asked for -> the words for it."""


def plain(text: str) -> str:
    """Return a text in the one form in which words are compared: no case, accents, punctuation or blanks.

    >>> plain("  Arrêtez ! "), plain("İPTAL"), plain("ＳＴＯＰ")
    ('arretez', 'iptal', 'stop')
    """
    apart = unicodedata.normalize("NFKD", text.casefold().replace("ı", "i"))
    return "".join(char for char in apart if unicodedata.category(char)[0] in "LN")


_MEANINGS = {
    plain(word): meaning for by_meaning in WORDS.values() for meaning, words in by_meaning.items() for word in words
}


def keyword_of(text: str) -> Keyword | None:
    """Return what a message asks for, None if it is no keyword."""
    return _MEANINGS.get(plain(text)) if len(text) <= MAX_CHARS else None
