"""The faults of `whisperer bench faults`: one a file, injected for real, under a load that counts what it is told.

A fault is a module of this folder: the first line of its docstring is what the table says, and ``run(options)`` injects
it and answers a :class:`FaultResult`. Writing the file registers it. A module that cannot share the installation of the
others says ``OWN_INSTALLATION = True`` and runs after them. One that cannot run here raises :class:`CannotRunError`.

A typical one::

    def run(options: Options) -> FaultResult:
        with options.under_load() as scene:
            scene.strike(lambda: os.kill(pid, signal.SIGKILL))
        return scene.result()

The load is :class:`tests.faults.counted_load.CountedLoad`, the verdict :func:`tests.faults.judging.judge`; here is only
what a fault is, and the scene that puts the three together.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.counted_load import CountedLoad, Pace
from tests.faults.judging import Verdict, judge
from tests.faults.mixed import Account, Mixed
from tests.faults.stands import Stands
from tests.support.stand import Stand, Tenant

_FOLDER = Path(__file__).parent


class CannotRunError(Exception):
    """This machine cannot run the fault; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class FaultResult:
    """A line of the table.

    Attributes
    ----------
    acknowledged : events told yes
    lost : of those, events that are not counted, by shards or warehouse
    doubled : events counted, or in the warehouse, more than once
    back_after_s : from the fault until every request is answered yes at its first try, within a second, again; the
        worst of the rounds; None where nothing was to go away
    note : what a reader must know beside the numbers
    figures : further numbers for the JSON
    """

    acknowledged: int
    lost: int
    doubled: int
    back_after_s: float | None
    note: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Scene:
    """An installation, a tenant of its own in it, and the load it is under; the verdict once the load is over."""

    stand: Stand
    tenant: Tenant
    load: CountedLoad
    back_after_s: list[float] = field(default_factory=list)
    verdict: Verdict | None = None
    beside: Account | None = None
    """Of what else went on, where anything did."""

    def strike(
        self,
        fault: Callable[[], float | None],
        *,
        is_over: Callable[[], bool] = lambda: True,
        timeout_s: float = 180.0,
    ) -> float:
        """Do it to an installation that serves, and wait until it serves again; the seconds that took.

        ``is_over`` says what must have happened besides, such as a new process in the place of the killed one: a fault
        that shows late must not be taken for one that does not show. A fault that lasts answers when it ended
        (``time.monotonic``): the seconds count from there.
        """
        self.load.wait_until_quiet(time.monotonic())
        struck = time.monotonic()
        ended = fault()
        moment = struck if ended is None else ended
        seconds = self.load.wait_until_quiet(moment, is_over=is_over, timeout_s=timeout_s)
        self.back_after_s.append(seconds)
        return seconds

    def result(self, note: str = "", **figures: Any) -> FaultResult:
        assert self.verdict is not None, "the load still runs"
        worst = max(self.back_after_s, default=None)
        if len(self.back_after_s) > 1:
            median = statistics.median(self.back_after_s)
            note = f"{len(self.back_after_s)} rounds, median {median:.1f} s" + (f"; {note}" if note else "")
        problems = [*self.verdict.problems, *(self.beside.problems if self.beside else ())]
        note = "; ".join(filter(None, [note, self.beside.note if self.beside else "", *problems]))
        return FaultResult(
            acknowledged=self.verdict.acknowledged + (self.beside.acknowledged if self.beside else 0),
            lost=self.verdict.lost + (self.beside.lost if self.beside else 0),
            doubled=self.verdict.doubled + (self.beside.doubled if self.beside else 0),
            back_after_s=worst,
            note=note,
            figures={
                **self.verdict.figures,
                **self.load.figures(),
                "beside": self.beside.figures if self.beside else None,
                "rounds_s": self.back_after_s,
                "problems": problems,
                **figures,
            },
        )


@dataclass(slots=True)
class Options:
    """What the command line asked for, and where installations come from.

    Attributes
    ----------
    seconds : of load before each strike, and of runs without one
    rounds : strikes in a row, where a fault can be repeated in one installation
    with_warehouse : wait for the warehouse, too, and look every messageId up in it
    mixed : beside the load that is measured, all else goes on that a product does (:mod:`tests.faults.mixed`)
    """

    stands: Stands
    seconds: float = 5.0
    rounds: int = 3
    with_warehouse: bool = True
    mixed: bool = True

    @contextmanager
    def under_load(
        self,
        pace: Pace | None = None,
        *,
        load: type[CountedLoad] = CountedLoad,
        shards: int = 2,
        settings: dict[str, Any] | None = None,
    ) -> Iterator[Scene]:
        """An installation under load inside the block; after it the load is over and judged."""
        stand = self.stands.get(shards=shards, settings=settings)
        tenant = stand.tenant(f"fault-{secrets.token_hex(4)}")
        beside = Mixed(stand) if self.mixed else None
        try:
            with beside or contextlib.nullcontext(), load(tenant, pace or Pace()) as under_way:
                scene = Scene(stand, tenant, under_way)
                under_way.wait_until_quiet(time.monotonic(), at_least_s=self.seconds)
                yield scene
            scene.verdict = judge(stand, tenant, under_way, with_warehouse=self.with_warehouse)
            scene.beside = beside.account(with_warehouse=self.with_warehouse) if beside else None
        finally:
            tenant.close()
            if beside is not None:
                beside.close()


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    says: str
    own_installation: bool

    def run(self, options: Options) -> FaultResult:
        module = importlib.import_module(f"{__name__}.{self.name}")
        result: FaultResult = module.run(options)
        return result


def known() -> dict[str, Fault]:
    """Every fault by name: those that share an installation first, each kind by name. Nothing is imported for it."""
    found = []
    for path in sorted(_FOLDER.glob("*.py")):
        if path.stem != "__init__":
            tree = ast.parse(path.read_text("utf-8"))
            says = (ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".")
            own = any(
                isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "OWN_INSTALLATION"
                for node in tree.body
            )
            found.append(Fault(path.stem, says, own))
    return {fault.name: fault for fault in sorted(found, key=lambda fault: (fault.own_installation, fault.name))}
