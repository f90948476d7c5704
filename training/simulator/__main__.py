"""Run `python -m training.simulator`: a simulated population sends its events to a gateway until it is stopped, and
answers the messages it gets, if given the tenant's secret key to read them with.

Stops cleanly on SIGTERM and SIGINT (exit 0); exits 1 if the gateway refuses it for good, 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from .cursor import Cursor, CursorError, CursorStore
from .population import Population
from .recipients import Recipients
from .responder import ResponderCounts
from .segment import iso
from .sender import Sender, SendError, Sums
from .stream import Life, Pacing, RatePace, SpeedPace

SEED, USERS, RATE, PAST_DAYS = 7, 2_000, 50.0, 21.0
"""Used where neither the command line nor the installation's settings say otherwise."""

_LINE_EVERY_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _parsed(arguments)
    stop = StopSignal()
    try:
        life, cursor, store, resumed = _life(options)
    except CursorError as error:
        print(error, file=sys.stderr)
        return 2
    recipients = _recipients(options, life, cursor, anew=not resumed)
    pace: Pacing = SpeedPace(options.day_s, time.monotonic) if options.day_s else RatePace(options.rate, time.monotonic)
    with (
        recipients or contextlib.nullcontext(),
        httpx.Client(base_url=options.url, auth=(options.write_key, ""), timeout=30.0) as http,
    ):
        sender = Sender(
            life,
            cursor,
            http=http,
            pace=pace,
            live=options.time == "live",
            wait=stop.wait,
            store=store,
            compress=options.gzip,
            report=_status_line(cursor, recipients.counts if recipients else None),
        )
        if recipients is not None:
            sender.observe = recipients.responder.observe
        try:
            sums = sender.run(options.count)
        except SendError as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
    print(
        f"\nstopped at event {cursor.place:,}: {sums.n_accepted:,} accepted, {sums.n_rejected:,} rejected in this run"
    )
    return 0


class StopSignal:
    """End a wait and every later one on SIGTERM or SIGINT. A socket wakes it: a handler must not take locks."""

    def __init__(self) -> None:
        self._seen = False
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self._seen = True

    def wait(self, seconds: float) -> bool:
        """Pause; return True as soon as a signal has come."""
        if not self._seen and seconds > 0:
            select.select([self._ear], [], [], seconds)
        return self._seen


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.simulator", description=__doc__)
    where = parser.add_argument_group("where to")
    where.add_argument("--url", help="the gateway, e.g. http://127.0.0.1:8000")
    where.add_argument("--write-key", help="a tenant's write key (wk_...)")
    where.add_argument("--installation", type=Path, help="installation.json: url, demo key and state folder in one")
    where.add_argument("--secret-key", help="its secret key (sk_...): read the sink and respond to messages")
    where.add_argument("--truth", type=Path, help="file for the ground truth (default: truth.json in the state folder)")
    where.add_argument("--state", type=Path, help="folder that keeps the cursor; without one each start begins anew")
    who = parser.add_argument_group("who")
    who.add_argument("--seed", type=int, help=f"of everything drawn (default {SEED})")
    who.add_argument("--users", type=int, help=f"people at a time (default {USERS})")
    who.add_argument("--start", type=datetime.fromisoformat, help="first simulated hour (default: 90 days ago)")
    who.add_argument(
        "--past-days",
        type=float,
        help=f"days lived before the first event is sent (default {PAST_DAYS:g} with responses, else 0)",
    )
    speed = parser.add_argument_group("how fast")
    speed.add_argument("--rate", type=float, help=f"events a second, evenly (default {RATE:g})")
    speed.add_argument("--day-s", type=float, help="instead of a rate: seconds that a simulated day takes")
    speed.add_argument("--count", type=int, help="stop after so many events")
    speed.add_argument(
        "--time",
        choices=("live", "simulated"),
        default="live",
        help="what events are stamped with: the moment they are sent (default), or the time of the simulation",
    )
    speed.add_argument("--gzip", action="store_true", help="compress requests")
    options = parser.parse_args(arguments)
    if options.installation is not None:
        try:
            _fill_in(options)
        except OSError as error:
            parser.error(f"--installation: {error}")
        except (ValueError, KeyError) as error:
            parser.error(
                f"--installation: {options.installation} holds no demo access: `whisperer up --demo` ({error!r})"
            )
    options.users, options.rate = options.users or USERS, RATE if options.rate is None else options.rate
    options.responds = bool(options.secret_key) and options.time == "live"
    options.past_days = (PAST_DAYS if options.responds else 0.0) if options.past_days is None else options.past_days
    options.seed = SEED if options.seed is None else options.seed
    if not options.url or not options.write_key:
        parser.error("give --url and --write-key, or --installation")
    if options.rate <= 0 or (options.day_s is not None and options.day_s <= 0) or options.users < 1 or options.seed < 0:
        parser.error("--rate and --day-s are above 0, --users at least 1, --seed at least 0")
    return options


def _fill_in(options: argparse.Namespace) -> None:
    """Fill in URL, demo key and state folder from an installation's files; explicit options win."""
    path = options.installation
    path = path / "installation.json" if path.is_dir() else path
    installation = json.loads(path.read_text())
    data_dir = Path(installation["data_dir"])
    options.url = options.url or installation["url"]
    options.write_key = options.write_key or installation["demo"]["write_key"]
    options.secret_key = options.secret_key or installation["demo"].get("secret_key")
    options.state = options.state or data_dir / "simulator"
    demo = (installation.get("settings") or {}).get("demo", {})
    options.users = options.users or demo.get("users")
    options.rate = options.rate or demo.get("events_per_s")
    options.seed = demo.get("seed") if options.seed is None else options.seed


def _life(options: argparse.Namespace) -> tuple[Life, Cursor, CursorStore | None, bool]:
    """Return the simulation where it was left, or a new one; and whether it was left. Live times make contents differ
    between runs, so each new live simulation has its own salt in its messageIds. Raises CursorError."""
    store = CursorStore(options.state) if options.state is not None else None
    found = store.load() if store is not None else None
    if store is not None and found is not None:
        if (found.seed, found.n_users) != (options.seed, options.users):
            raise CursorError(
                f"{options.state} holds a simulation with --seed {found.seed} --users {found.n_users}:"
                " give the same, or another --state"
            )
        if bool(found.salt) != (options.time == "live"):
            raise CursorError(
                f"{options.state} holds a simulation with another --time: give the same, or another --state"
            )
        population, place = store.load_population(found)
        return Life(population, place=place, salt=found.salt), found, store, True
    start = options.start or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=90)
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    salt = secrets.token_hex(4) if options.time == "live" else ""
    cursor = Cursor(options.seed, options.users, start.isoformat(), salt)
    return Life(Population(options.seed, options.users, start), salt=salt), cursor, store, False


def _recipients(options: argparse.Namespace, life: Life, cursor: Cursor, *, anew: bool) -> Recipients | None:
    """Return those who respond, with the past of a new population lived through; None if nobody is to respond."""
    if not options.responds:
        return None
    recipients = Recipients(
        options.url,
        options.write_key,
        options.secret_key,
        seed=options.seed,
        state=options.state,
        truth=options.truth,
        anew=anew,
    )
    if anew and options.past_days > 0:
        recipients.remember(life, options.past_days)
        cursor.place = life.place
    return recipients


def _status_line(cursor: Cursor, counts: ResponderCounts | None) -> Callable[[Sums], None]:
    """Return a reporter: it overwrites one line on a terminal, and prints a new one every ten seconds elsewhere."""
    terminal = sys.stdout.isatty()
    state = {"shown": -_LINE_EVERY_S, "at": time.monotonic(), "sent": 0}

    def report(sums: Sums) -> None:
        now = time.monotonic()
        if now - state["shown"] < (0.5 if terminal else _LINE_EVERY_S):
            return
        rate = (sums.n_accepted - state["sent"]) / max(1e-9, now - state["at"])
        state.update(shown=now, at=now, sent=sums.n_accepted)
        simulated = iso(sums.simulated_ms)[:16]
        words = f"{cursor.place:,} events sent, {rate:,.0f}/s, {sums.n_rejected:,} rejected, simulated {simulated}"
        words += f", retrying: {sums.trouble}" if sums.trouble else ""
        words += f" | {counts.line()}" if counts else ""
        print(f"\r{words:<110}" if terminal else words, end="" if terminal else "\n", flush=True)

    return report


if __name__ == "__main__":
    sys.exit(main())
