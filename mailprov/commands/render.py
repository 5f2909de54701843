"""mailprov render."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import click

from mailprov import local_files
from mailprov.commands import console
from mailprov.commands.options import declaration
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError
from mailprov.model import Facts, HostSpec, Item, Secret, User
from mailprov.platform import debian
from mailprov.report.json import document
from mailprov.resources.accounts import Accounts
from mailprov.resources.files import File
from mailprov.resources.maps import Map
from mailprov.resources.scripts import Script
from mailprov.roles import mailhost
from mailprov.workflows.secrets import NOTHING, with_guess
from mailprov.workflows.selection import hosts, load

_UNREAD = Secret("{CRYPT}-")
"""stands for a secret that was not read"""


@click.command("render")
@declaration
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A new folder.")
@click.option(
    "--release", type=click.Choice(debian.RELEASES), default=debian.RELEASES[-1], show_default=True, help="Debian's."
)
@reported("json")
def command(outputs: Outputs, file: Path, limit: tuple[str, ...], output: Path, release: str) -> Exit:
    """Write the files that each host would get, into DIR/HOST/. No host is asked; secrets are left out."""
    spec = load(file, NOTHING, Terminal())
    chosen = hosts(spec, limit)
    try:
        output.mkdir(parents=True)
    except FileExistsError:
        raise MailprovError("it is there already", where=str(output), fix="name a new folder") from None
    facts = Facts("", release, 0, (_port(chosen),), debian.released(release), 0)
    told: list[dict[str, object]] = []
    for host in chosen:
        items = mailhost.desired(*with_guess(spec, host, _UNREAD), facts, _no_hash).values()
        written = [item.key.name for item in items if _write(output, host.name, item)]
        told.append({"host": host.name, "files": sorted(written)})
    console.say(f"wrote {len(chosen)} host{'' if len(chosen) == 1 else 's'} into {output}", "good")
    outputs.give(json=lambda: document("render", folder=str(output), release=release, hosts=told))
    return Exit.DONE


def _port(chosen: Sequence[HostSpec]) -> int:
    """The SSH port that a rendered firewall keeps open: the declared one; the real one is detected on the host."""
    ports = [host.ssh.port for host in chosen if host.ssh.port]
    return ports[0] if ports else 22


def _no_hash(_user: User) -> Secret:
    return Secret("")


def _write(folder: Path, host: str, item: Item) -> bool:
    """Whether there was something to write."""
    if isinstance(item, File) and item.content is not None:
        text = "<secret>\n" if item.secret else item.content.decode()
    elif isinstance(item, Script) and item.content is not None:
        text = item.content.decode()
    elif isinstance(item, Map) and item.rows is not None:
        text = "".join(f"{row}\n" for row in sorted(item.rows.reveal().values()))
    elif isinstance(item, Accounts) and item.rows is not None:
        lines = sorted(item.rows.reveal().values())
        fields = (line.split(":", 2) for line in lines)
        text = "".join(f"{name}:{'<secret>' if password else ''}:{rest}\n" for name, password, rest in fields)
    else:
        return False
    *folders, name = PurePosixPath(item.key.name).relative_to("/").parts
    with local_files.entered(folder, host, *folders, make=True) as below:
        local_files.put(below, name, text.encode(), 0o644, lasting=False)
    return True
