"""Limit the size of a template and a message, and the work that one part may cost.

Template sizes are checked on publication, before a parser sees the text; message sizes and work are checked while
rendering. Work is counted, not timed, so that the same template and user always end the same way: a loop iteration
costs the characters of markup of the whole part (all that it could run), a filter the characters that go in and out.
"""

from __future__ import annotations

MAX_LOCALES = 64
MAX_DEFAULTS = 64
MAX_DEFAULT_CHARS = 512
MAX_NAME = 256  # characters of a trait's name among the defaults
MAX_PROBLEMS = 100

MAX_SOURCE_CHARS = {"subject": 2_000, "title": 2_000, "html": 100_000, "text": 50_000, "body": 50_000}
"""Most characters of a part's template, by the part's name."""
MAX_TAG_CHARS = 1_000  # one {{ … }} or {% … %}; the parser's time grows with its square
MAX_MARKUP_CHARS = 16_000  # all of them in one part

MAX_WORK = 1_000_000
MAX_ITERATIONS = 5_000
MAX_VALUE_CHARS = 50_000  # of a value that a filter or a tag makes
MAX_INT_BITS = 256

MAX_OUTPUT_BYTES = {"subject": 4_000, "title": 4_000, "html": 256_000, "text": 100_000, "body": 20_000}
"""Most UTF-8 bytes of a rendered part, by the part's name; a webhook's body may have 20 KB."""
MAX_SUBJECT_BYTES = 998  # one line of an e-mail header, RFC 5322, 2.1.1
MAX_HTML_TAGS = 10_000  # opening and closing; a parser's time grows with the square of their nesting depth
MAX_SMS_CHARS = 1_600  # ten segments, as many as carriers and providers join
MAX_PUSH_BYTES = 3_500  # title and body; FCM accepts 4,096 with everything around them
MAX_TRACKED_LINKS = 200  # per message; more are left as they are
