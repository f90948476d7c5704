"""Keeps the host that a tenant names for a channel from reaching what only this machine or its network can reach.

A name is resolved once per connection, all its addresses are checked, and the connection goes to one of exactly the
addresses that were checked: the name server is never asked for a second answer (DNS rebinding). The Host header and TLS
name stay as the tenant wrote them. One forbidden address refuses the name as a whole. The operator may open networks
other than the internet (`delivery.open_networks`), such as the mail relay's, for all tenants.

Refused otherwise: everything that IANA's special-purpose registries do not call globally reachable (private, loopback,
link-local with the clouds' metadata address, shared, benchmarking, documentation, reserved), multicast, and the forms
of IPv6 that carry an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore
from httpcore import AsyncNetworkBackend, AsyncNetworkStream

from whisperer.delivery.providers import PROVIDERS
from whisperer.errors import DeliveryError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

MAX_ADDRESSES = 16
MAX_LOOKUPS = 64
"""Names that are looked up at a time; a thread is made only when it is needed."""

_NEVER_V4 = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""Global unicast; forms that carry IPv4 (::/96, ::ffff:0:0/96, 64:ff9b::/96) or are local lie outside it."""
_NEVER_V6 = [
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]


class ForbiddenAddressError(DeliveryError):
    """The host or URL leads to an address or a port that must not be called."""


class UnresolvableError(DeliveryError):
    """The name has no address now; it may have one later."""

    retryable = True


def is_public(address: Address) -> bool:
    """Return whether an address is on the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NEVER_V4)
    return address.scope_id is None and address in _GLOBAL_V6 and not any(address in n for n in _NEVER_V6)


class Resolver:
    """The system's resolver, which blocks: in threads of its own, and for one name once at a time.

    So a name whose servers do not answer holds one thread, and nobody else. Use from one event loop.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="resolve")
        self._under_way: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return every address of a name. Raises OSError."""
        key = host, port
        looking = self._under_way.get(key)
        if looking is None:
            looking = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
            self._under_way[key] = looking
            looking.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(looking)

    def _over(self, key: tuple[str, int], looking: asyncio.Future[list[str]]) -> None:
        self._under_way.pop(key, None)
        if not looking.cancelled():
            looking.exception()  # whoever asked may be gone


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Guard:
    """Decides where a provider's connections may go. ``open_networks`` are allowed although they are not public."""

    def __init__(
        self,
        provider: str,
        *,
        open_networks: Sequence[Network] = (),
        resolve: Resolve | None = None,
        is_public_allowed: bool = True,
    ) -> None:
        self._provider = PROVIDERS[provider]
        self._is_public_allowed = is_public_allowed
        self._open_networks = open_networks
        self._resolve = resolve or Resolver()

    def inside(self) -> Guard:
        """Return what lets connections go to opened networks only: what is sent in the clear must not leave them."""
        return Guard(
            self._provider.name, open_networks=self._open_networks, resolve=self._resolve, is_public_allowed=False
        )

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the checked addresses of a host, in the resolver's order.

        Raises
        ------
        ForbiddenAddressError, UnresolvableError
        """
        if not self._provider.allows_port(port):
            raise ForbiddenAddressError(f"port {port} may not be called")
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise UnresolvableError("the host's name could not be resolved") from None
        if not found:
            raise UnresolvableError("the host's name has no address")
        for text in found:
            if not self._may_call(ipaddress.ip_address(text)):
                raise ForbiddenAddressError(
                    "the host's address is private, local or reserved"
                    if self._is_public_allowed
                    else "http:// leads into opened networks only; write https://"
                )
        return found[:MAX_ADDRESSES]

    async def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first checked address that accepts; the caller closes the socket.

        Raises
        ------
        ForbiddenAddressError, UnresolvableError, OSError
        """
        failure: OSError | None = None
        for address in await self.addresses(host, port):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            opened = socket.socket(family, socket.SOCK_STREAM)
            opened.setblocking(False)
            # asyncio does this for connections that it opens itself. Without it a small write, such as SMTP's final
            # dot, waits for the other side to acknowledge the write before: 40 ms a message.
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await asyncio.get_running_loop().sock_connect(opened, (address, port))
                return opened
            except OSError as error:
                opened.close()
                failure = error
            except BaseException:
                opened.close()
                raise
        assert failure is not None
        raise failure

    def _may_call(self, address: Address) -> bool:
        if self._is_public_allowed and is_public(address):
            return True
        return any(address in network for network in self._open_networks)


class GuardedBackend(AsyncNetworkBackend):
    """Opens connections for httpcore, to checked addresses only."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._guard.addresses(host, port):
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        raise ForbiddenAddressError("a provider is never a local socket")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
