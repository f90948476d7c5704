"""The built-in provider: keeps the messages sent to it in one SQLite file, where a page shows them.

It honours idempotency keys as a good provider does: a repeated send key is counted and is still one message.
Guarantees: a message for which :meth:`Sink.accept` returned survives a kill -9 of any process (WAL, committed before
the return; a power cut may lose the newest); a (tenant, send key) is one row; several processes read and write at once;
:meth:`Sink.trim` bounds the file. A key repeated after its row was trimmed is a new message.

Addresses whose local part (the whole address if there is no @) begins as follows act as difficult recipients:

    bounce+…   does not exist: bounced, nothing is kept
    reject+…   the provider will not take it: rejected, nothing is kept
    defer+…    asks for another attempt twice, accepts the third
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.telemetry.logs import Seldom
from serve_apps.delivery.provider import deferred, receipt, rejected, retry
from serve_apps.delivery.sink_schema import open_connection
from serve_apps.delivery.sqlite_file import writing
from serve_apps.delivery.together import Together
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.providers.sink import SINK
from whisperer.ids import DecisionId, SendKey, TenantId, UserKey, message_hash

PROVIDER = SINK.name
KEEP = 200_000
N_DEFERRED = 2
MAX_LIMIT = 1_000
MAX_TOGETHER = 512
"""Most messages in one transaction."""
_TRIM_SLACK = 1_000
FORGETTING_MS = 86_400_000
"""How long after a user is forgotten a message to them may still arrive: an attempt takes minutes."""

_seldom = Seldom(logging.getLogger(__name__))


class SinkMessage(msgspec.Struct, frozen=True):
    """One message that the sink received.

    Attributes
    ----------
    serial : counts up in order of arrival, over all tenants
    received_at : ms UTC of the first arrival
    n_received : how often this send key was presented
    """

    serial: int
    tenant: TenantId
    send_key: SendKey
    channel: str
    user_key: UserKey
    address: str
    campaign: str
    decision_id: DecisionId
    locale: str
    parts: dict[str, str]
    headers: dict[str, str]
    content_hash: str
    received_at: int
    n_received: int


_COLUMNS = ", ".join(SinkMessage.__struct_fields__)


class SinkCounts(msgspec.Struct, frozen=True):
    """Counts since the file was created, including trimmed messages.

    ``n_repeats``: how often a known send key was presented again. ``doubled``: messages kept beyond the first of their
    send key; always 0.
    """

    by_channel: dict[str, int]
    total: int
    n_repeats: int
    doubled: int


class Sink:
    """The sink's file. Use from any thread. Methods block; an event loop calls them in a thread."""

    def __init__(self, path: Path | str, *, keep: int = KEEP) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._connection = open_connection(Path(path))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def accept(self, dispatches: Sequence[Dispatch], now: int) -> list[Receipt]:
        """Keep a batch in one transaction; return one receipt per dispatch, in order. ``now``: ms UTC."""
        receipts: list[Receipt] = []
        tally: Counter[tuple[TenantId, str, bool]] = Counter()
        with writing(self._connection, self._lock) as connection:
            newest = 0
            for dispatch in dispatches:
                if connection.execute(_WAS_FORGOTTEN, _forgetting(dispatch)).fetchone():
                    receipts.append(receipt(dispatch, Verdict.ACCEPTED, PROVIDER))  # received but not kept
                    continue
                refusal = _played(dispatch)
                if refusal is not None:
                    receipts.append(refusal)
                    continue
                # Not a single upsert: its conflicts would use up serials, and trimming goes by serial.
                row = _row(dispatch, now)
                known = connection.execute(_AGAIN, row[:2]).fetchone()
                [serial] = known or connection.execute(_INSERT, row).fetchone()
                newest = max(newest, serial)
                tally[dispatch.tenant, dispatch.channel, known is None] += 1
                receipts.append(receipt(dispatch, Verdict.ACCEPTED, PROVIDER, provider_id=f"sink-{serial}"))
            for (tenant, channel, is_new), n in tally.items():
                connection.execute(_TALLY, (tenant, channel, n if is_new else 0, n))
            oldest = connection.execute("SELECT min(serial) FROM message").fetchone()[0]
            if newest and newest - oldest >= self._keep + _TRIM_SLACK:
                _trim(connection, self._keep)
        return receipts

    def trim(self, keep: int) -> int:
        """Delete all but the newest `keep` messages; return how many were deleted. The file's pages are reused."""
        with writing(self._connection, self._lock) as connection:
            return _trim(connection, keep)

    def forget(self, tenant: TenantId, user_keys: list[UserKey], now: int) -> int:
        """Delete what was sent to these users, from the disk too; return the number of messages deleted.

        The counts of received messages stay. A message decided up to ``now`` (ms UTC) that is still on its way is not
        kept when it arrives. A concurrent reader may delay the overwriting until the next call.
        """
        with writing(self._connection, self._lock) as connection:
            query = "DELETE FROM message WHERE tenant = ? AND user_key = ?"
            n_deleted = sum(connection.execute(query, (tenant, key)).rowcount for key in user_keys)
            connection.execute("DELETE FROM forgotten WHERE at < ?", (now - FORGETTING_MS,))
            connection.executemany(_FORGET, [(tenant, message_hash(key), now) for key in user_keys])
        with self._lock:  # deleted pages are still in the write-ahead log
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return n_deleted

    def messages(
        self,
        tenant: TenantId,
        *,
        channel: str | None = None,
        user_key: UserKey | None = None,
        campaign: str | None = None,
        after: int = 0,
        before: int | None = None,
        limit: int = 50,
    ) -> list[SinkMessage]:
        """Return messages after a serial, oldest first; with `before`, those before one, newest first."""
        filters = {"channel": channel, "user_key": user_key, "campaign": campaign}
        given = {name: value for name, value in filters.items() if value is not None}
        conditions = "".join(f" AND {name} = :{name}" for name in given)
        edge = "serial > :after ORDER BY serial" if before is None else "serial < :before ORDER BY serial DESC"
        # Only the names written above enter the text; every value is bound.
        query = f"SELECT {_COLUMNS} FROM message WHERE tenant = :tenant{conditions} AND {edge} LIMIT :limit"  # noqa: S608 - ours
        values = {"tenant": tenant, "after": after, "before": before, "limit": min(max(limit, 0), MAX_LIMIT), **given}
        return [_message(row) for row in self._read(query, values)]

    def latest(self, limit: int) -> list[SinkMessage]:
        """Return the newest messages of all tenants, newest first."""
        query = f"SELECT {_COLUMNS} FROM message ORDER BY serial DESC LIMIT ?"  # noqa: S608 - a constant
        return [_message(row) for row in self._read(query, (min(max(limit, 0), MAX_LIMIT),))]

    def message(self, tenant: TenantId, send_key: SendKey) -> SinkMessage | None:
        """Return a message by its send key, or None."""
        query = f"SELECT {_COLUMNS} FROM message WHERE tenant = ? AND send_key = ?"  # noqa: S608 - a constant
        rows = self._read(query, (tenant, send_key))
        return _message(rows[0]) if rows else None

    def counts(self, tenant: TenantId) -> SinkCounts:
        """Return a tenant's counts."""
        tally = self._read("SELECT channel, n_messages, n_presented FROM tally WHERE tenant = ?", (tenant,))
        # Counting walks all messages of the tenant, and pages ask every other second, so skip it where an index rules
        # doubles out.
        [(ruled_out,)] = self._read(_RULED_OUT, ())
        [(doubled,)] = [(0,)] if ruled_out else self._read(_DOUBLED, (tenant,))
        total = sum(n_messages for _, n_messages, _ in tally)
        return SinkCounts(
            by_channel={channel: n_messages for channel, n_messages, _ in tally},
            total=total,
            n_repeats=sum(n_presented for *_, n_presented in tally) - total,
            doubled=doubled,
        )

    def _read(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()


class SinkProvider:
    """The sink behind the interface of all providers; ``clock`` gives ms UTC.

    Messages that arrive during a transaction wait together for the next one. Use from one event loop.
    """

    provider, connections = PROVIDER, 0

    def __init__(self, sink: Sink, clock: Callable[[], int]) -> None:
        def accept(dispatches: list[Dispatch]) -> list[Receipt]:
            return sink.accept(dispatches, clock())

        self._together = Together(accept, most=MAX_TOGETHER)

    async def send(self, dispatch: Dispatch) -> Receipt:
        try:
            return await self._together.ask(dispatch)
        except Exception as error:  # another process held the file too long, or the disk is full
            _seldom.log(logging.ERROR, "file", "the sink's file cannot be written: %r", error)
            return retry(dispatch, PROVIDER, "the sink's file cannot be written")

    async def aclose(self) -> None:
        """Do nothing: the file stays open because others share it."""


_AGAIN = "UPDATE message SET n_received = n_received + 1 WHERE tenant = ? AND send_key = ? RETURNING serial"
_INSERT = """
INSERT INTO message (tenant, send_key, channel, user_key, address, campaign, decision_id, locale, parts, headers,
    content_hash, received_at, n_received) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING serial
"""
_WAS_FORGOTTEN = "SELECT 1 FROM forgotten WHERE tenant = ? AND user_hash = ? AND at >= ?"
_FORGET = "INSERT OR REPLACE INTO forgotten (tenant, user_hash, at) VALUES (?, ?, ?)"
_RULED_OUT = """SELECT count(*) FROM pragma_index_list('message') WHERE name = 'message_by_key' AND "unique" """
_DOUBLED = """
SELECT coalesce(sum(n - 1), 0)
FROM (SELECT count(*) AS n FROM message WHERE tenant = ? GROUP BY send_key HAVING count(*) > 1)
"""
_TALLY = """
INSERT INTO tally (tenant, channel, n_messages, n_presented) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, channel) DO UPDATE
SET n_messages = n_messages + excluded.n_messages, n_presented = n_presented + excluded.n_presented
"""


def _played(dispatch: Dispatch) -> Receipt | None:
    local = dispatch.address.rpartition("@")[0] or dispatch.address
    if local.startswith("bounce+"):
        return receipt(dispatch, Verdict.BOUNCED, PROVIDER, detail="the sink plays an address that does not exist")
    if local.startswith("reject+"):
        return rejected(dispatch, PROVIDER, "the sink plays a provider that will not take it")
    if local.startswith("defer+") and dispatch.attempt < N_DEFERRED:
        return deferred(dispatch, PROVIDER, f"the sink plays a busy provider, attempt {dispatch.attempt + 1}")
    return None


def _forgetting(dispatch: Dispatch) -> tuple[str, bytes, int]:
    return _whole(dispatch.tenant), message_hash(dispatch.user_key), dispatch.decided_at


def _row(dispatch: Dispatch, now: int) -> tuple[Any, ...]:
    names = (dispatch.tenant, dispatch.send_key, dispatch.channel, dispatch.user_key, dispatch.address)
    about = (dispatch.campaign, dispatch.decision_id, dispatch.locale)
    content = (_as_json(dispatch.parts), _as_json(_headers(dispatch)))
    return (*map(_whole, (*names, *about)), *content, dispatch.content_hash, now)


def _headers(dispatch: Dispatch) -> dict[str, str]:
    """Return a message's headers, with those that name its sender: the sink itself has neither name nor address."""
    sender = {"From": dispatch.from_name, "Reply-To": dispatch.reply_to}
    return {name: text for name, text in sender.items() if text} | dispatch.headers


def _as_json(texts: dict[str, str]) -> bytes:
    return msgspec.json.encode({name: _whole(text) for name, text in texts.items()})


def _whole(text: str) -> str:
    """Remove lone surrogates, which neither SQLite nor JSON can store."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _trim(connection: sqlite3.Connection, keep: int) -> int:
    # By serial instead of counting rows: this walks nothing, and serials have gaps only where rows were deleted.
    query = "DELETE FROM message WHERE serial <= (SELECT max(serial) FROM message) - ?"
    return connection.execute(query, (keep,)).rowcount


def _message(row: tuple[Any, ...]) -> SinkMessage:
    fields = dict(zip(SinkMessage.__struct_fields__, row, strict=True))
    for name in ("parts", "headers"):
        fields[name] = msgspec.json.decode(fields[name], type=dict[str, str])
    return SinkMessage(**fields)
