"""What every provider's adapter is: it takes dispatches and answers each with a receipt.

An adapter translates its provider's errors once, here, into the statuses of :mod:`whisperer.delivery.dispatch`. It is
given batches so that a store can use one transaction; it bounds each dispatch by its own timeout; it raises for none of
them. Details are short, one line, and hold neither a secret nor the recipient's address.
"""

from __future__ import annotations

import re
from typing import Protocol

from whisperer.delivery.dispatch import REFUSED, REJECTED, RETRY, Dispatch, Receipt
from whisperer.eligibility.refusal import Reason

MAX_DETAIL_CHARS = 200

_UNPRINTABLE = re.compile(r"[^ -~\u00a1-\u2027\u202f-\ud7ff\uf900-\ufffd]+")


class Provider(Protocol):
    async def send(self, dispatches: list[Dispatch]) -> list[Receipt]:
        """One receipt a dispatch, in the same order."""
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


def no_address(dispatch: Dispatch, provider: str) -> Receipt:
    """The address was usable when the user was considered and is not any more, or the shard never looked."""
    return receipt(dispatch, REFUSED, provider, detail=Reason.NO_ADDRESS.value)


def clean(text: str, address: str) -> str:
    """What a provider said, fit for a journal: one short line without the recipient's address."""
    line = " ".join(_UNPRINTABLE.sub(" ", text).split())
    if address:
        line = line.replace(address, "<address>")
    return line if len(line) <= MAX_DETAIL_CHARS else line[: MAX_DETAIL_CHARS - 1] + "…"
