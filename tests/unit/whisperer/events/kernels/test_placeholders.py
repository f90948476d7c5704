"""Ids that stand for nobody are kept as they came, and join nobody to anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.events.ingesting import admitted, ingest
from whisperer.events.kernels.placeholders import DEFAULT, PLACEHOLDER_IDS, Placeholders, normal_form
from whisperer.events.parse import parse_body, parse_exactly
from whisperer.events.routes import Route
from whisperer.settings import Settings

ZERO_UUID = "00000000-0000-0000-0000-000000000000"
NOBODY = [
    "undefined",
    "null",
    "[object Object]",
    "NaN",
    "None",
    "0",
    "anonymous",
    ZERO_UUID,
    " UNDEFINED ",
    "'null'",
    "000",
    "\u00a0nil",
]
SOMEBODY = ["ada", "1", "10", "test", "undefined1", "u", "0a", "00000000-0000-0000-0000-000000000001", "nullable"]


@pytest.mark.parametrize("nobody", NOBODY)
def test_a_placeholder_user_is_not_joined_to_a_device_and_the_event_stays_with_the_device(nobody: str) -> None:
    got = ingest({"type": "identify", "userId": nobody, "anonymousId": "device"}, "identify")
    assert (got.only.key, got.only.link) == ("a:device", None)
    assert got.notices == {"placeholder_id": 1}


@pytest.mark.parametrize("nobody", NOBODY)
def test_a_placeholder_device_is_not_joined_to_a_user(nobody: str) -> None:
    got = ingest({"event": "E", "userId": "ada", "anonymousId": nobody})
    assert (got.only.key, got.only.link) == ("u:ada", None)
    assert got.notices == {"placeholder_id": 1}


@pytest.mark.parametrize("nobody", NOBODY)
def test_an_event_that_has_nothing_but_placeholders_is_kept_under_the_user_id(nobody: str) -> None:
    assert ingest({"event": "E", "userId": nobody}).only.key == f"u:{nobody}"
    assert ingest({"event": "E", "anonymousId": nobody}).only.key == f"a:{nobody}"
    both = ingest({"event": "E", "userId": nobody, "anonymousId": "undefined"}).only
    assert (both.key, both.link) == (f"u:{nobody}", None)


@pytest.mark.parametrize("nobody", NOBODY)
@pytest.mark.parametrize("which", ["userId", "previousId"])
def test_an_alias_of_or_to_a_placeholder_joins_nothing(nobody: str, which: str) -> None:
    got = ingest({"userId": "ada", "previousId": "old", which: nobody}, "alias")
    assert got.only.link is None
    assert got.only.key == f"u:{nobody if which == 'userId' else 'ada'}"
    assert got.notices == {"placeholder_id": 1}


def test_a_number_that_stands_for_nobody_is_one_too() -> None:
    assert ingest({"event": "E", "userId": 0, "anonymousId": "device"}).only.key == "a:device"
    assert ingest({"event": "E", "userId": -1, "anonymousId": "device"}).only.key == "a:device"


@pytest.mark.parametrize("somebody", SOMEBODY)
def test_other_ids_are_joined(somebody: str) -> None:
    got = ingest({"event": "E", "userId": somebody, "anonymousId": "device"})
    assert (got.only.key, got.only.link, got.notices) == (f"u:{somebody}", "a:device", {})


ids = st.one_of(
    st.text(min_size=1, max_size=70),
    st.sampled_from([*PLACEHOLDER_IDS, *NOBODY, *SOMEBODY]),
    st.builds(
        "{}{}{}".format,
        st.text(" \t'\"`\u00a0\u200b\ufeffx", max_size=2),
        st.sampled_from(PLACEHOLDER_IDS).flatmap(lambda text: st.sampled_from([text, text.upper(), text.title()])),
        st.text(" \t'\"`\u00a0\u200b\ufeffx", max_size=2),
    ),
    st.text("0-", min_size=1, max_size=40),
)


@given(user=ids, device=ids)
def test_the_scanner_sees_every_placeholder(user: str, device: str) -> None:
    import json

    event = {"type": "track", "event": "E", "messageId": "m", "userId": user, "anonymousId": device}
    body = json.dumps({"batch": [event]}, ensure_ascii=False).encode()
    fast, exact = admitted(body, "batch", parse_body), admitted(body, "batch", parse_exactly)
    assert fast == exact or repr(fast) == repr(exact)
    nobody = user in DEFAULT, device in DEFAULT
    assert ("placeholder_id" in fast.notices) == any(nobody)  # type: ignore[union-attr]


def test_an_installation_may_name_its_own() -> None:
    own = Placeholders.listed("Kiosk, n/a")
    assert "KIOSK " in own
    assert "undefined" not in own
    assert ZERO_UUID in own
    body = b'{"event": "E", "messageId": "m", "userId": "kiosk", "anonymousId": "device"}'
    assert parse_body(body, Route.TRACK, own).n_plain == 0  # type: ignore[union-attr]
    assert parse_body(body, Route.TRACK).n_plain == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", ["\u00e9", "x" * 65])
def test_an_entry_that_cannot_be_compared_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        Placeholders.listed(wrong)


def test_the_settings_name_the_ids_that_are_built_in() -> None:
    named = Settings().identity.placeholder_ids
    assert Placeholders.listed(named).texts == {normal_form(text) for text in PLACEHOLDER_IDS}
