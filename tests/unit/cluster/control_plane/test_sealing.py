"""What the database holds of secrets: nothing that can be read without the keys, whatever stored it."""

from __future__ import annotations

from typing import Any

import pyotp
import pytest
import sqlalchemy as sa

from cluster.control_plane import ControlPlane, database
from cluster.control_plane.identity.jwts import Use
from cluster.control_plane.keyring import KEY_BYTES, Keyring, UnreadableSecretError, key_id
from cluster.control_plane.models import Base
from cluster.control_plane.models.sealed import SealedJson, SealedText
from tests.support.people import joined

OLD, NEW = bytes([1]) * KEY_BYTES, bytes([2]) * KEY_BYTES
PASSWORD = "correct horse battery staple"
GENERATOR = {"base_url": "https://llm.example.com/v1", "model": "writer", "api_key": PASSWORD}
MAIL = {"host": "mail.example.com", "sender": "ada@example.com", "username": "ada", "password": PASSWORD}


def fill(plane: ControlPlane) -> dict[str, Any]:
    """A secret of every kind; what they are, by the column."""
    tenant = plane.create_tenant("acme")
    further = {"failover": [{"provider": "smtp", "name": "backup", "config": MAIL}]}
    config = plane.set_channel("acme", "email", "smtp", MAIL, further).config
    plane.set_generator("acme", GENERATOR)
    client_secret = "a client's secret"
    plane.add_issuer("acme", "https://id.example.com", client_id="us", client_secret=client_secret)
    person = joined(plane, tenant.id, "ada@example.com", "owner")
    enrolled = plane.begin_second_factor(person.id)
    plane.confirm_second_factor(person.id, pyotp.TOTP(enrolled.secret).now())
    plane.sign(Use.ACCESS, {"sub": "ada"}, issuer="https://here.example", life_s=60)
    secret = plane.signing_user_secret("acme")
    plane.rotate_user_secret("acme", 86_400_000)
    return {"tenant": tenant.id, "person": person.id, "config": config, "user_secret": secret.hex()}


def read(plane: ControlPlane) -> list[Any]:
    """Every secret, as the product reads it."""
    channel = plane.list_channels("acme")["email"]
    return [
        channel.config,
        channel.plan.failover[0].config,
        plane.generator("acme"),
        plane.list_issuers("acme")[0].client_secret,
        plane.user_secrets("acme"),
        plane.sign(Use.ACCESS, {"sub": "ada"}, issuer="https://here.example", life_s=60)[:20],
    ]


def stored(url: str) -> dict[str, list[str]]:
    """The sealed columns' values as they are in the database, by column."""
    engine = database.open_engine(url)
    found: dict[str, list[str]] = {}
    try:
        with engine.connect() as connection:
            for table in Base.metadata.sorted_tables:
                for column in table.columns:
                    if isinstance(column.type, SealedText | SealedJson):
                        rows = connection.execute(sa.text(f"SELECT CAST({column.name} AS TEXT) FROM {table.name}"))
                        found[f"{table.name}.{column.name}"] = [row[0] for row in rows if row[0] is not None]
    finally:
        engine.dispose()
    return found


FOUND_BY = "coupon_codes.code"
"""A code has to be found, and be unique: sealed, the same one would be another each time."""


def test_every_column_of_secrets_is_sealed() -> None:
    """A new one that keeps a secret in full belongs among them; a salt is no use without what it is mixed with."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            name = f"{table.name}.{column.name}"
            if column.info.get("secret") and name != FOUND_BY and not column.name.endswith(("hash", "salt")):
                assert isinstance(column.type, SealedText | SealedJson), name
                assert column.type.column == name


def test_the_database_shows_no_secret(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=Keyring([OLD])) as plane:
        known = fill(plane)
    kept = stored(plane_url)
    assert all(kept.values()), kept
    for values in kept.values():
        for value in values:
            assert value.strip('"').startswith(f"sealed:1:{key_id(OLD)}:")
            assert PASSWORD not in value
            assert known["user_secret"] not in value


def test_secrets_are_read_as_they_were(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=Keyring([OLD])) as plane:
        known = fill(plane)
        before = read(plane)
    with ControlPlane(plane_url, keyring=Keyring([OLD])) as plane:
        assert read(plane) == before
        assert before[0] == known["config"]


def test_a_new_key_takes_over_while_others_read_and_write(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=Keyring([OLD])) as plane:
        fill(plane)
        before, n_secrets = read(plane), sum(plane.sealed_by().values())
    with ControlPlane(plane_url, keyring=Keyring([NEW, OLD])) as plane:
        version = plane.version()
        assert read(plane) == before
        assert plane.seal_again() == n_secrets
        assert plane.seal_again() == 0
        assert plane.sealed_by() == {key_id(NEW): n_secrets}
        assert plane.version() == version  # nobody has to forget what they know
    with ControlPlane(plane_url, keyring=Keyring([NEW])) as plane:
        assert read(plane) == before


def test_what_an_older_release_stored_is_sealed_at_the_start(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=Keyring([OLD])) as plane:
        fill(plane)
    engine = database.open_engine(plane_url)
    with database.writing(engine) as connection:
        connection.execute(sa.text("UPDATE people SET totp_secret = 'JBSWY3DPEHPK3PXP'"))
        connection.execute(sa.text("""UPDATE channels SET config = '{"host": "old.example.com"}'"""))
    engine.dispose()
    with ControlPlane(plane_url, keyring=Keyring([OLD])) as plane:
        assert plane.sealed_by()[""] == 2
        assert plane.list_channels("acme")["email"].config == {"host": "old.example.com"}
        assert plane.seal_again() == 2
        assert plane.list_channels("acme")["email"].config == {"host": "old.example.com"}
    assert "old.example.com" not in str(stored(plane_url))


def test_a_lost_key_is_told_and_what_it_sealed_can_be_given_up(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=Keyring([OLD])) as plane:
        known = fill(plane)
        n_secrets = sum(plane.sealed_by().values())
    with ControlPlane(plane_url, keyring=Keyring([NEW])) as plane:
        with pytest.raises(UnreadableSecretError, match=key_id(OLD)):
            plane.seal_again()
        assert plane.sealed_by() == {key_id(OLD): n_secrets}
        assert len(plane.forget_unreadable()) == n_secrets
        assert plane.seal_again() == 0
        assert plane.list_channels("acme")["email"].config == {}
        assert not plane.person(known["person"]).has_second_factor  # nobody is locked out
        assert plane.begin_second_factor(known["person"]).secret
        told = {entry.resource for entry in plane.audit_entries("") if (entry.after or {}).get("what")}
        assert {"channels", "people", "signing_keys", "issuers", "tenant_settings"} <= told
        assert plane.sign(Use.ACCESS, {"sub": "ada"}, issuer="https://here.example", life_s=60)


def test_an_audit_log_says_that_a_channel_changed_and_not_its_password(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=Keyring([OLD])) as plane:
        fill(plane)
        plane.set_channel("acme", "email", "smtp", MAIL | {"password": "another one"})
        entries = str([entry.row() for entry in plane.audit_entries("acme")])
    assert "another one" not in entries
    assert PASSWORD not in entries
