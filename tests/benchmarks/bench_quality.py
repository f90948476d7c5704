"""Quality scores: the demo's templates in every language, what a score costs, and its rank correlation with ratings.

The mean has to be above 4.0 in every language. The floor of the cost is rendering the same message.
"""

from __future__ import annotations
