"""What failed for want of a peer or of room is tried again until it is done, or its time is up."""

from __future__ import annotations

from itertools import islice

import pytest

from actors.calls.retry import Pauses, retry
from whisperer.errors import OverloadError, RequestError, UnavailableError, WhispererError

AT_ONCE = Pauses(0.0)


class Attempts:
    """Raises the troubles first, then returns the answers, the last one for ever."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.n = 0

    async def __call__(self) -> object:
        self.n += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_pauses_double_up_to_the_longest_or_stay() -> None:
    assert list(islice(Pauses(0.1, 0.5).each(), 5)) == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert list(islice(Pauses(0.2).each(), 3)) == [0.2, 0.2, 0.2]


async def test_it_is_tried_until_the_answer_will_do() -> None:
    attempts = Attempts(UnavailableError("away"), OverloadError("full"), 1, 2)
    assert await retry(attempts, AT_ONCE, is_done=lambda answer: answer == 2) == 2
    assert attempts.n == 4


async def test_what_is_not_expected_is_raised_at_once() -> None:
    for trouble, failures in ((RequestError("no"), (UnavailableError,)), (OverloadError("full"), (UnavailableError,))):
        attempts = Attempts(trouble)
        with pytest.raises(type(trouble)):
            await retry(attempts, AT_ONCE, failures=failures)
        assert attempts.n == 1


async def test_after_its_time_the_last_failure_is_raised() -> None:
    with pytest.raises(UnavailableError, match="away"):
        await retry(Attempts(UnavailableError("away")), Pauses(1.0), timeout_s=0.0)
    with pytest.raises(UnavailableError, match="moving"):
        await retry(Attempts("not yet"), Pauses(1.0), timeout_s=0.0, is_done=lambda _: False)


async def test_what_happens_between_attempts_may_fail_as_they_may() -> None:
    between = Attempts(UnavailableError("the directory is starting"), None)
    assert (
        await retry(Attempts(UnavailableError("a"), UnavailableError("b"), "done"), AT_ONCE, between=between) == "done"
    )
    assert between.n == 2
    with pytest.raises(WhispererError, match="refused"):
        await retry(Attempts(UnavailableError("a")), AT_ONCE, between=Attempts(RequestError("refused")))
