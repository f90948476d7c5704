"""Keep every user's scores fresh: sweep over the columns, a chunk at a time, each chunk one journaled record.

Guarantees: ingestion waits at most while one chunk is taken from the columns (the model runs in a thread, and the next
chunk is taken once the last one's record is applied); a model that cannot be loaded is reported and counted, and the
formula scores instead; a shard whose scores do not change writes nothing. A newly chosen model is used at once. Leaves
to others: what a chunk is and what its record does (:mod:`whisperer.shard.people.scoring`), the models
(:mod:`whisperer.models.scores`), and choosing among them (the control plane).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from actors.calls.retry import Pauses, retry
from actors.calls.shard_status import ScoreModelState, ScoringState
from actors.telemetry.logs import Seldom
from whisperer.errors import OverloadError, WhispererError
from whisperer.ids import TenantId
from whisperer.models.scores import open_model
from whisperer.models.store import ArtifactStore
from whisperer.profiles.scores import BgNbdScores, ScoreModel
from whisperer.settings import ScoringSettings
from whisperer.shard.machine import Shard
from whisperer.shard.people import scoring
from whisperer.shard.records import RecordBody, ScoreModelChosen

AGAIN = Pauses(1.0)
"""Pause after the queue was full: those who send go first."""

_log = logging.getLogger("whisperer.shard")


class Scoring:
    """Score the users of one shard. Use from one event loop.

    ``submit`` journals a record and returns when it is applied; ``clock`` is ms UTC.
    """

    def __init__(
        self,
        shard: Shard,
        submit: Callable[[RecordBody], Awaitable[None]],
        clock: Callable[[], int],
        cache: Path,
        rhythm: ScoringSettings,
    ) -> None:
        self._shard = shard
        self._submit = submit
        self._clock = clock
        self._cache = cache
        self._rhythm = rhythm
        self._formula = BgNbdScores()
        self._loaded: dict[TenantId, tuple[ScoreModelChosen, ScoreModel]] = {}
        self._seldom = Seldom(_log)
        self._sweeping = asyncio.Lock()
        self._chosen = asyncio.Event()
        self._state = ScoringState()

    def state(self) -> ScoringState:
        """Return a copy of what was done since the start, with each tenant's model."""
        return msgspec.structs.replace(self._state, models=dict(self._state.models))

    async def choose(self, chosen: ScoreModelChosen) -> None:
        """Journal the model for a tenant's users from here on, if it is new, and wake the sweeps."""
        if (chosen if chosen.name else None) != self._shard.tenant(chosen.tenant).score_model:
            await self._submit(chosen)
            self._chosen.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        await self._pause(self._rhythm.first_after_s)
        while True:
            await self.sweep()
            await self._pause(self._rhythm.interval_s)

    async def _pause(self, seconds: float) -> None:
        """Wait this long, or until a model is chosen."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._chosen.wait(), seconds)
        self._chosen.clear()

    async def sweep(self) -> int:
        """Score every user of every tenant once; return how many there were."""
        async with self._sweeping:
            begun, before = time.monotonic(), self._state.users
            for tenant in list(self._shard.tenants):
                try:
                    await self._sweep(tenant)
                except Exception:  # one tenant's failure costs no other its scores
                    _log.exception("the users of %s could not be scored; trying again", tenant)
            state, took = self._state, time.monotonic() - begun
            state.last_s, state.last_users = round(took, 3), state.users - before
            state.seconds = round(state.seconds + took, 3)
            state.sweeps += 1
            return state.last_users

    async def _sweep(self, tenant_id: TenantId) -> None:
        tenant = self._shard.tenant(tenant_id)
        model = await self._model(tenant_id, tenant.score_model)
        first = 0
        while True:
            found = scoring.chunk(tenant, model.features, first, self._clock())
            if not found.n:
                return
            body = await asyncio.to_thread(scoring.scored, tenant_id, model, found)
            if body is not None:
                await retry(partial(self._submit, body), AGAIN, failures=(OverloadError,))
                self._state.chunks += 1
            first += found.n
            self._state.users += len(found.rows)

    async def _model(self, tenant_id: TenantId, chosen: ScoreModelChosen | None) -> ScoreModel:
        model, fault = (self._formula, "") if chosen is None else await self._wanted(tenant_id, chosen)
        is_learned = chosen is not None and not fault
        self._state.models[tenant_id] = ScoreModelState(
            model.version, chosen.digest if chosen is not None and is_learned else "", fault
        )
        return model

    async def _wanted(self, tenant_id: TenantId, chosen: ScoreModelChosen) -> tuple[ScoreModel, str]:
        """Return the model chosen, or the formula and why."""
        held = self._loaded.get(tenant_id)
        if held is not None and held[0] == chosen:
            return held[1], ""
        try:
            model: ScoreModel = await asyncio.to_thread(fetch, chosen, self._cache)
        except Exception as error:
            why = error.message if isinstance(error, WhispererError) else repr(error)
            self._state.fallbacks += 1
            self._seldom.log(
                logging.WARNING, "score model", "scored without %s %d: %s", chosen.name, chosen.number, why
            )
            return self._formula, why
        self._loaded[tenant_id] = chosen, model
        return model, ""


def fetch(chosen: ScoreModelChosen, cache: Path) -> ScoreModel:
    """Open the model that a tenant's sweeps are to use. Raises ArtifactError, NotFoundError, UnavailableError."""
    store = ArtifactStore(chosen.store, cache)
    return open_model(store.fetch(chosen.tenant, chosen.name, chosen.number, chosen.digest or None))
