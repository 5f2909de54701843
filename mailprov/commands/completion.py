"""mailprov completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mailprov.errors import Exit, MailprovError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> Exit:
    """Print a script that completes commands and options in your shell.

    \b
      bash: mailprov completion bash > a file mailprov in ~/.local/share/bash-completion/completions
      zsh:  mailprov completion zsh > a file _mailprov in a folder of $fpath
      fish: mailprov completion fish > a file mailprov.fish in ~/.config/fish/completions
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise MailprovError(f"there is no completion for {shell}")
    cli = click.get_current_context().find_root().command
    click.echo(kind(cli, {}, "mailprov", "_MAILPROV_COMPLETE").source())
    return Exit.DONE
