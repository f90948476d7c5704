"""Call an actor by its name, and find it again after it was restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from whisperer.errors import UnavailableError

NAMESPACE = "whisperer"
DIRECTORY = "directory"
LEARNER = "learner"


class NamedActor:
    """Hold the handle of one detached actor. Use from one event loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._handle: ActorHandle[Any] | None = None

    async def call(self, method: str, *args: Any, timeout_s: float | None = None, away: str = "") -> Any:
        """Call a method once; without ``timeout_s`` wait as long as the actor lives.

        Raises
        ------
        UnavailableError
            The actor is not there, died, or did not answer in time: the call may or may not have been done. ``away`` is
            the message.
        RayTaskError
            The method raised; ``cause`` is what.
        """
        gone = UnavailableError(away or f"the {self.name} is starting", retry_after_s=1.0)
        if self._handle is None:
            try:
                self._handle = await asyncio.to_thread(ray.get_actor, self.name, NAMESPACE)
            except ValueError as error:  # nobody has that name
                raise gone from error
        remote: Callable[..., Any] = getattr(self._handle, method).remote
        try:
            return await asyncio.wait_for(remote(*args), timeout_s)
        except RayTaskError:  # what the method raised; Ray gives it the type of that as well, which may be TimeoutError
            raise
        except (RayActorError, GetTimeoutError, TimeoutError) as error:
            self._handle = None
            raise gone from error
