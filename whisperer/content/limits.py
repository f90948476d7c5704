"""How large a template and a message may be, and how much work one part may cost.

Sizes of templates are checked when they are published, before a parser sees them; those of messages and the work while
rendering. Work is counted, not timed, so that the same template and user always end the same way: an iteration of a
loop costs the characters of markup of the whole part (all that it could run), a filter what goes in and comes out.
"""

from __future__ import annotations

MAX_LOCALES = 64
MAX_DEFAULTS = 64
MAX_DEFAULT_CHARS = 512
MAX_NAME = 256  # characters of a trait's name among the defaults
MAX_PROBLEMS = 100

MAX_SOURCE_CHARS = {"subject": 2_000, "title": 2_000, "html": 100_000, "text": 50_000, "body": 50_000}
"""Characters of the template of a part, by the part's name."""
MAX_TAG_CHARS = 1_000  # one {{ … }} or {% … %}; the parser's time grows with its square
MAX_MARKUP_CHARS = 16_000  # all of them in one part

MAX_WORK = 1_000_000
MAX_ITERATIONS = 5_000
MAX_VALUE_CHARS = 50_000  # of a value that a filter or a tag makes
MAX_INT_BITS = 256

MAX_OUTPUT_BYTES = {"subject": 4_000, "title": 4_000, "html": 256_000, "text": 100_000, "body": 20_000}
"""UTF-8 of a rendered part, by the part's name. A webhook's body may so have 20 KB."""
MAX_SUBJECT_BYTES = 998  # a line of a mail's header, RFC 5322, 2.1.1
MAX_HTML_TAGS = 10_000  # opening and closing; a parser's time grows with the square of how deep they are nested
MAX_SMS_CHARS = 1_600  # ten segments; what carriers and providers join
MAX_PUSH_BYTES = 3_500  # title and body; FCM takes 4,096 with everything around them
MAX_TRACKED_LINKS = 200  # of one part; more are left as they are
