"""The messages of the demo's product, "Acme Projects", as a caller would send them to `/v1/templates`: in 16 languages.

The words are in ``words``, one file a language. The mails' look is in ``mail.html``: one table, inline styles and
no picture, for the sake of mail programs, and right to left where the language is.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from cluster.demo.templates.texts import WORDS, Letter, Words

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
        "tips-email": _template("email", {tag: _mail(said, said.tips, to_projects) for tag, said in WORDS.items()}),
        "offer-email": _template("email", {tag: _mail(said, said.offer, to_billing) for tag, said in WORDS.items()}),
        "nudge-sms": _template("sms", {tag: {"text": f"{said.sms} {SITE}/projects"} for tag, said in WORDS.items()}),
        "nudge-push": _template("push", {tag: _push(said) for tag, said in WORDS.items()}),
        "webhook-crm": _template("webhook", {"en": {"body": _CRM}}, missing="blank"),
    }


def _template(channel: str, locales: dict[str, dict[str, str]], missing: str = "refuse") -> dict[str, Any]:
    return {"channel": channel, "default_locale": "en", "locales": locales, "missing": missing}


def _push(said: Words) -> dict[str, str]:
    title, body = said.push
    return {"title": title, "body": f"{body} {SITE}/projects"}


def _mail(said: Words, letter: Letter, link: str) -> dict[str, str]:
    paragraphs = [f'<p style="margin:0 0 16px">{text}</p>' for text in (said.greeting, letter.lead)]
    if letter.points:
        points = "".join(f'<li style="margin:0 0 8px">{point}</li>' for point in letter.points)
        paragraphs.append(f'<ul style="margin:0 0 16px;padding-inline-start:22px">{points}</ul>')
    paragraphs.append(f'<p style="margin:0">{letter.close}</p>')
    filled = {
        "title": letter.subject,
        "body": "\n    ".join(paragraphs),
        "link": link,
        "button": letter.button,
        "why": said.why,
        "unsubscribe": said.unsubscribe,
    }
    frame = files(__package__).joinpath("mail.html").read_text(encoding="utf-8")
    return {
        "subject": letter.subject,
        "html": re.sub(r"\[(\w+)\]", lambda blank: filled[blank[1]], frame),
        "text": _text(said, letter, link),
    }


def _text(said: Words, letter: Letter, link: str) -> str:
    points = "\n".join(f"- {point}" for point in letter.points)
    paragraphs = [said.greeting, letter.lead, points, letter.close, f"{letter.button}: {link}"]
    footer = f"--\n{said.why}\n{said.unsubscribe}: {{{{ unsubscribe_url }}}}"
    return "\n\n".join([*(paragraph for paragraph in paragraphs if paragraph), footer])
