"""Name what became of one question to a model: its text is used, or why not."""

from __future__ import annotations

from whisperer.vocabulary.named import Named


class Ruling(Named):
    """Name why a model's text was used or refused. All but WRITTEN mean the template's own words."""

    WRITTEN = "written"
    """It passed every guardrail."""
    # Nothing was asked.
    NOT_SET_UP = "not_set_up"
    """The tenant has no generator, or does not allow it at send time."""
    NO_SLOTS = "no_slots"
    """The template has no slot in this language."""
    OVER_RATE = "over_rate"
    OVER_BUDGET = "over_budget"
    BUSY = "busy"
    """Too many questions of the tenant are under way."""
    RESTING = "resting"
    """The endpoint failed several times in a row: it is left alone for a while."""
    # It was asked, and there is nothing to judge.
    LATE = "late"
    FAILED = "failed"
    """The endpoint answered with an error, or not at all."""
    # Its answer is not used.
    NOT_THE_SCHEMA = "not_the_schema"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    MARKUP = "markup"
    UNKNOWN_PLACEHOLDER = "unknown_placeholder"
    WRONG_LANGUAGE = "wrong_language"
    BANNED_CLAIM = "banned_claim"
    FOREIGN_LINK = "foreign_link"
    FOREIGN_DATA = "foreign_data"
    """An address or number that nobody gave it: another person's, or made up."""
    INVENTED_FIGURE = "invented_figure"
    """A percentage or a price that nobody gave it."""
    LEAKED_PROMPT = "leaked_prompt"
    UNFIT_MESSAGE = "unfit_message"
    """With it, the message could not be sent."""


FAILURES = frozenset({Ruling.LATE, Ruling.FAILED, Ruling.NOT_THE_SCHEMA})
"""What says something about the endpoint rather than about the text."""
