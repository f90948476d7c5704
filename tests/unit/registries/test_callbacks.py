"""Every provider's callbacks: what is genuine is read, what is forged, stale or foreign is not, and no bytes break it.

A new entry in `whisperer.feedback.callbacks` is tested here as it stands; it needs a peer in `callback_peers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.registries.callback_peers import NOW, PEERS, CallbackPeer, post
from whisperer.feedback.callbacks import CALLBACKS
from whisperer.feedback.callbacks.spec import REFUSED, CallbackSpec, Fate, Heard, Post, Refusal
from whisperer.feedback.outcome import OutcomeKind
from whisperer.vocabulary.providers import PROVIDER_NAMES

every_provider = pytest.mark.parametrize("spec", CALLBACKS.values(), ids=CALLBACKS)


def read(spec: CallbackSpec, given: Post, peer: CallbackPeer | None = None, config: Any = None) -> Heard | Refusal:
    """As the gateway does: first where the certificate is, then the rest."""
    peer = peer or PEERS[spec.name]
    config = peer.config if config is None else config
    if spec.certificate is not None:
        url = spec.certificate(given, config)
        if isinstance(url, Refusal):
            return url
        assert url.startswith("https://sns.")
    return spec.read(given, config, peer.pem)


@every_provider
def test_it_has_a_peer_and_its_name_is_a_provider_s(spec: CallbackSpec) -> None:
    assert spec.name in PEERS
    assert spec.name in PROVIDER_NAMES or spec.name in ("sendgrid", "ses", "sns", "twilio")


@every_provider
def test_an_address_that_is_gone_is_reported_with_the_message_s_reference(spec: CallbackSpec) -> None:
    heard = read(spec, PEERS[spec.name].genuine("rAbC-_09"))
    assert isinstance(heard, Heard), heard
    [told] = heard.told
    assert (told.kind, told.reference) == (OutcomeKind.BOUNCED, "rAbC-_09")
    assert NOW - 86_400_000 < told.at <= NOW
    assert "example.com" not in repr(heard), "addresses of people stay with the provider"


@every_provider
@pytest.mark.parametrize("fate", ["forged", "stale", "foreign"])
def test_what_is_forged_stale_or_foreign_is_refused(spec: CallbackSpec, fate: str) -> None:
    for number, one in enumerate(getattr(PEERS[spec.name], fate)):
        found = read(spec, one)
        assert isinstance(found, Refusal), (number, found)
        assert found.fate == fate, (number, found)
        assert 10 < len(found.message) < 100


@every_provider
def test_without_what_it_is_verified_with_nothing_is_believed(spec: CallbackSpec) -> None:
    if spec.setting:
        found = read(spec, PEERS[spec.name].genuine("r0"), config={})
        assert isinstance(found, Refusal)
        assert found.fate in (Fate.FORGED, Fate.FOREIGN)


@every_provider
def test_the_same_post_is_read_the_same_each_time(spec: CallbackSpec) -> None:
    one = PEERS[spec.name].genuine("r0")
    assert read(spec, one) == read(spec, one)


ANYTHING = st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(
        st.sampled_from(["event", "type", "reference", "timestamp", "mail", "tags", "eventType", "bounce", "Bounce", "context", "isFinal"]) | st.text(max_size=8),
        inside, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["x-twilio-signature", "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"]),
    st.text(max_size=100), max_size=3,
)  # fmt: skip


@every_provider
@given(body=ANYTHING, headers=HEADERS)
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_value_or_a_refusal(spec: CallbackSpec, body: bytes, headers: dict[str, str]) -> None:
    found = read(spec, post(body, headers))
    assert isinstance(found, Heard) or found.fate in REFUSED
    if spec.setting:
        assert isinstance(found, Refusal), "nobody signed it"


@every_provider
@given(content=JSON.map(msgspec.json.encode) | ANYTHING)
@settings(max_examples=150, deadline=None)
def test_whatever_a_provider_signs_is_a_value_or_a_refusal(spec: CallbackSpec, content: bytes) -> None:
    found = read(spec, PEERS[spec.name].signed(content))
    if isinstance(found, Heard):
        assert len(found.told) <= 1_000
        assert all(len(one.detail) <= 40 and one.detail.isascii() for one in found.told)
    else:
        assert found.fate in (Fate.MALFORMED, Fate.FORGED)


@every_provider
@given(at=st.integers(0, 10_000), other=st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_changed_byte_never_changes_what_is_believed(spec: CallbackSpec, at: int, other: int) -> None:
    if not spec.setting:
        return
    genuine = PEERS[spec.name].genuine("r0")
    body = bytearray(genuine.body)
    body[at % len(body)] = other
    found = read(spec, replace(genuine, body=bytes(body)))
    assert isinstance(found, Refusal) or found == read(spec, genuine)


def mangled(data: st.DataObject, body: bytes) -> bytes:
    """A report with a piece taken out, doubled or replaced."""
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 200)))
    piece = data.draw(
        st.sampled_from([b"", body[start:end] * 2, b"\r\n\r\n", b"\x00\xff", b"--BB/mail\r\n", b": " * 50])
    )
    return body[:start] + piece + body[end:]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_mangled_report_is_a_value_or_a_refusal(data: st.DataObject) -> None:
    spec, peer = CALLBACKS["smtp"], PEERS["smtp"]
    found = read(spec, post(mangled(data, mangled(data, peer.genuine("r0").body))))
    assert isinstance(found, Heard) or found.fate == Fate.MALFORMED


Make = Callable[[int], bytes]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * n,
        lambda n: b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(n // 40)
        ),
        lambda n: b"A: b\r\n" * n,
        lambda n: b"Content-Type: message/rfc822\r\n\r\n" * (n // 40),
        lambda n: b"[" * n,
        lambda n: b"a=1&" * n,
    ],
)
@every_provider
def test_a_bomb_is_refused_or_read_and_breaks_nothing(spec: CallbackSpec, make: Make) -> None:
    found = read(spec, post(make(20_000)))
    assert isinstance(found, Heard) or found.fate in REFUSED
