"""E-mail over SMTP.

Connections are kept and used again, at most `MAX_CONNECTIONS` a channel; a message has `timeout_s` for everything, the
wait for a connection included. Certificates are always verified. SMTP knows no idempotency key: where a server took the
message and the connection broke before it said so, the next attempt is a second copy with the same Message-ID.

    what happened                                          status
    2xx after the message                                  accepted
    no connection, a hang, a dropped connection, TLS       retry
    5xx to greeting, EHLO, STARTTLS or AUTH                retry: it is about our account, not about the message
    4xx anywhere                                           retry
    5xx to the recipient, about the address                bounced
    5xx to the recipient, a policy or a full mailbox       rejected, by the enhanced code (RFC 3463: 5.7.1, 5.2.2, …)
    any other 5xx                                          rejected
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import aiosmtplib

from serve_apps.delivery.provider import no_address, receipt, rejected, retry
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.channels import parse_sender
from whisperer.delivery.dispatch import ACCEPTED, BOUNCED, Dispatch, Receipt
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.mime import build_email

PROVIDER = "smtp"
MAX_CONNECTIONS = 8
MAX_MESSAGES_A_CONNECTION = 100
IDLE_S = 20.0
_ENHANCED = re.compile(r"^\s*5\.(\d{1,3})\.(\d{1,3})\b")
_ADDRESS_SUBJECTS = ("1", "2")
_NOT_THE_ADDRESS = {("2", "2"), ("2", "3"), ("2", "4"), ("1", "7"), ("1", "8")}
"""Mailbox full, message too long, list trouble; and two that are about the sender's address."""


class Smtp:
    """One channel's server. ``config`` as :func:`whisperer.delivery.channels.parse_channel` returns it.

    ``clock`` gives ms UTC; ``tls_context`` replaces the system's trusted authorities.
    """

    def __init__(
        self, config: dict[str, Any], clock: Callable[[], int], *, tls_context: ssl.SSLContext | None = None
    ) -> None:
        sender = parse_sender(config["sender"])
        if sender is None:
            raise ValueError("the channel's sender is no usable address")
        self._config = config
        self._sender_address = sender[1]
        self._clock = clock
        self._tls_context = tls_context
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: deque[_Connection] = deque()

    def __repr__(self) -> str:
        return f"Smtp({self._config['host']}:{self._config['port']})"  # the configuration holds a password

    async def send(self, dispatches: list[Dispatch]) -> list[Receipt]:
        return list(await asyncio.gather(*(self._send(dispatch) for dispatch in dispatches)))

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop().client.close()

    async def _send(self, dispatch: Dispatch) -> Receipt:
        timeout_s = self._config["timeout_s"]
        recipient = usable_address(dispatch.channel, dispatch.address)
        if recipient is None:
            return no_address(dispatch, PROVIDER)
        try:
            message = build_email(dispatch, self._config["sender"], self._clock()).as_bytes()
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))
        try:
            async with asyncio.timeout(timeout_s), self._free:
                return await self._hand_over(dispatch, recipient, message)
        except TimeoutError:
            return retry(dispatch, PROVIDER, f"no answer within {timeout_s:g} s")

    async def _hand_over(self, dispatch: Dispatch, recipient: str, message: bytes) -> Receipt:
        connection = self._take()
        try:
            if connection is None:
                connection = await self._connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return retry(dispatch, PROVIDER, f"no connection: {_said(error)}")
        kept = False
        try:
            _, said = await connection.client.sendmail(self._sender_address, [recipient], message)
            kept = True
            return receipt(dispatch, ACCEPTED, PROVIDER, provider_id=said)
        except aiosmtplib.SMTPRecipientsRefused as error:
            kept = connection.client.is_connected
            return _refused(dispatch, error.recipients[0])
        except aiosmtplib.SMTPResponseException as error:
            kept = connection.client.is_connected
            return _answered(dispatch, error)
        except (aiosmtplib.SMTPException, OSError) as error:
            return retry(dispatch, PROVIDER, f"the connection broke: {_said(error)}")
        finally:
            self._put_back(connection, kept)

    def _take(self) -> _Connection | None:
        """An idle connection that is fresh enough, the last used first."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.client.is_connected and now - connection.used_at < IDLE_S:
                return connection
            connection.client.close()
        return None

    def _put_back(self, connection: _Connection, kept: bool) -> None:
        connection.n_messages += 1
        if kept and connection.n_messages < MAX_MESSAGES_A_CONNECTION:
            connection.used_at = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            # Not QUIT: a server that hangs would hold the slot, and the message's fate is known.
            connection.client.close()

    async def _connect(self) -> _Connection:
        config = self._config
        client = aiosmtplib.SMTP(
            hostname=config["host"],
            port=config["port"],
            username=config["username"] or None,
            password=config["password"] or None,
            use_tls=config["tls"] == "tls",
            start_tls=config["tls"] == "starttls",
            tls_context=self._tls_context,
            timeout=config["timeout_s"],
            local_hostname=self._sender_address.rpartition("@")[2],
        )
        await client.connect()
        return _Connection(client)


class _Connection:
    __slots__ = ("client", "n_messages", "used_at")

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self.n_messages = 0
        self.used_at = 0.0


def _refused(dispatch: Dispatch, error: aiosmtplib.SMTPRecipientRefused) -> Receipt:
    enhanced = _ENHANCED.match(error.message)
    if 500 <= error.code < 600:
        about_address = enhanced is None or (
            enhanced[1] in _ADDRESS_SUBJECTS and (enhanced[1], enhanced[2]) not in _NOT_THE_ADDRESS
        )
        # Without an enhanced code only these are about a mailbox; 530 and 503, for one, are about us.
        if about_address and (enhanced is not None or error.code in (550, 551, 553)):
            return receipt(dispatch, BOUNCED, PROVIDER, detail=_said(error))
    return _answered(dispatch, error)


def _answered(dispatch: Dispatch, error: aiosmtplib.SMTPResponseException) -> Receipt:
    if 500 <= error.code < 600 and not isinstance(error, aiosmtplib.SMTPHeloError):
        return rejected(dispatch, PROVIDER, _said(error))
    return retry(dispatch, PROVIDER, _said(error))


def _said(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return str(error) or type(error).__name__
