"""The floor of Ray Serve itself: an application that reads the body and says yes, beside the gateway in one Serve."""

from __future__ import annotations

from typing import Any

from ray import serve


@serve.deployment(name="Noop", max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.1})
@serve.ingress()
class Noop:
    def __serve_build_asgi_app__(self) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                while (await receive()).get("more_body", False):
                    pass
                headers = [(b"content-type", b"application/json"), (b"content-length", b"16")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": b'{"success":true}'})

        return app


def build(args: dict[str, str]) -> serve.Application:
    return Noop.bind()
