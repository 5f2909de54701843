"""mailprov trust."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mailprov.errors import Exit, MailprovError
from mailprov.host import known_hosts, ssh
from mailprov.host.sshconfig import load_config
from mailprov.verbs import console
from mailprov.verbs.session import host, load


def trust(name: str, file: Path, *, yes: bool, replace: bool) -> Exit:
    """Show what keys the host has, and record them once somebody says that they are right."""
    declared = host(load(file), name)
    if declared.address == "local":
        raise MailprovError("this machine is reached without SSH", where=name, cure="there is nothing to trust")
    found = ssh.scan(declared, config=load_config(environ=os.environ))
    for key in found.keys:
        click.echo(f"{key.label:<8} {key.fingerprint}")
    if not found.target.known_hosts:
        raise MailprovError("there is no known_hosts file to record in", where=name, cure="set ssh.known_hosts")
    store = found.target.known_hosts[0]
    if not yes:
        question = f"Are these {found.target.where}'s? Record them in {store}?"
        cure = "compare the fingerprints with the host's own, then add --yes"
        console.agree(question, name, act="recorded", untouched="recorded", cure=cure)
    new = known_hosts.record(store, *found.target.known_as, found.keys, replace=replace)
    console.say(f"{len(new)} new key{'' if len(new) == 1 else 's'} in {store}", "good")
    return Exit.DONE
