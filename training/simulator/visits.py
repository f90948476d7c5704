"""Play out one visit: pages before sign-up, the sign-up itself, onboarding, use of features by propensity.

Each function appends (moment, event) pairs and advances the user's state; all chance comes from ``draws``, a sequence
of uniform numbers made for this visit, so a visit never disturbs another user's luck.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator

from whisperer.vocabulary.units import DAY_MS, HOUR_MS

from .people import FEATURES, Person
from .segment import Event, Voice
from .state import NEVER, LifeStage, State, Subscription

N_DRAWS = 128
TRIAL_DAYS = 14
SESSION = "Session Started"
"""A known user has come back: once per visit, so this is when the demo's campaign considers a user."""

ONBOARDING = ("Profile Completed", "Workspace Named", "First Project", "Team Invited", "Data Connected")
_PAGES = (("Home", "/"), ("Pricing", "/pricing"), ("Blog", "/blog"), ("Docs", "/docs"), ("Customers", "/customers"))
_SCREENS = ("Home", "Projects", "Inbox", "Report", "Settings")
_SIGN_UP_SHARE, _GIVE_UP_SHARE = 0.35, 0.15
_TICKET_SHARE = 0.015

Timeline = list[tuple[int, Event]]


def visit(state: State, slot: int, who: Person, at_ms: int, draws: Iterator[float], out: Timeline) -> None:
    """Play out one visit that begins at ``at_ms``."""
    if state.stage[slot] == LifeStage.VISITOR:
        end = _visit_unknown(state, slot, who, at_ms, draws, out)
    else:
        end = _visit_known(state, slot, who, at_ms, draws, out)
    state.busy_until[slot] = end
    state.activity[slot] += 1 / 7


def _pause(draws: Iterator[float]) -> int:
    """Return the milliseconds between two things a person does: seconds to minutes, never 0."""
    return 2_000 + int(150_000 * next(draws) ** 3)


def _visit_unknown(state: State, slot: int, who: Person, at_ms: int, draws: Iterator[float], out: Timeline) -> int:
    web = Voice.web(who, known=False)
    for _ in range(1 + int(next(draws) * 4)):
        name, path = _PAGES[int(next(draws) * len(_PAGES))]
        out.append((at_ms, web.page(at_ms, name, path)))
        at_ms += _pause(draws)
    mood = next(draws)
    if mood < _SIGN_UP_SHARE:
        return _sign_up(state, slot, who, at_ms, draws, out)
    if who.lead_id is not None and mood < 0.6:
        out.append((at_ms, Voice.lead(who).track(at_ms, "Demo Requested", source="contact form")))
    elif mood > 1 - _GIVE_UP_SHARE:
        leave(state, slot, at_ms, next(draws))
    return at_ms


def _sign_up(state: State, slot: int, who: Person, at_ms: int, draws: Iterator[float], out: Timeline) -> int:
    on_trial = next(draws) < 0.6
    plan = Subscription(1 + bisect((0.55, 0.9), next(draws))) if on_trial else Subscription.FREE
    web = Voice.web(who, known=True)
    out.append((at_ms, web.identify(at_ms, plan)))
    if who.lead_id is not None:
        at_ms += 1
        out.append((at_ms, Voice.server(who).alias(at_ms, who.lead_id)))
    at_ms += 40
    out.append(
        (at_ms, web.track(at_ms, "Signed Up", plan=plan.label, method="email" if next(draws) < 0.6 else "google"))
    )
    if on_trial:
        at_ms += 25
        out.append((at_ms, Voice.server(who).track(at_ms, "Trial Started", plan=plan.label, trial_days=TRIAL_DAYS)))
        state.trial_ends_at[slot] = at_ms + TRIAL_DAYS * DAY_MS
    state.stage[slot] = LifeStage.TRIAL if on_trial else LifeStage.FREE
    state.plan[slot] = plan
    at_ms += _pause(draws)
    return _onboard(state, slot, web, at_ms, draws, out)


def _onboard(state: State, slot: int, web: Voice, at_ms: int, draws: Iterator[float], out: Timeline) -> int:
    """Take the next onboarding steps, each with a chance of 55 % after the one before."""
    while state.onboarding[slot] < len(ONBOARDING) and next(draws) < 0.55:
        step = int(state.onboarding[slot])
        out.append((at_ms, web.track(at_ms, "Onboarding Step Completed", step=step + 1, name=ONBOARDING[step])))
        state.onboarding[slot] = step + 1
        at_ms += _pause(draws)
        if step + 1 == len(ONBOARDING):
            out.append((at_ms, web.track(at_ms, "Onboarding Completed", steps=len(ONBOARDING))))
            at_ms += _pause(draws)
    return at_ms


def _visit_known(state: State, slot: int, who: Person, at_ms: int, draws: Iterator[float], out: Timeline) -> int:
    in_app = who.uses_app and next(draws) < 0.5
    plan = Subscription(state.plan[slot])
    if in_app:
        voice = Voice.app(who, known=bool(state.app_known[slot]))
        out.append((at_ms, voice.screen(at_ms, "Home")))
        if not state.app_known[slot]:
            at_ms += 1_500
            voice = Voice.app(who, known=True)
            state.app_known[slot] = True
        at_ms = _log_in(voice, "app", plan, at_ms, out)
    else:
        voice = Voice.web(who, known=True)
        at_ms = _log_in(voice, "web", plan, at_ms, out)
        out.append((at_ms, voice.page(at_ms, "Dashboard", "/dashboard")))
        if not state.in_group[slot] and next(draws) < 0.3:
            at_ms += 10
            out.append((at_ms, voice.group(at_ms, plan)))
            state.in_group[slot] = True
    at_ms += _pause(draws)
    if not in_app:
        at_ms = _onboard(state, slot, voice, at_ms, draws, out)
    for _ in range(int(1 + 7 * next(draws) ** 2 * min(2.0, 0.5 + who.visits_per_day / 2))):
        feature = FEATURES[min(bisect(who.taste, next(draws)), len(FEATURES) - 1)]
        if in_app and next(draws) < 0.3:
            out.append((at_ms, voice.screen(at_ms, _SCREENS[int(next(draws) * len(_SCREENS))])))
            at_ms += 900
        out.append((at_ms, voice.track(at_ms, feature, plan=plan.label, items=1 + int(9 * next(draws) ** 3))))
        at_ms += _pause(draws)
    if state.ticket_due_at[slot] == NEVER and next(draws) < _TICKET_SHARE:
        topic = ("billing", "bug", "how-to")[int(next(draws) * 3)]
        out.append((at_ms, voice.track(at_ms, "Ticket Opened", topic=topic)))
        state.ticket_due_at[slot] = at_ms + int((0.5 + 47 * next(draws)) * HOUR_MS)
    return at_ms


def _log_in(voice: Voice, surface: str, plan: Subscription, at_ms: int, out: Timeline) -> int:
    """Identify the user at every session, so that a listener who starts today learns of old users too."""
    out.append((at_ms, voice.identify(at_ms, plan)))
    at_ms += 20
    out.append((at_ms, voice.track(at_ms, SESSION, plan=plan.label, surface=surface)))
    return at_ms + 20


def leave(state: State, slot: int, at_ms: int, draw: float) -> None:
    """Remove the person for good; somebody else may take the slot after days to weeks."""
    state.stage[slot] = LifeStage.GONE
    state.arrives_at[slot] = at_ms + int((2 + 40 * draw) * DAY_MS)
    for moments in (state.trial_ends_at, state.renews_at, state.refund_at, state.ticket_due_at):
        moments[slot] = NEVER
