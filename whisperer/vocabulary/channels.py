"""Describe the channels that a message may go out on: one entry each, which all other places ask.

An entry says what sets a channel apart: where its address comes from, which parts a message has and how each is
written, what bounds it, whether it carries an unsubscribe link, when a failed attempt is repeated. Code belongs to the
rooms that run it, keyed by what an entry says: :mod:`whisperer.delivery.addresses` reads an address by its kind,
:mod:`whisperer.content.render` a part by its syntax.

To add a channel, write its name into :data:`ChannelName` and its entry into :data:`CHANNELS`; CONTRIBUTING.md has the
rest of the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whisperer.vocabulary import inapp
from whisperer.vocabulary.providers import UNSET, ProviderName
from whisperer.vocabulary.push import Form

ChannelName = Literal["email", "sms", "push", "webhook", "inapp"]
AddressKind = Literal["email", "phone", "push_token", "user_key"]
Syntax = Literal["line", "text", "html", "json"]
Schema = Literal["", "inapp"]
Payload = Literal["", "push"]


@dataclass(frozen=True, slots=True)
class Address:
    """Describe how a user is addressed.

    Attributes
    ----------
    kind : decides which texts are usable, and their one form
    noun : the address in words
    traits : traits that may hold it; the first usable one is taken. Without any, the address is the user key
    ignores_case : whether a stop of one spelling stops those that differ in case
    """

    kind: AddressKind
    noun: str
    traits: tuple[str, ...] = ()
    ignores_case: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Describe one part of a message.

    Attributes
    ----------
    syntax : a "line" holds no line break; "text" and "html" are for people; "json" is escaped and checked as such
    max_template_chars, max_bytes : of its template, and of the rendered part in UTF-8
    has_links : whether links in it are tracked, and an unsubscribe link is added
    is_alternative : whether it may be missing, as long as one of the channel's other alternatives is there
    made_from : an html part from which this text is made where the template lacks it
    is_optional : whether it may be missing, and is left out where it renders to nothing; a language without it uses the
        default language's
    form : how a line that is not for people is read (:mod:`whisperer.vocabulary.push`); "" is one that is
    schema : what a json part is read as (:mod:`whisperer.vocabulary.inapp`); "" is any JSON
    """

    name: str
    syntax: Syntax
    max_template_chars: int
    max_bytes: int
    has_links: bool = True
    is_alternative: bool = False
    made_from: str = ""
    is_optional: bool = False
    form: Form = ""
    schema: Schema = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """Bound some of a message's parts together, as they go out: with tracked links."""

    parts: tuple[str, ...]
    most: int
    unit: Literal["bytes", "characters"]


@dataclass(frozen=True, slots=True)
class Channel:
    """Describe one channel.

    Attributes
    ----------
    article, noun : one message in words
    retry_delays_s : the wait before each attempt, in seconds, counted from the failure before it
    has_unsubscribe_link : whether a message shows it, and names it in its headers (RFC 8058)
    names_sender : whether a campaign may say whom a message is from, and where answers go
    payload : as what the parts together are read, which bounds them; "" is as parts alone
    unset : the provider of a tenant's channel for which none was set
    """

    name: ChannelName
    article: Literal["a", "an"]
    noun: str
    address: Address
    parts: tuple[Part, ...]
    retry_delays_s: tuple[int, ...]
    limits: tuple[Limit, ...] = ()
    has_unsubscribe_link: bool = False
    names_sender: bool = False
    payload: Payload = ""
    unset: ProviderName = UNSET

    def part(self, name: str) -> Part | None:
        """Return a part by name, or None if the channel has none of that name."""
        return next((part for part in self.parts if part.name == name), None)

    @property
    def part_names(self) -> tuple[str, ...]:
        """Return the names of its parts, in order."""
        return tuple(part.name for part in self.parts)

    @property
    def alternatives(self) -> tuple[str, ...]:
        """Return the names of the parts of which at least one is needed."""
        return tuple(part.name for part in self.parts if part.is_alternative)

    @property
    def needed(self) -> tuple[str, ...]:
        """Return the names of the parts that every message has."""
        return tuple(part.name for part in self.parts if not part.is_alternative and not part.is_optional)


WITHIN_A_DAY_S = (0, 5, 30, 120, 600, 1_800, 7_200, 21_600, 50_400)
"""9 attempts."""

WITHIN_THREE_DAYS_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""10 attempts, as Standard Webhooks recommends."""

_TITLE_CHARS, _TITLE_BYTES = 2_000, 4_000


def _setting(name: str, form: Form, *, has_links: bool = False) -> Part:
    """Return a part that says what a message does, rather than what its reader reads."""
    return Part(name, "line", _TITLE_CHARS, _TITLE_BYTES, has_links=has_links, is_optional=True, form=form)


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel(
            "email", "an", "e-mail",
            address=Address("email", "e-mail", traits=("email",), ignores_case=True),
            parts=(
                Part("subject", "line", _TITLE_CHARS, _TITLE_BYTES, has_links=False),
                Part("html", "html", 100_000, 256_000, is_alternative=True),
                Part("text", "text", 50_000, 100_000, is_alternative=True, made_from="html"),
            ),
            retry_delays_s=WITHIN_A_DAY_S,
            limits=(Limit(("subject",), 998, "bytes"),),  # one line of a header, RFC 5322, 2.1.1
            has_unsubscribe_link=True,
            names_sender=True,
        ),
        Channel(
            "sms", "an", "SMS",
            address=Address("phone", "phone", traits=("phone",)),
            parts=(Part("text", "line", 50_000, 100_000),),
            retry_delays_s=WITHIN_A_DAY_S,
            limits=(Limit(("text",), 1_600, "characters"),),  # ten segments, as many as carriers and providers join
        ),
        Channel(
            "push", "a", "push message",
            address=Address("push_token", "push token", traits=("push_token", "device_token")),
            parts=(
                Part("title", "line", _TITLE_CHARS, _TITLE_BYTES, has_links=False),
                Part("body", "text", 50_000, 20_000),
                _setting("image", "image"),
                _setting("link", "link", has_links=True),
                _setting("ttl_s", "seconds"),
                _setting("collapse_key", "key"),
                _setting("badge", "number"),
            ),
            retry_delays_s=WITHIN_A_DAY_S,
            payload="push",
        ),
        Channel(
            "webhook", "a", "webhook call",
            address=Address("user_key", "user key"),  # the receiver knows the user by it
            parts=(Part("body", "json", 50_000, 20_000, has_links=False),),
            retry_delays_s=WITHIN_THREE_DAYS_S,
        ),
        Channel(
            "inapp", "an", "in-app message",
            address=Address("user_key", "user key"),  # whoever shows it asks for the inbox of this user
            parts=(Part("message", "json", 50_000, inapp.MAX_BYTES, has_links=False, schema="inapp"),),
            retry_delays_s=WITHIN_A_DAY_S,
            unset="inbox",
        ),
    )
}  # fmt: skip
"""Name -> channel, in the order in which people see them."""
