"""Keeps the value models a replica scores with current: followed through the control plane, fetched, verified, swapped.

A new version of the control plane is read within one poll. What it names is loaded in a thread, and then a single
assignment puts all of it into effect, so a batch is scored by one state of all rollouts. Guarantees: while the control
plane or the store is away, scoring continues with what is here; a model that cannot be loaded is listed with its
reason, and never keeps another from loading. Leaves to others: who decides (:mod:`whisperer.models.rollout`), scoring
(:mod:`.scoring`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from actors.telemetry.logs import Seldom
from whisperer.errors import UnavailableError, WhispererError
from whisperer.ids import TenantId
from whisperer.models.errors import ArtifactError
from whisperer.models.rollout import BUILT_IN, Rollout
from whisperer.models.value import ValueModel

RETRY_S = 5.0
"""Pause before asking again a store that did not answer. A refused model is never tried again."""

Policy = tuple[TenantId, str]
"""(tenant id, name); the name is the campaign's."""
Fetch = Callable[[TenantId, str, int, str], ValueModel]
"""Fetches a version by tenant, name, version and digest. Raises ArtifactError, NotFoundError, UnavailableError."""

_log = logging.getLogger(__name__)


class Plane(Protocol):
    """The part of :class:`cluster.control_plane.ControlPlane` that is used here."""

    def version(self) -> int: ...

    def rollouts(self) -> dict[Policy, tuple[Rollout, dict[int, str]]]: ...


@dataclass(frozen=True, slots=True)
class Serving:
    """A policy's rollout and its models. ``models``: those loaded, by version; a deciding version that is absent is
    missing."""

    rollout: Rollout
    models: Mapping[int, ValueModel] = field(default_factory=dict)


class ModelsStatus(msgspec.Struct):
    """Which versions a replica has, as name@version, and why it lacks others.

    ``age_s``: since the control plane last answered, None if it never did; ``swaps`` counts changes of what serves.
    """

    age_s: float | None
    swaps: int
    loaded: list[str]
    refused: dict[str, str]


class Models:
    """The models of a replica.

    Parameters
    ----------
    clock : seconds, monotonic
    prepare : called once, in a thread, when the first policy appears: one of its versions may be wanted soon

    Attributes
    ----------
    serving : by policy
    """

    def __init__(
        self,
        plane: Plane,
        fetch: Fetch,
        clock: Callable[[], float] = time.monotonic,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self._plane = plane
        self._fetch = fetch
        self._clock = clock
        self._prepare: Callable[[], object] | None = prepare
        self._version: int | None = None
        self._heard_at: float | None = None
        self._try_again_at = float("inf")
        self._held: dict[tuple[Policy, int, str], ValueModel] = {}
        self._faults: dict[tuple[Policy, int, str], str] = {}
        self._n_swaps = 0
        self.serving: dict[Policy, Serving] = {}

    async def poll(self) -> None:
        """Adopt what changed. Raises whatever the control plane raises while it is away."""
        version = await asyncio.to_thread(self._plane.version)
        self._heard_at = self._clock()
        if version == self._version and self._clock() < self._try_again_at:
            return
        rollouts = await asyncio.to_thread(self._plane.rollouts)
        self._try_again_at = float("inf")
        if rollouts and self._prepare is not None:
            prepare, self._prepare = self._prepare, None
            await asyncio.to_thread(prepare)
        wanted = {
            (policy, number, digest)
            for policy, (_, digests) in rollouts.items()
            for number, digest in digests.items()
            if number != BUILT_IN
        }
        self._held = {key: model for key, model in self._held.items() if key in wanted}
        self._faults = {key: fault for key, fault in self._faults.items() if key in wanted}
        unknown = wanted - self._held.keys() - self._faults.keys()
        # A policy stays as it was until what it needs is here, or known to be unavailable: if put to use earlier, its
        # first decisions would all be made without the model, and counted against it.
        pending = {policy for policy, *_ in unknown}
        self._swap(rollouts, pending)
        for policy in sorted(pending):
            for key in sorted(key for key in unknown if key[0] == policy):
                await self._load(*key)
            pending = pending - {policy}
            self._swap(rollouts, pending)
        self._version = version

    async def follow(self, every_s: float) -> None:
        """Poll forever."""
        seldom = Seldom(_log)
        while True:
            try:
                await self.poll()
            except UnavailableError as error:
                message = "rollouts cannot be read; scoring goes on with what is here: %r"
                seldom.log(logging.WARNING, "away", message, error.__cause__ or error)
            except Exception:
                _log.exception("rollouts cannot be read; scoring goes on with what is here")
            await asyncio.sleep(every_s)

    async def _load(self, policy: Policy, number: int, digest: str) -> None:
        try:
            model = await asyncio.to_thread(self._fetch, *policy, number, digest)
        except ArtifactError as error:
            self._faults[policy, number, digest] = error.message
            _log.error("%s %d cannot score: %s", policy[1], number, error.message)
        except Exception as error:
            why = error.message if isinstance(error, WhispererError) else repr(error)
            self._try_again_at = self._clock() + RETRY_S
            _log.warning("%s %d cannot be loaded yet: %s", policy[1], number, why)
        else:
            self._held[policy, number, digest] = model

    def _swap(self, rollouts: dict[Policy, tuple[Rollout, dict[int, str]]], pending: set[Policy]) -> None:
        serving = {policy: held for policy, held in self.serving.items() if policy in pending}
        for policy, (state, digests) in rollouts.items():
            if policy not in pending:
                keys = {number: (policy, number, digest) for number, digest in digests.items()}
                models = {number: self._held[key] for number, key in keys.items() if key in self._held}
                serving[policy] = Serving(state, models)
        self._n_swaps += serving != self.serving
        self.serving = serving

    def status(self) -> ModelsStatus:
        """Return what is loaded and missing."""
        age_s = None if self._heard_at is None else round(self._clock() - self._heard_at, 3)
        loaded = sorted(f"{model.name}@{model.version}" for model in self._held.values())
        faults = {f"{policy[1]}@{number}": why for (policy, number, _), why in sorted(self._faults.items())}
        return ModelsStatus(age_s, self._n_swaps, loaded, faults)
