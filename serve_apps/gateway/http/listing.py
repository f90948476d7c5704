"""Reads how a caller wants a list, the same for every list: its page, its order, its filters, its fields.

    ?limit=&cursor=          a page; a cursor is opaque, and of this list, tenant, order and filters only
    ?sort=name, ?sort=-name  by a member of the entries; equals in the order of their keys; what has none comes last
    ?filter[state]=active    entries whose member is exactly that
    ?fields=name,state       these members of each entry, and its key

What a list does not have is refused: ignored, it would answer with everything, or in another order. A cursor names the
last entry that was shown, not a position: additions and removals meanwhile shift nothing. Lists that are bounded are
put in order here (:meth:`Asked.page`); of others, the control plane reads a part (:meth:`Asked.place`). Users have
lists of their own kind (:mod:`serve_apps.gateway.services.user_query`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from inspect import Parameter, Signature
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query, Request
from starlette.responses import Response

from cluster.control_plane.listing import After, Part, Place
from serve_apps.gateway.http.documented import with_schema
from serve_apps.gateway.http.exchange import answer
from serve_apps.gateway.http.paging import MAX_LIMIT, Cursor, Limit, Page, decode, encode
from serve_apps.gateway.http.schemas import schema_of
from whisperer.errors import RequestError
from whisperer.ids import TenantId

Item = TypeVar("Item")

MAX_FILTER_CHARS = 320
"""As long as an e-mail address may be."""
MOST_FIELDS = 30

SEALS = "cursor_seals"
"""The attribute of the application's state that has the key of the seal, at most 64 bytes."""
_Sealed = tuple[str, str, str | int | float | None]
_PLAIN = ("limit", "cursor", "sort", "fields")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list may be narrowed by. ``values``: all that there are, none for any text.

    ``is_bare``: asked for as ``?name=``, without ``filter[...]`` around it.
    """

    values: tuple[str, ...] = ()
    about: str = ""
    is_moment: bool = False
    is_bare: bool = False

    def written(self, name: str) -> str:
        """Return how a caller names it."""
        return name if self.is_bare else f"filter[{name}]"


ANY, FLAG = Filter(), Filter(("true", "false"))


def of_words(words: Iterable[str], about: str = "", *, is_bare: bool = False) -> Filter:
    """Return a filter by one of some words."""
    return Filter(tuple(str(word) for word in words), about, is_bare=is_bare)


class Listing:
    """What one list can be asked for.

    Attributes
    ----------
    name : tells its cursors from those of other lists
    kind : of its entries
    key : the member that is different in each entry
    sorts : members that it can be sorted by, ``usual`` if nothing is said; minus: from the greatest down
    also : further parameters that its route reads
    has_pages : False for one that is answered as a whole, and takes filters only
    """

    def __init__(
        self,
        name: str,
        kind: type[msgspec.Struct],
        *,
        key: str = "name",
        sorts: Sequence[str] = ("name",),
        usual: str = "",
        filters: Mapping[str, Filter] | None = None,
        also: Sequence[str] = (),
        limit: int = 100,
        has_pages: bool = True,
    ) -> None:
        self.name, self.kind, self.key, self.sorts = name, kind, key, tuple(sorts)
        self.usual = usual or (self.sorts[0] if self.sorts else "")
        self.filters = dict(filters or {})
        self.members = {one.encode_name: one.name for one in msgspec.structs.fields(kind)}
        self._also = tuple(also)
        self._limit = limit
        self._has_pages = has_pages

    @property
    def asked(self) -> Any:
        """The type of a parameter that holds what a caller asks: a dependency with all of the list's parameters."""

        async def read(request: Request, **given: Any) -> Asked:
            return self._read(request, given)

        read.__signature__ = Signature(self._parameters(), return_annotation=Asked)  # type: ignore[attr-defined]
        return read

    def documented(self, example: Any, **counts: int) -> dict[str, Any]:
        """Return the OpenAPI of the list's answer: a page of entries like ``example``, and examples of its counts.

        Which members an entry has is the caller's choice, so that the schema requires none.
        """
        name, defs = self.kind.__name__, schema_of(Page[self.kind])["$defs"]  # type: ignore[name-defined]
        page = defs.pop(f"Page_{name}_")
        data = page["properties"]["data"] | {"items": {"$ref": f"#/$defs/Listed{name}"}}
        defs[f"Listed{name}"] = {key: value for key, value in defs[name].items() if key != "required"}
        defs[f"PageOf{name}"] = page | {
            "title": f"PageOf{name}",
            "properties": page["properties"] | {"data": data} | {name: {"type": "integer"} for name in counts},
            "required": [*page["required"], *counts],
        }
        used = _used(f"PageOf{name}", defs)
        return with_schema(
            {"$ref": f"#/$defs/PageOf{name}", "$defs": used}, {"data": [example], "next_cursor": None, **counts}
        )

    def _parameters(self) -> list[Parameter]:
        def keyword(name: str, annotation: Any, default: Any) -> Parameter:
            return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

        found = [Parameter("request", Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)]
        if self._has_pages:
            found += [keyword("limit", Limit, self._limit), keyword("cursor", Cursor, None)]
        if self.sorts:
            words = {"enum": [*self.sorts, *(f"-{name}" for name in self.sorts)]}
            said = f"minus: from the greatest down; {self.usual} if nothing is said"
            about: Any = Query(description=said, json_schema_extra=words)
            found.append(keyword("sort", Annotated[str | None, about], None))
        for name, one in self.filters.items():
            extra: dict[str, Any] | None = {"enum": list(one.values)} if one.values else None
            extra = {"format": "date-time"} if one.is_moment else extra
            about = Query(
                alias=one.written(name),
                max_length=MAX_FILTER_CHARS,
                description=one.about or f"exactly this {name}",
                json_schema_extra=extra,
            )
            found.append(keyword(f"filter_{name}", Annotated[str | None, about], None))
        if not self._has_pages:
            return found
        said = f"some of an entry's members, separated by commas; {self.key} is always among them"
        about = Query(description=said, max_length=1_000)
        found.append(keyword("fields", Annotated[str | None, about], None))
        return found

    def _read(self, request: Request, given: dict[str, Any]) -> "Asked":
        self._check_names(request)
        sort: str = given.get("sort") or self.usual
        if sort.removeprefix("-") not in self.sorts and sort != self.usual:
            raise RequestError(f"this list is sorted by {_named(self.sorts)}, not {sort[:80]!r}", code="unknown_sort")
        filters = {}
        for name, one in self.filters.items():
            value = given[f"filter_{name}"]
            if value is not None and one.values and value not in one.values:
                message = f"{one.written(name)} takes {_named(one.values)}, not {value[:80]!r}"
                raise RequestError(message, code="invalid_filter")
            if value is not None and "\x00" in value:  # PostgreSQL has no such text, and nothing that is listed does
                raise RequestError(f"{one.written(name)} takes a text without NUL", code="invalid_filter")
            if value is not None:
                filters[name] = value
        return Asked(
            self,
            given.get("limit", MAX_LIMIT),
            sort.removeprefix("-"),
            sort.startswith("-"),
            filters,
            self._fields(given.get("fields")),
            given.get("cursor"),
            tuple(str(value) for name, value in sorted(request.path_params.items()) if name != "tenant"),
            getattr(request.app.state, SEALS),
        )

    def _check_names(self, request: Request) -> None:
        """Raise RequestError (`unknown_filter`, `unknown_parameter`, `repeated_parameter`)."""
        plain = _PLAIN if self._has_pages else ()
        known = {*(name for name in plain if name != "sort" or self.sorts), *self._also}
        known |= {one.written(name) for name, one in self.filters.items()}
        seen: set[str] = set()
        for name, _ in request.query_params.multi_items():
            if name not in known:
                is_filter = name.partition("[")[0] in ("filter", "sort")
                message = f"there is no {name[:80]!r} here; there is: {_named(sorted(known))}"
                raise RequestError(message, code="unknown_filter" if is_filter else "unknown_parameter")
            if name in seen:
                raise RequestError(f"{name[:80]} is given twice; give it once", code="repeated_parameter")
            seen.add(name)

    def _fields(self, written: str | None) -> tuple[str, ...] | None:
        if written is None:
            return None
        named = [name.strip() for name in written.split(",")]
        for name in named:
            if name not in self.members or len(named) > MOST_FIELDS:
                message = f"an entry of this list has no field {name[:80]!r}; there are {_named(self.members)}"
                raise RequestError(message, code="unknown_field")
        return tuple(dict.fromkeys((self.key, *named)))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller wants of a list. ``within``: what its path names, such as a campaign; ``secret`` seals cursors."""

    listing: Listing
    limit: int
    sort: str
    descends: bool
    filters: Mapping[str, str]
    fields: tuple[str, ...] | None
    cursor: str | None
    within: tuple[str, ...]
    secret: bytes

    def after(self, tenant_id: TenantId) -> After | None:
        """Return the entry that the cursor names. Raises RequestError (`invalid_cursor`)."""
        if self.cursor is None:
            return None
        try:
            seal, key, value = msgspec.json.decode(decode(self.cursor), type=_Sealed)
        except (msgspec.MsgspecError, UnicodeError):
            raise _invalid_cursor() from None
        if not compare_digest(seal.encode(), self._seal(tenant_id, After(key, value)).encode()):
            raise _invalid_cursor()
        return After(key, value)

    def place(self, tenant_id: TenantId) -> Place:
        """Return which part of a table is asked for."""
        return Place(self.limit, self.after(tenant_id), self.descends, self.sort)

    def part(self, tenant_id: TenantId, part: Part[Item], shown: Callable[[Item], msgspec.Struct]) -> Response:
        """Return a part of a table as the answer."""
        return self.answer(tenant_id, [shown(item) for item in part.items], part.last)

    def page(self, tenant_id: TenantId, entries: Iterable[msgspec.Struct], **counts: int) -> Response:
        """Return the answer from all entries of a bounded list, with counts next to them."""
        after, key, member = self.after(tenant_id), self.listing.key, self.listing.members[self.sort]
        passing = [one for one in entries if all(_text(getattr(one, n)) == v for n, v in self.filters.items())]
        passing.sort(key=lambda one: str(getattr(one, key)))
        having = [one for one in passing if getattr(one, member) is not None]
        having.sort(key=lambda one: _comparable(getattr(one, member)), reverse=self.descends)  # stable in both ways
        ordered = having + [one for one in passing if getattr(one, member) is None]
        rest = ordered if after is None else [one for one in ordered if self._is_behind(one, after, member)]
        last = rest[self.limit - 1] if len(rest) > self.limit else None
        end = None if last is None else After(str(getattr(last, key)), _comparable(getattr(last, member)))
        return self.answer(tenant_id, rest[: self.limit], end, **counts)

    def answer(
        self, tenant_id: TenantId, entries: Sequence[msgspec.Struct], last: After | None, **counts: int
    ) -> Response:
        """Return a page of entries; ``last`` is its last one, or None if nothing follows."""
        cursor = None
        if last is not None:
            cursor = encode(msgspec.json.encode((self._seal(tenant_id, last), *last)).decode())
        if self.fields is None:
            return answer(_with(Page(list(entries), cursor), counts))
        members = self.listing.members
        chosen = [{name: getattr(one, members[name]) for name in self.fields} for one in entries]
        page = Page([{k: v for k, v in one.items() if v is not msgspec.UNSET} for one in chosen], cursor)
        return answer(_with(page, counts))

    def _is_behind(self, entry: msgspec.Struct, after: After, member: str) -> bool:
        value, key = getattr(entry, member), str(getattr(entry, self.listing.key))
        if value is None or after.value is None:
            is_same = value is None and after.value is None
            return key > after.key if is_same else value is None
        mine: Any = _comparable(value)
        if mine == after.value:
            return key > after.key
        return bool(mine < after.value) is self.descends

    def _seal(self, tenant_id: TenantId, after: After) -> str:
        """Return what shows that a cursor is ours, and of this list, tenant, order and filters."""
        wanted = tenant_id, self.listing.name, self.within, self.sort, self.descends, sorted(self.filters.items())
        return blake2b(
            repr((wanted, after)).encode("utf-8", "surrogatepass"), key=self.secret, digest_size=9, person=b"cursor"
        ).hexdigest()


def _with(page: Page[Any], counts: Mapping[str, int]) -> Any:
    return {"data": page.data, "next_cursor": page.next_cursor, **counts} if counts else page


def _comparable(value: Any) -> Any:
    return str(value) if isinstance(value, str) else int(value) if isinstance(value, bool) else value


def _text(value: Any) -> str:
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


def _named(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _invalid_cursor() -> RequestError:
    message = "this cursor is not of this list, order and filters; begin again without one"
    return RequestError(message, code="invalid_cursor")


def _used(name: str, defs: Mapping[str, Any]) -> dict[str, Any]:
    """Return those definitions that one refers to, and it."""
    kept: dict[str, Any] = {}
    wanted = [name]
    while wanted:
        found = wanted.pop()
        if found not in kept:
            kept[found] = defs[found]
            wanted += [one.rpartition("/")[2] for one in references(defs[found])]
    return kept


def references(schema: Any) -> Iterable[str]:
    """Yield every reference in a schema."""
    if isinstance(schema, dict):
        for name, part in schema.items():
            if name == "$ref" and isinstance(part, str):
                yield part
            else:
                yield from references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from references(part)
