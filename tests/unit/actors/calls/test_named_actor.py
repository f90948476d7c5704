"""An actor that is gone is found again by its name; what it raised is not taken for its absence."""

from __future__ import annotations

from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError, RayTaskError

from actors.calls.named_actor import NamedActor
from whisperer.errors import UnavailableError


class Handle:
    """Answers every method with what ``answer`` returns or raises."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __getattr__(self, method: str) -> Handle:
        return self

    async def remote(self, *_args: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def raised(cause: Exception) -> Exception:
    """What Ray raises where a remote method raised."""
    return RayTaskError("method", "", cause).as_instanceof_cause()


async def test_one_that_died_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([Handle(ActorDiedError()), Handle("here")])
    monkeypatch.setattr(ray, "get_actor", lambda *_: next(found))
    actor = NamedActor("directory")
    with pytest.raises(UnavailableError, match="the directory is starting"):
        await actor.call("method")
    assert await actor.call("method") == "here"
    assert await actor.call("method") == "here"


async def test_one_that_is_not_there_or_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any) -> Handle:
        raise ValueError("no such actor")

    monkeypatch.setattr(ray, "get_actor", nobody)
    with pytest.raises(UnavailableError, match="away for tests"):
        await NamedActor("directory").call("method", away="away for tests")
    monkeypatch.setattr(ray, "get_actor", lambda *_: Handle(TimeoutError()))
    with pytest.raises(UnavailableError):
        await NamedActor("directory").call("method", timeout_s=1.0)


@pytest.mark.parametrize("cause", [ValueError("a bug"), TimeoutError("its own"), KeyError("x")])
async def test_what_the_method_raised_is_raised(cause: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get_actor", lambda *_: Handle(raised(cause)))
    with pytest.raises(RayTaskError) as error:
        await NamedActor("directory").call("method")
    assert error.value.cause is cause
