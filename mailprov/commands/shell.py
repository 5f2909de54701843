"""mailprov shell: what `schema` and `completion` were called until 0.1."""

from __future__ import annotations

import click

from mailprov.commands.completion import command as completion_command
from mailprov.commands.schema import command as schema_command
from mailprov.errors import Exit, MailprovError


@click.command("shell", hidden=True)
@click.option("--json-schema", is_flag=True, help="As `mailprov schema`.")
@click.option("--completion", type=click.Choice(["bash", "zsh", "fish"]), help="As `mailprov completion`.")
@click.pass_context
def command(context: click.Context, json_schema: bool, completion: str | None) -> Exit:
    """Print the JSON Schema, or a completion script (now `mailprov schema` and `mailprov completion`)."""
    if json_schema:
        return Exit(context.invoke(schema_command))
    if completion:
        return Exit(context.invoke(completion_command, shell=completion))
    raise MailprovError("nothing was asked for", fix="mailprov schema, or mailprov completion bash|zsh|fish")
