"""Defines a provider's adapter, which takes dispatches and answers each with a receipt.

An adapter translates its provider's errors once, here, into the statuses of :mod:`whisperer.delivery.dispatch`. It has
separate time limits for the wait for a connection, for what precedes the point of no return, and for what follows it;
it raises only before that point. Details are our own words with an answer's numbers, never the words of the answer: the
tenant chooses the host, and it may belong to somebody else.
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.providers import PROVIDERS
from whisperer.delivery.search import Finding
from whisperer.vocabulary.reasons import Reason

MAX_DETAIL_CHARS = 200
ADMISSION_S = 5.0
"""Longest wait for one of a channel's connections, and so the greatest age of the shard's last consent check when
sending begins."""


_UNPRINTABLE = re.compile(r"[^ -~\u00a1-\u2027\u202f-\ud7ff\uf900-\ufffd]+")


class Finder(Protocol):
    """An adapter whose provider can be asked whether it has a message: one with `ProviderSpec.searches`."""

    @property
    def where(self) -> str:
        """Return a text that tells this account from every other, and is no secret."""
        ...

    async def find(self, dispatch: Dispatch) -> Finding:
        """Look for a message that may have been sent since it was decided on; it is not sent."""
        ...


class Provider(Protocol):
    """Carries the messages of one channel."""

    @property
    def provider(self) -> str:
        """Name the provider, as receipts do."""
        ...

    @property
    def connections(self) -> int:
        """Return how many messages it takes at a time; 0 if that is not limited."""
        ...

    async def send(self, dispatch: Dispatch) -> Receipt:
        """Make one attempt and return its receipt. Many attempts are under way at a time."""
        ...

    async def aclose(self) -> None:
        """Close connections. Called once nothing is being sent."""
        ...


def receipt(
    dispatch: Dispatch,
    status: Verdict,
    provider: str,
    *,
    provider_id: str = "",
    detail: str = "",
    retry_after_s: float | None = None,
) -> Receipt:
    """Build the receipt of a dispatch, with texts made fit for a journal."""
    return Receipt(
        send_key=dispatch.send_key,
        status=status,
        provider=provider,
        provider_id=clean(provider_id, dispatch.address),
        detail=clean(detail, dispatch.address),
        retry_after_s=retry_after_s,
        content_hash=dispatch.content_hash,
        locale=dispatch.locale,
        provenance=dispatch.provenance,
    )


class AccountTrouble(Receipt, array_like=True, frozen=True):
    """Receipt `retry` for a reason that concerns the account, not this message: another account may take it at once,
    and this one may be worth no further message for a while. It has nothing of this one, surely."""


class DoubtfulTrouble(Receipt, array_like=True, frozen=True):
    """Receipt `retry` of an account that may have taken the message all the same, and honours its send key: no other
    account is to be given it."""


class SearchAnswer(Receipt, array_like=True, frozen=True):
    """Receipt of a look for a message: nothing was sent, and it says nothing about how its account does."""


def retry(dispatch: Dispatch, provider: str, detail: str, retry_after_s: float | None = None) -> Receipt:
    """Return a receipt that asks for another attempt, since something is wrong with the account or the way to it."""
    return as_kind(AccountTrouble, deferred(dispatch, provider, detail, retry_after_s))


def doubtful(dispatch: Dispatch, provider: str, detail: str, retry_after_s: float | None = None) -> Receipt:
    """Return a receipt that asks for another attempt at the same account, which may have the message."""
    return as_kind(DoubtfulTrouble, deferred(dispatch, provider, detail, retry_after_s))


def deferred(dispatch: Dispatch, provider: str, detail: str, retry_after_s: float | None = None) -> Receipt:
    """Return a receipt that asks for another attempt, for a reason that concerns this message or its recipient."""
    return receipt(dispatch, Verdict.RETRY, provider, detail=detail, retry_after_s=retry_after_s)


def as_kind(kind: type[Receipt], answer: Receipt) -> Receipt:
    """Return the same receipt, marked as one of a kind; the mark does not travel."""
    return kind(*(getattr(answer, name) for name in answer.__struct_fields__))


def rejected(dispatch: Dispatch, provider: str, detail: str) -> Receipt:
    """Return a receipt of a final rejection."""
    return receipt(dispatch, Verdict.REJECTED, provider, detail=detail)


def unknown(dispatch: Dispatch, provider: str, detail: str) -> Receipt:
    """Return the receipt of a message that was fully transmitted but not answered."""
    answer = receipt(dispatch, Verdict.UNKNOWN, provider, detail=detail)
    return msgspec.structs.replace(answer, repeatable=PROVIDERS[provider].takes_keys)


def waiting(dispatch: Dispatch, provider: str) -> Receipt:
    """Return the receipt when no connection was free: nothing was begun, and it is not an attempt."""
    return receipt(dispatch, Verdict.WAITING, provider, detail=f"no connection was free within {ADMISSION_S:g} s")


def held(dispatch: Dispatch, account: str, why: str, wait_s: float, *, status: Verdict = Verdict.WAITING) -> Receipt:
    """Return the receipt of a message whose turn is later: nothing was begun, and it is not an attempt."""
    return receipt(dispatch, status, account, detail=why, retry_after_s=wait_s)


def no_address(dispatch: Dispatch, provider: str) -> Receipt:
    """Return the refusal of a dispatch without an address.

    The address was usable when the user was considered and no longer is, or the shard never looked.
    """
    return receipt(dispatch, Verdict.REFUSED, provider, detail=Reason.NO_ADDRESS.value)


def clean(text: str, address: str) -> str:
    """Make a text fit for a journal: one short line without the recipient's address."""
    line = " ".join(_UNPRINTABLE.sub(" ", text).split())
    if address:
        line = line.replace(address, "<address>")
    return line if len(line) <= MAX_DETAIL_CHARS else line[: MAX_DETAIL_CHARS - 1] + "…"
