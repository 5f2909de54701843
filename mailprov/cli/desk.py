"""Verbs that ask no host: the declaration, and what can be made of it here."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.cli.options import declaration, in_file
from mailprov.cli.root import cli
from mailprov.errors import Exit


@cli.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("mail.yaml"), show_default=True)
def init(output: Path) -> Exit:
    """Write a commented mail.yaml to start from. Never overwrites a file."""
    from mailprov.verbs import offline

    return offline.init(output)


@cli.command()
@declaration
def validate(file: Path, limit: tuple[str, ...]) -> Exit:
    """Check the declaration and everything that it points to: every error at once, with its line."""
    from mailprov.verbs import offline

    return offline.validate(file, limit)


@cli.command()
@click.argument("host", metavar="HOST[.KEY]")
@in_file
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(host: str, file: Path, form: str) -> Exit:
    """Show what a host gets, and from where: each value, its level and its place, and what it overrides.

    No host is asked, and secrets are left out. KEY narrows it: mailprov explain mail1.services.pop3
    """
    from mailprov.verbs import explain as verb

    return verb.explain(host, file, form)


@cli.command()
@declaration
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A new folder.")
@click.option("--release", type=click.Choice(["11", "12", "13"]), default="13", show_default=True, help="Debian's.")
def render(file: Path, limit: tuple[str, ...], output: Path, release: str) -> Exit:
    """Write the files that each host would get, into DIR/HOST/. No host is asked; secrets are left out."""
    from mailprov.verbs import offline

    return offline.render(file, limit, output, release)


@cli.command()
@click.option("--json-schema", is_flag=True, help="Print the JSON Schema of mail.yaml (for editors).")
@click.option("--completion", type=click.Choice(["bash", "zsh", "fish"]), help="Print a completion script.")
def shell(json_schema: bool, completion: str | None) -> Exit:
    """What editors and shells want to know of mailprov."""
    from mailprov.verbs import offline

    return offline.shell(json_schema, completion)


@cli.command()
@click.option("--scheme", type=click.Choice(["SHA512-CRYPT"]), default="SHA512-CRYPT", show_default=True)
def password(scheme: str) -> Exit:
    """Ask for a password and print its hash, for `password: {hash: …}`. Reads a line of stdin without a terminal."""
    from mailprov.verbs import offline

    return offline.password(scheme)
