from __future__ import annotations

import pytest

from serve_apps.gateway.pages.formats import DASH, THIN, absolute, ago, count, iso, rate, share, size, user, written

NOW = 1_795_406_400_000


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1 000"), (1234567, "1 234 567"), (-1000, "-1 000")],
)
def test_counts_are_grouped_by_thin_spaces(value: int, text: str) -> None:
    assert count(value) == text.replace(" ", THIN)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.04, "0.0"),
        (3.14, "3.1"),
        (0.25, "0.3"),
        (9.94, "9.9"),
        (9.95, "10"),
        (10.4, "10"),
        (51234.5, "51 235"),
    ],
)
def test_a_rate_has_a_decimal_only_while_it_is_small(value: float, text: str) -> None:
    assert rate(value) == text.replace(" ", THIN)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (412_300_000, "393 MiB"),
        (3_411_000_000, "3.2 GiB"),
        (10**18, "909495 TiB"),
    ],
)
def test_sizes_use_binary_units(value: int, text: str) -> None:
    assert size(value) == text.replace(" ", THIN)


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [
        (-60_000, "just now"),
        (999, "just now"),
        (1_000, "1 s ago"),
        (59_999, "59 s ago"),
        (60_000, "1 min ago"),
        (3_599_999, "59 min ago"),
        (3_600_000, "1 h ago"),
        (86_400_000, "1 d ago"),
        (30 * 86_400_000 - 1, "29 d ago"),
        (30 * 86_400_000, "2026-10-24"),
    ],
)
def test_a_time_is_told_by_its_age_and_by_its_date_once_it_is_old(age_ms: int, text: str) -> None:
    assert ago(NOW - age_ms, NOW).replace(THIN, " ") == text


def test_absolute_times_are_utc_and_survive_any_number() -> None:
    assert absolute(NOW) == "2026-11-23 04:00:00 UTC"
    assert iso(NOW) == "2026-11-23T04:00:00Z"
    assert iso(-(10**18)) == "0001-01-01T00:00:00Z"
    assert iso(10**18) == "9999-12-31T23:59:59Z"


def test_a_backfill_is_complete_only_when_it_is() -> None:
    assert share(0.999) == f"99{THIN}%"


def test_a_user_key_is_shown_as_the_clients_own_id() -> None:
    assert [user(key) for key in ("u:ada", "a:u:odd", "ada")] == ["ada", "u:odd", "ada"]


def test_the_unknown_is_a_dash_in_every_format() -> None:
    assert written(None, "count") == written(None, "size") == written(None, "text") == DASH
