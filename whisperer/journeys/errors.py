"""Report everything that is wrong with a campaign at once, like :mod:`whisperer.segments.errors`.

Codes of single problems: those of predicates (an audience's problems are under ``/audience``), and ``invalid_name``,
``unknown_trigger``, ``ambiguous_trigger``, ``invalid_cron``, ``unknown_zone``, ``invalid_window``, ``invalid_time``,
``unknown_value``, ``duplicate_arm``, ``reserved_arm``, ``too_large``; and, found only on publication,
``unknown_template``, ``channel_mismatch``, ``unknown_segment``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whisperer.errors import RequestError
from whisperer.segments.errors import Problem


class CampaignError(RequestError):
    """Say that a campaign cannot be used; ``errors`` has one entry per problem and goes into problem+json as it is."""

    code = "invalid_campaign"

    def __init__(self, errors: Sequence[Problem], *, code: str | None = None) -> None:
        self.errors = list(errors)
        places = "; ".join(f"{e['pointer'] or 'campaign'}: {e['message']}" for e in self.errors[:3])
        more = f" (and {len(self.errors) - 3} more)" if len(self.errors) > 3 else ""
        super().__init__(f"The campaign cannot be used: {places}{more}", code=code)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.errors, self.code)


def _rebuild(cls: type[CampaignError], errors: list[Problem], code: str) -> CampaignError:
    return cls(errors, code=code)
