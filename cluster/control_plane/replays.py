"""Stores the answers to calls that carried an Idempotency-Key, so that the same call is carried out once.

A key belongs to its tenant. Between :meth:`Replays.begin_call` and :meth:`Replays.finish_call` it is held, and the same
call is refused. Only completed work is remembered; a failed call releases its key. If a replica dies, its keys stay
held for `HELD_MS`. Answers are kept for `KEPT_MS`, and at most the newest `MAX_KEPT` per tenant. None of this is
configuration, so the control plane's version does not change.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.control_plane.models import ReplayRow
from cluster.control_plane.transactions import Transactions
from whisperer.errors import ConflictError
from whisperer.ids import TenantId

HELD_MS = 120_000
"""Longer than any call takes."""
KEPT_MS = 86_400_000
MAX_KEPT = 1_000


class KeyReusedError(ConflictError):
    """The key was used for a different call."""

    code = "idempotency_key_reused"
    status = 422


@dataclass(frozen=True, slots=True)
class Answer:
    """The response given to a call."""

    status: int
    headers: dict[str, str]
    body: bytes


class Replays(Transactions):
    """Holds idempotency keys and stores the answers given under them."""

    def begin_call(self, tenant_id: TenantId, key: str, fingerprint: str, now: int) -> Answer | None:
        """Hold the key for a call that begins; if the same call was made before, return its answer instead.

        ``fingerprint`` distinguishes one call from another. Raises KeyReusedError and ConflictError
        (`call_in_progress`).
        """
        try:
            with self._noting() as session:
                _forget(session, tenant_id, now)
                held = session.get(ReplayRow, (tenant_id, key))
                if held is None:
                    row = ReplayRow(tenant_id=tenant_id, key=key, fingerprint=fingerprint, begun_at=now)
                    session.add(row)
                    return None
                if held.fingerprint != fingerprint:
                    raise KeyReusedError("this Idempotency-Key was used for another call; take a new one for each")
                if held.status is not None:
                    return Answer(held.status, held.headers or {}, held.body or b"")
                raise _in_progress()
        except IntegrityError:  # another replica began the call at the same moment
            raise _in_progress() from None

    def finish_call(self, tenant_id: TenantId, key: str, begun_at: int, answer: Answer | None) -> None:
        """Store the answer of the call that began at ``begun_at``; None releases the key."""
        mine = (ReplayRow.tenant_id == tenant_id, ReplayRow.key == key, ReplayRow.begun_at == begun_at)
        with self._noting() as session:
            if answer is None:
                session.execute(delete(ReplayRow).where(*mine))
            else:
                done = {"status": answer.status, "headers": answer.headers, "body": answer.body}
                session.execute(update(ReplayRow).where(*mine).values(done))


def _forget(session: Session, tenant_id: TenantId, now: int) -> None:
    """Delete every tenant's expired answers and, for this tenant, keys held too long and answers over the limit."""
    of_tenant = ReplayRow.tenant_id == tenant_id
    abandoned = of_tenant & ReplayRow.status.is_(None) & (ReplayRow.begun_at <= now - HELD_MS)
    session.execute(delete(ReplayRow).where(abandoned | (ReplayRow.begun_at <= now - KEPT_MS)))
    n_kept = session.scalar(select(func.count()).select_from(ReplayRow).where(of_tenant)) or 0
    if n_kept >= MAX_KEPT:
        answered = select(ReplayRow.key).where(of_tenant, ReplayRow.status.is_not(None))
        oldest = answered.order_by(ReplayRow.begun_at, ReplayRow.key).limit(n_kept - MAX_KEPT + 1)
        session.execute(delete(ReplayRow).where(of_tenant, ReplayRow.key.in_(oldest)))


def _in_progress() -> ConflictError:
    message = "a call with this Idempotency-Key is under way; ask again in a moment for its answer"
    return ConflictError(message, code="call_in_progress", retry_after_s=1.0)
