"""Codes: the same for the same link, different for any other, and of a form that no program breaks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whisperer.feedback.links import LinkSigner
from whisperer.feedback.short_links import CODE, CodedLinks, is_same
from whisperer.ids import DecisionId, TenantId, UserKey

SIGNER = LinkSigner(bytes(32))
NOW = 1_790_000_000_000


def links(decision: str = "dec_1", now: int = NOW, secret: bytes = b"s" * 16) -> CodedLinks:
    return CodedLinks(
        SIGNER,
        "https://go.example/",
        secret=secret,
        tenant=TenantId("tn_1"),
        user_key=UserKey("u:ada"),
        decision_id=DecisionId(decision),
        channel="sms",
        purpose="marketing",
        now=now,
    )


@given(st.text(max_size=20), st.integers(0, 10**10))
def test_a_code_depends_on_the_message_and_the_target_alone(path: str, later: int) -> None:
    url = f"https://a.example/{path}"
    made, again = links(), links(now=NOW + later)
    short = made.click(url)
    assert again.click(url) == short
    assert (short == url) == (made.made == {})
    if made.made:
        [(code, token)] = made.made.items()
        assert short == f"https://go.example/l/{code}"
        assert CODE.fullmatch(code)
        assert is_same(SIGNER, token, again.made[code], NOW)
        assert links("dec_2").click(url) != short != links(secret=b"t" * 16).click(url)


def test_what_is_no_web_address_stays() -> None:
    assert links().click("https://user@evil.example/") == "https://user@evil.example/"
