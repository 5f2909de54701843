"""The verbs that ask no host: init, validate, render, shell, password."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from mailprov.errors import Exit, MailprovError
from mailprov.model import Facts, Item, Secret, User
from mailprov.report.text import Line
from mailprov.verbs import console
from mailprov.verbs.session import hosts, load

STARTER = """\
# yaml-language-server: $schema=./mailprov.schema.json
# (`mailprov shell --json-schema > mailprov.schema.json` lets your editor check and explain every key)
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


def init(output: Path) -> Exit:
    """Write the starter declaration. Raises MailprovError where a file is there already."""
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError as error:
        raise MailprovError("there is a file already", where=str(output), cure="choose another with -o") from error
    console.say(f"wrote {output}; next: edit it, then `mailprov validate -f {output}`", "good")
    return Exit.DONE


def validate(file: Path, limit: Sequence[str]) -> Exit:
    """Load the declaration and say what it holds."""
    spec = load(file)
    chosen = hosts(spec, limit)
    console.show([Line(f"! {warning}", "warn") for warning in spec.warnings], err=True)
    elsewhere = sum(bool(domain.hosted_by) for domain in spec.domains.values())
    hosted = f" ({elsewhere:,} hosted elsewhere)" if elsewhere else ""
    counts = ((len(chosen), "host", ""), (len(spec.domains), "domain", hosted), (len(spec.users), "user", ""))
    said = ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}{note}" for count, noun, note in counts)
    aliases = len(spec.aliases) + sum(len(user.aliases) for user in spec.users)
    console.show([Line(f"{file} is valid: {said}, {aliases:,} alias{'' if aliases == 1 else 'es'}", "good")])
    return Exit.DONE


def render(file: Path, limit: Sequence[str], output: Path, release: str) -> Exit:
    """Write what each host would get; refuses a folder that is there. Secrets become a note of where they come from."""
    from mailprov.roles import mailhost

    spec = load(file)
    chosen = hosts(spec, limit)
    if output.exists():
        raise MailprovError("it is there already", where=str(output), cure="name a new folder")
    dovecot = {"11": "2.3.13", "12": "2.3.19", "13": "2.4.1"}[release]
    facts = Facts("", release, 0, (declared_port(chosen),), dovecot, 0)
    for host in chosen:
        for item in mailhost.desired(spec, host, facts, _no_hash).values():
            _write(output / host.name, item)
    console.say(f"wrote {len(chosen)} host{'' if len(chosen) == 1 else 's'} into {output}", "good")
    return Exit.DONE


def declared_port(chosen: Sequence[object]) -> int:
    """The SSH port that a rendered firewall keeps open: the declared one; the real one is detected on the host."""
    from mailprov.model import HostSpec

    ports = [host.ssh.port for host in chosen if isinstance(host, HostSpec) and host.ssh.port]
    return ports[0] if ports else 22


def _no_hash(_user: User) -> Secret:
    return Secret("")


def _write(folder: Path, item: Item) -> None:
    from mailprov.resources.accounts import Accounts
    from mailprov.resources.files import File
    from mailprov.resources.maps import Map

    if isinstance(item, File) and item.content is not None:
        text = "<secret>\n" if item.secret else item.content.decode()
    elif isinstance(item, Map) and item.rows is not None:
        text = "".join(f"{row}\n" for row in sorted(item.rows.reveal().values()))
    elif isinstance(item, Accounts) and item.rows is not None:
        lines = sorted(item.rows.reveal().values())
        fields = (line.split(":", 2) for line in lines)
        text = "".join(f"{name}:{'<secret>' if password else ''}:{rest}\n" for name, password, rest in fields)
    else:
        return
    path = folder / item.key.name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def shell(json_schema: bool, completion: str | None) -> Exit:
    """Print the schema, or a completion script for a shell."""
    if json_schema:
        from mailprov.assets import folder

        click.echo((folder("schemas") / "mailprov.schema.json").read_text(encoding="utf-8"), nl=False)
    elif completion:
        from click.shell_completion import get_completion_class

        cli = click.get_current_context().find_root().command
        kind = get_completion_class(completion)
        if kind is None:
            raise MailprovError(f"there is no completion for {completion}")
        click.echo(kind(cli, {}, "mailprov", "_MAILPROV_COMPLETE").source())
    else:
        raise MailprovError("nothing was asked for", cure="add --json-schema or --completion bash|zsh|fish")
    return Exit.DONE


def _line_of_stdin() -> str:
    try:
        line = sys.stdin.buffer.readline().decode()
    except UnicodeDecodeError:
        cure = "clients send passwords in UTF-8: give it as UTF-8"
        raise MailprovError("the password is not UTF-8", where="standard input", cure=cure) from None
    return line.removesuffix("\n").removesuffix("\r")


def password(scheme: str) -> Exit:
    """Print the hash of a password that is asked for twice, or read as one line of stdin."""
    from mailprov.passwords import sha512_crypt

    if console.interactive():
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = _line_of_stdin()
    if not text:
        raise MailprovError("the password is empty", cure="give it as one line of standard input")
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in text):
        raise MailprovError("the password holds control characters", cure="nobody could type it: choose another one")
    if scheme != "SHA512-CRYPT":
        raise MailprovError(f"{scheme} is not known here")
    click.echo(sha512_crypt(Secret(text)).reveal())
    return Exit.DONE
