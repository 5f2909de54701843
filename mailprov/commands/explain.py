"""mailprov explain: what a host got, and where in the declaration it came from. Asks no host."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import click

from mailprov import declaration
from mailprov.commands import completing, console
from mailprov.commands.options import in_file
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.terminal import Terminal
from mailprov.declaration.origins import Setting, below, keys
from mailprov.errors import Exit, MailprovError
from mailprov.model import Allow, Ignore, Secret
from mailprov.report.json import document
from mailprov.report.text import Line
from mailprov.workflows.selection import explained
from mailprov.workflows.selection import host as declared_host


@click.command("explain")
@click.argument("host", metavar="HOST[.KEY]", shell_complete=completing.keys)
@in_file
@reported("json")
def command(outputs: Outputs, host: str, file: Path) -> Exit:
    """Show what a host gets, and from where: each value, its level and its place, and what it overrides.

    No host is asked, and secrets are left out. KEY narrows it: mailprov explain mail1.services.pop3
    """
    found = explained(file, Terminal())
    name, key = _split(host.rstrip("."), found)
    shown = found.settings[name]
    if key:
        shown = below(shown, key)
        if not shown:
            known = keys(found.settings[name])
            near = get_close_matches(key, known, 1) or get_close_matches(key.rpartition(".")[2], known, 1)
            fix = f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(k for k in known if '.' not in k)}"
            raise MailprovError(f"a host has no `{key}`", where=name, fix=fix)
    if outputs.text:
        console.show([Line(name, "head"), *(line for each in _table(shown) for line in each)])
    outputs.give(json=lambda: document("explain", host=name, settings=[_row(each, whole=True) for each in shown]))
    return Exit.DONE


def _split(asked: str, found: declaration.Explained) -> tuple[str, str]:
    """The host and the key (or "") that HOST[.KEY] means: a host's name may hold dots, and the longest one counts."""
    steps = asked.split(".")
    for length in range(len(steps), 0, -1):
        name = ".".join(steps[:length])
        if name in found.settings:
            return name, ".".join(steps[length:])
    starts = [".".join(steps[:length]) for length in range(len(steps), 0, -1)]
    likely = next((start for start in starts if get_close_matches(start, found.settings, 1)), asked)
    return declared_host(found.spec, asked if asked in found.spec.groups else likely).name, ""


def _table(found: Sequence[Setting]) -> list[list[Line]]:
    """For each setting a line, and one for each level that it overrides."""
    keyed = max(len(each.key) for each in found)
    valued = min(40, max(len(_text(each)) for each in found))
    return [
        [
            Line(
                f"  {each.key:<{keyed}}  {_text(each):<{valued}}  {_whence(each)}", "dim" if each.origin is None else ""
            ),
            *(Line(f"  {'':<{keyed}}    overrides {_other(each, over)}", "dim") for over in each.overridden),
        ]
        for each in found
    ]


def _other(each: Setting, over: Setting) -> str:
    named = f"{over.key} " if over.key != each.key else ""
    return f"{named}{_text(over)}  {_whence(over)}"


def _whence(each: Setting) -> str:
    place = f", {each.origin}" if each.origin else ""
    note = f" ({each.note})" if each.note else ""
    return f"{each.level}{place}{note}"


def _text(each: Setting) -> str:
    if each.value is None:
        if each.key.startswith("services."):
            return "closed"
        return "left to OpenSSH" if each.key.startswith("ssh.") else "none"
    return _flow(_plain(each.value))


def _flow(value: Any) -> str:
    """`value` as YAML would have it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any) -> Any:
    """`value` as JSON has it; a secret shows only that it is one."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Secret | Path | IPv4Network | IPv6Network):
        return str(value)
    if isinstance(value, Allow):
        return {"port": value.port, **({"from": [str(network) for network in value.sources]} if value.sources else {})}
    if isinstance(value, Ignore):
        given = {"kind": value.kind, "name": value.name, "only": list(value.only), "reason": value.reason}
        return {key: said for key, said in given.items() if said}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _row(each: Setting, *, whole: bool) -> dict[str, object]:
    origin = each.origin
    row: dict[str, object] = {
        "key": each.key,
        "value": _plain(each.value),
        "level": each.level,
        "place": {"file": origin.file, "line": origin.line, "column": origin.column} if origin else None,
        "note": each.note,
    }
    return row | ({"overridden": [_row(over, whole=False) for over in each.overridden]} if whole else {})
