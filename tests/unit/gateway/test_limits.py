"""Token buckets against a clock that the test moves."""

from __future__ import annotations

from serve_apps.gateway.limits import BURST_S, Buckets


def test_no_limit_grants_everything() -> None:
    assert Buckets(0).take("t", 10**9, 0.0) is None


def test_a_burst_is_granted_then_the_rate_holds() -> None:
    buckets = Buckets(100)
    assert buckets.take("t", int(100 * BURST_S), 0.0) is None
    wait_s = buckets.take("t", 50, 0.0)
    assert wait_s == 0.5
    assert buckets.take("t", 50, 0.49) is not None
    assert buckets.take("t", 50, 0.51) is None


def test_one_name_does_not_use_up_anothers_tokens() -> None:
    buckets = Buckets(1)
    assert buckets.take("a", 2, 0.0) is None
    assert buckets.take("a", 1, 0.0) is not None
    assert buckets.take("b", 2, 0.0) is None


def test_a_batch_larger_than_the_burst_passes_when_the_bucket_is_full_and_is_paid_for() -> None:
    buckets = Buckets(10)
    assert buckets.take("t", 500, 0.0) is None
    assert buckets.take("t", 1, 1.0) is not None
