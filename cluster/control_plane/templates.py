"""Templates: every change is a new version, and a version never changes, so anyone who pinned one may cache it
compiled.

What a template may contain, and what its lint refuses, is decided in ``whisperer/content``, whether it may go live in
:mod:`cluster.control_plane.approval`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.control_plane.approval import Kind, content_tag, permit, permit_again, went_live
from cluster.control_plane.etags import check, etag
from cluster.control_plane.known_supplies import known_supplies
from cluster.control_plane.models import TemplateRow
from cluster.control_plane.transactions import Transactions, check_name, find_tenant, now_ms
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import TenantId

if TYPE_CHECKING:
    from whisperer.content.blocks import Block, Filled

MOST = 1_000
"""Templates per tenant, counted by name."""
MOST_CHECKED = 50
"""Templates that a change of a block is tried on."""
BLOCK = "block"
"""The channel of a block: :data:`whisperer.content.blocks.BLOCK`, which loads Liquid."""


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """One version of a template."""

    tenant_id: TenantId
    name: str
    version: int
    channel: str
    body: dict[str, Any]
    """As its author wrote it: docs/templates.md."""
    published_at: int

    @property
    def etag(self) -> str:
        return etag(self.name, self.version)


class Templates(Transactions):
    """Publishes and reads templates."""

    def put_template(self, tenant: str, name: str, body: object, *, if_match: str | None = None) -> TemplateVersion:
        """Publish the next version of a template.

        Raises TemplateError with every problem of the template, and with what its lint is certain of; RequestError
        (`invalid_name`), NotFoundError, ConflictError (`too_many_templates`, `approval_required`), and StaleError if
        ``if_match`` names tags and none of them is the newest version's.
        """
        check_name(name, "template")
        with self._reading() as session:
            check_template(session, find_tenant(session, tenant).id, name, body)
        assert isinstance(body, dict), "the parser takes objects only"
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            last = newest_version(session, owner.id, name)
            check(if_match, etag(name, last) if last else None)
            return _template(publish_template(session, owner.id, name, body, body["channel"]))

    def template(self, tenant_id: TenantId, name: str, version: int) -> dict[str, Any]:
        """Return one version's body. Raises NotFoundError (`template_not_found`)."""
        return self.get_template(tenant_id, name, version).body

    def get_template(self, tenant: str, name: str, version: int | None = None) -> TemplateVersion:
        """Return one version, or the newest if none is named. Raises NotFoundError (`template_not_found`)."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            query = select(TemplateRow).where(TemplateRow.tenant_id == owner.id, TemplateRow.name == name)
            if version is not None:
                query = query.where(TemplateRow.version == version)
            row = session.scalars(query.order_by(TemplateRow.version.desc()).limit(1)).one_or_none()
            if row is None:
                which = "" if version is None else f" version {version}"
                raise NotFoundError(f"there is no template {name[:80]!r}{which}", code="template_not_found")
            return _template(row)

    def filled_template(self, tenant: str, body: Any) -> Filled:
        """Return a template's body with its blocks, each at its newest version, or at the one named.

        Raises TemplateError.
        """
        from whisperer.content.blocks import filled_in, references_in

        if not references_in(body) and not (isinstance(body, dict) and body.get("channel") == BLOCK):
            return filled_in(body, {})
        with self._reading() as session:
            return filled_in(body, blocks_of(session, find_tenant(session, tenant).id, body))

    def block_versions(self, tenant: str) -> dict[str, int]:
        """Return the newest version of each block."""
        with self._reading() as session:
            query = (
                select(TemplateRow.name, func.max(TemplateRow.version))
                .where(TemplateRow.tenant_id == find_tenant(session, tenant).id, TemplateRow.channel == BLOCK)
                .group_by(TemplateRow.name)
            )
            return {name: version for name, version in session.execute(query)}

    def list_templates(self, tenant: str) -> list[TemplateVersion]:
        """Return the newest version of each template, by name."""
        with self._reading() as session:
            return newest_templates(session, find_tenant(session, tenant).id)


def blocks_of(session: Session, tenant_id: TenantId, body: Any) -> dict[str, Block]:
    """Return the blocks that a template names, and those that they name, each as it is named."""
    from whisperer.content.blocks import MAX_DEPTH, Block, references_in, split

    found: dict[str, Block] = {}
    wanted = references_in(body)
    for _ in range(MAX_DEPTH + 1):
        rows = {one: _at(session, tenant_id, *split(one)) for one in sorted(wanted - found.keys())}
        blocks = {
            one: Block(row.version, row.body) for one, row in rows.items() if row is not None and row.channel == BLOCK
        }
        found |= blocks
        wanted = {one for block in blocks.values() for one in references_in(block.body)}
        if not wanted - found.keys():
            break
    return found


def check_template(session: Session, tenant_id: TenantId, name: str, body: Any) -> None:
    """Refuse what may not go live: of a block also what would break the templates that use it.

    Raises TemplateError with every problem.
    """
    from whisperer.content.blocks import Block, filled_in  # loads Liquid, which only changing a template needs
    from whisperer.content.errors import TemplateError
    from whisperer.content.lint.checks import refuse_errors
    from whisperer.content.template import parse_template

    is_block = isinstance(body, dict) and body.get("channel") == BLOCK
    own = {name: Block((newest_version(session, tenant_id, name) or 0) + 1, body)} if is_block else {}
    filled = filled_in(body, blocks_of(session, tenant_id, body) | own).body
    known = known_supplies(session, tenant_id)
    refuse_errors(filled, parse_template(filled), known)
    for user in _users_of(session, tenant_id, name) if is_block else ():
        try:
            filled = filled_in(user.body, blocks_of(session, tenant_id, user.body) | own).body
            refuse_errors(filled, parse_template(filled), known)
        except TemplateError as error:
            problem = error.errors[0]
            message = f"template {user.name}, {problem['pointer']}: {problem['message']}"
            raise TemplateError([{"pointer": "", "code": "breaks_template", "message": message}]) from None


def _users_of(session: Session, tenant_id: TenantId, block: str) -> list[TemplateVersion]:
    """Return the newest versions of templates that use a block, themselves or by others; at most MOST_CHECKED."""
    from whisperer.content.blocks import references_in, split

    # One that keeps to a version counts, too: what that version names may follow.
    named = {
        one.name: (one, {split(reference)[0] for reference in references_in(one.body)})
        for one in newest_templates(session, tenant_id)
    }
    users: dict[str, TemplateVersion] = {}
    wanted = {block}
    while wanted and len(users) < MOST_CHECKED:
        found = {name: one for name, (one, uses) in named.items() if uses & wanted and name not in users}
        users |= found
        wanted = {name for name, one in found.items() if one.channel == BLOCK}
    return [one for one in users.values() if one.name != block][:MOST_CHECKED]


def _at(session: Session, tenant_id: TenantId, name: str, version: int | None) -> TemplateRow | None:
    """Return a version, the newest if None."""
    if version is not None:
        return session.get(TemplateRow, (tenant_id, name, version))
    query = select(TemplateRow).where(TemplateRow.tenant_id == tenant_id, TemplateRow.name == name)
    return session.scalars(query.order_by(TemplateRow.version.desc()).limit(1)).one_or_none()


def newest_version(session: Session, tenant_id: TenantId, name: str) -> int | None:
    """Return the number of a template's newest version; None if there is no such template."""
    newest = select(func.max(TemplateRow.version))
    return session.scalar(newest.where(TemplateRow.tenant_id == tenant_id, TemplateRow.name == name))


def publish_template(
    session: Session, tenant_id: TenantId, name: str, body: dict[str, Any], channel: str
) -> TemplateRow:
    """Publish the next version of a template, already checked; see :meth:`Templates.put_template`."""
    last = newest_version(session, tenant_id, name)
    if last is None:
        names = select(func.count(TemplateRow.name.distinct())).where(TemplateRow.tenant_id == tenant_id)
        if session.scalars(names).one() >= MOST:
            raise ConflictError(f"there are {MOST} templates: write over one", code="too_many_templates")
    tag = content_tag(Kind.TEMPLATE, name, body)
    review_id = permit(session, tenant_id, Kind.TEMPLATE, name, tag)
    row = _next(session, tenant_id, name, last, body, channel)
    went_live(session, tenant_id, Kind.TEMPLATE, name, row.version, tag, review_id)
    return row


def roll_back(session: Session, tenant_id: TenantId, name: str, to: int, if_match: str | None) -> TemplateRow:
    """Publish the content of an older version as a new one.

    Raises NotFoundError (`template_not_found`, `version_not_found`), StaleError, and ConflictError
    (`nothing_to_roll_back`, `approval_required`).
    """
    last = newest_version(session, tenant_id, name)
    if last is None:
        raise NotFoundError(f"there is no template {name[:80]!r}", code="template_not_found")
    check(if_match, etag(name, last))
    older = session.get(TemplateRow, (tenant_id, name, to))
    if older is None:
        raise NotFoundError(f"template {name!r} has no version {to}", code="version_not_found")
    if to == last:
        raise ConflictError(f"version {to} of {name} is the newest already", code="nothing_to_roll_back")
    review_id = permit_again(session, tenant_id, Kind.TEMPLATE, name, to)
    row = _next(session, tenant_id, name, last, older.body, older.channel)
    tag = content_tag(Kind.TEMPLATE, name, older.body)
    went_live(session, tenant_id, Kind.TEMPLATE, name, row.version, tag, review_id, rolled_back_to=to)
    return row


def _next(
    session: Session, tenant_id: TenantId, name: str, last: int | None, body: dict[str, Any], channel: str
) -> TemplateRow:
    row = TemplateRow(
        tenant_id=tenant_id, name=name, version=(last or 0) + 1, channel=channel, body=body, published_at=now_ms()
    )
    session.add(row)
    return row


def newest_templates(session: Session, tenant_id: TenantId) -> list[TemplateVersion]:
    """Return the newest version of each template of a tenant, given by id, ordered by name."""
    newest = (
        select(TemplateRow.name, func.max(TemplateRow.version).label("version"))
        .where(TemplateRow.tenant_id == tenant_id)
        .group_by(TemplateRow.name)
        .subquery()
    )
    same = (TemplateRow.name == newest.c.name) & (TemplateRow.version == newest.c.version)
    query = select(TemplateRow).join(newest, same).where(TemplateRow.tenant_id == tenant_id)
    return [_template(row) for row in session.scalars(query.order_by(TemplateRow.name))]


def _template(row: TemplateRow) -> TemplateVersion:
    return TemplateVersion(row.tenant_id, row.name, row.version, row.channel, row.body, row.published_at)
