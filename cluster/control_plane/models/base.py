"""Defines what all tables share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, int: BigInteger}  # noqa: RUF012  SQLAlchemy's own declaration


SECRET = {"secret": True}
"""Marks a column whose values appear nowhere but in the database: the audit log says only that they changed."""
