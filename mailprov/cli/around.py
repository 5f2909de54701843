"""Verbs about what surrounds the hosts: providers, DNS, certificates."""

from __future__ import annotations

import click

from mailprov.cli.root import cli
from mailprov.errors import Exit


@cli.command()
@click.argument("name", default="")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def providers(name: str, form: str) -> Exit:
    """Show what is documented of mail providers: servers, TLS, what to log in with, how to turn it on.

    NAME is a provider's, in English or Chinese, or an address, a domain or a server of one. What guides say wrongly is
    corrected:

    \b
      mailprov providers exmail
      mailprov providers li@163.com
      mailprov providers pop3.live.com
    """
    from mailprov.verbs import providers as verb

    return verb.providers(name, form)
