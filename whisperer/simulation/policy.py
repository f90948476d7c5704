"""Turn the policies that a simulation can be asked about into functions from candidates to choices.

All of them go through :func:`whisperer.decisions.thompson.choose`, so that groups, floors, seeds, prices and recorded
vectors are those of the live product. A model decides as it would if it were live: by its scores and what the learner
knows now. Leaves to others: the money (:mod:`.spending`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from whisperer.decisions.context import rows_of
from whisperer.decisions.decision import NO_SEND, Candidate, Choice
from whisperer.decisions.posterior import Posterior
from whisperer.decisions.purse import Wallet
from whisperer.decisions.thompson import choose
from whisperer.ids import TenantId
from whisperer.models.value import ValueModel
from whisperer.simulation.plan import ARM
from whisperer.simulation.replay import Choose
from whisperer.vocabulary.groups import Group

Policies = Mapping[tuple[TenantId, str], Posterior]


def named(policy: str, learned: Policies, model: ValueModel | None = None, wallet: Wallet | None = None) -> Choose:
    """Return a plan's policy, for candidates of every group; it replaces what the group `policy` gets.

    Parameters
    ----------
    model : the one that ``policy`` names
    wallet : pays where the campaign has a budget
    """

    def decide(candidates: Sequence[Candidate]) -> list[Choice]:
        if policy == Group.UNIFORM:
            return choose(
                [_in_group(c, Group.UNIFORM) if c.group == Group.POLICY else c for c in candidates], {}, wallet=wallet
            )
        if policy.startswith(ARM):
            alone = choose(
                [_in_group(c, Group.HOLDOUT) if c.group == Group.POLICY else c for c in candidates], {}, wallet=wallet
            )
            return [
                _always(choice, policy, candidate, wallet) if candidate.group == Group.POLICY else choice
                for candidate, choice in zip(candidates, alone, strict=True)
            ]
        return choose(candidates if model is None else _scored(candidates, model), learned, wallet=wallet)

    return decide


def _in_group(candidate: Candidate, group: str) -> Candidate:
    return msgspec.structs.replace(candidate, group=group)


def _scored(candidates: Sequence[Candidate], model: ValueModel) -> list[Candidate]:
    by_arms: dict[tuple[str, ...], list[int]] = {}
    for at, candidate in enumerate(candidates):
        by_arms.setdefault(tuple(candidate.arms), []).append(at)
    made = list(candidates)
    for arms, places in by_arms.items():
        scores = model.scores(rows_of([candidates[at].features for at in places]), arms).tolist()
        for at, mine in zip(places, scores, strict=True):
            made[at] = msgspec.structs.replace(candidates[at], scores=mine)
    return made


def _always(choice: Choice, policy: str, candidate: Candidate, wallet: Wallet | None) -> Choice:
    arm = policy.removeprefix(ARM)
    taken = arm if arm in choice.arms else NO_SEND
    if candidate.budget is not None:
        purse, cost = (wallet or Wallet()).of(candidate), candidate.costs[candidate.arms.index(taken)]
        if cost > purse.left_micros:
            purse.n_withheld += 1
            taken = NO_SEND
        else:
            purse.pay(cost)
    vector = [float(one == taken) for one in choice.arms]
    return msgspec.structs.replace(choice, arm=taken, propensity=1.0, propensities=vector, policy_version=policy)
