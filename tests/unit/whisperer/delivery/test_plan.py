from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.delivery.channels import parse_plan, redacted_document, redacted_plan
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.plan import ALONE, MAX_FAILOVER, Plan, accounts, read, written

SMTP: dict[str, Any] = {"host": "mail.example.com", "sender": "Ada <ada@example.com>"}
LOGIN = SMTP | {"username": "ada", "password": "correct horse"}
FULL: dict[str, Any] = {
    "weight": 3,
    "rates": {"per_second": 50, "burst": 100, "per_domain_per_second": 5},
    "warm_up": {"started_at": "2026-11-02T00:00:00Z", "per_day": [50, 100]},
    "failover": [{"provider": "smtp", "config": LOGIN, "name": "backup", "rates": {"per_second": 0.5}}],
}


def problems(plan: object, channel: str = "email", provider: str = "smtp", config: object = SMTP) -> dict[str, str]:
    with pytest.raises(ChannelError) as refused:
        parse_plan(channel, provider, config, plan)
    assert "correct horse" not in str(refused.value)
    return {problem["pointer"]: problem["code"] for problem in refused.value.errors}


def test_a_channel_without_the_rest_is_one_account_without_limits() -> None:
    _, plan = parse_plan("email", "smtp", SMTP, {})
    assert plan == ALONE
    assert written(plan) == {}
    [account] = accounts("smtp", SMTP, plan)
    assert (account.name, account.weight, account.rates, account.warm_up) == ("smtp", 1, None, None)
    assert parse_plan("email", "smtp", SMTP, {"name": "smtp", "weight": 1})[1] == ALONE


def test_a_checked_plan_is_complete_and_checks_to_itself() -> None:
    config, plan = parse_plan("email", "smtp", SMTP, FULL)
    assert parse_plan("email", "smtp", config, written(plan)) == (config, plan)
    assert read(json.loads(json.dumps(written(plan)))) == plan
    first, backup = accounts("smtp", config, plan)
    assert (first.name, first.weight, backup.name, backup.weight) == ("smtp", 3, "backup", 0)
    assert backup.config["port"] == 587  # checked as any other


def test_all_problems_are_told_at_once_with_their_places() -> None:
    found = problems(
        {
            "weight": -1,
            "rates": {"per_second": 0, "burst": 0, "per_domain_per_second": 1e9},
            "warm_up": {"started_at": "yesterday", "per_day": [5]},
            "failover": [
                {"provider": "smtp", "config": {"host": "a b"}},
                {"provider": "sink"},
                {"provider": "twilio", "weight": 2_000, "name": "Über"},
            ],
        },
        config={"host": ""},
    )
    assert found == {
        "/config/host": "missing_field",
        "/config/sender": "missing_field",
        "/weight": "out_of_range",
        "/rates/per_second": "out_of_range",
        "/rates/burst": "out_of_range",
        "/rates/per_domain_per_second": "out_of_range",
        "/warm_up/started_at": "invalid_time",
        "/warm_up/per_day/0": "out_of_range",
        "/failover/0/name": "duplicate",
        "/failover/0/config/host": "invalid_host",
        "/failover/0/config/sender": "missing_field",
        "/failover/1/provider": "unknown_provider",
        "/failover/2/provider": "unknown_provider",
        "/failover/2/config/account_sid": "missing_field",
        "/failover/2/config/auth_token": "missing_field",
        "/failover/2/config/sender": "missing_field",
        "/failover/2/weight": "out_of_range",
        "/failover/2/name": "invalid_text",
    }


@pytest.mark.parametrize(
    ("plan", "found"),
    [
        ({"weight": 0}, {"/weight": "out_of_range"}),
        ({"rates": {"burst": 5}}, {"/rates/per_second": "missing_field"}),
        ({"rates": {"per_second": "fast"}}, {"/rates/per_second": "invalid_type"}),
        ({"failover": [{"provider": "smtp", "config": {}, "colour": 1}]}, {"/failover/0": "invalid_type"}),
        ({"failover": 5}, {"/failover": "invalid_type"}),
        ([], {"": "invalid_type"}),
        ({"warm_up": {"started_at": "2026-01-01T00:00:00Z", "per_day": []}}, {"/warm_up/per_day": "out_of_range"}),
    ],
)
def test_a_bad_plan_is_refused_with_the_place(plan: object, found: dict[str, str]) -> None:
    assert problems(plan) == found


def test_more_accounts_than_there_may_be_are_refused() -> None:
    further = [{"provider": "smtp", "config": SMTP, "name": f"n{n}"} for n in range(MAX_FAILOVER + 1)]
    assert problems({"failover": further}) == {"/failover": "too_many"}
    parse_plan("email", "smtp", SMTP, {"failover": further[:-1]})


def test_only_mail_has_domains() -> None:
    plan = {"rates": {"per_domain_per_second": 1}}
    found = problems(plan, "sms", "sink", {})
    assert found == {"/rates/per_domain_per_second": "unknown_field"}


def test_what_is_shown_of_a_plan_has_no_secret() -> None:
    _, plan = parse_plan("email", "smtp", SMTP, FULL)
    for shown in (repr(plan), json.dumps(written(redacted_plan(plan))), json.dumps(redacted_document(written(plan)))):
        assert "correct horse" not in shown
    assert redacted_document({"a_newer": "secret"}) == {"a_newer": "…"}
    hidden = written(redacted_plan(plan))
    assert problems(hidden) == {"/failover/0/config/password": "hidden_secret"}  # the shown form was sent back


NAMES = st.sampled_from([*Plan.__struct_fields__, "provider", "config", "per_second", "x"])
documents = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_whatever_is_written_is_a_plan_or_a_list_of_problems(document: Any) -> None:
    try:
        config, plan = parse_plan("email", "smtp", SMTP, document)
    except ChannelError:
        return
    assert parse_plan("email", "smtp", config, msgspec.to_builtins(plan))[1] == plan
