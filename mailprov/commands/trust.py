"""mailprov trust."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import in_file
from mailprov.commands.terminal import Terminal
from mailprov.connection import known_hosts, ssh
from mailprov.connection.sshconfig import load_config
from mailprov.errors import Exit, MailprovError
from mailprov.workflows.secrets import NOTHING
from mailprov.workflows.selection import host as declared_host
from mailprov.workflows.selection import load


@click.command("trust")
@click.argument("host")
@in_file
@click.option("--yes", is_flag=True, help="Record without asking: only when the fingerprint is known to be right.")
@click.option("--replace", is_flag=True, help="Record even where another key is known for this host.")
def command(host: str, file: Path, yes: bool, replace: bool) -> Exit:
    """Show a host's SSH fingerprints, and record them when you say so; nothing is asked where all are known.

    Compare them with what the host itself says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub).
    """
    declared = declared_host(load(file, NOTHING, Terminal()), host)
    if declared.address == "local":
        raise MailprovError("this machine is reached without SSH", where=host, fix="there is nothing to trust")
    found = ssh.scan(declared, config=load_config(environ=os.environ))
    for key in found.keys:
        click.echo(f"{key.label:<8} {key.fingerprint}")
    if not found.target.known_hosts:
        raise MailprovError("there is no known_hosts file to record in", where=host, fix="set ssh.known_hosts")
    if where := _known(found, replace=replace):
        console.say(f"known already: {where}", "good")
        return Exit.DONE
    store = found.target.known_hosts[0]
    if not yes:
        question = f"Are these {found.target.where}'s? Record them in {store}?"
        fix = "compare the fingerprints with the host's own, then add --yes"
        console.agree(question, host, act="recorded", untouched="recorded", fix=fix)
    new = known_hosts.record(store, *found.target.known_as, found.keys, replace=replace)
    console.say(f"{len(new)} new key{'' if len(new) == 1 else 's'} in {store}", "good")
    return Exit.DONE


def _known(found: ssh.Scan, *, replace: bool) -> str:
    """Where every key that the host shows is known; "" where one is not, or others would be replaced."""
    files, name = known_hosts.load(found.target.known_hosts), found.target.known_as
    judged = [files.judge(*name, key) for key in found.keys]
    others = [entry for entry in files.of(*name) if not entry.marker and entry.key not in found.keys]
    if not judged or any(what != "known" for what, _ in judged) or (replace and others):
        return ""
    return ", ".join(dict.fromkeys(str(entries[0]) for _, entries in judged))
