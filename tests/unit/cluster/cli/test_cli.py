"""The command line with its real outputs and exit codes, in this process but for what only a fresh one can show."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from cluster import settings
from cluster.cli import entry, exit_codes, output
from cluster.cli.answers.campaigns import Report
from cluster.cli.answers.reading import read
from cluster.cli.app import Commands, app
from cluster.cli.report import print_report
from cluster.control_plane import ControlPlane
from cluster.launch import installation
from cluster.launch.installation import Installation
from cluster.launch.ports import ports_of_block
from tests.support.postgres_stand import PostgresServer
from tests.unit.whisperer.delivery.signing_keys import published, signing

COMMANDS = [
    *(
        "up",
        "down",
        "status",
        "import",
        "bench",
        "tenant create",
        "tenant list",
        "key create",
        "key list",
        "key revoke",
        "key rotate",
    ),
    *(f"member {name}" for name in ("invite", "list", "change", "remove")),
    *(f"role {name}" for name in ("list", "show", "create", "delete")),
    *(f"tenant {name}" for name in ("environment create", "environment list", "settings show", "settings set")),
    *(f"report {name}" for name in ("save", "list", "run", "delete")),
    *("tenant settings rotate", "user token"),
    *(f"token {name}" for name in ("create", "list", "revoke", "rotate-key")),
    *(f"person {name}" for name in ("list", "reset", "totp", "disable")),
    *(f"issuer {name}" for name in ("add", "list", "remove")),
    *("segment list", "segment publish", "segment show", "segment archive", "user show", "user export", "user erase"),
    *("shards list", "shards move"),
    *(f"campaign {name}" for name in ("list", "show", "create", "publish", "pause", "resume", "end", "report")),
    *(
        "template list",
        "template put",
        "template show",
        "template preview",
        "template lint",
        "template translations export",
        "template translations import",
        "channel list",
        "channel set",
    ),
    *("report", "simulate", "train", "user consent", "decision show"),
    *(f"policy {name}" for name in ("list", "show", "register", "promote", "rollback", "history", "submit", "diff")),
    *(
        f"{kind} {name}"
        for kind in ("campaign", "template", "segment")
        for name in ("draft", "submit", "publish", "history", "diff", "rollback")
        if (kind, name) not in (("campaign", "publish"), ("segment", "publish"))
    ),
    *(f"{kind} bulk" for kind in ("campaign", "template", "segment")),
    *(f"review {name}" for name in ("list", "show", "approve", "reject", "withdraw")),
]
HEAVY = {"ray", "sqlalchemy", "alembic", "numba", "pyarrow", "duckdb", "fastapi"}
"""What no help needs, nor a command that asks a running installation."""
HEAVY_FOR_A_LIST = {"httpx", "numpy", "psutil"}


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Cli:
    """Runs one command line on a data folder."""

    def __init__(self, data_dir: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.data_dir, self._patch, self._capsys = data_dir, patch, capsys

    def __call__(self, *args: str, stdin: str = "") -> Done:
        self._patch.setattr(sys, "argv", ["whisperer", *args])
        self._patch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            entry.main()
        said = self._capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    def json(self, *args: str, stdin: str = "") -> Any:
        done = self(*args, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    for name in os.environ:
        if name.startswith("WHISPERER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "var"))
    return Cli(tmp_path / "var", monkeypatch, capsys)


@pytest.fixture
def acme(cli: Cli, plane_url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """With a tenant, in each of the two databases."""
    monkeypatch.setenv("WHISPERER_CONTROL_PLANE_URL", plane_url)
    cli.json("tenant", "create", "acme")
    return cli


def test_tenants_and_keys_are_made_while_nothing_runs(cli: Cli) -> None:
    assert cli.json("tenant", "create", "acme")["name"] == "acme"
    assert [tenant["name"] for tenant in cli.json("tenant", "list")] == ["acme"]
    for kind, prefix in (("write", "wk_"), ("secret", "sk_")):
        assert cli.json("key", "create", "--tenant", "acme", "--kind", kind)["key"].startswith(prefix)
    listed = cli.json("key", "list", "--tenant", "acme")
    assert [key["kind"] for key in listed] == ["write", "secret"]
    assert cli.json("key", "revoke", listed[0]["id"])["revoked_at"] is not None


def test_the_data_folder_is_named_by_option_or_environment(cli: Cli, tmp_path: Path) -> None:
    cli.json("tenant", "create", "acme")
    cli.json("tenant", "create", "globex", "--data-dir", str(tmp_path / "other"))
    assert [tenant["name"] for tenant in cli.json("tenant", "list")] == ["acme"]
    assert [t["name"] for t in cli.json("tenant", "list", "--data-dir", str(tmp_path / "other"))] == ["globex"]


def test_a_key_alone_goes_to_stdout_so_that_a_shell_can_take_it(acme: Cli) -> None:
    done = acme("key", "create", "--tenant", "acme", "--kind", "write")
    assert re.fullmatch(r"wk_[\w-]{43}\n", done.stdout)


def test_what_people_read_shows_no_key(acme: Cli) -> None:
    key = acme.json("key", "create", "--tenant", "acme", "--kind", "secret")["key"]
    done = acme("key", "list")
    assert key not in done.stdout
    assert "sk_…" in done.stdout


def test_a_segment_is_published_listed_shown_and_archived_while_nothing_runs(acme: Cli) -> None:
    predicate = {"event": "Order Completed", "count": 3, "days": 30}
    made = acme.json("segment", "publish", "regulars", "-", "--tenant", "acme", stdin=json.dumps(predicate))
    assert made["version"] == 1
    assert [s["name"] for s in acme.json("segment", "list", "--tenant", "acme")] == ["regulars"]
    shown = acme.json("segment", "show", "regulars", "--tenant", "acme")
    assert shown["live"] is None
    assert shown["predicate"].items() >= predicate.items()
    assert acme("segment", "archive", "regulars", "--tenant", "acme").returncode == exit_codes.OK
    assert acme.json("segment", "list", "--tenant", "acme") == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("tenant", "list"), exit_codes.NOT_RUNNING, "whisperer up --data-dir"),
        (("status",), exit_codes.NOT_RUNNING, "whisperer up --data-dir"),
        (("user", "show", "u", "--tenant", "acme"), exit_codes.NOT_RUNNING, "whisperer up --data-dir"),
        (("shards", "list"), exit_codes.NOT_RUNNING, "whisperer up --data-dir"),
        (("report", "welcome", "--tenant", "acme"), exit_codes.NOT_RUNNING, "whisperer up --data-dir"),
        (("decision", "show", "dec_1", "--tenant", "acme"), exit_codes.NOT_RUNNING, "whisperer up --data-dir"),
        (("tenant", "create", "a b"), exit_codes.USAGE, "1 to 63 letters"),
        (("key", "create", "--tenant", "x", "--kind", "other"), exit_codes.USAGE, "is not one of"),
        (("bench", "nothing-such"), exit_codes.NOT_FOUND, "known:"),
        (("down",), exit_codes.OK, "Already down"),
    ],
)
def test_an_error_says_what_to_do_and_ends_with_its_code(cli: Cli, args: tuple[str, ...], code: int, said: str) -> None:
    done = cli(*args)
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.split())


def test_conflicts_and_unknown_names_have_codes_of_their_own(acme: Cli) -> None:
    assert acme("tenant", "create", "acme").returncode == exit_codes.REFUSED
    done = acme("key", "create", "--tenant", "globex", "--kind", "write")
    assert done.returncode == exit_codes.NOT_FOUND
    assert "there is no tenant 'globex'" in done.stderr


def test_a_predicate_that_cannot_be_used_is_refused_before_anything_is_published(acme: Cli) -> None:
    done = acme("segment", "publish", "x", "-", "--tenant", "acme", stdin='{"nonsense": 1}')
    assert done.returncode == exit_codes.USAGE
    assert acme.json("segment", "list", "--tenant", "acme") == []


def test_a_mistaken_setting_is_reported_by_name(cli: Cli) -> None:
    cli.data_dir.mkdir()
    (cli.data_dir / "settings.toml").write_text("[server]\nprot = 1\n")
    done = cli("up")
    assert done.returncode == exit_codes.USAGE
    assert "Did you mean `port`?" in done.stderr


def test_a_port_that_is_taken_is_reported_before_anything_starts(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = cli("up", "--port", str(server.getsockname()[1]))
    assert done.returncode == exit_codes.REFUSED
    assert "choose another with --port" in done.stderr


def test_a_database_given_to_up_is_that_of_every_command_also_while_nothing_runs(
    cli: Cli, postgres: PostgresServer
) -> None:
    with postgres.lent() as url:
        record = installation.load_or_create(cli.data_dir)
        record.remembered = {"control_plane.url": url}
        record.save()
        made = cli.json("tenant", "create", "acme")
        with ControlPlane(url) as plane:
            assert [tenant.id for tenant in plane.list_tenants()] == [made["id"]]
    assert not (cli.data_dir / "control.db").exists()


@pytest.mark.parametrize("database", ["mysql://u:hunter2@h/d", "hunter2"])
def test_a_database_that_cannot_be_is_refused_without_showing_its_password(cli: Cli, database: str) -> None:
    done = cli("up", "--database", database)
    assert (done.returncode, "hunter2" in done.stderr) == (exit_codes.USAGE, False)
    assert "postgresql://" in done.stderr


def test_a_database_that_does_not_answer_is_reported_with_what_to_check(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("WHISPERER_CONTROL_PLANE_URL", f"postgresql://ada:hunter2@127.0.0.1:{port}/x")
    done = cli("tenant", "create", "acme")
    assert (done.returncode, "hunter2" in done.stderr) == (exit_codes.NOT_RUNNING, False)
    assert "refused" in done.stderr
    assert "control_plane.url" in done.stderr


def test_a_running_installation_refuses_another_database_without_showing_passwords(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = installation.load_or_create(cli.data_dir)
    now = "postgresql://ada:hunter2@h/x"
    record.settings = settings.load(cli.data_dir, options={"control_plane.url": now}, environment={})
    record.ports = ports_of_block(7, 8000)
    record.save()
    monkeypatch.setattr(Installation, "running", True)
    done = cli("up", "--database", "postgresql://ada:hunter3@h/x")
    assert done.returncode == exit_codes.REFUSED
    assert "postgresql://ada:***@h/x" in done.stderr
    assert "hunter" not in done.stderr


def test_a_bug_is_not_hidden_behind_a_message(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.launch.launcher.down", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["whisperer", "down"])
    with pytest.raises(ZeroDivisionError):
        entry.main()


TEMPLATE = {"name": "hello", "channel": "sms", "locales": {"en": {"text": "Hi {{ user.name }}"}}}
CAMPAIGN: dict[str, Any] = {
    "name": "welcome",
    "trigger": {"event": "Trial Started"},
    "goal": {"event": "Paid", "window": "1h"},
    "arms": [{"id": "hello", "channel": "sms", "template": "hello"}],
}


def test_a_campaign_is_written_published_paused_and_ended_while_nothing_runs(acme: Cli) -> None:
    of_acme = ("--tenant", "acme")
    assert acme.json("template", "put", "-", *of_acme, stdin=json.dumps(TEMPLATE))["version"] == 1
    assert acme.json("template", "show", "hello", *of_acme)["template"]["channel"] == "sms"
    assert acme.json("campaign", "create", "-", *of_acme, stdin=json.dumps(CAMPAIGN))["status"] == "draft"
    for action, status in (("publish", "live"), ("pause", "paused"), ("resume", "live"), ("end", "ended")):
        assert acme.json("campaign", action, "welcome", *of_acme)["status"] == status
    again = acme.json("campaign", "create", "-", "--replace", "--publish", *of_acme, stdin=json.dumps(CAMPAIGN))
    assert (again["version"], again["status"]) == (2, "live")
    shown = acme.json("campaign", "show", "welcome", "--version", "1", *of_acme)
    assert (shown["status"], shown["template_versions"]) == ("ended", {"hello": 1})
    assert [c["name"] for c in acme.json("campaign", "list", *of_acme)] == ["welcome"]
    assert [t["name"] for t in acme.json("template", "list", *of_acme)] == ["hello"]
    assert "welcome version 2, live" in acme("campaign", "publish", "welcome", *of_acme).stderr


def test_what_cannot_be_published_or_is_there_already_has_its_exit_code(acme: Cli) -> None:
    of_acme = ("--tenant", "acme")
    done = acme("campaign", "create", "-", "--publish", *of_acme, stdin=json.dumps(CAMPAIGN))
    assert (done.returncode, "there is no template 'hello'" in done.stderr) == (exit_codes.USAGE, True)
    assert acme.json("campaign", "list", *of_acme) == []
    acme.json("campaign", "create", "-", *of_acme, stdin=json.dumps(CAMPAIGN))
    assert acme("campaign", "create", "-", *of_acme, stdin=json.dumps(CAMPAIGN)).returncode == exit_codes.REFUSED
    assert acme("campaign", "pause", "welcome", *of_acme).returncode == exit_codes.REFUSED
    assert acme("campaign", "show", "other", *of_acme).returncode == exit_codes.NOT_FOUND
    assert acme("template", "put", "-", *of_acme, stdin='{"channel": "sms"}').returncode == exit_codes.USAGE


@pytest.mark.parametrize("said", ["false", "no", 1, None])
def test_a_campaign_goes_live_by_true_alone(acme: Cli, said: Any) -> None:
    of_acme = ("--tenant", "acme")
    acme.json("template", "put", "-", *of_acme, stdin=json.dumps(TEMPLATE))
    done = acme("campaign", "create", "-", *of_acme, stdin=json.dumps(CAMPAIGN | {"publish": said}))
    assert (done.returncode, "true or false" in done.stderr) == (exit_codes.USAGE, True)
    assert acme.json("campaign", "list", *of_acme) == []


def test_what_strangers_wrote_gives_a_terminal_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    name = "Paid\x1b]0;owned\x07\x9b31m\r[bold]"
    output.print_table(("event",), [(name,)], "none")
    output.say(name)
    with pytest.raises(SystemExit):
        output.fail(name, 1)
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert "Paid" in text
        assert "[bold]" in text
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\r"}


def test_every_problem_of_a_campaign_is_named_at_its_place(acme: Cli) -> None:
    wrong = CAMPAIGN | {"goal": {}, "arms": [{}], "trigger": {}}
    done = acme("campaign", "create", "-", "--tenant", "acme", stdin=json.dumps(wrong))
    assert done.returncode == exit_codes.USAGE
    assert all(f"  {pointer}: " in done.stderr for pointer in ("/trigger", "/goal", "/arms/0"))
    for junk in ("{", "[]", "[" * 100_000):
        assert acme("campaign", "create", "-", "--tenant", "acme", stdin=junk).returncode == exit_codes.USAGE


def test_a_channels_secret_is_read_from_a_file_and_never_shown(acme: Cli) -> None:
    config = {"host": "mail.example.com", "username": "ada", "password": "hunter2", "sender": "ada@example.com"}
    told = ("channel", "set", "email", "smtp", "--config", "-", "--tenant", "acme")
    done = acme(*told, "--json", stdin=json.dumps(config))
    assert json.loads(done.stdout)["config"]["host"] == "mail.example.com"
    listed = acme("channel", "list", "--tenant", "acme")
    assert "smtp" in listed.stdout
    assert "hunter2" not in done.stdout + done.stderr + listed.stdout
    assert acme("channel", "set", "sms", "smtp", "--tenant", "acme").returncode == exit_codes.USAGE


def test_a_channels_dkim_key_is_hidden_and_its_record_shown_to_be_copied(acme: Cli) -> None:
    config = {"host": "mail.example.com", "sender": "Ada <ada@example.com>", "dkim": signing("rsa")}
    told = ("channel", "set", "email", "smtp", "--config", "-", "--tenant", "acme")
    [(name, value)] = published("rsa").items()
    for shown in (acme(*told, stdin=json.dumps(config)), acme("channel", "show", "email", "--tenant", "acme")):
        assert shown.returncode == 0
        assert "PRIVATE" not in shown.stdout + shown.stderr
        lines = [line.strip() for line in shown.stdout.splitlines()]
        assert {name.decode().rstrip("."), value.decode()} <= set(lines)  # each in one piece


def test_a_channels_rates_and_further_accounts_are_read_from_a_file(acme: Cli, tmp_path: Path) -> None:
    config = {"host": "mail.example.com", "username": "ada", "password": "hunter2", "sender": "ada@example.com"}
    further = {"provider": "smtp", "name": "backup", "config": config}
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"rates": {"per_second": 5}, "failover": [further]}))
    told = ("channel", "set", "email", "smtp", "--config", "-", "--plan", str(plan), "--tenant", "acme", "--json")
    done = acme(*told, stdin=json.dumps(config))
    assert [one["name"] for one in json.loads(done.stdout)["failover"]] == ["backup"]
    shown = acme("channel", "show", "email", "--tenant", "acme")
    assert re.search(r"account +backup", shown.stdout)
    assert re.search(r"per_second +5", shown.stdout)
    assert "hunter2" not in done.stdout + done.stderr + shown.stdout


def test_a_report_tells_people_the_lift_with_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    lift = {
        "difference": 0.2,
        "low": 0.1,
        "high": 0.3,
        "level": 0.95,
        "relative": 2.0,
        "users": 900,
        "holdout_users": 50,
    }
    document = {
        **{"name": "welcome", "version": 1, "status": "live", "since": "2026-01-31T09:00:00.000Z"},
        **{"description": "When a user asks, sends hello.", "candidates": 10, "sent": 6, "no_send": 1, "pending": 1},
        "unknown": 2,
        "refused": {"capped": 2},
        "groups": [{"group": "policy", "users": 900, "mean": 0.3}],
        "arms": [{"group": "policy", "arm": "hello", "decisions": 6, "sent": 6, "converted": 2, "reward": 1.5}],
        "budget": None,
        "lift": lift,
        "uniform_lift": {"not_yet": "3 users in the smaller group"},
        "sample_ratio": {"p_value": 1e-9, "suspicious": True},
    }
    print_report(read(document, Report))
    said = capsys.readouterr()
    assert "+0.2000 per user (+200.0%), 95% interval +0.1000 to +0.3000, 900 users against 50" in said.err
    assert "uniform over holdout: not yet: 3 users" in said.err
    assert "do not believe the lift" in said.err
    assert "refused: capped" in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app([*command.split(), "--help"], prog_name="whisperer")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"whisperer {command}" in text


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["--help"], prog_name="whisperer")
    text = capsys.readouterr().out
    assert {c.split()[0] for c in COMMANDS} <= set(re.findall(r"\w+", text))
    assert "6 did not become ready" in " ".join(text.split())


def run(*args: str, end: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own; ``end`` is what it does at its end."""
    code = f"import sys\nfrom cluster.cli import main\ntry:\n    main()\nfinally:\n    {end or 'pass'}"
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


LOADED = "print(*sys.modules, file=sys.stderr)"


def loaded(*args: str, **environment: str) -> set[str]:
    """Return the modules that a command line has loaded when it ends well."""
    done = run(*args, end=LOADED, **environment)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("group", ["up", "down", "status", "segment", "campaign", "policy", "shards", "user"])
def test_help_of_a_command_loads_nothing_heavy(group: str) -> None:
    assert HEAVY & loaded(group, "--help") == set()


def test_the_list_of_commands_and_its_completion_load_none_of_them() -> None:
    completion = {"_WHISPERER_COMPLETE": "complete_bash", "COMP_WORDS": "whisperer t", "COMP_CWORD": "1"}
    for modules in (loaded("--help"), loaded(**completion)):
        assert (HEAVY | HEAVY_FOR_A_LIST) & modules == set()
        assert {entry.module for entry in Commands.entries.values()} & modules == set()


@pytest.mark.parametrize("name", Commands.entries)
def test_a_command_is_listed_with_the_first_paragraph_of_its_help(name: str) -> None:
    command: Any = get_command(app)
    found = command.load(name)
    assert found.name == name
    assert " ".join(found.help.partition("\n\n")[0].split()) == Commands.entries[name].summary


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("whisperer tenant ", {"create", "list", "environment", "settings", "generator"}),
        ("whisperer t", {"train", "tenant", "template", "tls", "token"}),
        ("whisperer key create --kind ", {"write", "secret"}),
    ],
)
def test_a_shell_completes_commands_and_their_options(words: str, offered: set[str]) -> None:
    place = str(len(words.split(" ")) - 1)
    done = run(_WHISPERER_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=place)
    assert set(done.stdout.split()) == offered


def test_a_key_is_limited_rotated_and_listed_by_its_state(acme: Cli) -> None:
    of_acme = ("--tenant", "acme")
    limits = ("--scope", "users:read", "--scope", "campaigns:*", "--expires", "90d", "--address", "10.0.0.0/8")
    made = acme.json("key", "create", *of_acme, "--kind", "secret", *limits)
    (listed,) = acme.json("key", "list", *of_acme, "--state", "active")
    assert listed["scopes"] == ["campaigns:publish", "campaigns:read", "campaigns:write", "users:read"]
    assert (listed["addresses"], listed["state"]) == (["10.0.0.0/8"], "active")
    assert listed["expires_at"] - listed["created_at"] == pytest.approx(90 * 86_400_000, abs=60_000)
    new = acme.json("key", "rotate", made["id"], "--overlap", "0", "--expires", "2099-01-01T00:00:00Z")
    assert [key["id"] for key in acme.json("key", "list", *of_acme, "--state", "active")] == [new["id"]]
    assert [key["id"] for key in acme.json("key", "list", *of_acme, "--state", "expired")] == [made["id"]]
    for wrong in (("--expires", "soon"), ("--scope", "users:fly"), ("--address", "here")):
        assert acme("key", "create", *of_acme, "--kind", "secret", *wrong).returncode == exit_codes.USAGE
    assert acme("key", "rotate", made["id"], "--overlap", "1y").returncode == exit_codes.USAGE


def test_people_are_invited_by_a_token_on_stdout(acme: Cli) -> None:
    of_acme = ("--tenant", "acme")
    done = acme("member", "invite", "ada@example.com", *of_acme, "--role", "marketer")
    assert re.fullmatch(r"inv_[\w-]{43}\n", done.stdout)
    (invited,) = acme.json("member", "list", *of_acme, "--invited")
    assert (invited["email"], invited["state"], invited["token"]) == ("ada@example.com", "open", None)
    assert done.stdout.strip() not in acme("member", "list", *of_acme, "--invited").stdout
    again = acme("member", "invite", "ada@example.com", *of_acme, "--role", "marketer")
    assert again.returncode == exit_codes.REFUSED
    assert acme.json("member", "remove", invited["id"], *of_acme)["revoked_at"] is not None
    assert acme.json("member", "list", *of_acme) == []
    assert acme("member", "change", "ada@example.com", *of_acme, "--role", "admin").returncode == exit_codes.NOT_FOUND
    assert acme("member", "invite", "ada", *of_acme, "--role", "admin").returncode == exit_codes.USAGE


def test_roles_environments_and_settings_are_set_while_nothing_runs(acme: Cli) -> None:
    of_acme = ("--tenant", "acme")
    acme.json("role", "create", "copywriter", *of_acme, "--permission", "templates:*")
    replaced = acme.json("role", "create", "copywriter", *of_acme, "--permission", "templates:read", "--replace")
    assert replaced["permissions"] == ["templates:read"]
    assert [r["name"] for r in acme.json("role", "list", *of_acme) if not r["built_in"]] == ["copywriter"]
    assert acme.json("role", "show", "owner", *of_acme)["built_in"]
    assert acme("role", "delete", "copywriter", *of_acme).returncode == exit_codes.OK
    assert acme("role", "delete", "owner", *of_acme).returncode == exit_codes.REFUSED
    assert acme.json("tenant", "environment", "create", "acme", "test")["name"] == "acme.test"
    found = acme.json("tenant", "environment", "list", "acme.test")
    assert [one["environment"] for one in found] == ["live", "test"]
    assert acme.json("key", "create", "--tenant", "acme.test", "--kind", "write")["key"].startswith("wk_")
    told = ("--tier", "pro", "--approval", "--origin", "https://app.example.com")
    acme.json("tenant", "settings", "set", "acme", *told)
    settings = acme.json("tenant", "settings", "show", "acme.test")
    assert (settings["tier"], settings["approval"], settings["second_factor"]) == ("pro", True, False)
    assert settings["origins"] == ["https://app.example.com"]
    changed = acme.json("tenant", "settings", "set", "acme", "--no-origins", "--no-approval", "--tier", "")
    assert (changed["tier"], changed["approval"], changed["origins"]) == (None, False, [])
    assert acme("tenant", "settings", "set", "acme", "--tier", "gold").returncode == exit_codes.USAGE
    first, second = (acme("tenant", "settings", "rotate", "acme", "--overlap", how) for how in ("24h", "24h"))
    assert "No token made before works" in first.stderr
    assert "work until" in second.stderr


def test_a_campaign_is_reported_without_the_word_show(acme: Cli) -> None:
    for words in (("report", "welcome"), ("report", "show", "welcome"), ("report", "run", "welcome")):
        assert acme(*words, "--tenant", "acme").returncode == exit_codes.NOT_RUNNING


def test_a_draft_goes_live_by_commands_and_an_older_version_comes_back(acme: Cli) -> None:
    of_acme = ("--tenant", "acme")
    texts = ["Hello", "Hello\nagain"]
    for n, text in enumerate(texts, 1):
        body = {"channel": "sms", "locales": {"en": {"text": text}}}
        draft = acme.json("template", "draft", "hello", "-", *of_acme, stdin=json.dumps(body))
        assert draft == acme.json("template", "draft", "hello", *of_acme)
        if n == 2:
            shown = acme("template", "diff", "hello", *of_acme)
            assert ("  +again" in shown.stdout, "from version 1 to the draft" in shown.stderr) == (True, True)
            assert "\x1b" not in shown.stdout  # colours are for terminals
        assert acme.json("template", "publish", "hello", *of_acme)["version"] == n
    assert acme.json("template", "rollback", "hello", "--to", "1", *of_acme)["version"] == 3
    history = acme.json("template", "history", "hello", *of_acme)
    assert [(one["version"], one["rolled_back_to"]) for one in history] == [(3, 1), (2, None), (1, None)]
    assert acme("template", "draft", "hello", *of_acme).returncode == exit_codes.NOT_FOUND
    assert acme("template", "diff", "hello", "--from", "yesterday", *of_acme).returncode == exit_codes.USAGE


def test_the_operator_lists_reviews_and_approves_none_of_their_own(acme: Cli) -> None:
    of_acme = ("--tenant", "acme")
    predicate = json.dumps({"event": "Order Completed"})
    acme.json("segment", "draft", "regulars", "-", *of_acme, stdin=predicate)
    review = acme.json("segment", "submit", "regulars", "--note", "as agreed", *of_acme)
    assert [one["id"] for one in acme.json("review", "list", *of_acme)] == [review["id"]]
    shown = acme("review", "show", review["id"], *of_acme)
    assert ("as agreed" in shown.stderr, "Order Completed" in shown.stdout) == (True, True)
    for action in ("approve", "reject"):
        done = acme("review", action, review["id"], *of_acme)
        assert (done.returncode, "somebody else" in done.stderr) == (exit_codes.REFUSED, True)
    assert acme.json("review", "withdraw", review["id"], *of_acme)["state"] == "withdrawn"
    assert acme.json("review", "list", *of_acme) == []
    assert len(acme.json("review", "list", "--all", *of_acme)) == 1
    assert acme.json("segment", "publish", "regulars", *of_acme)["version"] == 1
    acme.json("segment", "draft", "regulars", "-", *of_acme, stdin=predicate)
    assert acme.json("segment", "draft", "regulars", "--delete", *of_acme)["deleted"] is True
