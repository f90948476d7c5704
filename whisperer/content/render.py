"""Render one message: in the right language, with variables filled in, fit for its channel, with links replaced.

Guarantees: never raises; a failure is the value :class:`NotRendered`, with a sentence for the campaign's author. The
same request gives the same content hash whatever links it was given, and with the same links the same parts. No part
that becomes a header or an SMS contains a line break or control character, and every webhook body is JSON.
Leaves making links to the :class:`LinkMaker` and sending to delivery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from liquid.exceptions import LiquidError, UndefinedError

from whisperer.content import limits
from whisperer.content.bounded import Context
from whisperer.content.footer import with_footer
from whisperer.content.formats import zone_of
from whisperer.content.links import LinkMaker, Tracking, hosts_in
from whisperer.content.locales import formatting_locale, lookup
from whisperer.content.message import NotRendered, Rendered, RenderRequest
from whisperer.content.plain_text import lines, one_line, text_of
from whisperer.content.template import Template
from whisperer.content.variables import variables_of
from whisperer.errors import WhispererError
from whisperer.vocabulary.channels import EMAIL, PUSH, SMS, WEBHOOK
from whisperer.vocabulary.reasons import Reason

TRANSACTIONAL = "transactional"
"""The purpose whose messages nobody can unsubscribe from."""
_ONE_LINE = {(EMAIL, "subject"), (PUSH, "title"), (SMS, "text")}
_MAX_DETAIL_CHARS = 300


class _UnfitError(Exception):
    """Say that the message must not go out like this."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def render(template: Template, request: RenderRequest, links: LinkMaker) -> Rendered | NotRendered:
    """Return the message that ``request`` asks for, or why there is none."""
    try:
        return _render(template, request, links)
    except _UnfitError as unfit:
        reason, detail = unfit.reason, unfit.detail
    except WhispererError as error:
        reason, detail = Reason.TEMPLATE_FAILED, error.message
    except Exception as error:  # one odd trait must never hold up the others of a batch
        reason, detail = Reason.TEMPLATE_FAILED, f"an error of kind {type(error).__name__}"
    return not_rendered(request, reason, detail)


def not_rendered(request: RenderRequest, reason: Reason, detail: str) -> NotRendered:
    """Return a refusal whose ``detail`` is on one line, valid UTF-8 and short."""
    shown = one_line(detail.encode("utf-8", "backslashreplace").decode())[:_MAX_DETAIL_CHARS]
    return NotRendered(request.send_key, reason.value, shown)


def _render(template: Template, request: RenderRequest, links: LinkMaker) -> Rendered:
    if template.channel != request.channel:
        message = f"the template is for {template.channel}, the arm for {request.channel}"
        raise _UnfitError(Reason.TEMPLATE_FAILED, message)
    locale = lookup(request.locale, template.locales, template.default_locale)
    unsubscribe_url = "" if request.purpose == TRANSACTIONAL else links.unsubscribe()
    parts = _filled_in(template, request, locale, unsubscribe_url)
    if template.channel == EMAIL:
        parts = _whole_mail(parts, locale, unsubscribe_url)
    content_hash = _hash(template.channel, locale, parts, unsubscribe_url)
    if template.channel != WEBHOOK:  # machines read that one
        tracking = Tracking(links, template.hosts | _offered_hosts(request.offer), unsubscribe_url)
        parts = {
            part: tracking.html(text)
            if part == "html"
            else text
            if part in ("subject", "title")
            else tracking.text(text)
            for part, text in parts.items()
        }
    _check_size(template.channel, parts)
    headers = _headers(unsubscribe_url) if template.channel == EMAIL else {}
    return Rendered(request.send_key, parts, headers, locale, content_hash)


def _filled_in(template: Template, request: RenderRequest, locale: str, unsubscribe_url: str) -> dict[str, str]:
    variables = variables_of(request, template.defaults, locale, unsubscribe_url)
    conventions, zone = formatting_locale(request.locale, locale), zone_of(request.zone)
    parts = {}
    for name, part in template.locales[locale].items():
        context = Context(part.template, variables, n_markup=part.n_markup, conventions=conventions, zone=zone)
        buffer = context.get_buffer()
        try:
            part.template.render_with_context(context, buffer)
        except UndefinedError as error:
            raise _UnfitError(Reason.VARIABLE_MISSING, f"{error.message} is missing ({name}, {locale})") from None
        except LiquidError as error:
            raise _UnfitError(Reason.TEMPLATE_FAILED, f"{error.message} ({name}, {locale})") from None
        except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError) as error:
            message = f"a value does not fit its filter: {type(error).__name__} ({name}, {locale})"
            raise _UnfitError(Reason.TEMPLATE_FAILED, message) from None
        text = buffer.getvalue()
        if template.channel != WEBHOOK:  # JSON output is escaped already
            text = one_line(text) if (template.channel, name) in _ONE_LINE else lines(text)
        parts[name] = text
        if not parts[name].strip():
            raise _UnfitError(Reason.TEMPLATE_FAILED, f"nothing is left of the {name} ({locale})")
        if name == "html" and text.count("<") > limits.MAX_HTML_TAGS:
            raise _UnfitError(Reason.TEMPLATE_FAILED, f"the html has over {limits.MAX_HTML_TAGS:,} tags ({locale})")
    return parts


def _whole_mail(parts: dict[str, str], locale: str, unsubscribe_url: str) -> dict[str, str]:
    """Add an unsubscribe link to html and text, and a text for readers without HTML."""
    if unsubscribe_url:
        parts = {
            part: text if part == "subject" else with_footer(part, text, locale, unsubscribe_url)
            for part, text in parts.items()
        }
    return parts if "text" in parts else {**parts, "text": text_of(parts["html"])}


def _hash(channel: str, locale: str, parts: Mapping[str, str], unsubscribe_url: str) -> str:
    """Hash the content without the unsubscribe link's secret, which differs per message, so equal texts hash alike."""
    secret = unsubscribe_url.rpartition("/")[2]
    shown = {part: text.replace(secret, "") if secret else text for part, text in sorted(parts.items())}
    return hashlib.blake2b(msgspec.json.encode([channel, locale, shown]), digest_size=16).hexdigest()


def _offered_hosts(offer: bytes) -> frozenset[str]:
    return hosts_in(offer.decode("utf-8", "replace").replace("\\/", "/"))


def _check_size(channel: str, parts: Mapping[str, str]) -> None:
    if channel == EMAIL and len(parts["subject"].encode()) > limits.MAX_SUBJECT_BYTES:
        raise _UnfitError(Reason.TEMPLATE_FAILED, f"the subject has over {limits.MAX_SUBJECT_BYTES} bytes")
    if channel == SMS and len(parts["text"]) > limits.MAX_SMS_CHARS:
        message = f"the text has over {limits.MAX_SMS_CHARS:,} characters, tracked links included"
        raise _UnfitError(Reason.TEMPLATE_FAILED, message)
    if channel == PUSH and sum(len(text.encode()) for text in parts.values()) > limits.MAX_PUSH_BYTES:
        message = f"title and body have over {limits.MAX_PUSH_BYTES:,} bytes, tracked links included"
        raise _UnfitError(Reason.TEMPLATE_FAILED, message)
    if channel == WEBHOOK:
        try:
            msgspec.json.decode(parts["body"])
        except (msgspec.DecodeError, RecursionError) as error:
            raise _UnfitError(Reason.TEMPLATE_FAILED, f"the body is not JSON: {error}") from None


def _headers(unsubscribe_url: str) -> dict[str, str]:
    """Return the headers for one-click unsubscription, RFC 8058."""
    if not unsubscribe_url:
        return {}
    return {"List-Unsubscribe": f"<{unsubscribe_url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
