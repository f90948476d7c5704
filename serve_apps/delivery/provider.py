"""What every provider's adapter is: it takes dispatches and answers each with a receipt.

An adapter translates its provider's errors once, here, into the statuses of :mod:`whisperer.delivery.dispatch`. It
bounds the wait for a connection, what comes before the point of no return, and what comes after it, each by itself;
what it raises, it raises before that point. Details are our own words with the numbers of an answer, never the words of
whoever answered: the host is a tenant's choice, and what stands there may be somebody else's.
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

from whisperer.delivery.channels import TAKES_KEYS
from whisperer.delivery.dispatch import REFUSED, REJECTED, RETRY, UNKNOWN, WAITING, Dispatch, Receipt
from whisperer.eligibility.refusal import Reason

MAX_DETAIL_CHARS = 200
ADMISSION_S = 5.0
"""Longest wait for one of a channel's connections: so old is the shard's last look at consent when sending begins."""

_UNPRINTABLE = re.compile(r"[^ -~\u00a1-\u2027\u202f-\ud7ff\uf900-\ufffd]+")


class Provider(Protocol):
    async def send(self, dispatch: Dispatch) -> Receipt:
        """What became of one attempt. Many are under way at a time."""
        ...

    async def aclose(self) -> None:
        """Close connections. Called once nothing is being sent."""
        ...


def receipt(
    dispatch: Dispatch,
    status: str,
    provider: str,
    *,
    provider_id: str = "",
    detail: str = "",
    retry_after_s: float | None = None,
) -> Receipt:
    return Receipt(
        send_key=dispatch.send_key,
        status=status,
        provider=provider,
        provider_id=clean(provider_id, dispatch.address),
        detail=clean(detail, dispatch.address),
        retry_after_s=retry_after_s,
        content_hash=dispatch.content_hash,
        locale=dispatch.locale,
    )


def retry(dispatch: Dispatch, provider: str, detail: str, retry_after_s: float | None = None) -> Receipt:
    return receipt(dispatch, RETRY, provider, detail=detail, retry_after_s=retry_after_s)


def rejected(dispatch: Dispatch, provider: str, detail: str) -> Receipt:
    return receipt(dispatch, REJECTED, provider, detail=detail)


def unknown(dispatch: Dispatch, provider: str, detail: str) -> Receipt:
    """All of it was handed over, and no answer came."""
    answer = receipt(dispatch, UNKNOWN, provider, detail=detail)
    return msgspec.structs.replace(answer, repeatable=TAKES_KEYS[provider])


def waiting(dispatch: Dispatch, provider: str) -> Receipt:
    return receipt(dispatch, WAITING, provider, detail=f"no connection was free within {ADMISSION_S:g} s")


def no_address(dispatch: Dispatch, provider: str) -> Receipt:
    """The address was usable when the user was considered and is not any more, or the shard never looked."""
    return receipt(dispatch, REFUSED, provider, detail=Reason.NO_ADDRESS.value)


def clean(text: str, address: str) -> str:
    """Fit for a journal: one short line without the recipient's address."""
    line = " ".join(_UNPRINTABLE.sub(" ", text).split())
    if address:
        line = line.replace(address, "<address>")
    return line if len(line) <= MAX_DETAIL_CHARS else line[: MAX_DETAIL_CHARS - 1] + "…"
