"""Sends e-mail over SMTP.

A message is transmitted on one of the channel's `MAX_CONNECTIONS`, kept ones before new ones. There are three
independent time limits:

    connecting, TLS, login    `timeout_s`
    MAIL to the final dot     `timeout_s`
    after the final dot       `answer_timeout_s` (600 s: RFC 5321, 4.5.3.2.6)

The final dot is the point of no return, because SMTP has no idempotency key: until it is written the server has no
message, after it the server may have one. Certificates are always verified.

    what happened                                          status
    2xx after the message                                  accepted
    none or no SMTP answer after the final dot             unknown
    no connection, a hang, a dropped connection, TLS       retry
    a failed greeting, EHLO, STARTTLS or AUTH              retry: it concerns our account, not the message
    4xx anywhere                                           retry
    5xx to the recipient, about the address                bounced
    5xx to the recipient, a policy or a full mailbox       rejected, by the enhanced code (RFC 3463: 5.7.1, 5.2.2, …)
    any other 5xx                                          rejected

A receipt contains the server's code and enhanced code, once it has greeted with 220 and answered EHLO with 250, and the
queue id of an accepted message. All other words are ours: the tenant's host and port may be no mail server, and may
belong to somebody else.

A channel may have its mails signed (:mod:`whisperer.delivery.dkim`); its key is read once.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from serve_apps.delivery.authorities import system_authorities
from serve_apps.delivery.provider import deferred, no_address, receipt, rejected, retry, unknown
from serve_apps.delivery.ssrf import ForbiddenAddressError, Guard, UnresolvableError
from whisperer.delivery import dkim
from whisperer.delivery.addresses import parse_sender, usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.mime import build_email
from whisperer.delivery.providers.smtp import MAX_ANSWER_TIMEOUT_S, SMTP

PROVIDER = SMTP.name
MAX_CONNECTIONS = 8
MAX_MESSAGES_A_CONNECTION = 100
IDLE_S = 20.0
DRAIN_LOOK_S = 0.01
_ENHANCED = re.compile(r"^\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
_QUEUED = re.compile(
    r"(?:queued as\s+<?|\bid=<?|\bok:?\s+(?!queued\b|id=))([A-Za-z0-9][A-Za-z0-9.-]{0,63})", re.IGNORECASE
)
"""As Postfix, Exim and the large senders write it."""
_ADDRESS_SUBJECTS = ("1", "2")
_NOT_THE_ADDRESS = {("2", "2"), ("2", "3"), ("2", "4"), ("1", "7"), ("1", "8")}
"""Mailbox full, message too long, list trouble, and two that are about the sender's address."""

_CLOSING = 421
"""The server ends the connection: it concerns us, whichever command it answers."""

_Failure = aiosmtplib.SMTPException | OSError | ValueError


class Smtp:
    """A channel's mail server. ``config`` is as :func:`whisperer.delivery.channels.parse_channel` returns it.

    ``clock`` gives ms UTC; ``tls_context`` replaces the system's trusted authorities.
    """

    provider, connections = PROVIDER, MAX_CONNECTIONS

    def __init__(
        self,
        config: dict[str, Any],
        clock: Callable[[], int],
        guard: Guard,
        *,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        sender = parse_sender(config["sender"])
        if sender is None:
            raise ValueError("the channel's sender is no usable address")
        self._config = config
        self._timeout_s: float = config["timeout_s"]
        # A configuration stored by an older release has no such limit.
        self._answer_timeout_s: float = config.get("answer_timeout_s", MAX_ANSWER_TIMEOUT_S)
        self._sender_address = sender[1]
        self._signer = dkim.Signer(config["dkim"]) if config.get("dkim") else None
        self._clock = clock
        self._guard = guard
        self._tls_context = tls_context
        self._idle: deque[_Connection] = deque()

    def __repr__(self) -> str:
        return f"Smtp({self._config['host']}:{self._config['port']})"  # the configuration holds a password

    async def send(self, dispatch: Dispatch) -> Receipt:
        recipient = usable_address(dispatch.channel, dispatch.address)
        if recipient is None:
            return no_address(dispatch, PROVIDER)
        try:
            sender, reply_to = self._config["sender"], self._config.get("reply_to", "")
            now = self._clock()
            message = build_email(dispatch, sender, now, reply_to)
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))
        signed = message if self._signer is None else self._signer.sign(message, now)
        return await self._send(dispatch, recipient, _dotted(signed))

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop().client.close()

    async def _send(self, dispatch: Dispatch, recipient: str, wire: bytes) -> Receipt:
        kept = self._take()
        if kept is not None:
            try:
                return await self._hand_over(kept, dispatch, recipient, wire)
            except _DeadConnectionError:
                """The server closed it while it was idle, before it had anything of this message."""
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connect()
        except ForbiddenAddressError as error:
            # Not rejected: it concerns the channel, which may be repaired, not the message.
            return retry(dispatch, PROVIDER, f"no connection: {error}; see delivery.open_networks")
        except UnresolvableError as error:
            return retry(dispatch, PROVIDER, f"no connection: {error}")
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return retry(dispatch, PROVIDER, f"no connection: {_why(error, self._timeout_s)}")
        try:
            return await self._hand_over(connection, dispatch, recipient, wire)
        except _DeadConnectionError:
            return retry(dispatch, PROVIDER, "the connection broke before the message was handed over")

    async def _hand_over(self, connection: _Connection, dispatch: Dispatch, recipient: str, wire: bytes) -> Receipt:
        """Transmit a message; raises _DeadConnectionError if the server did not even receive the sender's address."""
        keep = False
        try:
            try:
                async with asyncio.timeout(self._timeout_s):
                    protocol = await self._up_to_the_dot(connection.client, recipient, wire)
            except aiosmtplib.SMTPRecipientRefused as error:
                keep = await self._reset(connection.client)
                return _refused(dispatch, error)
            except aiosmtplib.SMTPResponseException as error:
                return _answered(dispatch, error)
            except _DeadConnectionError:
                raise
            except (aiosmtplib.SMTPException, OSError, ValueError) as error:
                detail = f"before the message was handed over: {_why(error, self._timeout_s)}"
                return retry(dispatch, PROVIDER, detail)
            receipt_, keep = await self._final_dot(protocol, dispatch)
            return receipt_
        finally:
            self._put_back(connection, keep)

    async def _up_to_the_dot(self, client: aiosmtplib.SMTP, recipient: str, wire: bytes) -> SMTPProtocol:
        """Send everything except the final dot, and wait until it has left our buffers."""
        options = [f"size={len(wire)}"] if client.supports_extension("size") else []
        try:
            await client.mail(self._sender_address, options=options)
        except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
            raise _DeadConnectionError from None
        await client.rcpt(recipient)
        start = await client.execute_command(b"DATA")
        if start.code != aiosmtplib.SMTPStatus.start_input:
            raise aiosmtplib.SMTPDataError(start.code, start.message)
        protocol = client.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("connection lost")
        protocol.write(wire)
        while _n_unwritten(protocol):  # noqa: ASYNC110  the transport has no public event for it
            await asyncio.sleep(DRAIN_LOOK_S)
        if not protocol.is_connected:
            raise aiosmtplib.SMTPServerDisconnected("connection lost")
        return protocol

    async def _final_dot(self, protocol: SMTPProtocol, dispatch: Dispatch) -> tuple[Receipt, bool]:
        """Pass the point of no return; return the receipt, and whether the connection can take another message."""
        try:
            protocol.write(b".\r\n")
        except (aiosmtplib.SMTPException, OSError):
            return retry(dispatch, PROVIDER, "the connection broke before the message was handed over"), False
        try:
            answer = await protocol.read_response(self._answer_timeout_s)
        except (aiosmtplib.SMTPException, OSError) as error:
            why = _why(error, self._answer_timeout_s)
            return unknown(dispatch, PROVIDER, f"handed over, then {why}"), False
        if 200 <= answer.code < 300:
            queued = _QUEUED.search(answer.message)
            return receipt(dispatch, Verdict.ACCEPTED, PROVIDER, provider_id=queued[1] if queued else ""), True
        if not 400 <= answer.code < 600:
            return unknown(dispatch, PROVIDER, "handed over, then what is no SMTP answer"), False
        return _answered(dispatch, aiosmtplib.SMTPDataError(answer.code, answer.message)), answer.code != 421

    async def _reset(self, client: aiosmtplib.SMTP) -> bool:
        """Return whether the connection can take another message after a refused recipient."""
        if not client.is_connected:
            return False
        try:
            await client.rset()
        except (aiosmtplib.SMTPException, OSError):
            return False
        return client.is_connected

    def _take(self) -> _Connection | None:
        """Return an idle connection that is fresh enough, the most recently used first."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.client.is_connected and now - connection.used_at < IDLE_S:
                return connection
            connection.client.close()
        return None

    def _put_back(self, connection: _Connection, keep: bool) -> None:
        connection.n_messages += 1
        if keep and connection.n_messages < MAX_MESSAGES_A_CONNECTION:
            connection.used_at = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            # Not QUIT: a server that hangs would hold the slot, and everything about the message is already known.
            connection.client.close()

    async def _connect(self) -> _Connection:
        config = self._config
        opened = await self._guard.connect(config["host"], config["port"])
        client = aiosmtplib.SMTP(
            hostname=config["host"],
            sock=opened,
            username=config["username"] or None,
            password=config["password"] or None,
            use_tls=config["tls"] == "tls",
            start_tls=config["tls"] == "starttls",
            tls_context=self._tls_context or system_authorities(),
            timeout=self._timeout_s,
            local_hostname=self._sender_address.rpartition("@")[2],
        )
        try:
            await client.connect()  # from here on the transport owns the socket
            if client.is_ehlo_or_helo_needed:
                try:
                    await client.ehlo()
                except aiosmtplib.SMTPHeloError:
                    await client.helo()
        except BaseException:
            client.close()
            raise
        return _Connection(client)


class _DeadConnectionError(Exception):
    """The connection was closed before the server had anything of this message."""


class _Connection:
    __slots__ = ("client", "n_messages", "used_at")

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self.n_messages = 0
        self.used_at = 0.0


def _dotted(message: bytes) -> bytes:
    """Double the dots at the start of a line (RFC 5321, 4.5.2) of a message whose lines end with CRLF."""
    return message.replace(b"\r\n.", b"\r\n..")


def _n_unwritten(protocol: SMTPProtocol) -> int:
    """Return the number of bytes that the operating system has not taken yet."""
    transport = protocol.transport
    return transport.get_write_buffer_size() if isinstance(transport, asyncio.WriteTransport) else 0


def _refused(dispatch: Dispatch, error: aiosmtplib.SMTPRecipientRefused) -> Receipt:
    enhanced = _ENHANCED.match(error.message)
    if 500 <= error.code < 600:
        about_address = enhanced is None or (
            enhanced[2] in _ADDRESS_SUBJECTS and (enhanced[2], enhanced[3]) not in _NOT_THE_ADDRESS
        )
        # Without an enhanced code only these concern a mailbox; 530 and 503, for example, concern us.
        if about_address and (enhanced is not None or error.code in (550, 551, 553)):
            return receipt(dispatch, Verdict.BOUNCED, PROVIDER, detail=_said(error))
    return _answered(dispatch, error)


def _answered(dispatch: Dispatch, error: aiosmtplib.SMTPResponseException) -> Receipt:
    if 500 <= error.code < 600:
        return rejected(dispatch, PROVIDER, _said(error))
    if error.code == _CLOSING or not isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError):
        return retry(dispatch, PROVIDER, _said(error))
    return deferred(dispatch, PROVIDER, _said(error))


_STAGES: dict[type[aiosmtplib.SMTPResponseException], str] = {
    aiosmtplib.SMTPSenderRefused: "to the sender",
    aiosmtplib.SMTPRecipientRefused: "to the recipient",
    aiosmtplib.SMTPDataError: "to the message",
}


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    """Return an answer's numbers, provided the dialogue began as SMTP does."""
    if not 200 <= error.code < 600:
        return "the server sent what is no SMTP answer"
    enhanced = _ENHANCED.match(error.message)
    code = f"{error.code} {'.'.join(enhanced.groups())}" if enhanced else str(error.code)
    return f"the server answered {code} {_STAGES.get(type(error), '')}".rstrip()


def _why(error: _Failure, limit_s: float) -> str:
    """Describe in our own words what broke."""
    match error:
        case aiosmtplib.SMTPAuthenticationError() if 400 <= error.code < 600:
            return f"the server answered {error.code} to the login"
        case aiosmtplib.SMTPConnectResponseError() | aiosmtplib.SMTPHeloError():
            return "the server did not greet us as a mail server does"
        case aiosmtplib.SMTPResponseException():
            return "the server sent what is no SMTP answer"
        case aiosmtplib.SMTPNotSupported():
            return "the server does not offer the login that the channel asks for"
        case aiosmtplib.SMTPException() if type(error) is aiosmtplib.SMTPException:
            return "the server does not offer what the channel asks for: STARTTLS, or a login"
        case ssl.SSLCertVerificationError():
            return "the server's certificate could not be verified"
        case ssl.SSLError():
            return "TLS failed"
        case TimeoutError():
            return f"no answer within {limit_s:g} s"
        case ConnectionRefusedError():
            return "the connection was refused"
        case aiosmtplib.SMTPConnectError() if isinstance(error.__cause__, OSError):
            return _why(error.__cause__, limit_s)
        case ConnectionError():
            return "the connection broke"
    return "the connection failed"
