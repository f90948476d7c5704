"""What the operator does for tokens, people and issuers at the command line, while nothing runs."""

from __future__ import annotations

import re
from pathlib import Path

import pyotp
import pytest

from cluster.cli.control import open_control_plane
from cluster.cli.up import _announce, _invite_first_owner
from cluster.control_plane.identity.jwts import AUDIENCE, Use, read, verified
from cluster.control_plane.keyring import make_key_file
from cluster.launch.installation import Installation
from cluster.launch.launcher import Report
from cluster.settings import load
from tests.support.people import PASSWORD, member
from tests.unit.cluster.cli.test_cli import Cli, acme, cli

__all__ = ["acme", "cli"]
ADA = "ada@example.com"


def test_a_token_is_made_listed_and_revoked(acme: Cli) -> None:
    made = acme.json("token", "create", "--tenant", "acme", "--role", "analyst")
    assert made.keys() == {"access_token", "refresh_token", "expires_in"}
    assert made["expires_in"] == 900
    with open_control_plane(acme.data_dir) as plane:
        unverified = read(made["access_token"])
        assert unverified.key_id is not None
        key = plane.verification_keys()[unverified.key_id]
        claims = verified(unverified, key, issuer=unverified.issuer, audience=AUDIENCE)
        assert claims["roles"] == ["analyst"]
    [listed] = acme.json("token", "list", "--tenant", "acme")
    assert (listed["role"], listed["revoked_at"]) == ("analyst", None)
    assert acme.json("token", "revoke", listed["id"])["revoked_for"] == "revoked"
    assert acme("token", "create", "--tenant", "acme", "--role", "king").returncode == 2
    assert acme("token", "revoke", "fam_0").returncode != 0
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", acme("token", "create", "-t", "acme", "--role", "viewer").stdout)


def test_the_signing_key_is_rotated(acme: Cli) -> None:
    assert acme.json("token", "rotate-key", "--algorithm", "EdDSA")["algorithm"] == "EdDSA"
    assert acme("token", "rotate-key", "--algorithm", "HS256").returncode == 2


def test_people_are_listed_kept_out_and_given_a_link(acme: Cli) -> None:
    with open_control_plane(acme.data_dir) as plane:
        person = member(plane, plane.get_tenant("acme").id, ADA)
    [listed] = acme.json("person", "list")
    assert (listed["email"], listed["has_second_factor"]) == (ADA, False)
    link = acme.json("person", "reset", ADA.upper())["url"]
    token = read(link.partition("?token=")[2])
    assert (token.type, token.claims["sub"]) == (Use.RESET, person.id)
    assert acme.json("person", "disable", ADA)["disabled_at"] is not None
    assert acme.json("person", "disable", ADA, "--undo")["disabled_at"] is None
    assert acme("person", "reset", "nobody@example.com").returncode != 0


def test_a_second_factor_is_set_up_in_the_terminal_and_removed(acme: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_control_plane(acme.data_dir) as plane:
        person = member(plane, plane.get_tenant("acme").id, ADA)
        secret = plane.begin_second_factor(person.id).secret
    done = acme("person", "totp", ADA, stdin=pyotp.TOTP(secret).now() + "\n")
    assert done.returncode == 0, done.stderr
    assert "\u2580" in done.stdout or "\u2588" in done.stdout  # the QR code's blocks
    assert len(re.findall(r"^(?:\w{4}-){3}\w{4}$", done.stdout, re.MULTILINE)) == 10
    assert secret in done.stderr
    assert acme("person", "totp", ADA, "--remove").returncode == 0
    assert acme.json("person", "list")[0]["has_second_factor"] is False


def test_an_issuer_is_trusted_listed_without_its_secret_and_removed(acme: Cli) -> None:
    made = acme.json(
        *("issuer", "add", "https://login.example.com", "--tenant", "acme", "--client-id", "w"),
        *("--client-secret", "their secret", "--role", "a=b=marketer", "--role", "*=viewer"),
    )
    assert made["roles"] == {"a=b": "marketer", "*": "viewer"}
    assert made["login_url"].endswith(f"/auth/login/{made['id']}")
    listed = acme("issuer", "list", "--json").stdout
    assert "their secret" not in listed
    assert made["id"] in listed
    assert acme.json("issuer", "remove", made["id"])["id"] == made["id"]
    assert acme.json("issuer", "list") == []
    assert acme("issuer", "add", "http://login.example.com", "-t", "acme", "--client-id", "w").returncode != 0


def record(folder: Path, host: str) -> Installation:
    settings = load(folder, options={"server.host": host}, environment={})
    return Installation(
        id="i", data_dir=str(folder), operator_token="op_x", url=f"http://{host}:8000", settings=settings
    )


def test_the_first_start_where_others_reach_it_prints_an_invitation_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = record(tmp_path, "0.0.0.0")
    make_key_file(tmp_path / "control.key")  # as `up` does
    _invite_first_owner(installed)
    said = capsys.readouterr().err
    [token] = re.findall(r"/auth/invitation\?token=(inv_[\w-]+)", said)
    _invite_first_owner(installed)
    assert "inv_" not in capsys.readouterr().err
    with open_control_plane(tmp_path) as plane:
        person, tenant = plane.accept_invitation(token, ADA, "Ada", PASSWORD)
        assert (tenant, plane.places(person.id)[0].role) == ("main", "owner")


def test_on_this_machine_alone_nobody_is_invited_and_up_says_that_it_is_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for host, is_open in (("127.0.0.1", True), ("0.0.0.0", False)):
        installed = record(tmp_path, host)
        _announce(Report(installed, already_running=False), json=False)
        assert ("nobody has to sign in" in capsys.readouterr().err) is is_open
    _invite_first_owner(record(tmp_path, "127.0.0.1"))
    assert "inv_" not in capsys.readouterr().err
