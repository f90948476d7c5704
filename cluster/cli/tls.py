"""`whisperer tls`: the certificate of the HTTP server."""

from __future__ import annotations

from pathlib import Path

import typer

from cluster.cli import output
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.errors import InstallationError
from cluster.launch import installation, tls
from cluster.launch.haproxy_program import folder_in

app = typer.Typer(
    name="tls",
    help="""TLS: use a renewed certificate without dropping a request.

    The files are those of `whisperer up --tls-certificate FILE --tls-key FILE`, or of server.tls_certificate and
    server.tls_key in settings.toml.
    """,
    no_args_is_help=True,
)


@app.callback()
def group() -> None:
    pass  # with one command, Typer would leave out its name


@app.command()
def reload(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Use the certificate and key as they are now on disk: new connections get them, open ones go on.

    Files that cannot be used are refused, and the server keeps what it has.

    Examples:

        whisperer tls reload
        certbot renew --deploy-hook "whisperer tls reload --data-dir /srv/whisperer"
    """
    record = installation.load(data_dir)
    _, settings = record.configured()
    if not tls.is_on(settings.server):
        raise InstallationError(
            f"the installation in {data_dir} has no certificate: start it with `whisperer up --tls-certificate FILE "
            "--tls-key FILE`"
        )
    if not record.running:
        raise InstallationError(f"the installation in {data_dir} does not run; it reads its files at the next start")
    until = tls.renew(folder_in(Path(record.temp_dir)), settings.server)
    if json:
        output.print_json({"certificate": settings.server.tls_certificate, "expires": f"{until:%Y-%m-%dT%H:%M:%SZ}"})
        return
    output.say(f"{settings.server.tls_certificate} is in use; it is valid until {until:%Y-%m-%d %H:%M} UTC.")
