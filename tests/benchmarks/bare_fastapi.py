"""What bare FastAPI on uvicorn costs: an application that checks a key and validates what it is sent, and says yes.

Served by ``python -m uvicorn tests.benchmarks.bare_fastapi:app``. Nothing is limited, counted, stored or looked up.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Query
from pydantic import BaseModel, Field

KEY_ENV = "BARE_FASTAPI_KEY"


class Event(BaseModel):
    type: Literal["track", "identify", "page", "screen", "group", "alias"]
    messageId: str = Field(max_length=100)  # noqa: N815  as on the wire
    userId: str | None = None  # noqa: N815
    event: str | None = None
    timestamp: str | None = None
    properties: dict[str, Any] = {}


class Batch(BaseModel):
    batch: list[Event] = Field(max_length=2_500)


async def authorized(authorization: Annotated[str | None, Header()] = None) -> None:
    if authorization != os.environ.get(KEY_ENV):
        raise HTTPException(401)


app = FastAPI()


@app.get("/v1/users/{user_id}", dependencies=[Depends(authorized)])
async def user(
    user_id: str,
    as_of: Annotated[str | None, Query(max_length=40)] = None,
    timeline: Annotated[Literal["recent", "full"], Query()] = "recent",
) -> dict[str, Any]:
    return {"user_id": user_id, "as_of": as_of, "timeline": timeline}


@app.post("/v1/batch", dependencies=[Depends(authorized)])
async def batch(body: Batch) -> dict[str, bool]:
    return {"success": True}
