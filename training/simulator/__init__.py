"""Simulate a seeded SaaS population whose life is a stream of Segment events, and who answer the messages they get.

Four layers, each replaceable alone: *who* (``people``: names, places, tastes; ``rhythm``: when each is awake), *what
they do* (``state``, ``population``, ``visits``, ``billing``: an hour at a time, vectorised over users), *how it leaves*
(``segment`` forms events, ``stream`` orders and paces them, ``sender`` speaks HTTP), and *what messages do to them*
(``effects`` and ``truth``: the ground truth; ``history``, ``occasion``, ``responses``: one person's answer;
``responder``, ``diary``, ``recipients``: reading the sink and answering over HTTP). ``load`` prebuilds request bodies
for load tests and shares nothing with the rest except the form of an event.

Guarantees: one seed, number of users and start give one stream, byte for byte, whatever the speed; messageIds are never
reused with different content; a churned user is never heard of again; who would convert under which arm is fixed before
anything is decided.

    python -m training.simulator --url http://127.0.0.1:8000 --write-key wk_... --rate 50 --seed 7
"""

from .load import load_batches
from .population import Population
from .stream import stream

__all__ = ["Population", "load_batches", "stream"]
