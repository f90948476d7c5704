"""Limit the size of a template and a message, and the work that one part may cost.

Template sizes are checked on publication, before a parser sees the text; message sizes and work are checked while
rendering. Work is counted, not timed, so that the same template and user always end the same way: a loop iteration
costs the characters of markup of the whole part (all that it could run), a filter the characters that go in and out.

What bounds one part, or the message of one channel, is in :mod:`whisperer.vocabulary.channels`.
"""

from __future__ import annotations

MAX_LOCALES = 64
MAX_DEFAULTS = 64
MAX_DEFAULT_CHARS = 512
MAX_NAME = 256  # characters of a trait's name among the defaults
MAX_PROBLEMS = 100

MAX_TAG_CHARS = 1_000  # one {{ … }} or {% … %}; the parser's time grows with its square
MAX_MARKUP_CHARS = 16_000  # all of them in one part

MAX_WORK = 1_000_000
MAX_ITERATIONS = 5_000
MAX_VALUE_CHARS = 50_000  # of a value that a filter or a tag makes
MAX_INT_BITS = 256

MAX_HTML_TAGS = 10_000  # opening and closing; a parser's time grows with the square of their nesting depth
MAX_TRACKED_LINKS = 200  # per message; more are left as they are
