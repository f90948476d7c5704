"""Define every error that this product raises on purpose.

    WhispererError
    ├── RequestError            4xx: the caller must change something
    │   ├── InvalidKeyError     401
    │   ├── NotFoundError       404
    │   ├── ConflictError       409 / 412 / 422
    │   ├── TooLargeError       413
    │   └── TooSlowError        408, retryable: the body did not arrive in time
    ├── OverloadError           503, retryable: bounded queues are full or a limit is reached
    │   └── TooManyError        429, retryable: the caller's own share is used up
    ├── UnavailableError        503, retryable: a part is starting, moving or recovering
    │   └── StaleMapError       the caller routed by an outdated partition map
    ├── JournalError            the journal cannot accept records any more
    │   ├── JournalDamagedError damage before the last acknowledged position: recovery stops
    │   └── FencedError         a newer incarnation owns the journal
    └── InvariantError          a bug: state that must not exist

Each has a stable ``code``, says if it is ``retryable``, may carry ``retry_after_s``, and survives pickling. ``status``
is what HTTP callers get; the codes of ingestion have their own table in :mod:`whisperer.events.refusals`.
"""

from __future__ import annotations

from typing import Any

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a msgspec decoder raises for bytes that it cannot read; invalid UTF-8 and deep nesting raise Python's own
errors."""


class WhispererError(Exception):
    code = "internal"
    retryable = False
    status = 500

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.code, self.retry_after_s)


def _rebuild(cls: type[WhispererError], message: str, code: str, retry_after_s: float | None) -> WhispererError:
    return cls(message, code=code, retry_after_s=retry_after_s)


class RequestError(WhispererError):
    code = "invalid_request"
    status = 400


class InvalidKeyError(RequestError):
    code = "invalid_key"
    status = 401


class NotFoundError(RequestError):
    code = "not_found"
    status = 404


class ConflictError(RequestError):
    code = "conflict"
    status = 409


class TooLargeError(RequestError):
    code = "body_too_large"
    status = 413


class TooSlowError(RequestError):
    code = "request_timeout"
    retryable = True
    status = 408


class OverloadError(WhispererError):
    code = "overloaded"
    retryable = True
    status = 503


class TooManyError(OverloadError):
    code = "too_many"
    status = 429


class UnavailableError(WhispererError):
    code = "unavailable"
    retryable = True
    status = 503


class StaleMapError(UnavailableError):
    code = "stale_map"


class JournalError(WhispererError):
    code = "journal_failed"


class JournalDamagedError(JournalError):
    code = "journal_damaged"


class FencedError(JournalError):
    code = "fenced"


class InvariantError(WhispererError):
    """A bug. ``tenant`` and ``user`` (a user key) say whose state it is, "" where it is nobody's.

    What led to it, the last records of that user, are its notes (:func:`whisperer.shard.story.with_story`).
    """

    code = "invariant"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after_s: float | None = None,
        tenant: str = "",
        user: str = "",
    ) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)
        self.tenant = tenant
        self.user = user
