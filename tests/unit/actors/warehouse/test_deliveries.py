"""The list of deliveries: what it says is what the attempts say, one by one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.files.blobs import BlobFolder
from actors.warehouse import Warehouse
from actors.warehouse.deliveries import page_of_deliveries
from tests.unit.actors.warehouse.conftest import DAY_MS, NEW_YEAR_2026, delivery, logged
from whisperer.delivery.listing import DeliveryEntry, DeliveryQuery, DeliveryState
from whisperer.shard.state.log import DeliveryRow

ALL = DeliveryQuery(NEW_YEAR_2026 - DAY_MS, NEW_YEAR_2026 + 10 * DAY_MS)
ENDS = [
    ("accepted", "", DeliveryState.ACCEPTED),
    ("retry", "", DeliveryState.RETRYING),
    ("unknown", "", DeliveryState.UNKNOWN),
    ("bounced", "bounced", DeliveryState.BOUNCED),
    ("refused", "consent_withdrawn", DeliveryState.REFUSED),
    ("retry", "delivery_expired", DeliveryState.DEAD),
    ("rejected", "provider_rejected", DeliveryState.DEAD),
]


@st.composite
def histories(draw: st.DrawFn) -> list[list[DeliveryRow]]:
    """Attempts of some messages, each one's in order of time."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        at = NEW_YEAR_2026 + draw(st.integers(0, 3 * DAY_MS))
        channel, campaign = draw(st.sampled_from(["email", "sms"])), draw(st.sampled_from(["a", "b"]))
        attempts = []
        for attempt in range(draw(st.integers(1, 4))):
            status, reason, _ = draw(st.sampled_from(ENDS))
            attempts.append(
                delivery(
                    f"u:{number}", f"dec_{number}", at, attempt=attempt, status=status, reason=reason, channel=channel,
                    campaign=campaign,
                )
            )  # fmt: skip
            at += draw(st.integers(0, DAY_MS))
        found.append(attempts)
    return found


def expected(attempts: list[DeliveryRow], query: DeliveryQuery) -> DeliveryEntry | None:
    within = [row for row in attempts if query.since <= row.at < query.until]
    if not within:
        return None
    last = within[-1]
    state = next(state for status, reason, state in ENDS if (status, reason) == (last.status, last.reason))
    return DeliveryEntry(
        last.send_key, last.decision_id, last.user_key, last.campaign, last.channel, state, last.reason, last.provider,
        last.provider_id, last.detail, last.locale, len(within), within[0].at, last.at,
    )  # fmt: skip


def in_order(entries: Iterable[DeliveryEntry], *, descends: bool) -> list[DeliveryEntry]:
    return sorted(entries, key=lambda one: (-one.at if descends else one.at, one.send_key))


@settings(max_examples=25, deadline=None)
@given(histories(), st.booleans(), st.integers(1, 4), st.sampled_from([None, *DeliveryState]), st.data())
def test_every_page_shows_what_the_attempts_say(
    attempts: list[list[DeliveryRow]], descends: bool, limit: int, state: str | None, data: st.DataObject
) -> None:
    since = NEW_YEAR_2026 + data.draw(st.integers(-DAY_MS, DAY_MS))
    query = DeliveryQuery(
        since,
        since + data.draw(st.integers(1, 6 * DAY_MS)),
        state=state,
        channel=data.draw(st.sampled_from([None, "email"])),
        campaign=data.draw(st.sampled_from([None, "b"])),
        limit=limit,
        descends=descends,
    )
    wanted = [
        entry
        for entry in (expected(one, query) for one in attempts)
        if entry is not None
        and state in (None, entry.state)
        and query.channel in (None, entry.channel)
        and query.campaign in (None, entry.campaign)
    ]
    with TemporaryDirectory() as folder:
        warehouse = Warehouse(Path(folder))
        for number, rows in enumerate(attempts):
            warehouse.export(3, 100 * number, 100 * (number + 1), [logged(100 * number + 1, *rows)])
        found: list[DeliveryEntry] = []
        while True:
            page = page_of_deliveries(warehouse, "acme", query)
            found += page
            if len(page) < limit:
                break
            query = msgspec.structs.replace(query, after=(page[-1].at, page[-1].send_key))
    assert found == in_order(wanted, descends=descends)


def test_a_tenant_sees_its_own_deliveries_on_any_store(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(3, 0, 100, [logged(10, delivery("u:a"), delivery("u:b", "dec_2", tenant="globex"))])
    assert [one.user_key for one in page_of_deliveries(warehouse, "acme", ALL)] == ["u:a"]
    assert page_of_deliveries(warehouse, "nobody", ALL) == []


def test_what_is_asked_for_is_no_sql(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(3, 0, 100, [logged(10, delivery("u:a"))])
    for text in ("'; DROP TABLE x; --", "' OR '1'='1", "\\", "\x00"):
        for name in ("state", "channel", "campaign", "provider"):
            assert page_of_deliveries(warehouse, "acme", msgspec.structs.replace(ALL, **{name: text})) == []
        query = msgspec.structs.replace(ALL, after=(ALL.until, text))
        assert len(page_of_deliveries(warehouse, "acme", query)) == 1
