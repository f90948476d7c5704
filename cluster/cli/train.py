"""`whisperer train`: train a model next to an installation, on its cluster as a Ray job, or on its own.

Decides where the run takes place and which warehouse and store it uses. The run itself is `python -m training.train`,
which this layer starts but does not import.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane, settings_in_force
from cluster.cli.exit_codes import FAILED
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.errors import NotInstalledError
from cluster.launch.installation import Installation, load

_PROGRAM = "training.train"
_NEEDED = ("xgboost", "optuna", "shap", "matplotlib", "sklearn")
_FOLDER = "training"


class Kind(StrEnum):
    churn = "churn"
    uplift = "uplift"
    value = "value"


class Place(StrEnum):
    cluster = "cluster"
    job = "job"
    local = "local"


app = typer.Typer()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    kind: Annotated[
        Kind, typer.Argument(metavar="KIND", help="churn: who leaves; uplift: what arms add; value: how much.")
    ],
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Learn from this tenant's warehouse.")
    ] = None,
    rows: Annotated[str | None, typer.Option(metavar="URI", help="Learn from Parquet or Arrow files instead.")] = None,
    out: Annotated[
        str | None, typer.Option(metavar="URI", help="Folder of the run. [default: training/KIND in --data-dir]")
    ] = None,
    place: Annotated[
        Place,
        typer.Option("--on", help="The installation's cluster, as a job there that outlives this command, or apart."),
    ] = Place.cluster,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Train a model, and write its artifact and a report for people to a folder.

    Further options are passed to the run: --trials, --rounds, --at-once, --seed, --label, --features, --drop,
    --window-days, --campaign, --goal, --every-days, --order, --name, --restart. `python -m training.train --help`
    explains them, and docs/training.md the columns of --rows. If interrupted, run the same command again to resume. If
    no installation is running, a small Ray is started for the run.

    Examples:

        whisperer train churn --tenant acme
        whisperer train uplift --tenant acme --campaign offers --trials 40
        whisperer train value --rows orders.parquet --label spent --on local
        whisperer policy register var/training/churn/model --tenant acme
    """
    if (tenant is None) == (rows is None):
        raise typer.BadParameter("say what to learn from: either --tenant NAME or --rows URI")
    absent = [name for name in (*_NEEDED, "training") if importlib.util.find_spec(name) is None]
    if absent:
        output.fail(f"training needs {', '.join(absent)}: pip install 'user-whisperer[training]'", FAILED)
    # A job runs in a different working directory.
    where = out or str(data_dir.resolve() / _FOLDER / kind.value)
    arguments = ["--kind", kind.value, "--out", _absolute(where)]
    arguments += ["--rows", _absolute(rows)] if rows is not None else _of_tenant(data_dir, tenant or "")
    arguments += [*context.args, *(["--json"] if json else [])]
    found = None if place is Place.local else _running(data_dir)
    if found is None:
        if place is not Place.local:
            output.say(f"Nothing runs in {data_dir}: a small Ray is started for this run.")
        raise typer.Exit(_run([*arguments, "--local"], {}))
    if place is Place.cluster:
        raise typer.Exit(_run(arguments, found.client_environment()))
    raise typer.Exit(_submit(found, arguments))


def _run(arguments: list[str], environment: dict[str, str]) -> int:
    command = [sys.executable, "-m", _PROGRAM, *arguments]
    with subprocess.Popen(command, env=os.environ | environment) as running:  # noqa: S603  a module of our own
        signal.signal(signal.SIGTERM, lambda *_: running.terminate())
        try:
            return running.wait()
        except KeyboardInterrupt:  # the run received it too
            return running.wait()


def _submit(installation: Installation, arguments: list[str]) -> int:
    """Submit a Ray job and show its output until it ends. Ctrl-C leaves it running."""
    os.environ.update(installation.client_environment())
    # Ray reads the environment when it is imported; besides, it takes seconds.
    from ray.job_submission import JobStatus, JobSubmissionClient

    token = Path(installation.ray_token_path).read_text().strip()
    client = JobSubmissionClient(installation.dashboard_url, headers={"Authorization": f"Bearer {token}"})
    job = client.submit_job(entrypoint=shlex.join([sys.executable, "-m", _PROGRAM, *arguments]), entrypoint_num_cpus=0)
    output.say(f"Job {job} of {installation.dashboard_url}; Ctrl-C leaves it running.")

    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            sys.stderr.write(lines)

    try:
        asyncio.run(follow())
    except KeyboardInterrupt:
        output.say(f"{job} goes on; the same command, once it has ended, shows its result.")
        return 0
    return 0 if client.get_job_status(job) == JobStatus.SUCCEEDED else FAILED


def _of_tenant(data_dir: Path, tenant: str) -> list[str]:
    """Return the options that locate the tenant's rows and the store in which its versions are numbered."""
    told = settings_in_force(data_dir)
    with open_control_plane(data_dir) as plane:
        tenant_id = plane.get_tenant(tenant).id
    places = ["--warehouse", _absolute(told.warehouse.uri), "--store", _absolute(told.models.uri)]
    return [*places, "--tenant", tenant_id]


def _running(data_dir: Path) -> Installation | None:
    try:
        found = load(data_dir)
    except NotInstalledError:
        return None
    return found if found.running else None


def _absolute(place: str) -> str:
    return place if "://" in place else str(Path(place).resolve())
