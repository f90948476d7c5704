"""Report everything that is wrong with a campaign at once, like :mod:`whisperer.segments.errors`.

Codes of single problems: those of predicates (an audience's problems are under ``/audience``), and ``invalid_name``,
``unknown_trigger``, ``ambiguous_trigger``, ``invalid_cron``, ``unknown_zone``, ``invalid_window``, ``invalid_time``,
``unknown_value``, ``duplicate_arm``, ``reserved_arm``, ``too_large``, ``not_a_name``, ``invalid_address``; and, found
only on publication, ``unknown_template``, ``channel_mismatch``, ``unknown_segment``.
"""

from __future__ import annotations

from whisperer.errors import ProblemsError


class CampaignError(ProblemsError):
    """Say that a campaign cannot be used."""

    code = "invalid_campaign"
    subject = "campaign"
