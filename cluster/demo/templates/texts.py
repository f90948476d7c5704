"""What the demo's messages say, by language."""

from __future__ import annotations

from dataclasses import dataclass

LOCALES = ("en", "de", "es", "ja", "ar")

_NAMED = "{% if user.name %} {{ user.name }}{% endif %}"
_OFF = "{{ offer.percent | percent }}"


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    greeting: str
    lead: str
    points: tuple[str, ...]
    close: str
    button: str
    why: str
    unsubscribe: str


_WHY = {
    "en": ("You get this because you use Acme Projects.", "Unsubscribe"),
    "de": ("Sie erhalten diese Nachricht, weil Sie Acme Projects nutzen.", "Abmelden"),
    "es": ("Recibes este mensaje porque usas Acme Projects.", "Cancelar la suscripción"),
    "ja": ("Acme Projects をご利用の方にお送りしています。", "配信を停止する"),
    "ar": ("تصلك هذه الرسالة لأنك تستخدم Acme Projects.", "إلغاء الاشتراك"),
}

_GREETING = {
    "en": f"Hi{_NAMED},",
    "de": f"Hallo{_NAMED},",
    "es": f"Hola{_NAMED}:",
    "ja": "{% if user.name %}{{ user.name }} 様{% else %}こんにちは。{% endif %}",
    "ar": f"مرحبًا{_NAMED}،",
}


def _mail(tag: str, subject: str, lead: str, points: tuple[str, ...], close: str, button: str) -> Mail:
    return Mail(subject, _GREETING[tag], lead, points, close, button, *_WHY[tag])


TIPS: dict[str, Mail] = {
    "en": _mail(
        "en",
        "Three small things that save time{% if user.name %}, {{ user.name }}{% endif %}",
        "Teams that get the most out of Acme Projects tend to do these three things early on:",
        (
            "Invite a colleague, and comments replace status mails.",
            "Pin a dashboard: everybody sees the same figures in the morning.",
            "Connect your calendar or chat, and nothing has to be typed twice.",
        ),
        "Each takes about two minutes.",
        "Open my projects",
    ),
    "de": _mail(
        "de",
        "Drei Kleinigkeiten, die Zeit sparen{% if user.name %}, {{ user.name }}{% endif %}",
        "Wer mit Acme Projects am meisten erreicht, macht meist früh diese drei Dinge:",
        (
            "Laden Sie jemanden aus Ihrem Team ein: Kommentare ersetzen Status-Mails.",
            "Heften Sie ein Dashboard an: So sehen morgens alle dieselben Zahlen.",
            "Verbinden Sie Kalender oder Chat: Nichts muss zweimal getippt werden.",
        ),
        "Jeder Schritt dauert etwa zwei Minuten.",
        "Meine Projekte öffnen",
    ),
    "es": _mail(
        "es",
        "Tres pequeños trucos para ahorrar tiempo{% if user.name %}, {{ user.name }}{% endif %}",
        "Los equipos que más partido sacan a Acme Projects suelen empezar por estas tres cosas:",
        (
            "Invita a alguien de tu equipo: los comentarios sustituyen a los correos de seguimiento.",
            "Fija un panel: por la mañana todos ven las mismas cifras.",
            "Conecta tu calendario o tu chat y no tendrás que escribir nada dos veces.",
        ),
        "Cada paso lleva unos dos minutos.",
        "Abrir mis proyectos",
    ),
    "ja": _mail(
        "ja",
        "{% if user.name %}{{ user.name }} 様、{% endif %}時間を節約する三つの小さな工夫",
        "Acme Projects を活用しているチームの多くは、早い段階で次の三つを行っています。",
        (
            "同僚を招待する。進捗報告のメールがコメントで済むようになります。",
            "ダッシュボードを固定する。毎朝、全員が同じ数字を確認できます。",
            "カレンダーやチャットと連携する。同じ内容を二度入力する必要がなくなります。",
        ),
        "どれも二分ほどで終わります。",
        "プロジェクトを開く",
    ),
    "ar": _mail(
        "ar",
        "ثلاث خطوات بسيطة توفر وقتك{% if user.name %} يا {{ user.name }}{% endif %}",
        "الفرق التي تحقق أقصى استفادة من Acme Projects تبدأ عادةً بهذه الخطوات الثلاث:",
        (
            "ادعُ زميلًا إلى فريقك، فتحل التعليقات محل رسائل المتابعة.",
            "ثبّت لوحة معلومات، فيرى الجميع الأرقام نفسها كل صباح.",
            "اربط التقويم أو تطبيق المحادثة، فلا تضطر إلى كتابة أي شيء مرتين.",
        ),
        "تستغرق كل خطوة دقيقتين تقريبًا.",
        "فتح مشاريعي",
    ),
}

OFFER: dict[str, Mail] = {
    "en": _mail(
        "en",
        f"{_OFF} off Acme Projects{{% if user.name %}} for {{{{ user.name }}}}{{% endif %}}",
        f"For the next seven days you can move to a larger plan at {_OFF} off, for your first three months.",
        (),
        "You keep your projects and your team as they are, and may go back at any time.",
        f"Take {_OFF} off",
    ),
    "de": _mail(
        "de",
        f"{_OFF} Rabatt auf Acme Projects{{% if user.name %}} für {{{{ user.name }}}}{{% endif %}}",
        f"In den nächsten sieben Tagen erhalten Sie beim Wechsel in einen größeren Tarif {_OFF} Rabatt auf die ersten "
        "drei Monate.",
        (),
        "Projekte und Team bleiben, wie sie sind, und Sie können jederzeit zurückwechseln.",
        f"{_OFF} Rabatt sichern",
    ),
    "es": _mail(
        "es",
        f"{_OFF} de descuento en Acme Projects{{% if user.name %}} para {{{{ user.name }}}}{{% endif %}}",
        f"Durante los próximos siete días puedes pasar a un plan superior con un {_OFF} de descuento en los tres "
        "primeros meses.",
        (),
        "Tus proyectos y tu equipo siguen como están, y puedes volver a tu plan cuando quieras.",
        f"Aprovechar el {_OFF} de descuento",
    ),
    "ja": _mail(
        "ja",
        f"{{% if user.name %}}{{{{ user.name }}}} 様限定：{{% endif %}}Acme Projects が {_OFF} オフ",
        f"これから七日間、上位プランへの変更で最初の三か月が {_OFF} オフになります。",
        (),
        "プロジェクトもチームもそのままご利用いただけ、いつでも元のプランに戻せます。",
        f"{_OFF} オフを利用する",
    ),
    "ar": _mail(
        "ar",
        f"خصم {_OFF} على Acme Projects{{% if user.name %}} لك يا {{{{ user.name }}}}{{% endif %}}",
        f"خلال الأيام السبعة القادمة يمكنك الانتقال إلى باقة أكبر بخصم {_OFF} على الأشهر الثلاثة الأولى.",
        (),
        "تبقى مشاريعك وفريقك كما هي، ويمكنك العودة إلى باقتك في أي وقت.",
        f"احصل على خصم {_OFF}",
    ),
}

SMS: dict[str, str] = {
    "en": f"Hi{_NAMED}, your projects on Acme are waiting. Pick up where you left off:",
    "de": f"Hallo{_NAMED}, Ihre Projekte bei Acme warten. Machen Sie dort weiter, wo Sie aufgehört haben:",
    "es": f"Hola{_NAMED}, tus proyectos en Acme te esperan. Sigue donde lo dejaste:",
    "ja": "{% if user.name %}{{ user.name }} 様、{% endif %}Acme のプロジェクトを続きから始めましょう：",
    "ar": f"مرحبًا{_NAMED}، مشاريعك على Acme بانتظارك. تابع من حيث توقفت:",
}

PUSH: dict[str, tuple[str, str]] = {
    "en": (
        "One step left{% if user.name %}, {{ user.name }}{% endif %}",
        "Connect an integration and your next report fills itself in.",
    ),
    "de": (
        "Nur noch ein Schritt{% if user.name %}, {{ user.name }}{% endif %}",
        "Verbinden Sie eine Integration, und Ihr nächster Bericht füllt sich von selbst.",
    ),
    "es": (
        "Solo falta un paso{% if user.name %}, {{ user.name }}{% endif %}",
        "Conecta una integración y tu próximo informe se rellenará solo.",
    ),
    "ja": (
        "{% if user.name %}{{ user.name }} 様、{% endif %}あと一歩です",
        "外部サービスと連携すると、次のレポートが自動で作成されます。",
    ),
    "ar": (
        "بقيت خطوة واحدة{% if user.name %} يا {{ user.name }}{% endif %}",
        "اربط إحدى الخدمات، وسيُملأ تقريرك القادم تلقائيًا.",
    ),
}
"""Title, body."""
