"""A log of four decisions and every figure of it, worked out by hand.

row   arm   reward r   p     pi(arm)   w = pi/p   q(arm)   w (r - q)   sum_a pi(a) q(a)
0     0     1          0.5   0.25      0.5        1        0           0.25 x 1   + 0.75 x 0.5 = 0.625
1     1     0          0.5   0.75      1.5        1        -1.5        0.25 x 0.5 + 0.75 x 1   = 0.875
2     1     2          0.25  0.75      3          1        3           0.25 x 0   + 0.75 x 1   = 0.75
3     0     1          0.5   0.25      0.5        1        0           0.25 x 1   + 0.75 x 0   = 0.25
sum                                    5.5                 1.5                                   2.5
"""

from __future__ import annotations

from whisperer.evaluation.estimators import dm, dr, ips, snips, switch_dr
from whisperer.evaluation.logged import Logged

LOG = Logged([0, 1, 1, 0], [1.0, 0.0, 2.0, 1.0], [0.5, 0.5, 0.25, 0.5], ["ada", "ada", "bob", "eve"])
TARGET = [0.25, 0.75]
EXPECTED = [[1.0, 0.5], [0.5, 1.0], [0.0, 1.0], [1.0, 0.0]]
TAU = 2.0
"""Row 2's weight is above it."""

BY_HAND = {
    "ips": (0.5 + 0 + 6 + 0.5) / 4,
    "snips": 7 / 5.5,
    "dm": 2.5 / 4,
    "dr": (2.5 + 1.5) / 4,
    "switch_dr": (2.5 - 1.5) / 4,
}
N_EFFECTIVE = 5.5**2 / (0.25 + 2.25 + 9 + 0.25)


def ours() -> dict[str, float]:
    return {
        "ips": ips(LOG, TARGET).value,
        "snips": snips(LOG, TARGET).value,
        "dm": dm(LOG, TARGET, EXPECTED).value,
        "dr": dr(LOG, TARGET, EXPECTED).value,
        "switch_dr": switch_dr(LOG, TARGET, EXPECTED, TAU).value,
    }
