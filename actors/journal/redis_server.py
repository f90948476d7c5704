"""Reach one Redis in spite of its restarts and promotions, within bounds.

Guarantees: work is tried again while the server is away, loads, refuses for lack of room, or is no longer master, and
on whichever host of the place is then master; after ``patience_s`` it is given up with UnavailableError. The caller
must make sure that work which was already done is harmless to repeat. :attr:`RedisServer.trouble` says what is in the
way meanwhile.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from actors.journal.redis_place import RedisPlace, Rules
from whisperer.errors import JournalError, UnavailableError

_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_PASSING = (
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
)
_PASSING_CODES = re.compile("(READONLY|OOM|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|UNBLOCKED|LOADING|BUSY|NOREPLICAS|MISCONF) ")
"""Answers of a server that is no longer master, not yet ready, or out of room; nothing was stored then. Redis before
version 7 puts them in the middle of a script's error.
"""

Found = TypeVar("Found")
Command = Sequence[Any]

_log = logging.getLogger(__name__)


class PassingError(UnavailableError):
    """Something that may be mended by the next attempt; work may raise it for its own reasons too."""


class RedisServer:
    """Run work on the master of a place. Threads may share it; `attempt` may be used from several at once."""

    def __init__(self, place: RedisPlace, rules: Rules) -> None:
        self.place = place
        self.trouble: str | None = None
        self._rules = rules
        self._client: redis.Redis | None = None
        self._hosts = list(place.hosts)
        self._lock = threading.Lock()

    def attempt(self, work: Callable[[redis.Redis], Found]) -> Found:
        """Return what the work returns on the master.

        Raises UnavailableError when ``patience_s`` has passed without it, JournalError for a refusal that no waiting
        mends.
        """
        deadline = time.monotonic() + self._rules.patience_s
        pause_s = _PAUSE_S
        while True:
            try:
                found = work(self._master())
            except redis.AuthenticationError as error:
                raise JournalError(f"{self.place}: the server refuses the user or password: {error}") from None
            except exceptions.NoPermissionError as error:
                raise JournalError(f"{self.place}: the user may not do what a journal needs: {error}") from None
            except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, PassingError, OSError) as error:
                if isinstance(error, redis.ResponseError) and not _passes(error):
                    raise JournalError(f"{self.place}: the server refused: {error}") from error
                if not isinstance(error, PassingError) or len(self.place.hosts) > 1:
                    self._forget_master()  # a master without replicas may have been left behind by a promotion
                self._note(str(error) or type(error).__name__)
            else:
                if self.trouble is not None:
                    _log.warning("%s: works again", self.place)
                    self.trouble = None
                return found
            if time.monotonic() + pause_s > deadline:
                raise UnavailableError(
                    f"{self.place}: nothing was done in {self._rules.patience_s:g} s: {self.trouble}", retry_after_s=1.0
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Close the connection; a later attempt makes a new one."""
        self._forget_master()

    def _note(self, why: str) -> None:
        if self.trouble != why:
            _log.warning("%s: %s; trying again", self.place, why)
            self.trouble = why

    def _master(self) -> redis.Redis:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _forget_master(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connect(self) -> redis.Redis:
        """Return a client of the host that is master. Raises the failure of the last host asked."""
        failure: Exception = redis.ConnectionError("no host is named")
        for host, port in list(self._hosts):
            self._hosts.append(self._hosts.pop(0))  # a host that fails is asked last next time
            client = redis.Redis(
                **self.place.connection(host, port),
                socket_timeout=self._rules.timeout_s + self._rules.wait_timeout_s,
                socket_connect_timeout=self._rules.timeout_s,
                retry=Retry(NoBackoff(), 0),  # `attempt` decides about retries
                protocol=2,
            )
            try:
                role = client.execute_command("ROLE")[0]  # type: ignore[no-untyped-call]
                if role == b"master":
                    return client
                failure = PassingError(f"{host}:{port} is a {role.decode()}, none of the hosts is master")
            except exceptions.NoPermissionError:
                if len(self.place.hosts) == 1:
                    return client  # nothing to choose from
                failure = exceptions.NoPermissionError(f"{host}:{port} does not let the user ask for its ROLE")
            except (redis.RedisError, OSError) as error:
                failure = error
            client.close()
        raise failure


def _passes(error: redis.ResponseError) -> bool:
    return isinstance(error, _PASSING) or _PASSING_CODES.search(str(error)) is not None


def together(client: redis.Redis, *commands: Command) -> list[Any]:
    """Run commands on one connection, in one round trip; raise the first failure."""
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        answers = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
