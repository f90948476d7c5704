"""The policies that a simulation can be asked about, as functions from candidates to choices.

All of them go through :func:`whisperer.decisions.thompson.choose`, so that groups, floors, seeds and recorded vectors
are those of the live product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from whisperer.decisions.decision import NO_SEND, POLICY, UNIFORM, Candidate, Choice
from whisperer.decisions.posterior import Posterior
from whisperer.decisions.thompson import choose
from whisperer.simulation.plan import ARM
from whisperer.simulation.replay import Choose

Policies = Mapping[tuple[str, str], Posterior]


def named(policy: str, learned: Policies) -> Choose:
    """The policy of a plan, for candidates of every group; it replaces what the group `policy` gets."""

    def decide(candidates: Sequence[Candidate]) -> list[Choice]:
        if policy == UNIFORM:
            return choose([_in_group(c, UNIFORM) if c.group == POLICY else c for c in candidates], {})
        chosen = choose(candidates, learned)
        if not policy.startswith(ARM):
            return chosen
        arm = policy.removeprefix(ARM)
        return [
            _always(choice, arm) if candidate.group == POLICY else choice
            for candidate, choice in zip(candidates, chosen, strict=True)
        ]

    return decide


def _in_group(candidate: Candidate, group: str) -> Candidate:
    return msgspec.structs.replace(candidate, group=group)


def _always(choice: Choice, arm: str) -> Choice:
    taken = arm if arm in choice.arms else NO_SEND
    vector = [float(one == taken) for one in choice.arms]
    return msgspec.structs.replace(choice, arm=taken, propensity=1.0, propensities=vector, policy_version=f"{ARM}{arm}")
