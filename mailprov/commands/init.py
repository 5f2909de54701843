"""mailprov init."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from mailprov import assets
from mailprov.commands import console
from mailprov.errors import Exit, MailprovError
from mailprov.report.text import Line

SCHEMA = "mailprov.schema.json"
STARTER = """\
# yaml-language-server: $schema=./mailprov.schema.json
# (by that file an editor checks and explains every key; after an upgrade: `mailprov schema > mailprov.schema.json`)
mailprov: 1

hosts:
  mail1:
    address: 192.0.2.10              # what SSH connects to; `local` is this machine
    hostname: mail.example.com       # what the mail server calls itself
    ssh: {user: root}                # port, identity_file, known_hosts, jump; ~/.ssh/config is read too
    # become: true                   # use sudo where the SSH user is not root

domains:
  - name: example.com
    # catch_all: alice@example.com   # where mail for unknown addresses goes

users:
  - address: alice@example.com
    name: Alice Example
    # managed: the host always holds this hash. `mailprov password` makes one. None: one is generated and handed out.
    # initial: set when the account is made and never again, so that she may change it:
    password: {initial: {env: ALICE_INITIAL}}
    quota: 2GiB
    aliases: [postmaster@example.com]
    # protocols: [pop3]              # default: pop3, imap and submission
    # allow_from: [192.0.2.0/24]     # default: from everywhere

# aliases:
#   - {address: sales@example.com, to: [alice@example.com]}

tls:
  self_signed: {}                    # for trials: mail clients will warn. For real:
  # certificate: {file: certs/mail.pem}
  # key: {file: certs/mail.key}
  # or: on_host: {certificate: /etc/letsencrypt/live/…/fullchain.pem, key: /etc/letsencrypt/live/…/privkey.pem}

services:                            # a listener left out is closed
  pop3: {starttls: 110, tls: 995}
  imap: {starttls: 143, tls: 993}
  submission: {starttls: 587, tls: 465}
  smtp: {port: 25}

firewall:
  manage: true                       # opens what `services` declares and SSH, and nothing else
"""


@click.command("init")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write.  [default: mail.yaml]")
@click.option(
    "--gitops",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a whole repository there: declaration in parts, tests, recipes for GitHub, GitLab and others.",
)
def command(output: Path | None, gitops: Path | None) -> Exit:
    """Write a commented mail.yaml to start from, and its JSON Schema for editors. Never overwrites a file.

    With --gitops, a repository that is the mail system: a merge request shows the plan, merged and approved it is
    applied, and at night somebody looks for drift. DIR may be there, and hold other files; beside a README.md, what
    there is to read is MAIL.md.
    """
    if gitops is not None:
        if output is not None:
            raise MailprovError("-o and --gitops exclude each other", fix="say one place")
        return _repository(gitops)
    output = output or Path("mail.yaml")
    try:
        _write_new(output, STARTER)
    except FileExistsError as error:
        raise MailprovError("there is a file already", where=str(output), fix="choose another with -o") from error
    with suppress(FileExistsError):
        _write_new(output.parent / SCHEMA, assets.text("schemas", SCHEMA))
    console.say(f"wrote {output}; next: edit it, then `mailprov validate -f {output}`", "good")
    return Exit.DONE


def _write_new(path: Path, text: str) -> None:
    """Raises FileExistsError where something is there, be it a link that leads nowhere."""
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


def _repository(folder: Path) -> Exit:
    from mailprov.workflows import new_repository

    written = new_repository.write(folder)
    console.show([Line(name) for name in written])
    guide = next(name for name in ("MAIL.md", "README.md") if name in written)
    next_ = f"read {folder / guide}, edit mail.yaml, then `git init` there, and `./pipeline.sh check`"
    console.say(f"wrote {len(written)} files into {folder}; next: {next_}", "good")
    return Exit.DONE
