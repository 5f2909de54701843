"""Verbs about what surrounds the hosts: providers, DNS, certificates."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.cli.options import declaration, in_file
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


@cli.command()
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...")
@in_file
@click.option("--check", is_flag=True, help="Compare with what DNS says; exit 9 when something must be done.")
@click.option("--zonefile", is_flag=True, help="Print the records as a part of a zone file.")
@click.option("--resolver", default="", metavar="IP[:PORT]", help="Ask this resolver. Default: this machine's own.")
@click.option("--web", default="", metavar="NAME", help="The web server with the files for setting up clients.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def dns(domains: tuple[str, ...], file: Path, check: bool, zonefile: bool, resolver: str, web: str, form: str) -> Exit:
    """Show the DNS records that each declared domain needs (or each DOMAIN), or check those that are there.

    MX, SPF and DMARC for mail between servers; SRV records (RFC 6186) by which mail clients find POP3, IMAP and
    submission, also for what is not offered; the host's own address where it is declared. With --web: where clients
    look for autoconfig and autodiscover files.

    \b
    --check says of each record that it is
      ok         there, and right; preferences, weights and DMARC's policy are your choice
      missing    not there ("optional": that does no harm)
      different  there, and wrong
      extra      there, with more that nobody declared
      unknown    the resolver gave no answer
    """
    from mailprov.verbs import dns as verb

    return verb.dns(file, domains, verb.How(check, zonefile, resolver, web, form))


@cli.command("check-certs")
@declaration
@click.option("--warn", "least", type=click.IntRange(0), default=21, show_default=True, metavar="DAYS")
@click.option("--no-ssh", is_flag=True, help="Only look from outside: a certificate kept on the host is not compared.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check_certs(file: Path, limit: tuple[str, ...], least: int, no_ssh: bool, form: str) -> Exit:
    """Show how many days each served certificate has left; exit 9 when one has fewer than DAYS, for cron.

    Looks at every declared listener as a client would, all at once, and sends no password. Also wrong (9): a
    certificate that clients would refuse by its name or dates, and one that is not the declared one, as after a renewal
    that no daemon has taken up.
    """
    from mailprov.verbs import certs as verb

    return verb.check_certs(file, limit, least, form, ssh=not no_ssh)
