"""How long a message takes to render: the demo's mails in plain HTML and in MJML, compiled once per version.

One process, one thread, no installation: what a content replica does per message, with links signed. Next to it what
a version costs once (parsing, MJML, style sheets), what the lint of a template costs, and the floor: the compiler of
MJML alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
from mjml import mjml2html

from cluster.demo.templates import SITE, demo_templates
from cluster.demo.templates.texts import LOCALES, WORDS, Letter, Words
from tests.benchmarks import report
from tests.benchmarks.screen import table
from whisperer.content.lint.checks import lint_template
from whisperer.content.message import Rendered, RenderRequest
from whisperer.content.render import render
from whisperer.content.template import parse_template
from whisperer.feedback.links import LinkSigner, SignedLinks
from whisperer.ids import DecisionId, SendKey, TenantId, known_key

BRAND = {"name": "Acme Projects", "address": "1 Example Street, Springfield", "primary": "#0b6e5f"}
FRAME = """<mjml><mj-head><mj-title>{subject}</mj-title><mj-preview>{lead}</mj-preview>
<mj-attributes><mj-text font-size="16px" line-height="1.55" color="#1d211d" /></mj-attributes>
<mj-style inline="inline">.point {{ margin: 0 0 8px }}</mj-style></mj-head>
<mj-body background-color="#f4f4f1"><mj-section background-color="#ffffff" border-radius="12px"><mj-column>
<mj-text font-weight="700" color="{{{{ brand.primary }}}}">{{{{ brand.name }}}}</mj-text>
<mj-text>{greeting}</mj-text><mj-text>{lead}</mj-text>{points}<mj-text>{close}</mj-text>
<mj-button href="{link}" background-color="{{{{ brand.primary }}}}">{button}</mj-button></mj-column></mj-section>
<mj-section><mj-column><mj-text font-size="12px" color="#6b6b6b">{why}<br>{{{{ brand.address }}}}<br>
<a href="{{{{ unsubscribe_url }}}}">{unsubscribe}</a></mj-text></mj-column></mj-section></mj-body></mjml>"""


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--messages", type=int, default=2_000, help="of each template")
    options = parser.parse_args()
    demo = demo_templates()
    cases: dict[str, dict[str, Any]] = {
        "tips, MJML": _in_mjml("tips", f"{SITE}/projects?from=tips"),
        "tips, HTML": demo["tips-email"],
        "offer, MJML": _in_mjml("offer", SITE + "/billing?offer={{ offer.percent | url_encode }}"),
        "offer, HTML": demo["offer-email"],
        "SMS": demo["nudge-sms"],
    }
    rows = [_row(name, body, options.messages) for name, body in cases.items()]
    source = "<mjml><mj-body><mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section></mj-body></mjml>"
    floor = _milliseconds(lambda: mjml2html(source), options.messages)
    print(table(tuple(rows[0]), [tuple(row.values()) for row in rows]))
    figures = {"cases": rows, "mjml alone, ms": floor}
    report.publish("content", figures, options.json, messages=options.messages, locales=len(LOCALES), durability="none")


def _in_mjml(which: str, link: str) -> dict[str, Any]:
    def mail(said: Words) -> dict[str, str]:
        of: Letter = getattr(said, which)
        points = "".join(f'<mj-text><p class="point">{point}</p></mj-text>' for point in of.points)
        filled = {name: getattr(of, name) for name in ("subject", "lead", "close", "button")}
        filled |= {name: getattr(said, name) for name in ("greeting", "why", "unsubscribe")}
        return {"subject": of.subject, "html": FRAME.format(**filled, points=points, link=link)}

    return {"channel": "email", "default_locale": "en", "locales": {tag: mail(WORDS[tag]) for tag in LOCALES}}


def _row(name: str, body: dict[str, Any], n_messages: int) -> dict[str, Any]:
    once = _milliseconds(lambda: parse_template(body), 5)
    linted = _milliseconds(lambda: lint_template(body), 5)
    template = parse_template(body)
    signer = LinkSigner(b"s" * 32)
    sizes, times, cpu = [], [], []
    for number in range(n_messages):
        request = _request(number, template.channel)
        links = SignedLinks(
            signer,
            "https://go.example",
            tenant=request.tenant,
            user_key=request.user_key,
            decision_id=request.decision_id,
            channel=request.channel,
            purpose=request.purpose,
            now=request.now,
        )
        began, spent = time.perf_counter(), time.thread_time()
        found = render(template, request, links, BRAND)
        cpu.append((time.thread_time() - spent) * 1_000)
        times.append((time.perf_counter() - began) * 1_000)
        assert isinstance(found, Rendered), found
        sizes.append(sum(len(text.encode()) for text in found.parts.values()))
    cuts = statistics.quantiles(times, n=100)
    return {
        "case": name,
        "p50 ms": round(cuts[49], 2),
        "p99 ms": round(cuts[98], 2),
        "CPU p50 ms": round(statistics.median(cpu), 2),
        "a second of CPU": round(1_000 / statistics.mean(cpu)),
        "bytes": round(statistics.mean(sizes)),
        "compile once, ms": once,
        "lint, ms": linted,
    }


def _request(number: int, channel: str) -> RenderRequest:
    return RenderRequest(
        send_key=SendKey(f"snd_{number}"),
        decision_id=DecisionId(f"dec_{number}"),
        tenant=TenantId("tn_1"),
        user_key=known_key(f"u-{number}"),
        campaign="welcome",
        channel=channel,
        template="tips",
        template_version=1,
        variant="tips",
        offer=b'{"percent":20}',
        locale=LOCALES[number % len(LOCALES)],
        zone="Europe/Berlin",
        traits={"name": msgspec.json.encode(f"Ada {number}")},
        features={"events_7d": 3.0},
        event=b"{}",
        address="ada@example.com",
        purpose="marketing",
        now=1_772_359_200_000,
    )


def _milliseconds(call: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1_000)
    return round(statistics.median(took), 2)


if __name__ == "__main__":
    main()
