"""Holds who acts at the moment, for the audit log.

The gateway sets it for each request, a job for itself; whoever uses the command line on the installation's machine is
its operator. It is a context variable: what a request starts in threads (`asyncio.to_thread`) acts for the same caller.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from whisperer.vocabulary.named import Named


class ActorKind(Named):
    PERSON = "person"
    KEY = "key"
    OPERATOR = "operator"
    JOB = "job"
    NOBODY = "nobody"
    """A caller who is not signed in yet, such as one who accepts an invitation."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, by which call, from where.

    Attributes
    ----------
    id, name : of the person, key or job; the name is for people and may change
    operation : "POST /v1/campaigns", or the command
    address : of the client
    """

    kind: ActorKind
    id: str = ""
    name: str = ""
    operation: str = ""
    address: str = ""
    request_id: str = ""


_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


def acting() -> Actor:
    """Return who acts now."""
    return _acting.get() or Actor(ActorKind.OPERATOR, name=_account())


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Let everything within act for ``actor``."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def act_as(actor: Actor) -> None:
    """Let the rest of this context, such as one request, act for ``actor``."""
    _acting.set(actor)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return ""
