"""Answer questions about what users did: trends, funnels, retention, as plans over a tenant's events.

A question is a struct (:mod:`.questions`), checked with every problem at its place. A plan turns it into parametrised
queries of DuckDB over the tenant's events, in which no word of a caller's is part of the text, and turns the rows of
these into the answer. Where an answer depends on the order of a user's events, the query only brings
each user's events together, and the rest is computed with arrays here. Nothing here opens a file, reads a clock or
keeps a state. docs/analytics.md says what each question means.
"""

from __future__ import annotations

from whisperer.analytics.answers import Answer
from whisperer.analytics.questions import Question, QuestionError

__all__ = ["Answer", "Question", "QuestionError"]
