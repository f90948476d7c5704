"""Play the recipients: read what the sink got, and do over HTTP what each person does about it, in compressed time.

Two callers: the sender reports every accepted batch (``observe``), and a thread calls ``cycle`` until it is stopped.
Guarantees: what a person does is decided and stored before any of it is done, so a restart goes on and changes nobody's
mind; goals have messageIds of their occasions, so one that is sent again counts once; a refusal or an outage causes a
delay, as long as the gateway asks for. Requests go only to the gateway: only the path of a message's link is used, and
redirects are read, not followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from whisperer.decisions.decision import NO_SEND
from whisperer.errors import UnavailableError
from whisperer.vocabulary.units import DAY_MS

from .diary import Diary
from .effects import ARMS, OFFER_EMAIL, TIPS_EMAIL, Effects
from .occasion import Occasion
from .patience import Patience, ask
from .responses import SETTLE_MS, Message, Response, left_alone, message, reading
from .segment import Event, ms_of
from .visits import SESSION

POLL_S = 0.5
_PAGE, _AT_ONCE = 500, 200
_STALE_MS = 600_000
"""A message this old is not even looked at: nobody was there when it came."""
_LATE_MS = 90_000
"""A message this late finds nobody waiting: its occasion is over."""
_CHANNEL_OF = dict(zip(ARMS[1:], ("email", "email", "sms", "push"), strict=True))
PAGE_TO_ARM = {"/projects": TIPS_EMAIL, "/billing": OFFER_EMAIL}
"""Where the buttons of the demo's e-mails lead."""
_FORGET_EVERY = 1_000


class ResponderCounts:
    """What was done since the start of this run."""

    def __init__(self) -> None:
        self.n_read = self.n_open = self.n_click = self.n_goal = self.n_unsubscribe = 0
        self.n_strangers = self.n_refused = 0
        self.trouble = ""

    def line(self) -> str:
        """Return a summary for the status line."""
        words = f"{self.n_read:,} messages read, {self.n_open:,} opened, {self.n_click:,} clicked, "
        words += f"{self.n_unsubscribe:,} unsubscribed, {self.n_goal:,} goals"
        return words + (f", retrying: {self.trouble}" if self.trouble else "")


class Responder:
    """Respond to messages. ``reader`` is an HTTP client with the tenant's secret key, ``writer`` one with its write
    key, ``person`` one without any, like a recipient's. ``wall_ms`` is the clock that stamps events."""

    def __init__(
        self,
        effects: Effects,
        diary: Diary,
        *,
        reader: httpx.Client,
        writer: httpx.Client,
        person: httpx.Client,
        campaign: str,
        goal: str,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._effects = effects
        self._diary = diary
        self._reader = reader
        self._writer = writer
        self._person = person
        self._campaign = campaign
        self._goal = goal
        self._wall_ms = wall_ms
        self._n_cycles = 0
        self._responding, self._reading = Patience(self._respond), Patience(self._read_sink)
        self.counts = ResponderCounts()

    def observe(self, place: int, batch: Sequence[tuple[int, Event]]) -> None:
        """Take in accepted events from ``place`` on, except those reported before."""
        diary = self._diary
        with diary.writing():
            for at_ms, event in batch[max(0, diary.place - place) :]:
                self._live_through(at_ms, event)
            diary.place = max(diary.place, place + len(batch))

    def remember(self, at_ms: int, event: Event) -> None:
        """Take in an event from before anybody listened; inside a ``writing`` block of the diary."""
        if "userId" in event:
            self._diary.history(event["userId"], at_ms).lived(at_ms, event)
        self._diary.lived_ms = at_ms

    def cycle(self) -> float:
        """Settle, respond, read; return the seconds until it is worth calling again."""
        self._settle()
        more = [patience.once(self._wall_ms()) for patience in (self._responding, self._reading)]
        self.counts.trouble = self._responding.trouble or self._reading.trouble
        return 0.0 if any(more) else POLL_S

    def truth(self) -> dict[str, Any]:
        """Return the ground truth: see docs/simulator.md, ground truth."""
        return {"campaign": self._campaign, "goal": self._goal, **self._diary.truth.document()}

    def _live_through(self, at_ms: int, event: Event) -> None:
        self.remember(at_ms, event)
        if event.get("event") != SESSION:
            return
        user, stamp_ms = event["userId"], ms_of(event["timestamp"])
        history = self._diary.history(user, at_ms)
        row = np.array([history.features(at_ms, stamp_ms)])
        arms = np.arange(len(ARMS))
        rows = np.repeat(row, len(ARMS), axis=0)
        self._diary.put(
            Occasion(
                id=event["messageId"],
                user=user,
                stamp_ms=stamp_ms,
                chances=self._effects.probabilities(row, at_ms / DAY_MS, self._effects.taste([user]))[0].tolist(),
                hazards=self._effects.unsubscribe_probability(rows, arms, self._effects.patience(user)).tolist(),
                reachable=[True, *(_CHANNEL_OF[arm] in history.channels for arm in ARMS[1:])],
                luck=self._effects.luck("goal", event["messageId"]),
            )
        )

    def _settle(self) -> None:
        now = self._wall_ms()
        diary = self._diary
        with diary.writing():
            for occasion in diary.unsettled(now - SETTLE_MS):
                diary.schedule(left_alone(self._effects, occasion, self._goal))
                diary.put(occasion)
            diary.close_before(now - _LATE_MS)
            self._n_cycles += 1
            if self._n_cycles % _FORGET_EVERY == 0:
                diary.forget_before(diary.lived_ms)

    def _read_sink(self) -> bool:
        """Read a page of messages; return whether there is another."""
        query = {"after": self._diary.serial, "limit": _PAGE}
        answer = ask(self._reader, "GET", "/v1/sink/messages", params=query)
        if answer.status_code != 200:
            raise UnavailableError(f"the sink: HTTP {answer.status_code}", retry_after_s=10.0)
        entries = answer.json()["data"]
        now = self._wall_ms()
        notes = [note for note in map(message, entries) if note.received_ms > now - _STALE_MS]
        arms = [self._arm(note) for note in notes]
        diary = self._diary
        with diary.writing():
            for note, arm in zip(notes, arms, strict=True):
                self._take(note, arm, now)
            diary.serial = max([diary.serial, *(int(entry["serial"]) for entry in entries)])
        self.counts.n_read += len(notes)
        return len(entries) == _PAGE

    def _take(self, note: Message, arm: str | None, now: int) -> None:
        diary, occasion = self._diary, None
        if note.campaign == self._campaign:
            occasion = diary.newest_occasion(note.user, now - _LATE_MS, note.received_ms)
        if occasion is not None and occasion.arm != NO_SEND:
            occasion = None
        if diary.knows(note.user):
            diary.history(note.user, diary.lived_ms).reached(diary.lived_ms)
        self.counts.n_strangers += occasion is None
        diary.schedule(reading(self._effects, note, occasion, arm, now, self._goal))
        if occasion is not None:
            diary.put(occasion)

    def _arm(self, note: Message) -> str | None:
        """Return a message's arm: known from its channel, or else from the page that it leads to, requested by HEAD,
        which counts as a program's click."""
        arms = [arm for arm, channel in _CHANNEL_OF.items() if channel == note.channel]
        if note.campaign != self._campaign or len(arms) <= 1:
            return arms[0] if arms and note.campaign == self._campaign else None
        if note.link is None:
            return None
        answer = ask(self._person, "HEAD", note.link)
        return PAGE_TO_ARM.get(urlsplit(answer.headers.get("Location", "")).path)

    def _respond(self) -> bool:
        """Do what is due; return whether more is."""
        due = self._diary.due(self._wall_ms(), _AT_ONCE)
        goals = [response for response in due if response.kind == "goal"]
        if goals:
            answer = ask(self._writer, "POST", "/v1/batch", json={"batch": [goal.event for goal in goals]})
            rejected = len(answer.json().get("rejected") or ()) if answer.status_code == 200 else len(goals)
            self.counts.n_refused += rejected
            self.counts.n_goal += len(goals) - rejected
            self._finish(goals)
        for response in due:
            if response.kind != "goal":
                self._touch(response)
        return len(due) == _AT_ONCE

    def _touch(self, response: Response) -> None:
        if response.kind == "unsubscribe":
            answer = ask(self._person, "POST", response.path, data={"List-Unsubscribe": "One-Click"})
        else:
            answer = ask(self._person, "GET", response.path)
        if answer.status_code >= 400:
            self.counts.n_refused += 1
        elif response.kind == "unsubscribe":
            self.counts.n_unsubscribe += 1
        elif response.kind == "open":
            self.counts.n_open += 1
        else:
            self.counts.n_click += 1
        self._finish([response])

    def _finish(self, responses: list[Response]) -> None:
        diary = self._diary
        with diary.writing():
            for response in responses:
                if response.kind in ("open", "click") and diary.knows(response.user):
                    diary.history(response.user, diary.lived_ms).took_notice(diary.lived_ms)
            diary.done(responses)
