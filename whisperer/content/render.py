"""Render one message: in the right language, with variables filled in, fit for its channel, with links replaced.

Guarantees: never raises; a failure is the value :class:`NotRendered`, with a sentence for the campaign's author. The
same request gives the same content hash whatever links it was given, and with the same links the same parts. No part
that becomes a header or an SMS contains a line break or control character, and every webhook body is JSON.
Leaves making links to the :class:`LinkMaker` and sending to delivery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

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
from whisperer.content.sms_segments import smart_encoded
from whisperer.content.supplies import Supplies
from whisperer.content.template import Template
from whisperer.content.variables import variables_of
from whisperer.errors import WhispererError
from whisperer.vocabulary.channels import CHANNELS, Channel, Limit, Part, Payload, Schema, Syntax
from whisperer.vocabulary.inapp import Unfit, read_message
from whisperer.vocabulary.push import form_problem, read_push
from whisperer.vocabulary.reasons import Reason

TRANSACTIONAL = "transactional"
"""The purpose whose messages nobody can unsubscribe from."""
_MAX_DETAIL_CHARS = 300

CLEANED: dict[Syntax, Callable[[str], str]] = {
    "line": one_line,
    "text": lines,
    "html": lines,
    "json": str,  # its values are escaped already
}
"""Syntax of a part -> what makes its text fit to send."""

READ: dict[Schema, Callable[[str], object]] = {
    "": msgspec.json.decode,
    "inapp": read_message,
}
"""Schema of a json part -> what reads it, and raises for what does not fit."""

READ_TOGETHER: dict[Payload, Callable[[Mapping[str, str]], object]] = {"push": read_push}
"""Payload of a channel -> what reads its parts together, and returns Unfit for what does not fit."""


class _UnfitError(Exception):
    """Say that the message must not go out like this."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


NO_BRAND: Mapping[str, str] = {}
NO_SLOTS: Mapping[str, str] = {}


def render(
    template: Template,
    request: RenderRequest,
    links: LinkMaker,
    brand: Mapping[str, str] = NO_BRAND,
    supplies: Supplies | None = None,
    generated: Mapping[str, str] = NO_SLOTS,
) -> Rendered | NotRendered:
    """Return the message that ``request`` asks for, or why there is none.

    ``brand`` is what the tenant has set, ``supplies`` its catalogues and coupon codes, ``generated`` what a model
    wrote, by slot.
    """
    try:
        return _render(template, request, links, brand, supplies or Supplies(), generated)
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


def _render(
    template: Template,
    request: RenderRequest,
    links: LinkMaker,
    brand: Mapping[str, str],
    supplies: Supplies,
    generated: Mapping[str, str],
) -> Rendered:
    if template.channel != request.channel:
        message = f"the template is for {template.channel}, the arm for {request.channel}"
        raise _UnfitError(Reason.TEMPLATE_FAILED, message)
    locale = lookup(request.locale, template.locales, template.default_locale)
    unsubscribe_url = "" if request.purpose == TRANSACTIONAL else links.unsubscribe()
    channel = CHANNELS[template.channel]
    variables = variables_of(request, template.defaults, locale, unsubscribe_url, brand, generated)
    parts = _filled_in(template, channel, request, locale, variables, supplies)
    if template.smart_encoding:
        parts = {name: smart_encoded(text) for name, text in parts.items()}
    parts = _completed(channel, parts, locale, unsubscribe_url)
    content_hash = _hash(template.channel, locale, parts, unsubscribe_url)
    hosts = template.hosts | _offered_hosts(request.offer) | hosts_in(" ".join(supplies.picked_urls))
    tracking = Tracking(links, hosts, unsubscribe_url)
    parts = {part.name: _tracked(part, parts[part.name], tracking) for part in channel.parts if part.name in parts}
    _check(channel, parts)
    headers = _headers(unsubscribe_url) if channel.has_unsubscribe_link else {}
    return Rendered(request.send_key, parts, headers, locale, content_hash)


def _filled_in(
    template: Template,
    channel: Channel,
    request: RenderRequest,
    locale: str,
    variables: Mapping[str, object],
    supplies: Supplies,
) -> dict[str, str]:
    conventions, zone = formatting_locale(request.locale, locale), zone_of(request.zone)
    parts = {}
    for described in channel.parts:
        name = described.name
        part = template.locales[locale].get(name)
        if part is None and described.is_optional:
            part = template.locales[template.default_locale].get(name)
        if part is None:
            continue
        context = Context(
            part.template,
            variables,
            n_markup=part.n_markup,
            conventions=conventions,
            zone=zone,
            supplies=supplies,
        )
        buffer = context.get_buffer()
        try:
            part.template.render_with_context(context, buffer)
        except UndefinedError as error:
            raise _UnfitError(Reason.VARIABLE_MISSING, f"{error.message} is missing ({name}, {locale})") from None
        except LiquidError as error:
            reason = Reason(supplies.coupons.lacking or Reason.TEMPLATE_FAILED)
            raise _UnfitError(reason, f"{error.message} ({name}, {locale})") from None
        except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError) as error:
            message = f"a value does not fit its filter: {type(error).__name__} ({name}, {locale})"
            raise _UnfitError(Reason.TEMPLATE_FAILED, message) from None
        text = CLEANED[described.syntax](buffer.getvalue())
        if described.form:
            text = text.strip()
        if not text and described.is_optional:
            continue
        if described.form and (problem := form_problem(described.form, name, text)):
            raise _UnfitError(Reason.TEMPLATE_FAILED, f"{problem} ({locale})")
        parts[name] = text
        if not text.strip():
            raise _UnfitError(Reason.TEMPLATE_FAILED, f"nothing is left of the {name} ({locale})")
        if described.syntax == "html" and text.count("<") > limits.MAX_HTML_TAGS:
            raise _UnfitError(Reason.TEMPLATE_FAILED, f"the html has over {limits.MAX_HTML_TAGS:,} tags ({locale})")
    return parts


def _completed(channel: Channel, parts: dict[str, str], locale: str, unsubscribe_url: str) -> dict[str, str]:
    """Add the unsubscribe link where the channel carries one, and a text for readers without HTML."""
    found: dict[str, str] = {}
    for part in channel.parts:
        text = parts.get(part.name)
        if text is not None and part.has_links and channel.has_unsubscribe_link and unsubscribe_url:
            text = with_footer(part.syntax, text, locale, unsubscribe_url)
        if text is None and part.made_from:
            text = text_of(found[part.made_from])
        if text is not None:
            found[part.name] = text
    return found


def _tracked(part: Part, text: str, tracking: Tracking) -> str:
    if not part.has_links:
        return text
    if part.form == "link":
        return tracking.address(text)
    return tracking.html(text) if part.syntax == "html" else tracking.text(text)


def _hash(channel: str, locale: str, parts: Mapping[str, str], unsubscribe_url: str) -> str:
    """Hash the content without the unsubscribe link's secret, which differs per message, so equal texts hash alike."""
    secret = unsubscribe_url.rpartition("/")[2]
    shown = {part: text.replace(secret, "") if secret else text for part, text in sorted(parts.items())}
    return hashlib.blake2b(msgspec.json.encode([channel, locale, shown]), digest_size=16).hexdigest()


def _offered_hosts(offer: bytes) -> frozenset[str]:
    return hosts_in(offer.decode("utf-8", "replace").replace("\\/", "/"))


def _check(channel: Channel, parts: Mapping[str, str]) -> None:
    for limit in channel.limits:
        texts = [parts[name] for name in limit.parts if name in parts]
        if sum(len(text if limit.unit == "characters" else text.encode()) for text in texts) > limit.most:
            raise _UnfitError(Reason.TEMPLATE_FAILED, _too_large(channel, limit))
    if channel.payload:
        together = READ_TOGETHER[channel.payload](parts)
        if isinstance(together, Unfit):
            raise _UnfitError(Reason.TEMPLATE_FAILED, f"the message does not fit: {together}")
    for part in channel.parts:
        if part.syntax == "json" and part.name in parts:
            try:
                found = READ[part.schema](parts[part.name])
            except (msgspec.DecodeError, RecursionError) as error:
                raise _UnfitError(Reason.TEMPLATE_FAILED, f"the {part.name} is not JSON: {error}") from None
            if isinstance(found, Unfit):
                raise _UnfitError(Reason.TEMPLATE_FAILED, f"the {part.name} does not fit its schema: {found}")


def _too_large(channel: Channel, limit: Limit) -> str:
    has = f"the {limit.parts[0]} has" if len(limit.parts) == 1 else f"{' and '.join(limit.parts)} have"
    tracked = any(part.has_links for part in channel.parts if part.name in limit.parts)
    return f"{has} over {limit.most:,} {limit.unit}{', tracked links included' if tracked else ''}"


def _headers(unsubscribe_url: str) -> dict[str, str]:
    """Return the headers for one-click unsubscription, RFC 8058."""
    if not unsubscribe_url:
        return {}
    return {"List-Unsubscribe": f"<{unsubscribe_url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
