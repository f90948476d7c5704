"""The counted load of people who were identified once and whose devices go on under their anonymous id alone.

Every event then reaches a key that was merged away, is passed on to its person's partition in a letter, and is asked
for there: what this loses or doubles was lost or doubled between two partitions.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

from tests.faults.counted_load import CountedLoad, Pace, Request
from tests.support.stand import Tenant

IDENTIFIED_AT_ONCE = 100
SKEW = 4
"""One in a hundred people has a third of the events, as in life: so letters of one pair follow each other closely."""


class DeviceLoad(CountedLoad):
    """``pace.users`` people with a device each, identified before the load begins."""

    def __init__(self, tenant: Tenant, pace: Pace, seed: int = 1) -> None:
        super().__init__(tenant, replace(pace, singles_per_s=0.0), seed)

    def __enter__(self) -> DeviceLoad:
        people = range(self._pace.users)
        for first in people[::IDENTIFIED_AT_ONCE]:
            events = [
                {
                    "type": "identify",
                    "userId": f"user-{n}",
                    "anonymousId": f"device-{n}",
                    "messageId": f"identified-{n}",
                }
                for n in people[first : first + IDENTIFIED_AT_ONCE]
            ]
            self._tenant.post("batch", {"batch": events}).raise_for_status()
            self.expect_others({str(event["messageId"]) for event in events})
        super().__enter__()
        return self

    def _request(self, prefix: str, random_: random.Random, size: int) -> Request:
        people = [int(self._pace.users * random_.random() ** SKEW) for _ in range(size)]
        ids = tuple(f"{prefix}-{i}" for i in range(size))
        events = [
            {
                "type": "track",
                "event": "Clicked",
                "anonymousId": f"device-{n}",
                "messageId": id_,
                "properties": {"revenue": 1},
            }
            for n, id_ in zip(people, ids, strict=True)
        ]
        return Request("/v1/batch", json.dumps({"batch": events}).encode(), tuple(f"user-{n}" for n in people), ids)
