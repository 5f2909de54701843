"""mailprov schema."""

from __future__ import annotations

import click

from mailprov import assets
from mailprov.errors import Exit


@click.command("schema")
def command() -> Exit:
    """Print the JSON Schema of mail.yaml, by which an editor checks and explains every key.

    \b
      mailprov schema > mailprov.schema.json
    """
    click.echo(assets.text("schemas", "mailprov.schema.json"), nl=False)
    return Exit.DONE
