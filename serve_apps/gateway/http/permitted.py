"""Marks dependencies with the permission that they check, so that anybody can see what each route needs."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant

from serve_apps.gateway.http.deprecated import Deprecation, deprecation_of
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

_MARK = "permission"
_USERS = "for users"


class TenantOf(Protocol):
    def __call__(self, permission: Permission, *, or_user: bool = False) -> Callable[..., Awaitable[TenantId]]:
        """Make the dependency that lets in who has a permission, and returns the id of the tenant whose data is meant.

        ``or_user``: also the user whom the path names as `user_id`, with a token of their own.
        """
        ...


def marked(dependency: Callable[..., Any], permission: Permission) -> Callable[..., Any]:
    """Return the dependency, marked with the permission that it checks."""
    setattr(dependency, _MARK, permission)
    return dependency


def for_users(dependency: Callable[..., Any]) -> Callable[..., Any]:
    """Return the dependency, marked as one that lets users in with a token of their own instead of a permission."""
    setattr(dependency, _USERS, True)
    return dependency


def is_for_users(dependant: Dependant) -> bool:
    """Return whether a route is for users with a token of their own."""
    return getattr(dependant.call, _USERS, False) or any(map(is_for_users, dependant.dependencies))


def permission_of(dependant: Dependant) -> Permission | None:
    """Return the permission that a route needs; None if it checks none."""
    found: Permission | None = getattr(dependant.call, _MARK, None)
    if found is not None:
        return found
    return next((found for part in dependant.dependencies if (found := permission_of(part))), None)


def every_route(app: FastAPI) -> Iterator[Any]:
    """Return each route as the router sees it: with the prefix it is mounted at, and all its dependencies."""
    return _within(app.router.routes)


def _within(routes: Any) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "effective_candidates"):  # a router that was included, in a newer FastAPI
            yield from _within(route.effective_candidates())
        else:
            yield route


def deprecations(app: FastAPI) -> dict[tuple[str, str], Deprecation]:
    """Return what is to go, by its method in lower case and its path."""
    found = {}
    for route in every_route(app):
        leaving = deprecation_of(route.dependant) if hasattr(route, "dependant") else None
        if leaving is not None:
            found.update({(method.lower(), route.path_format): leaving for method in route.methods})
    return found


def permissions(app: FastAPI) -> dict[tuple[str, str], Permission]:
    """Return what each call needs, by its method in lower case and its path; calls that need nothing are left out."""
    found = {}
    for route in every_route(app):
        needed = permission_of(route.dependant) if hasattr(route, "dependant") else None
        if needed is not None:
            found.update({(method.lower(), route.path_format): needed for method in route.methods})
    return found
