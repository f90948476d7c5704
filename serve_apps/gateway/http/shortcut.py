"""Answers requests of plain routes without FastAPI's machinery, which costs several times what the gateway does.

FastAPI stays where routes, their parameters and dependencies are defined, documented and checked. For each route that
consists only of what :func:`_plan` understands, the calls that FastAPI would make are laid out once, when the
application is complete: dependencies in their order, each once a request, then the parameters by FastAPI's own
validators, then the endpoint, which returns a response; an error is answered by the application's own handlers. All
else takes the whole way: routes with other things in them, requests that no route or only one of another method
matches, parameters that are not valid, calls with an Idempotency-Key. A test compares the answers of both ways.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response

from serve_apps.gateway.http.observed import ROUTE
from serve_apps.gateway.http.paths import routed

_WHOLE_WAY = b"idempotency-key"
_PLAIN = (str, int, float, bool, type(None))
_ONE_SEGMENT = "[^/]+"

Scope = Any
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Parameter:
    """``source``: the attribute of a request that has it."""

    name: str
    source: str
    alias: str
    default: Any
    is_required: bool
    validate: Callable[..., tuple[Any, list[Any]]]

    def read(self, request: Request, values: Values) -> bool:
        """Put the value into ``values``; False if it is not valid."""
        value = getattr(request, self.source).get(self.alias)
        if value is None:
            values[self.name] = self.default
            return not self.is_required
        values[self.name], errors = self.validate(value, values, loc=(self.alias,))
        return not errors


@dataclass(frozen=True, slots=True)
class _Call:
    """A function with what it is given. ``after``: the places, by parameter, of calls made before it."""

    function: Callable[..., Any]
    parameters: Sequence[_Parameter]
    after: Mapping[str, int]
    request_name: str | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """A route. ``calls``: those of its dependencies in order, the endpoint last; None if it takes the whole way."""

    regex: Any
    convertors: Mapping[str, Any]
    methods: frozenset[str]
    template: str
    segments: tuple[str | None, ...] | None
    """None for a segment that is a parameter; None at all if a parameter may have several."""
    calls: Sequence[_Call] | None


@dataclass(slots=True)
class _Table:
    """All routes in the order in which they are tried, and those that a path's length and first segments leave."""

    plans: Sequence[_Plan]
    literals: tuple[frozenset[str], frozenset[str]]
    left: dict[tuple[Any, ...], list[_Plan]] = field(default_factory=dict)

    def find(self, method: str, path: str) -> tuple[_Plan, dict[str, Any]] | None:
        """Return the first route of a path and method, with the path's parameters."""
        segments = path.split("/")
        n = len(segments)
        first = segments[1] if n > 1 and segments[1] in self.literals[0] else None
        second = segments[2] if n > 2 and segments[2] in self.literals[1] else None
        key = (method, min(n, 16), first, second)  # a bounded number of them, whatever is asked for
        left = self.left.get(key)
        if left is None:
            left = self.left[key] = [
                plan for plan in self.plans if method in plan.methods and _may_match(plan, min(n, 16), first, second)
            ]
        for plan in left:
            match = plan.regex.match(path)
            if match:
                return plan, {name: plan.convertors[name].convert(text) for name, text in match.groupdict().items()}
        return None


def _may_match(plan: _Plan, n: int, first: str | None, second: str | None) -> bool:
    if plan.segments is None:
        return True
    if min(len(plan.segments), 16) != n:
        return False
    return all(
        at >= len(plan.segments) or plan.segments[at] in (None, wanted) for at, wanted in ((1, first), (2, second))
    )


class Shortcut:
    """Wraps an application whose routes are complete when the first request comes."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._table: _Table | None = None

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["root_path"] or any(name == _WHOLE_WAY for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        if self._table is None:
            self._table = _table(self._app)
        path = routed(scope["raw_path"])
        found = self._table.find(scope["method"], path)
        if found is None or found[0].calls is None:
            await self._app(scope, receive, send)
            return
        plan, path_params = found
        short = dict(scope)
        short["path"], short["path_params"], short["app"] = path, path_params, self._app
        short[ROUTE] = scope[ROUTE] = plan.template
        request = Request(short, receive, send)
        try:
            response = await _carry_out(plan.calls or (), request)
        except Exception as error:
            handler = _handler(self._app, error)
            response = await handler(request, error)
            await response(short, receive, send)
            if handler is self._app.exception_handlers.get(Exception):
                raise  # whoever counts failures sees it
            return
        if response is None:
            await self._app(scope, receive, send)
        else:
            await response(short, receive, send)


async def _carry_out(calls: Sequence[_Call], request: Request) -> Response | None:
    """Return the endpoint's response; None if a parameter is not valid, before the endpoint was called."""
    results: list[Any] = []
    for call in calls:
        values: Values = {name: results[place] for name, place in call.after.items()}
        for parameter in call.parameters:
            if not parameter.read(request, values):
                return None
        if call.request_name is not None:
            values[call.request_name] = request
        results.append(await call.function(**values))
    response: Response = results[-1]
    return response


def _handler(app: FastAPI, error: Exception) -> Callable[[Request, Exception], Any]:
    handlers: Mapping[Any, Any] = app.exception_handlers
    found: Callable[[Request, Exception], Any] = next(
        handlers[kind] for kind in type(error).__mro__ if kind in handlers
    )
    return found


def _table(app: FastAPI) -> _Table:
    plans = []
    for context in iter_route_contexts(app.router.routes):
        if context.path_format is None:
            break  # something that is no route; what comes after it may not be tried before it
        plans.append(_plan(context))
    literals = tuple(
        frozenset(
            plan.segments[at]
            for plan in plans
            if plan.segments is not None and at < len(plan.segments) and plan.segments[at] is not None
        )
        for at in (1, 2)
    )
    return _Table(plans, literals)  # type: ignore[arg-type]


def _plan(context: Any) -> _Plan:
    convertors = context.param_convertors
    return _Plan(
        regex=context.path_regex,
        convertors=convertors,
        methods=frozenset(context.methods or ()),
        template=context.path_format,
        segments=_segments(context.path_format, convertors),
        calls=_calls(context),
    )


def _segments(template: str, convertors: Mapping[str, Any]) -> tuple[str | None, ...] | None:
    found: list[str | None] = []
    for segment in template.split("/"):
        if "{" not in segment:
            found.append(segment)
            continue
        is_one = segment[0] == "{" and segment[-1] == "}" and segment[1:-1] in convertors
        if is_one and convertors[segment[1:-1]].regex != _ONE_SEGMENT:
            return None
        found.append(None)
    return tuple(found)


def _calls(context: Any) -> Sequence[_Call] | None:
    """Return the calls of a route; None if it has something that is not understood here."""
    endpoint, dependant = context.endpoint, getattr(context, "dependant", None)
    if not isinstance(context.original_route, APIRoute) or dependant is None or context.body_field is not None:
        return None
    returned = get_type_hints(endpoint).get("return")
    if not (inspect.isclass(returned) and issubclass(returned, Response)):
        return None
    calls: list[_Call] = []
    places: dict[Any, int] = {}
    return calls if _add(dependant, calls, places) is not None else None


def _add(dependant: Any, calls: list[_Call], places: dict[Any, int]) -> int | None:
    """Add a dependency's call after those that it needs; its place, or None if it is not understood."""
    odd = (
        dependant.body_params
        or dependant.cookie_params
        or dependant.websocket_param_name
        or dependant.http_connection_param_name
        or dependant.response_param_name
        or dependant.background_tasks_param_name
        or dependant.security_scopes_param_name
        or dependant.own_oauth_scopes
        or dependant.parent_oauth_scopes
        or getattr(dependant, "concurrency", None)
        or not dependant.use_cache
        or not inspect.iscoroutinefunction(dependant.call)
    )
    if odd:
        return None
    after = {}
    for needed in dependant.dependencies:
        place = _add(needed, calls, places)
        if place is None:
            return None
        if needed.name is not None:
            after[needed.name] = place
    if dependant.call in places:
        return places[dependant.call]
    parameters = []
    for fields, source in (
        (dependant.path_params, "path_params"),
        (dependant.query_params, "query_params"),
        (dependant.header_params, "headers"),
    ):
        for one in fields:
            parameter = _parameter(one, source)
            if parameter is None:
                return None
            parameters.append(parameter)
    calls.append(_Call(dependant.call, parameters, after, dependant.request_param_name))
    places[dependant.call] = len(calls) - 1
    return places[dependant.call]


def _parameter(field: Any, source: str) -> _Parameter | None:
    info = field.field_info
    if not _is_scalar(info.annotation) or info.validation_alias not in (None, field.alias) or info.validate_default:
        return None
    is_required = info.is_required()
    default = None if is_required else info.get_default(call_default_factory=True)
    if not isinstance(default, _PLAIN):
        return None
    is_text = info.annotation is str and not info.metadata and source == "path_params"
    return _Parameter(field.name, source, field.alias, default, is_required, _as_it_is if is_text else field.validate)


def _is_scalar(annotation: Any) -> bool:
    """Return whether a value is one text, number or word: no list, no model."""
    arguments = getattr(annotation, "__args__", None)
    if arguments is None:
        return annotation in _PLAIN or (inspect.isclass(annotation) and issubclass(annotation, str))
    origin = getattr(annotation, "__origin__", None)
    if getattr(origin, "__name__", "") == "Literal" or str(origin) == "typing.Literal":
        return all(isinstance(value, _PLAIN) for value in arguments)
    if inspect.isclass(origin):  # list[str] and the like
        return False
    return all(_is_scalar(one) for one in arguments)


def _as_it_is(value: Any, _: Values, **__: Any) -> tuple[Any, list[Any]]:
    return value, []
