"""Signs people in: checks passwords and second factors, slows those down who guess, and grants tokens and sessions.

An account may be tried :data:`OF_ACCOUNT` times at once and then every so many seconds, whichever replica is asked, and
an address likewise (:data:`OF_ADDRESS`); a second factor has its own account of tries. An unknown address takes as long
as a wrong password. Hashing runs in :data:`N_HASHING` threads, with at most :data:`MAX_WAITING` that wait.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from cluster.control_plane import ControlPlane
from cluster.control_plane.identity import passwords
from cluster.control_plane.identity.families import FamilyKind
from cluster.control_plane.identity.grants import Granted
from cluster.control_plane.identity.jwts import Use, read, refused
from cluster.control_plane.identity.people import Person, Place
from cluster.control_plane.key_records import KeyRecord
from cluster.control_plane.keys import key_hash
from serve_apps.gateway.http.tokens import Tokens
from whisperer.errors import InvalidKeyError, OverloadError, RequestError, TooManyError

Value = TypeVar("Value")
Take = Callable[[str, float, float], Awaitable[float | None]]
"""Takes tokens of a name at a rate; returns None, or the seconds until there are some."""

STEP_LIFE_S = 600
RESET_LIFE_S = 24 * 3600
N_HASHING = 2
MAX_WAITING = 40


class Tries(NamedTuple):
    """How often something may be tried: so many times at once, and then every so many seconds."""

    at_once: int
    every_s: float


OF_ACCOUNT = Tries(10, 20.0)
OF_CODE = Tries(5, 30.0)
OF_ADDRESS = Tries(50, 2.0)


class SigningIn:
    """What signing in takes, for one replica."""

    def __init__(self, plane: ControlPlane, tokens: Tokens, take: Take) -> None:
        self.plane = plane
        self.tokens = tokens
        self._take = take
        self._hashing = ThreadPoolExecutor(N_HASHING, thread_name_prefix="passwords")
        self._n_waiting = 0

    @property
    def issuer(self) -> str:
        return self.tokens.issuer

    async def by_password(self, email: str, password: str, address: str | None) -> Person:
        """Return whose password it is. Raises RequestError (`invalid_grant`) and TooManyError (`too_many_attempts`)."""
        await self.throttle(email, address)
        found = await asyncio.to_thread(self.plane.credentials, email)
        is_right = await self.hashing(passwords.matches, password, found.password_hash)
        if found.person is None or not is_right:
            await self._enter(found.person, "sign_in_failed")
            raise RequestError("there is no such account, or the password is another one", code="invalid_grant")
        return found.person

    async def check_password(self, person_id: str, password: str, address: str | None) -> None:
        """Check the password of somebody who is signed in. Raises RequestError (`wrong_password`) and TooManyError."""
        person = await asyncio.to_thread(self.plane.person, person_id)
        await self.throttle(person.email, address)
        stored = await asyncio.to_thread(self.plane.password_hash, person_id)
        if not await self.hashing(passwords.matches, password, stored):
            await self._enter(person, "password_check_failed")
            raise RequestError("this is not your password", code="wrong_password")

    async def by_code(self, person: Person, code: str) -> None:
        """Take a second factor's code. Raises RequestError (`invalid_grant`) and TooManyError (`too_many_attempts`)."""
        await self._try(f"second factor {person.id}", OF_CODE)
        if not await asyncio.to_thread(self.plane.take_second_factor, person.id, code):
            await self._enter(person, "second_factor_failed")
            raise RequestError("this code is not good, or was used before", code="invalid_grant")

    async def place(self, person: Person, tenant: str | None) -> Place:
        """Return the tenant that a person signs in to: the one they name, or else the only one they have.

        Raises RequestError: `not_a_member`, `tenant_required`, `second_factor_needed` where the tenant asks for a
        second factor that the person has not set up.
        """
        places = await asyncio.to_thread(self.plane.places, person.id)
        if not places:
            raise RequestError("you are not a member of a tenant any more", code="not_a_member")
        found = [place for place in places if tenant in (place.name, place.tenant_id)] if tenant else places
        if tenant and not found:
            raise RequestError("you are not a member of that tenant", code="not_a_member")
        if len(found) > 1:
            names = ", ".join(place.name for place in found[:20])
            raise RequestError(f"say the tenant; you are a member of {names}", code="tenant_required")
        return found[0]

    def check_second_factor(self, person: Person, place: Place) -> None:
        """Check that a person has a second factor if the tenant asks for one. Raises RequestError."""
        if place.needs_second_factor and person.has_password and not person.has_second_factor:
            raise RequestError(
                "this tenant asks for a second factor: sign in on the page /auth/sign-in, which sets one up",
                code="second_factor_needed",
            )

    async def grant_by_password(
        self, email: str, password: str, code: str | None, tenant: str | None, client: str, address: str | None
    ) -> Granted:
        """Grant tokens to a person. Raises RequestError, with the code `second_factor_required` if one is missing."""
        person = await self.by_password(email, password, address)
        if person.has_second_factor and not code:
            raise RequestError("send the code of your second factor, too, as otp", code="second_factor_required")
        if person.has_second_factor:
            await self.by_code(person, code or "")
        place = await self.place(person, tenant)
        self.check_second_factor(person, place)
        return await asyncio.to_thread(self.plane.grant_to_person, place.tenant_id, person.id, client, self.issuer)

    async def grant_by_key(self, record: KeyRecord) -> Granted:
        """Grant a token to the holder of a secret key."""
        return await asyncio.to_thread(self.plane.grant_to_key, record, self.issuer)

    async def refresh(self, refresh_token: str) -> Granted:
        """Take a refresh token and grant the next. Raises RequestError (`invalid_grant`)."""
        return await asyncio.to_thread(self.plane.refresh, refresh_token, self.issuer)

    async def begin_session(self, person: Person, place: Place, client: str) -> str:
        """Begin a browser's session; return what goes into its cookie."""

        def begin() -> str:
            return self.plane.begin_family(place.tenant_id, FamilyKind.SESSION, client, person_id=person.id).token

        return await asyncio.to_thread(begin)

    async def accept(
        self, token: str, email: str | None, name: str, password: str, address: str | None
    ) -> tuple[Person, str]:
        """Make the holder of an invitation a member; return them and the tenant's name.

        Raises as :meth:`~cluster.control_plane.identity.people.People.accept_invitation`, and TooManyError.
        """
        invited = await asyncio.to_thread(self.plane.invitation, token)
        await self.throttle(invited.email or email or "", address)
        return await self.hashing(self.plane.accept_invitation, token, email, name, password)

    async def set_password(self, person_id: str, password: str, **more: Any) -> None:
        """Change a password, and end the person's sign-ins. Raises PasswordError and RequestError (`link_used`)."""
        await self.hashing(lambda: self.plane.set_password(person_id, password, **more))

    async def reset_token(self, person_id: str) -> str:
        """Return the token of a link that sets a person's password, once, within :data:`RESET_LIFE_S`."""

        def sign() -> str:
            claims = {"sub": person_id, "mark": self.plane.reset_mark_of(person_id)}
            return self.plane.sign(Use.RESET, claims, issuer=self.issuer, life_s=RESET_LIFE_S)

        return await asyncio.to_thread(sign)

    async def reset(self, token: str, password: str, address: str | None) -> None:
        """Set the password that a link is for. Raises PasswordError and RequestError (`link_used`)."""
        await self._try(f"reset {address}", OF_ADDRESS)
        claims = await self.claims(token, Use.RESET)
        await self.set_password(claims["sub"], password, expected=str(claims.get("mark")))

    async def step(self, claims: dict[str, Any]) -> str:
        """Return the token of a step between two pages of signing in."""
        return await asyncio.to_thread(
            lambda: self.plane.sign(Use.STEP, claims, issuer=self.issuer, life_s=STEP_LIFE_S)
        )

    async def claims(self, token: str, use: Use) -> dict[str, Any]:
        """Return the claims of a token of a step or a link. Raises RequestError (`link_used`)."""
        try:
            unverified = read(token)
            if unverified.issuer != self.issuer:
                raise refused("it has another issuer")
            return await self.tokens.of_ours(unverified, use)
        except InvalidKeyError:
            raise RequestError("this link or page has expired; begin again", code="link_used") from None

    async def throttle(self, email: str, address: str | None) -> None:
        """Count a try against an account and a client's address. Raises TooManyError (`too_many_attempts`)."""
        await self._try(f"sign in from {address or 'nowhere'}", OF_ADDRESS)
        await self._try(f"sign in {key_hash(email.strip().casefold())}", OF_ACCOUNT)

    async def hashing(self, hash: Callable[..., Value], *args: Any) -> Value:
        """Run what hashes a password in a thread. Raises OverloadError if too many wait."""
        if self._n_waiting >= MAX_WAITING:
            raise OverloadError("too many people sign in at this moment; try again", retry_after_s=2.0)
        self._n_waiting += 1
        try:
            return await asyncio.wrap_future(self._submit(hash, *args))
        finally:
            self._n_waiting -= 1

    def _submit(self, hash: Callable[..., Value], *args: Any) -> Any:
        return self._hashing.submit(contextvars.copy_context().run, hash, *args)

    async def _try(self, name: str, tries: Tries) -> None:
        wait_s = await self._take(name, 1 / tries.at_once, 1 / (tries.at_once * tries.every_s))
        if wait_s is not None:
            raise TooManyError(
                "too many attempts; wait a moment and try again",
                code="too_many_attempts",
                retry_after_s=min(wait_s, tries.every_s),
            )

    async def _enter(self, person: Person | None, what: str) -> None:
        """Enter in the audit log what failed for somebody who exists; strangers' guesses would only fill it."""
        if person is not None:
            await asyncio.to_thread(self.plane.enter_sign_in, person.id, what)
