"""Keeps every user's scores fresh: sweeps over the columns, a chunk at a time, each chunk one journaled record.

Guarantees: ingestion waits for no more than one chunk to be taken from the columns (the model runs in a thread, and the
next chunk is taken when the last one's record is applied); a model that cannot be loaded is said and counted, and the
formula scores in its place; a shard whose scores stand still writes nothing. Leaves to others: what a chunk is and what
its record does (:mod:`whisperer.shard.scoring`), the models (:mod:`actors.score_models`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from actors import score_models
from actors.logs import Seldom
from whisperer.errors import OverloadError, WhispererError
from whisperer.profiles.scores import BgNbdScores, ScoreModel
from whisperer.shard import scoring
from whisperer.shard.machine import Shard
from whisperer.shard.records import RecordBody, ScoreModelChosen

FIRST_AFTER_S = 60.0
EVERY_S = 3_600.0
AGAIN_AFTER_S = 1.0
"""After the queue was full: those who send go first."""

_log = logging.getLogger("whisperer.shard")


class Scoring:
    """Use from one event loop. ``submit`` journals a record and returns when it is applied; ``clock`` is ms UTC."""

    def __init__(
        self, shard: Shard, submit: Callable[[RecordBody], Awaitable[None]], clock: Callable[[], int], cache: Path
    ) -> None:
        self._shard = shard
        self._submit = submit
        self._clock = clock
        self._cache = cache
        self._formula = BgNbdScores()
        self._loaded: dict[str, tuple[ScoreModelChosen, ScoreModel]] = {}
        self._seldom = Seldom(_log)
        self._sweeping = asyncio.Lock()
        self._state: dict[str, Any] = {"sweeps": 0, "users": 0, "changed_chunks": 0, "seconds": 0.0, "fallbacks": 0}

    def state(self) -> dict[str, Any]:
        """Sweeps since the start, and those without their model; users, chunks that changed and seconds of the last."""
        return dict(self._state)

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            try:
                await self.sweep()
            except Exception:
                _log.exception("the users could not be scored; trying again")
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Score every user of every tenant once; how many there were."""
        async with self._sweeping:
            begun, n_users, n_changed = time.monotonic(), 0, 0
            for tenant in list(self._shard.tenants):
                users, changed = await self._sweep(tenant)
                n_users, n_changed = n_users + users, n_changed + changed
            seconds = round(time.monotonic() - begun, 3)
            self._state |= {"users": n_users, "changed_chunks": n_changed, "seconds": seconds}
            self._state["sweeps"] += 1
            return n_users

    async def _sweep(self, tenant_id: str) -> tuple[int, int]:
        tenant = self._shard.tenant(tenant_id)
        model = await self._model(tenant_id, tenant.score_model)
        first = n_users = n_changed = 0
        while True:
            found = scoring.chunk(tenant, model.features, first, self._clock())
            if not found.n:
                return n_users, n_changed
            body = await asyncio.to_thread(scoring.scored, tenant_id, model, found)
            while body is not None:
                try:
                    await self._submit(body)
                    n_changed, body = n_changed + 1, None
                except OverloadError:
                    await asyncio.sleep(AGAIN_AFTER_S)
            first, n_users = first + found.n, n_users + len(found.rows)

    async def _model(self, tenant_id: str, chosen: ScoreModelChosen | None) -> ScoreModel:
        if chosen is None:
            return self._formula
        held = self._loaded.get(tenant_id)
        if held is not None and held[0] == chosen:
            return held[1]
        try:
            model: ScoreModel = await asyncio.to_thread(score_models.fetch, chosen, self._cache)
        except WhispererError as error:
            self._state["fallbacks"] += 1
            self._seldom.log(
                logging.WARNING,
                "score model",
                "scored without %s %d: %s",
                chosen.name,
                chosen.number,
                error,
            )
            return self._formula
        self._loaded[tenant_id] = chosen, model
        return model
