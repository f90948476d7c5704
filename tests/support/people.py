"""Invites people, takes them in, and plays a browser without scripts that signs them in."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
from sqlalchemy.orm import Session

from cluster.control_plane import ControlPlane
from cluster.control_plane.identity.people import Person, new_invitation_token
from cluster.control_plane.keys import key_hash
from cluster.control_plane.models import InvitationRow, MembershipRow, PersonRow
from cluster.control_plane.people.members import Member, folded
from cluster.control_plane.transactions import now_ms
from tests.support.gateway_world import World
from whisperer.ids import TenantId, new_id

PASSWORD = "oak tide mint lamp"


def invite(
    plane: ControlPlane, tenant_id: str, role: str = "admin", email: str | None = None, *, ends_in_ms: int = 3_600_000
) -> str:
    """Return the token of an invitation."""
    token = new_invitation_token()
    with plane._writing() as session:
        session.add(
            InvitationRow(
                id=new_id("inv"),
                tenant_id=TenantId(tenant_id),
                email=email,
                role=role,
                hash=key_hash(token),
                invited_by="ada@example.com",
                created_at=now_ms(),
                expires_at=now_ms() + ends_in_ms,
            )
        )
    return token


def member(plane: ControlPlane, tenant_id: str, email: str, role: str = "admin", password: str = PASSWORD) -> Person:
    """Make somebody a member, with an account if they have none."""
    person, _ = plane.accept_invitation(invite(plane, tenant_id, role, email), None, email.partition("@")[0], password)
    return person


class Browser:
    """A browser without scripts: it keeps cookies, follows redirects, and sends the forms that pages have."""

    def __init__(self, world: World, base_url: str = "http://whisperer.example") -> None:
        transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url=base_url, follow_redirects=True)
        self.page: httpx.Response

    async def open(self, address: str) -> httpx.Response:
        self.page = await self.http.get(address)
        return self.page

    async def send(self, action: str | None = None, **fields: str) -> httpx.Response:
        """Send the form with this action, or the page's first, with what the page filled in and ``fields``."""
        forms = re.findall(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', self.page.text, re.DOTALL)
        found, inside = next(form for form in forms if action is None or form[0] == action)
        given = {
            html.unescape(name): html.unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', inside)
        }
        headers = {"Sec-Fetch-Site": "same-origin"}
        self.page = await self.http.post(html.unescape(found), data=given | fields, headers=headers)
        return self.page

    async def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        await self.open("/auth/sign-in")
        return await self.send(email=email, password=password)

    @property
    def path(self) -> Any:
        return self.page.url.path


def joined(plane: ControlPlane, tenant_id: TenantId, email: str, role: str, *, disabled: bool = False) -> Member:
    """Return a new member of a tenant; the person is made if the address is new."""
    with Session(plane._engine) as session, session.begin():
        person = session.query(PersonRow).filter_by(folded_email=folded(email)).one_or_none()
        if person is None:
            person = PersonRow(
                id=new_id("per"),
                email=email,
                folded_email=folded(email),
                name=email.partition("@")[0],
                created_at=1,
                disabled_at=1 if disabled else None,
            )
            session.add(person)
            session.flush()
        session.add(MembershipRow(tenant_id=tenant_id, person_id=person.id, role=role, created_at=1, changed_at=1))
    return plane.get_member(tenant_id, email)
