"""Segments."""

from __future__ import annotations

import msgspec


class PublishedSegment(msgspec.Struct):
    version: int


class Segment(msgspec.Struct):
    members: int
    done: int
    total: int
