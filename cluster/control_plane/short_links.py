"""Keeps what short links stand for, until they expire or their user is erased.

A row is written before its message can go out, and never changed: whoever keeps a code first has it. None of this is
configuration, so the control plane's version does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from cluster.control_plane.models import ShortLinkRow
from cluster.control_plane.transactions import Transactions
from whisperer.ids import TenantId, UserKey, message_hash

FORGOTTEN_AT_ONCE = 200
"""Expired rows that go with each batch that comes: more than come, so that they do not add up."""
_TRIES = 5


class ShortLink(NamedTuple):
    """One short link; ``expires_at`` is ms UTC."""

    code: str
    tenant: TenantId
    user_key: UserKey
    token: str
    expires_at: int


class ShortLinks(Transactions):
    """Keeps short links and says what they stand for."""

    def keep_short_links(self, links: Sequence[ShortLink], now: int) -> dict[str, str]:
        """Keep links whose codes are free; return code -> the token that it stands for, of all of them."""
        wanted = {link.code: link for link in links}
        for attempt in range(_TRIES):
            try:
                with self._noting() as session:
                    query = select(ShortLinkRow.code, ShortLinkRow.token).where(ShortLinkRow.code.in_(wanted))
                    held = {code: token for code, token in session.execute(query)}
                    new = [
                        {
                            "code": link.code,
                            "tenant_id": link.tenant,
                            "user_hash": message_hash(link.user_key),
                            "token": link.token,
                            "expires_at": link.expires_at,
                        }
                        for link in wanted.values()
                        if link.code not in held
                    ]
                    if new:
                        session.execute(insert(ShortLinkRow), new)
                        old = select(ShortLinkRow.code).where(ShortLinkRow.expires_at <= now).limit(FORGOTTEN_AT_ONCE)
                        session.execute(delete(ShortLinkRow).where(ShortLinkRow.code.in_(old)))
                return {code: link.token for code, link in wanted.items()} | held
            except IntegrityError:  # another replica kept one of them at the same moment
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last try returns or raises")

    def short_link(self, code: str) -> str | None:
        """Return the token that a code stands for, None if there is none."""
        with self._reading() as session:
            return session.scalar(select(ShortLinkRow.token).where(ShortLinkRow.code == code))

    def forget_short_links(self, tenant_id: TenantId, user_keys: Sequence[UserKey]) -> None:
        """Delete the links of messages to these users."""
        hashes = [message_hash(key) for key in user_keys]
        of_users = (ShortLinkRow.tenant_id == tenant_id) & ShortLinkRow.user_hash.in_(hashes)
        with self._noting() as session:
            session.execute(delete(ShortLinkRow).where(of_users))
