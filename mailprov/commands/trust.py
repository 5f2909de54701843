"""mailprov trust."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mailprov.commands import completing, console
from mailprov.commands.options import in_file
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.terminal import Terminal
from mailprov.connection import known_hosts, ssh
from mailprov.connection.sshconfig import load_config
from mailprov.errors import Exit, MailprovError
from mailprov.report.json import document, errors
from mailprov.report.text import Line
from mailprov.workflows.secrets import NOTHING
from mailprov.workflows.selection import host as declared_host
from mailprov.workflows.selection import load


@click.command("trust")
@click.argument("host", shell_complete=completing.hosts)
@in_file
@click.option("--yes", is_flag=True, help="Record without asking: only when the fingerprint is known to be right.")
@click.option("--replace", is_flag=True, help="Record even where another key is known for this host.")
@reported("json")
def command(outputs: Outputs, host: str, file: Path, yes: bool, replace: bool) -> Exit:
    """Show a host's SSH fingerprints, and record them when you say so; nothing is asked where all are known.

    Compare them with what the host itself says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub).
    """
    declared = declared_host(load(file, NOTHING, Terminal()), host)
    if declared.address == "local":
        raise MailprovError("this machine is reached without SSH", where=host, fix="there is nothing to trust")
    found = ssh.scan(declared, config=load_config(environ=os.environ))
    console.show([Line(f"{key.label:<8} {key.fingerprint}") for key in found.keys], err=not outputs.text)
    if not found.target.known_hosts:
        raise MailprovError("there is no known_hosts file to record in", where=host, fix="set ssh.known_hosts")
    where, new, failed = _known(found, replace=replace), 0, list[MailprovError]()
    try:
        if where:
            console.say(f"known already: {where}", "good")
        else:
            new = _record(found, host, yes=yes, replace=replace)
    except MailprovError as error:
        failed = [error]
        raise
    finally:
        keys = [{"type": key.label, "fingerprint": key.fingerprint} for key in found.keys]
        told = {"host": host, "keys": keys, "known": bool(where), "recorded": new}
        outputs.give(json=lambda: document("trust", **told, failed=errors(failed)))
    return Exit.DONE


def _record(found: ssh.Scan, host: str, *, yes: bool, replace: bool) -> int:
    """How many keys are new. Raises ConsentError where nobody said that they are right."""
    store = found.target.known_hosts[0]
    if not yes:
        question = f"Are these {found.target.where}'s? Record them in {store}?"
        fix = "compare the fingerprints with the host's own, then add --yes"
        console.agree(question, host, act="recorded", untouched="recorded", fix=fix)
    new = len(known_hosts.record(store, *found.target.known_as, found.keys, replace=replace))
    console.say(f"{new} new key{'' if new == 1 else 's'} in {store}", "good")
    return new


def _known(found: ssh.Scan, *, replace: bool) -> str:
    """Where every key that the host shows is known; "" where one is not, or others would be replaced."""
    files, name = known_hosts.load(found.target.known_hosts), found.target.known_as
    judged = [files.judge(*name, key) for key in found.keys]
    others = [entry for entry in files.of(*name) if not entry.marker and entry.key not in found.keys]
    if not judged or any(what != "known" for what, _ in judged) or (replace and others):
        return ""
    return ", ".join(dict.fromkeys(str(entries[0]) for _, entries in judged))
