"""Web push's encryption by the RFC's own example and another reader, and its token by another verifier."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, derive_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.delivery.web_push_encryption import MAX_CONTENT_BYTES, Vapid, base64url, encrypt, point, unbase64
from serve_apps.delivery.webpush import parse_subscription
from tests.unit.whisperer.delivery.browser import AUTH, PUBLIC, decrypted, subscription
from whisperer.delivery.errors import UnsendableError
from whisperer.vocabulary.push import MOST_BYTES

SENDER = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"


def test_the_example_of_rfc_8291_comes_out() -> None:
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        PUBLIC,
        AUTH,
        salt=unbase64("DGv6ra1nlYgDCS1FRnbzlw"),
        sender_key=derive_private_key(int.from_bytes(unbase64(SENDER)), SECP256R1()),
    )
    assert base64url(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru"
        "3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@settings(max_examples=30)
@given(st.binary(max_size=MAX_CONTENT_BYTES))
def test_the_browser_reads_what_was_said_and_no_two_messages_are_alike(content: bytes) -> None:
    one, other = encrypt(content, PUBLIC, AUTH), encrypt(content, PUBLIC, AUTH)
    assert decrypted(one) == decrypted(other) == content
    assert one[:16] != other[:16]
    assert one[21:86] != other[21:86]
    assert len(encrypt(b"x" * MAX_CONTENT_BYTES, PUBLIC, AUTH)) == 4_096
    assert MOST_BYTES["web"] == MAX_CONTENT_BYTES


def test_a_push_service_can_tell_who_sends() -> None:
    token, _, key = (
        Vapid(SENDER, "mailto:ada@example.com")
        .authorization("https://push.example", 1_700_000_000)
        .removeprefix("vapid t=")
        .partition(", k=")
    )
    public = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), unbase64(key))
    claims = jwt.decode(token, public, ["ES256"], {"verify_exp": False}, audience="https://push.example")
    assert claims == {"aud": "https://push.example", "exp": 1_700_000_000 + 43_200, "sub": "mailto:ada@example.com"}
    assert unbase64(key) == point(derive_private_key(int.from_bytes(unbase64(SENDER)), SECP256R1()))


def test_a_subscription_is_read_as_a_browser_writes_it() -> None:
    found = parse_subscription(subscription("https://push.example/p/1?a=b"))
    assert (str(found.endpoint), found.key, found.auth) == ("https://push.example/p/1?a=b", PUBLIC, AUTH)


@pytest.mark.parametrize(
    "address",
    [
        "token-1", "{}", "[" * 4_000, '{"endpoint":"https://push.example","keys":{}}',
        subscription("https://push.example", auth="AAAA"), subscription("https://push.example", key="AAAA"),
        subscription("https://push.example", key="é"), subscription("file:///etc/passwd"),
        subscription("https://ada:pw@push.example"), subscription("https://push.example:22"),
    ],
)  # fmt: skip
def test_what_is_no_subscription_is_said_without_quoting_it(address: str) -> None:
    with pytest.raises(UnsendableError) as caught:
        parse_subscription(address)
    assert "push.example" not in str(caught.value)
