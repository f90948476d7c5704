"""Run the learner: statistics of arms, and the budgets that campaigns are lent.

The actor's class has its path here, too: installations of the release before started it as `actors.learner.Learner`.
"""

from __future__ import annotations

from actors.learner.actor import Learner

__all__ = ["Learner"]
