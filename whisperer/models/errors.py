"""Define why an artifact is refused, and why a version does not move.

Codes of an artifact: ``invalid_manifest``, ``unsafe_path``, ``missing_file``, ``unlisted_file``, ``unknown_format``,
``wrong_magic``, ``too_large``, ``wrong_size``, ``wrong_hash``, ``broken_model``. Codes of a rollout:
``version_is_live``, ``another_candidate``, ``stage_too_short``, ``too_few_decisions``, ``verdict_missing``,
``verdict_of_another``, ``verdict_too_old``, ``gate_refused``, ``nothing_to_roll_back``, ``version_not_serving``,
``tallies_of_another_stage``.
"""

from __future__ import annotations

from whisperer.errors import ConflictError, RequestError


class ArtifactError(RequestError):
    """Raised for an artifact that will not be loaded; retrying changes nothing."""

    code = "invalid_artifact"
    status = 422


class RolloutError(ConflictError):
    """Raised for a step that is not allowed now; the message says what is missing."""

    code = "rollout_refused"
