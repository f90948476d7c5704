"""Keeps Serve's books for requests that do not take its way: what it counts, it counts, and what it limits, it limits.

Each request on the short way (:mod:`.server`) holds one of the replica's places for ongoing requests while it runs, by
which Serve scales, drains and judges how busy the replica is, and is in Serve's own metrics with its status and time.
Requests that need more of Serve go the long way: without a free place (Serve queues or refuses them), with a time limit
of Serve's, or not from our HAProxy. So do all, if this Serve is not as we know it: nothing then is faster, and nothing
else is different.

This is the one module that knows how Serve's replica looks inside; :func:`install` checks it when a replica starts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from ray.serve._private import replica as serve_replica
from ray.serve._private.common import RequestMetadata, RequestProtocol
from ray.serve._private.constants import SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER
from ray.serve._private.tracing_utils import is_tracing_enabled

from serve_apps.gateway.http.server import EXCHANGE, Connection

_log = logging.getLogger(__name__)

_DISCONNECT_DISABLED = b"x-request-disconnect-disabled"
"""Set by our HAProxy (:mod:`cluster.launch.haproxy_program`)."""
_TIMEOUT = SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER.encode()
_NEEDED = (
    "_metrics_manager.inc_num_ongoing_requests",
    "_metrics_manager.dec_num_ongoing_requests",
    "_metrics_manager.record_request_metrics",
    "_metrics_manager.record_ingress_request_metrics",
    "_semaphore.acquire",
    "_semaphore.locked",
    "_semaphore.release",
    "_deployment_id.app_name",
    "_deployment_id.name",
    "_http_options.request_timeout_s",
    "_route_prefix",
)


class Books:
    """The books of one replica, and the ASGI application that its short way leads to."""

    def __init__(self, replica: Any, application: Any) -> None:
        self._application = application
        self._metrics = replica._metrics_manager
        self._places = replica._semaphore
        self._app_name, self._name = replica._deployment_id.app_name, replica._deployment_id.name
        self._route = replica._route_prefix or ""
        self._has_time_limit = replica._http_options.request_timeout_s is not None
        self._metadata = RequestMetadata(
            request_id="",
            internal_request_id="",
            call_method="__call__",
            route=self._route,
            app_name=self._app_name,
            is_streaming=True,
            _request_protocol=RequestProtocol.HTTP,
            is_direct_ingress=True,
        )
        """Serve looks only at what kind of request it counts, which is always the same."""

    def take(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request can take the short way."""
        return (
            headers.get(_DISCONNECT_DISABLED) == b"?1"
            and _TIMEOUT not in headers
            and not self._has_time_limit
            and not self._places.locked()
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        metrics, metadata = self._metrics, self._metadata
        began = time.perf_counter()
        failure = None
        await self._places.acquire()
        metrics.inc_num_ongoing_requests(metadata)
        try:
            await self._application(scope, receive, send)
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            metrics.dec_num_ongoing_requests(metadata)
            self._places.release()
            latency_ms, status = (time.perf_counter() - began) * 1000, scope[EXCHANGE].status
            metrics.record_request_metrics(
                route=self._route, latency_ms=latency_ms, is_error=failure is not None, exception_type=failure
            )
            if status:
                metrics.record_ingress_request_metrics(
                    protocol=RequestProtocol.HTTP,
                    method=scope["method"],
                    route=self._route,
                    app_name=self._app_name,
                    deployment_name=self._name,
                    latency_ms=latency_ms,
                    is_error=status >= 400,
                    status_code=str(status),
                )


def install(application: Any) -> None:
    """Lay the short way to an application in the HTTP server that Serve will start in this replica.

    Call it before the replica is ready.
    """
    module: Any = serve_replica
    start_plainly = module.start_asgi_http_server

    async def start(asgi: Any, *arguments: Any, **more: Any) -> tuple[asyncio.Task[Any], Any]:
        task, server = await start_plainly(asgi, *arguments, **more)
        replica = getattr(asgi, "__self__", None)
        missing = [path for path in _NEEDED if not _has(replica, path)]
        if missing or is_tracing_enabled():
            _log.warning("requests take Serve's own way: %s", f"it lacks {missing}" if missing else "it is traced")
        else:
            # The server runs from the next turn of the loop on; until then its protocol can be chosen.
            server.config.http = partial(Connection, Books(replica, application))
        return task, server

    module.start_asgi_http_server = start


def _has(replica: Any, path: str) -> bool:
    found = replica
    for name in path.split("."):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True
