"""Call the learner: for what it learned, for budgets, and for its status."""

from __future__ import annotations

from typing import Any

from actors.calls.named_actor import LEARNER, NamedActor
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId

STATUS_TIMEOUT_S = 3.0
POLICIES_TIMEOUT_S = 10.0


class LearnerCalls:
    """Call the learner actor (:class:`actors.learner.actor.Learner`). Use from one event loop."""

    def __init__(self) -> None:
        self._actor = NamedActor(LEARNER)

    async def status(self) -> dict[str, Any]:
        """Return the learner's status; only a state and a reason while it does not answer."""
        try:
            found: dict[str, Any] = await self._actor.call("status", timeout_s=STATUS_TIMEOUT_S)
        except UnavailableError as error:
            return {"state": "away", "reason": type(error.__cause__).__name__}
        return {"state": "serving", **found}

    async def learned(self) -> bytes:
        """Return every campaign's policy as of now (:func:`whisperer.decisions.posterior.decode`).

        Raises UnavailableError while the learner does not answer.
        """
        found: tuple[int, bytes] = await self._actor.call("policies", 0, 0.0, timeout_s=POLICIES_TIMEOUT_S)
        return found[1]

    async def budgets(self, tenant: TenantId, campaign: str) -> list[dict[str, Any]]:
        """Return how a campaign's budget was used, by window (:meth:`actors.learner.budgets.Treasury.status`).

        Raises UnavailableError while the learner does not answer.
        """
        found: list[dict[str, Any]] = await self._actor.call("budgets", tenant, campaign, timeout_s=STATUS_TIMEOUT_S)
        return found
