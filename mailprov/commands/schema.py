"""mailprov schema."""

from __future__ import annotations

import click

from mailprov import assets
from mailprov.errors import Exit

_FILES = {
    "declaration": "mailprov.schema.json",
    "expectations": "expectations.schema.json",
    "report": "report.schema.json",
}


@click.command("schema")
@click.argument("name", type=click.Choice(list(_FILES)), default="declaration")
def command(name: str) -> Exit:
    """Print the JSON Schema of mail.yaml, by which an editor checks and explains every key; or that of another file.

    \b
      mailprov schema > mailprov.schema.json
      mailprov schema expectations > expectations.schema.json  what `mailprov test` reads
      mailprov schema report > report.schema.json              what --format json prints
    """
    click.echo(assets.text("schemas", _FILES[name]), nl=False)
    return Exit.DONE
