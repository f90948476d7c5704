"""Accounts for bodies on their way in: how much of them is held, for whom, and which is dropped when it is too much.

Memory is counted as bytes arrive; what a client announces counts for nothing. A body that falls behind the pace is
dropped as too slow. When all of them together exceed the limit, the one longest on its way is dropped: a body takes
milliseconds, so those who linger pay for it themselves, whatever their key and however many addresses they use. Clients
who have not yet shown a good key also have a limit per address.

Guarantees: incomplete bodies never hold more than `max_bytes` plus one of the server's messages, and never number more
than `max_bodies`; a newcomer is never the one turned away. Leaves to others: reading
(:mod:`serve_apps.gateway.tracking.bodies`, :mod:`.paced`), and what complete bodies hold.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

ADDRESS_BYTES = 4 << 20
ADDRESS_BODIES = 64
"""What one address may have on its way without a key, in bytes and in bodies."""


@dataclass(frozen=True, slots=True)
class BodyOwner:
    """Whose account a body is held on: a key that was looked up, or an address."""

    name: str
    has_key: bool = False


def owner_of_address(address: str | None) -> BodyOwner:
    """Return one owner per address and, for IPv6, per network of 64 bits, the least that one customer has."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return BodyOwner("")
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64)
    return BodyOwner(str(found))


@dataclass(frozen=True, slots=True)
class BodyPace:
    """How fast a body must arrive: the first bytes within `first_s`, then `bytes_per_s`, all of it within `all_s`."""

    first_s: float
    bytes_per_s: float
    all_s: float

    def deadline(self, began: float, n_bytes: int) -> float:
        """Return when more must have arrived, by the clock of ``began``, after ``n_bytes``."""
        return began + min(self.all_s, self.first_s + n_bytes / self.bytes_per_s)


@dataclass(slots=True, eq=False)
class Arrival:
    """One body on its way in. ``give_up`` ends its reading at once."""

    owner: BodyOwner
    give_up: Callable[[], None]
    n_bytes: int = 0
    is_given_up: bool = False


@dataclass(slots=True)
class _Account:
    """What a stranger has on its way, oldest first."""

    n_bytes: int = 0
    arrivals: OrderedDict[Arrival, None] = field(default_factory=OrderedDict)


class Arrivals:
    """The bodies on their way into one replica. Use from one event loop."""

    def __init__(self, max_bytes: int, max_bodies: int) -> None:
        self._max_bytes = max_bytes
        self._max_bodies = max_bodies
        self._all: OrderedDict[Arrival, None] = OrderedDict()
        self._strangers: dict[BodyOwner, _Account] = {}
        self.n_bytes = 0
        self.n_given_up = 0
        """Bodies dropped for lack of room since the start, not counting those that were too slow."""

    @property
    def n_bodies(self) -> int:
        return len(self._all)

    def begin(self, owner: BodyOwner, give_up: Callable[[], None]) -> Arrival:
        """Register a body that begins to arrive; older ones may be dropped to make room."""
        arrival = Arrival(owner, give_up)
        self._all[arrival] = None
        if not owner.has_key:
            account = self._strangers.setdefault(owner, _Account())
            account.arrivals[arrival] = None
            if len(account.arrivals) > ADDRESS_BODIES:
                self._give_up(next(iter(account.arrivals)))
        if len(self._all) > self._max_bodies:
            self._give_up(next(iter(self._all)))
        return arrival

    def grew(self, arrival: Arrival, n_bytes: int) -> None:
        """Count bytes that arrived; the oldest bodies are dropped when there are too many."""
        if arrival not in self._all:
            return
        arrival.n_bytes += n_bytes
        self.n_bytes += n_bytes
        account = self._strangers.get(arrival.owner)
        if account is not None:
            account.n_bytes += n_bytes
            while account.n_bytes > ADDRESS_BYTES:
                self._give_up(next(iter(account.arrivals)))
        while self.n_bytes > self._max_bytes:
            self._give_up(next(iter(self._all)))

    def end(self, arrival: Arrival) -> None:
        """Close a body's account: it is complete, or never will be. Ending it again changes nothing."""
        if arrival not in self._all:
            return
        del self._all[arrival]
        self.n_bytes -= arrival.n_bytes
        account = self._strangers.get(arrival.owner)
        if account is not None:
            del account.arrivals[arrival]
            account.n_bytes -= arrival.n_bytes
            if not account.arrivals:
                del self._strangers[arrival.owner]

    def _give_up(self, arrival: Arrival) -> None:
        """Drop a body. Its bytes no longer count: its reader releases them when the loop next runs it."""
        arrival.is_given_up = True
        self.n_given_up += 1
        self.end(arrival)
        arrival.give_up()
