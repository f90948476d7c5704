"""Call the learner: for what it learned, for budgets, and for its status."""

from __future__ import annotations

from actors.calls.learner_views import AnyLearnerStatus, LearnerAway, LearnerStatus
from actors.calls.named_actor import LEARNER, NamedActor
from actors.calls.plain import read
from whisperer.decisions.allotment import BudgetWindow
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId

STATUS_TIMEOUT_S = 3.0
POLICIES_TIMEOUT_S = 10.0


class LearnerCalls:
    """Call the learner actor (:class:`actors.learner.actor.Learner`). Use from one event loop."""

    def __init__(self) -> None:
        self._actor = NamedActor(LEARNER)

    async def status(self) -> AnyLearnerStatus:
        """Return the learner's status, or why it does not answer."""
        try:
            return read(await self._actor.call("status", timeout_s=STATUS_TIMEOUT_S), LearnerStatus)
        except UnavailableError as error:
            return LearnerAway("away", type(error.__cause__).__name__)

    async def learned(self) -> bytes:
        """Return every campaign's policy as of now (:func:`whisperer.decisions.posterior.decode`).

        Raises UnavailableError while the learner does not answer.
        """
        found: tuple[int, bytes] = await self._actor.call("policies", 0, 0.0, timeout_s=POLICIES_TIMEOUT_S)
        return found[1]

    async def budgets(self, tenant: TenantId, campaign: str) -> list[BudgetWindow]:
        """Return how a campaign's budget was used, by window (:meth:`actors.learner.budgets.Treasury.status`).

        Raises UnavailableError while the learner does not answer.
        """
        found = await self._actor.call("budgets", tenant, campaign, timeout_s=STATUS_TIMEOUT_S)
        return read(found, list[BudgetWindow])
