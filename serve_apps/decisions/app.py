"""The decisions application of Ray Serve: batches of candidates in, choices out. No HTTP of its own.

The choice is :func:`whisperer.decisions.thompson.choose`; the policies are followed by
:class:`~serve_apps.decisions.following.Following`. A replica holds nothing that must survive: whoever asked and got no
answer asks again, and gets the same choice as long as the policy is the same; the first one journaled holds.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import msgspec
import ray
from ray import serve
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.serve import Application

from actors.installation import configure_logs
from actors.routing import LEARNER, NAMESPACE
from serve_apps.decisions.following import Following
from whisperer.decisions.decision import Candidate
from whisperer.decisions.posterior import Posterior
from whisperer.decisions.thompson import choose, fault_of
from whisperer.errors import UnavailableError

_log = logging.getLogger(__name__)
_decode = msgspec.msgpack.Decoder(list[Candidate]).decode
_encode = msgspec.msgpack.Encoder().encode


def build(args: dict[str, str]) -> Application:
    """``args["installation"]``: path of `installation.json`, as every application is given."""
    return Decisions.bind(args["installation"])  # type: ignore[attr-defined,no-any-return]


def answer(batch: bytes, policies: dict[tuple[str, str], Posterior]) -> tuple[bytes, int]:
    """The choices, and how many candidates have none because they cannot be decided.

    Those are left out, so that they do not take the batch with them; their shard refuses them at the deadline. Raises
    msgspec.ValidationError for what is no list of candidates.
    """
    candidates = _decode(batch)
    sound = []
    for candidate in candidates:
        fault = fault_of(candidate)
        if fault:
            _log.error("%s cannot be decided: %s", candidate.decision_id, fault)
        else:
            sound.append(candidate)
    return _encode(choose(sound, policies)), len(candidates) - len(sound)


class LearnerCalls:
    """The client side of the learner actor."""

    def __init__(self) -> None:
        self._handle: ActorHandle[Any] | None = None

    async def policies(self, since: int, wait_s: float) -> tuple[int, bytes]:
        """Raises UnavailableError while the learner is away."""
        try:
            if self._handle is None:
                self._handle = await asyncio.to_thread(ray.get_actor, LEARNER, NAMESPACE)
            found: tuple[int, bytes] = await asyncio.wait_for(self._handle.policies.remote(since, wait_s), 2 * wait_s)
        except (ValueError, RayActorError, TimeoutError) as error:
            self._handle = None
            raise UnavailableError("the learner is starting", retry_after_s=1.0) from error
        return found


@serve.deployment(name="Decisions")
class Decisions:
    def __init__(self, installation_path: str) -> None:
        configure_logs(installation_path, "decisions")
        self._following = Following(LearnerCalls().policies)
        self._task = asyncio.ensure_future(self._following.forever())
        self._n_batches = self._n_faulty = 0

    async def decide(self, batch: bytes) -> bytes:
        """msgpack of list[Candidate] -> msgpack of list[Choice], in the same order."""
        choices, n_faulty = answer(batch, self._following.policies)
        self._n_batches += 1
        self._n_faulty += n_faulty
        return choices

    async def status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "batches": self._n_batches,
            "faulty": self._n_faulty,
            "policy": self._following.status(),
        }
