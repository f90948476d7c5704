"""Answer any question: checked, planned, and its queries carried out by whoever is given."""

from __future__ import annotations

from whisperer.analytics import activity, funnels, retention, trends
from whisperer.analytics.answers import Answer
from whisperer.analytics.questions import Funnel, Lifecycle, Question, Retention, Stickiness, Trends, check
from whisperer.analytics.statement import Ask


def answer(question: Question, now: int, ask: Ask) -> Answer:
    """Return the answer as of a moment, ms UTC. Raises QuestionError, and what ``ask`` raises."""
    check(question, now)
    match question:
        case Trends():
            return trends.answer(question, now, ask)
        case Funnel():
            return funnels.answer(question, now, ask)
        case Retention():
            return retention.answer(question, now, ask)
        case Lifecycle():
            return activity.lifecycle(question, now, ask)
        case Stickiness():
            return activity.stickiness(question, now, ask)
