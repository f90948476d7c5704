"""Revenue in exact micro-units; zones and locales."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.events.ingesting import ingest, track
from whisperer.events.exact.money import micro_units
from whisperer.events.place import canonical_locale, known_place

TOP = 2**63 - 1


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        (0, 0),
        (12, 12_000_000),
        (-3, -3_000_000),
        (12.5, 12_500_000),
        (-12.5, -12_500_000),
        (0.1, 100_000),
        (15.299999999999999, 15_300_000),  # 6 * 2.55 as a float
        (1e-7, 0),
        (-0.0, 0),
        ("12.50", 12_500_000),
        ("-0.000001", -1),
        ("+7", 7_000_000),
        (".5", 500_000),
        ("5.", 5_000_000),
        (" 1.5\n", 1_500_000),
        ("0.0000005", 0),  # half to even
        ("0.0000015", 2),
        ("0.0000025", 2),
        ("0.00000250000000000001", 3),
        ("9223372036854.775807", TOP),
        ("-9223372036854.775808", -TOP - 1),
        (9_223_372_036_854, 9_223_372_036_854_000_000),
    ],
)
def test_revenue_becomes_micro_units(amount: str | float, micros: int) -> None:
    assert micro_units(amount) == micros
    got = ingest(track(properties={"revenue": amount}))
    assert (got.only.revenue, got.notices) == (micros, {})


@pytest.mark.parametrize(
    "amount",
    ["", " ", "free", "€5", "$5.00", "1,000.00", "1e3", "NaN", "Infinity", "0x10", "1_000", "--1", "٣", "9" * 65, ".", "+",
     "9223372036854.775808", "-9223372036854.775809", 9_223_372_036_855, -(10**30), 1e13, -1e300, 10**4000,
     True, False, {}, [12], {"amount": 5}],
)  # fmt: skip
def test_what_is_no_revenue_counts_as_none_and_is_noticed(amount: object) -> None:
    got = ingest(track(properties={"revenue": amount}))
    assert (got.only.revenue, got.notices) == (0, {"invalid_revenue": 1})


def test_revenue_out_of_a_floats_range_is_noticed() -> None:
    got = ingest(b'{"event":"E","userId":"u","properties":{"revenue":1e999}}')
    assert (got.only.revenue, got.notices) == (0, {"invalid_revenue": 1})


@pytest.mark.parametrize("properties", [None, {}, {"revenue": None}])
def test_no_revenue_is_no_notice(properties: dict | None) -> None:
    got = ingest(track(properties=properties))
    assert (got.only.revenue, got.notices) == (0, {})


def test_only_track_has_revenue() -> None:
    for revenue in (5, "x", {}):
        got = ingest({"userId": "u", "properties": {"revenue": revenue}}, "page")
        assert (got.only.revenue, got.notices) == (0, {})


@given(st.decimals(min_value=-9_000_000_000_000, max_value=9_000_000_000_000, allow_nan=False, places=9))
def test_decimal_strings_are_rounded_half_to_even_and_exactly(amount: Decimal) -> None:
    exact = int((amount * 1_000_000).to_integral_value(ROUND_HALF_EVEN))
    assert micro_units(f"{amount:f}") == exact


@given(st.integers(-9_000_000_000, 9_000_000_000))
def test_a_float_of_six_decimals_is_exact(micros: int) -> None:
    assert micro_units(micros / 1_000_000) == micros


@given(st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_micro_units_fit_int64_whatever_comes(amount: str | int | float) -> None:
    micros = micro_units(amount)
    assert micros is None or (isinstance(micros, int) and -TOP - 1 <= micros <= TOP)


@pytest.mark.parametrize(
    ("given", "tag"),
    [
        ("de", "de"),
        ("de-AT", "de-AT"),
        ("de_at", "de-AT"),
        ("EN-us", "en-US"),
        ("zh-Hans_CN", "zh-Hans-CN"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("gsw-CH", "gsw-CH"),
        ("zh-yue-HK", "yue-HK"),
        ("iw", "he"),
        ("iw_IL", "he-IL"),
        ("in_ID", "id-ID"),
        ("ji", "yi"),
        ("jw", "jv"),
        ("no", "nb"),
        ("no_NO", "nb-NO"),
        ("no_NO_NY", "nn-NO"),
        ("nn", "nn"),
        ("tl_PH", "fil-PH"),
        ("mo", "ro"),
        ("sh", "sr-Latn"),
        ("sh-ME", "sr-Latn-ME"),
        ("cmn-Hans", "zh-Hans"),
        ("deu", "de"),
        ("prs", "fa-AF"),
        ("zh-min-nan", "nan"),
        ("zh_CN_#Hans", "zh-Hans-CN"),
        ("zh_TW_#Hant", "zh-Hant-TW"),
        ("sr__#Latn", "sr-Latn"),
        ("sr_RS_#Latn", "sr-Latn-RS"),
        ("th_TH_TH_#u-nu-thai", "th-TH-u-nu-thai"),
        ("ja_JP_JP_#u-ca-japanese", "ja-JP-u-ca-japanese"),
        ("zh_CN_#Hans_u-ca-chinese", "zh-Hans-CN-u-ca-chinese"),
        ("de__POSIX", "de-posix"),
        ("ca_ES_VALENCIA", "ca-ES-valencia"),
        ("en-rUS", "en-US"),
        ("zh-rCN", "zh-CN"),
        ("iw-rIL", "he-IL"),
        ("b+sr+Latn", "sr-Latn"),
        ("b+es+419", "es-419"),
        ("b+zh+Hans+CN", "zh-Hans-CN"),
        ("en_US@calendar=japanese", "en-US"),
        ("en_GB@rg=uszzzz;calendar=buddhist", "en-GB"),
        ("de_DE.UTF-8@euro", "de-DE"),
        ("de_DE@euro", "de-DE"),
        ("en_US.UTF-8", "en-US"),
        ("de@euro", "de"),
        ("sr_RS@latin", "sr-Latn-RS"),
        ("sr_RS.UTF-8@cyrillic", "sr-Cyrl-RS"),
        ("ca_ES@valencia", "ca-ES-valencia"),
        ("en-UK", "en-GB"),
        ("de-DD", "de-DE"),
        ("my-BU", "my-MM"),
        ("ru-SU", "ru-RU"),
        ("hy-SU", "hy-AM"),
        ("sr-YU", "sr-RS"),
        ("nl-AN", "nl-CW"),
        ("en-840", "en-US"),
        ("en_US_POSIX", "en-US-posix"),
        ("de-CH-1996", "de-CH-1996"),
        ("en-u-ca-GREGORY", "en-u-ca-gregory"),
        ("de-x-Private", "de-x-private"),
        ("ca-ES-valencia", "ca-ES-valencia"),
    ],
)
def test_a_locale_takes_its_canonical_form(given: str, tag: str) -> None:
    assert canonical_locale(given) == tag
    assert canonical_locale(tag) == tag


@pytest.mark.parametrize(
    "given",
    [
        "",
        "d",
        "xx",
        "qq-DE",
        "klingon",
        "en-",
        "-en",
        "en--US",
        "en US",
        "en-USA-",
        "C",
        "C.UTF-8",
        "POSIX",
        "@latin",
        "#Latn",
        "b+",
        "b+xx",
        ".",
        "xx_#Latn",
        "é",
        "en-" + "a" * 40,
    ],
)
def test_what_is_no_locale_is_none(given: str) -> None:
    assert canonical_locale(given) is None


@given(
    st.text()
    | st.from_regex(r"[a-zA-Z]{2,3}([-_][a-zA-Z0-9]{1,8})*", fullmatch=True)
    | st.from_regex(r"(b\+)?[a-z]{2,3}([-_+.@#r]{1,2}[a-zA-Z0-9]{1,8}){0,4}", fullmatch=True)
    | st.sampled_from(sorted(get_global("language_aliases")))
    | st.builds(
        "{}-{}".format, st.sampled_from(["en", "ru", "sr"]), st.sampled_from(sorted(get_global("territory_aliases")))
    )
)
def test_reading_a_place_never_raises_and_is_idempotent(text: str) -> None:
    _, locale, _ = known_place(text, text)
    assert not locale or canonical_locale(locale) == locale


def test_links_of_the_zone_database_are_known_too() -> None:
    assert [known_place(zone, None)[0] for zone in ("Asia/Calcutta", "US/Eastern", "UTC", "europe/vienna")] == [
        "Asia/Calcutta",
        "US/Eastern",
        "UTC",
        "",
    ]
