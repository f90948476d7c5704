"""A peer: FastAPI on uvicorn that adds a batch's events to a Redis Stream, as one would write it by hand.

One pipeline of XADDs a request, answered when Redis has answered all; with ``appendfsync always`` that is durable.
Environment: ``PEER_REDIS_PORT``.

    PEER_REDIS_PORT=6379 python -m uvicorn tests.benchmarks.peers.redis_gateway:app --port 9000 --no-access-log
"""

from __future__ import annotations

import json
import os

import redis.asyncio as redis
from fastapi import FastAPI, HTTPException, Request

REQUIRED = ("type", "messageId")

app = FastAPI()
_redis = redis.Redis(port=int(os.environ.get("PEER_REDIS_PORT", "6379")))


@app.post("/v1/batch")
async def batch(request: Request) -> dict[str, bool]:
    events = json.loads(await request.body())["batch"]
    async with _redis.pipeline(transaction=False) as pipeline:
        for event in events:
            if not all(event.get(name) for name in REQUIRED) or not (event.get("userId") or event.get("anonymousId")):
                raise HTTPException(400, "an event lacks type, messageId or a user")
            pipeline.xadd("events", {"event": json.dumps(event)})
        await pipeline.execute()
    return {"success": True}
