"""Define every error that this product raises on purpose, or name the module that does.

    WhispererError
    ├── RequestError                4xx: the caller must change something
    │   ├── InvalidKeyError         401
    │   ├── ForbiddenError          403: known, but not allowed this
    │   ├── NotFoundError           404
    │   ├── ConflictError           409 / 412 / 422
    │   │   ├── StaleError              cluster.control_plane.etags
    │   │   ├── KeyReusedError          cluster.control_plane.replays
    │   │   ├── RolloutError            whisperer.models.errors
    │   │   ├── CursorError             training.simulator.cursor
    │   │   └── NoGeneratorError        serve_apps.gateway.services.variants
    │   ├── TooLargeError           413
    │   ├── TooSlowError            408, retryable: the body did not arrive in time
    │   ├── ProblemsError           everything that is wrong with what was written, each with its place
    │   │   ├── PredicateError          whisperer.segments.errors
    │   │   ├── QuestionError           whisperer.analytics.questions
    │   │   ├── CampaignError           whisperer.journeys.errors
    │   │   ├── TemplateError           whisperer.content.errors
    │   │   ├── CatalogueError          whisperer.content.catalogue.fields
    │   │   ├── ItemsError              whisperer.content.catalogue.fields
    │   │   ├── GeneratorError          whisperer.content.generation.settings
    │   │   ├── ChannelError            whisperer.delivery.errors
    │   │   ├── PermissionsError        whisperer.access.permissions
    │   │   ├── KeySettingsError        cluster.control_plane.key_limits
    │   │   ├── InvitationError         cluster.control_plane.people.invitations
    │   │   ├── TenantSettingsError     cluster.control_plane.tenancy.tenant_settings
    │   │   ├── SavedReportError        serve_apps.gateway.services.saved_reports
    │   │   ├── PasswordError           cluster.control_plane.identity.passwords
    │   │   ├── PersonError             cluster.control_plane.identity.people
    │   │   ├── IssuerError             cluster.control_plane.identity.issuers
    │   │   └── InvalidBodyError        serve_apps.gateway.http.exchange
    │   ├── LinkError                   whisperer.feedback.links
    │   │   ├── LinkForgedError         whisperer.feedback.links
    │   │   ├── LinkExpiredError        whisperer.feedback.links
    │   │   └── LinkUnfitError          whisperer.feedback.links
    │   ├── ArtifactError               whisperer.models.errors
    │   ├── RowsError                   training.dataset
    │   ├── MapError                    cluster.importing.map_file
    │   ├── FileError                   cluster.importing.readers
    │   └── SendError                   training.simulator.sender
    ├── OverloadError               503, retryable: bounded queues are full or a limit is reached
    │   └── TooManyError            429, retryable: the caller's own share is used up
    ├── UnavailableError            503, retryable: a part is starting, moving or recovering
    │   ├── StaleMapError           the caller routed by an outdated partition map
    │   ├── PassingError                actors.journal.redis_server
    │   └── UnansweredError             serve_apps.generation.endpoint
    ├── DeliveryError               a message cannot be handed to its provider
    │   ├── UnsendableError             whisperer.delivery.errors
    │   ├── ForbiddenAddressError       serve_apps.delivery.ssrf
    │   └── UnresolvableError           serve_apps.delivery.ssrf
    ├── InputError                  numbers or documents from which nothing can be computed
    │   ├── NotMjmlError                whisperer.content.mjml.reader
    │   ├── KeyProblemError             whisperer.delivery.dkim
    │   ├── HistoryError                whisperer.profiles.bgnbd
    │   ├── OtherContextError           whisperer.decisions.linear
    │   ├── InvalidLogError             whisperer.evaluation.logged
    │   ├── BadModelError               whisperer.models.effects
    │   ├── TrialError                  training.uplift.trial
    │   ├── ColumnError                 training.churn.encode
    │   ├── AbsentClassError            training.churn.report
    │   └── NotFittedError              training.churn.bgnbd_fit
    ├── JournalError                the journal cannot accept records any more
    │   ├── JournalDamagedError     damage before the last acknowledged position: recovery stops
    │   └── FencedError             a newer incarnation owns the journal
    ├── DamagedError                a file does not hold what was written
    │   ├── SealError                   actors.files.blobs
    │   ├── DamagedPackError            actors.snapshots.packs
    │   └── DamagedChunkError           actors.snapshots.chunks
    ├── ProcessError                another process of ours did not do its work
    │   ├── ForkError                   actors.processes.forked
    │   ├── JobFailedError              actors.processes.bookkeeper
    │   └── CallFailedError             actors.calls.socket_client
    │       └── NoSuchCallError             actors.calls.socket_client
    ├── OperatorError               whoever runs the installation must change something
    │   ├── SettingsError               cluster.errors
    │   ├── InstallationError           cluster.errors
    │   │   ├── NotInstalledError       cluster.errors
    │   │   └── UnreadableSecretError   cluster.control_plane.keyring
    │   ├── NoFreePortsError            cluster.errors
    │   └── StartError                  cluster.errors
    ├── SearchError                     training.search
    └── InvariantError              a bug: state that must not exist

Each has a stable ``code``, says if it is ``retryable``, may carry ``retry_after_s``, and survives pickling. ``status``
is what HTTP callers get; the codes of ingestion have their own table in :mod:`whisperer.events.refusals`. Outside of
the tree are only exceptions that steer one module and never leave it: their names begin with an underscore.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypedDict

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


class ForbiddenError(RequestError):
    code = "forbidden"
    status = 403


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


class Problem(TypedDict):
    """Describe one thing that is wrong, and what to do about it.

    ``pointer`` is its place, a JSON Pointer (RFC 6901; ``""`` is the whole); ``code`` is stable.
    """

    pointer: str
    code: str
    message: str


class ProblemsError(RequestError):
    """Say that something cannot be used; ``errors`` has one entry per problem and goes into problem+json as it is.

    Attributes
    ----------
    subject : what cannot be used, for people
    opening : first words of the message, in which {} stands for the subject
    """

    subject = "request"
    opening = "The {} cannot be used: "

    def __init__(self, errors: Sequence[Problem], *, code: str | None = None) -> None:
        self.errors = list(errors)
        places = "; ".join(f"{e['pointer'] or self.subject}: {e['message']}" for e in self.errors[:3])
        more = f" (and {len(self.errors) - 3} more)" if len(self.errors) > 3 else ""
        super().__init__(f"{self.opening.format(self.subject)}{places}{more}", code=code)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), code=self.code), (self.errors,)


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


class DeliveryError(WhispererError):
    code = "delivery_failed"


class InputError(WhispererError):
    code = "invalid_input"


class JournalError(WhispererError):
    code = "journal_failed"


class JournalDamagedError(JournalError):
    code = "journal_damaged"


class FencedError(JournalError):
    code = "fenced"


class DamagedError(WhispererError):
    code = "damaged"


class ProcessError(WhispererError):
    code = "process_failed"


class OperatorError(WhispererError):
    code = "misconfigured"


class InvariantError(WhispererError):
    """A bug. ``tenant`` and ``user`` (a user key) say whose state it is, "" where it is nobody's.

    Whoever has the journal adds what led to it, the last records of that user, as notes
    (:func:`whisperer.shard.story.with_story`).
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

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_invariant, (self.message, self.code, self.retry_after_s, self.tenant, self.user)


def _rebuild_invariant(message: str, code: str, retry_after_s: float | None, tenant: str, user: str) -> InvariantError:
    return InvariantError(message, code=code, retry_after_s=retry_after_s, tenant=tenant, user=user)
