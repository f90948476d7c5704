"""The messages of the demo's product, "Acme Projects": what a caller would send to `/v1/templates`, in five languages.

The words are in :mod:`cluster.demo.templates.texts`. The mails' look is in ``mail.html``: one table, inline styles and
no picture, for the sake of mail programs, and right to left where the language is.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from cluster.demo.templates.texts import LOCALES, OFFER, PUSH, SMS, TIPS, Mail

SITE = "https://app.acme-projects.example"
"""The simulator's product site (``training.simulator.segment.SITE``)."""

_CRM = f"""{{
  "type": "engagement.suggested",
  "at": "{{{{ now }}}}",
  "campaign": {{{{ campaign | json }}}},
  "arm": {{{{ arm | json }}}},
  "offer": {{{{ offer | json }}}},
  "user": {{
    "id": {{{{ user.id | json }}}},
    "name": {{{{ user.name | json }}}},
    "email": {{{{ user.email | json }}}},
    "plan": {{{{ user.plan | default: "free" | json }}}},
    "profile": "{SITE}/people/{{{{ user.id | url_encode }}}}"
  }}
}}"""


def demo_templates() -> dict[str, dict[str, Any]]:
    """Return templates by name, in the form that :func:`whisperer.content.template.parse_template` takes."""
    to_projects, to_billing = f"{SITE}/projects?from=tips", SITE + "/billing?offer={{ offer.percent | url_encode }}"
    return {
        "tips-email": _template("email", {tag: _mail(TIPS[tag], to_projects) for tag in LOCALES}),
        "offer-email": _template("email", {tag: _mail(OFFER[tag], to_billing) for tag in LOCALES}),
        "nudge-sms": _template("sms", {tag: {"text": f"{SMS[tag]} {SITE}/projects"} for tag in LOCALES}),
        "nudge-push": _template(
            "push", {tag: {"title": title, "body": f"{body} {SITE}/projects"} for tag, (title, body) in PUSH.items()}
        ),
        "webhook-crm": _template("webhook", {"en": {"body": _CRM}}, missing="blank"),
    }


def _template(channel: str, locales: dict[str, dict[str, str]], missing: str = "refuse") -> dict[str, Any]:
    return {"channel": channel, "default_locale": "en", "locales": locales, "missing": missing}


def _mail(words: Mail, link: str) -> dict[str, str]:
    paragraphs = [f'<p style="margin:0 0 16px">{text}</p>' for text in (words.greeting, words.lead)]
    if words.points:
        points = "".join(f'<li style="margin:0 0 8px">{point}</li>' for point in words.points)
        paragraphs.append(f'<ul style="margin:0 0 16px;padding-inline-start:22px">{points}</ul>')
    paragraphs.append(f'<p style="margin:0">{words.close}</p>')
    filled = {
        "title": words.subject,
        "body": "\n    ".join(paragraphs),
        "link": link,
        "button": words.button,
        "why": words.why,
        "unsubscribe": words.unsubscribe,
    }
    frame = files(__package__).joinpath("mail.html").read_text(encoding="utf-8")
    return {
        "subject": words.subject,
        "html": re.sub(r"\[(\w+)\]", lambda blank: filled[blank[1]], frame),
        "text": _text(words, link),
    }


def _text(words: Mail, link: str) -> str:
    points = "\n".join(f"- {point}" for point in words.points)
    paragraphs = [words.greeting, words.lead, points, words.close, f"{words.button}: {link}"]
    footer = f"--\n{words.why}\n{words.unsubscribe}: {{{{ unsubscribe_url }}}}"
    return "\n\n".join([*(paragraph for paragraph in paragraphs if paragraph), footer])
