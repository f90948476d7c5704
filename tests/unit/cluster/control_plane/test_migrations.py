"""From every revision to the newest, with rows in every table of it, in both databases.

Revisions and tables are found, not listed: whoever adds one has it tested here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, Table

from cluster.control_plane import ControlPlane, database
from cluster.control_plane.models import Base
from tests.support.keyring import KEYRING


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(database.MIGRATIONS))
    return made


REVISIONS = [script.revision for script in reversed(list(ScriptDirectory.from_config(config()).walk_revisions()))]
OURS = ("alembic_version", "meta")
"""Tables whose rows the migrations write."""


@pytest.fixture
def engine(new_url: str) -> Iterator[Engine]:
    made = database.open_engine(new_url)
    yield made
    made.dispose()


def upgrade(engine: Engine, to: str) -> None:
    with database.writing(engine) as connection:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, to)


def tables(engine: Engine) -> list[Table]:
    """What is there, each table after those that it refers to."""
    found = MetaData()
    found.reflect(engine)
    return [table for table in found.sorted_tables if table.name not in OURS]


def value(column: sa.Column[Any], number: int) -> Any:
    """Something of the column's type, different for each number."""
    if column.foreign_keys:
        (key,) = column.foreign_keys
        return value(key.column, 0)
    if isinstance(column.type, sa.JSON):
        return {"text": f"ä{number}", "numbers": [number, None]}
    if isinstance(column.type, sa.String):
        return f"{column.name[:4]}{number}"[: column.type.length]
    if isinstance(column.type, sa.Boolean):
        return True
    if isinstance(column.type, sa.Float):
        return number / 4
    if isinstance(column.type, sa.Integer):
        return 2**40 + number
    if isinstance(column.type, sa.LargeBinary):
        return b"\x00\xff" + bytes([number])
    raise AssertionError(f"what is a value of {column.table.name}.{column.name}, {column.type!r}?")


def fill(engine: Engine) -> None:
    """Two rows a table: one with everything, one without what may be absent."""
    with database.writing(engine) as connection:
        for table in tables(engine):
            if table.name == "experiments" and connection.scalar(sa.select(sa.func.count()).select_from(table)):
                continue
            full = {column.name: value(column, 0) for column in table.columns}
            bare = {c.name: sa.null() if c.nullable else value(c, 1) for c in table.columns}
            if all(c.foreign_keys for c in table.primary_key.columns):
                connection.execute(table.insert(), [full])  # one row for each of what it refers to
            else:
                connection.execute(table.insert().values(full))
                connection.execute(table.insert().values(bare))


def rows(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    with engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(table.select()).mappings()] for table in tables(engine)
        }


def test_the_revisions_are_one_line_that_ends_where_the_code_expects_it() -> None:
    assert [f"{n:04d}" for n in range(1, len(REVISIONS) + 1)] == REVISIONS
    assert REVISIONS[-1] == database.HEAD_REVISION


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_of_every_revision_are_all_there_at_the_newest(engine: Engine, new_url: str, revision: str) -> None:
    upgrade(engine, revision)
    fill(engine)
    before = rows(engine)
    assert all(before.values())
    with ControlPlane(new_url, keyring=KEYRING) as plane:
        after = rows(engine)
        for table, kept in before.items():
            for row in kept:
                assert any(row.items() <= found.items() for found in after[table]), (table, row)
        tenant = plane.create_tenant("after")
        assert plane.find_key(plane.create_key(tenant.id, "write").key) is not None
        assert plane.version() == 2
        assert plane.published(tenant.id).experiment.salt


def test_the_migrations_build_exactly_the_models(engine: Engine, new_url: str) -> None:
    ControlPlane(new_url, keyring=KEYRING).close()
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert database.revision(connection) == database.HEAD_REVISION


def test_a_tenant_older_than_experiments_gets_one_with_a_salt_of_its_own(engine: Engine, new_url: str) -> None:
    upgrade(engine, "0001")
    with database.writing(engine) as connection:
        for name in ("acme", "globex"):
            connection.execute(
                sa.text("INSERT INTO tenants VALUES (:id, :name, :name, 0)"), {"id": f"tn_{name}", "name": name}
            )
    with ControlPlane(new_url, keyring=KEYRING) as plane:
        assert len({plane.experiment(name).salt for name in ("acme", "globex")}) == 2
        assert plane.published("acme").campaigns == []
