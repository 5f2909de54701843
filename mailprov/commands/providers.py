"""mailprov providers: what is documented of mail providers. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from mailprov.commands import completing, console
from mailprov.commands.outputs import Outputs, reported
from mailprov.errors import Exit, MailprovError
from mailprov.providers import CREDENTIALS, Correction, Protocol, Provider, Server, catalogue, corrected, search
from mailprov.report.json import document
from mailprov.report.text import Line

_PROTOCOLS: tuple[Protocol, ...] = ("pop3", "imap", "submission")
_MODES = {"tls": "TLS", "starttls": "STARTTLS"}


@click.command("providers")
@click.argument("name", default="", shell_complete=completing.providers)
@reported("json")
def command(outputs: Outputs, name: str) -> Exit:
    """Show what is documented of mail providers: servers, TLS, what to log in with, how to turn it on.

    NAME is a provider's, in English or Chinese, or an address, a domain or a server of one. What guides say wrongly is
    corrected:

    \b
      mailprov providers exmail
      mailprov providers li@163.com
      mailprov providers pop3.live.com
    """
    wrong = corrected(name)
    found = search(name) if name else tuple(catalogue().values())
    if wrong is not None:
        found = (catalogue()[wrong.provider],)
    if not found:
        fix = f"known are: {', '.join(catalogue())}"
        raise MailprovError(f"no provider is known as `{name}`", where="mailprov providers", fix=fix)
    if outputs.text:
        console.show([Line(f"! {wrong}", "warn"), Line(f"  {wrong.why.zh}", "warn")] if wrong else [])
        console.show(_table(found) if len(found) > 1 else _whole(found[0]))
    told = {"correction": _correction(wrong) if wrong else None, "providers": list(map(_provider, found))}
    outputs.give(json=lambda: document("providers", **told))
    return Exit.DONE


def _table(found: Sequence[Provider]) -> Iterator[Line]:
    rows: list[tuple[str, ...]] = [("NAME", "POP3", "IMAP", "SENDING", "LOG IN WITH")]
    for each in found:
        servers = (_first(each.servers(protocol)) for protocol in _PROTOCOLS)
        rows.append((each.id, *servers, ", ".join(each.credentials)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for number, row in enumerate(rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield Line(f"{'  '.join(cells)}  {row[4]}", "" if number else "head")
    yield Line(
        "Documented, not tried out. `mailprov providers NAME` says how to turn it on, and where that is from.", "dim"
    )


def _first(servers: Sequence[Server] | None) -> str:
    if servers is None:
        return "unknown"
    return f"{servers[0].host}:{servers[0].port}" if servers else "none"


def _whole(each: Provider) -> Iterator[Line]:
    yield Line(f"{each.id}  {each.name.en}" + (f" / {each.name.zh}" if each.name.zh != each.name.en else ""), "head")
    for protocol in _PROTOCOLS:
        for server in _shown(each.servers(protocol)):
            yield Line(f"  {protocol:<10}  {server}{_doubt(each, protocol)}")
    if each.cluster:
        yield Line("  which of these servers is right differs between customers: ask, do not guess", "warn")
    yield Line(
        f"  log in with {' or '.join(CREDENTIALS[kind] for kind in each.credentials)}{_doubt(each, 'credentials')}"
    )
    yield Line(f"  turn it on  {each.enable.en}{_doubt(each, 'enable')}")
    yield Line(f"  开启方法    {each.enable.zh}")
    for note in each.notes:
        yield Line(f"  note        {note.en}{_doubt(each, 'notes')}")
        yield Line(f"  说明        {note.zh}")
    if each.mx:
        exact = "; ".join(f"{record.preference} {record.host}" for record in each.mx_records)
        yield Line(f"  MX          {exact or ', '.join(each.mx)}{_doubt(each, 'mx')}")
    if each.spf:
        yield Line(f"  SPF         include:{each.spf}{_doubt(each, 'spf')}")
    yield Line(f"  sources, read on {each.checked_on}: {'; '.join(each.sources)}", "dim")


def _shown(servers: Sequence[Server] | None) -> Sequence[str]:
    if not servers:
        return ("not known",) if servers is None else ("not offered",)
    return [f"{server.host}:{server.port} {_MODES[server.mode]}" for server in servers]


def _doubt(each: Provider, field: str) -> str:
    return "  (unverified)" if field in each.unverified else ""


def _correction(wrong: Correction) -> dict[str, object]:
    return {"said": wrong.said, "right": wrong.right, "why": {"en": wrong.why.en, "zh": wrong.why.zh}}


def _provider(each: Provider) -> dict[str, object]:
    def servers(found: Sequence[Server] | None) -> object:
        return None if found is None else [{"host": s.host, "port": s.port, "mode": s.mode} for s in found]

    return {
        "id": each.id,
        "name": {"en": each.name.en, "zh": each.name.zh},
        "domains": list(each.domains),
        **{protocol: servers(each.servers(protocol)) for protocol in _PROTOCOLS},
        "cluster": each.cluster,
        "credentials": list(each.credentials),
        "enable": {"en": each.enable.en, "zh": each.enable.zh},
        "notes": [{"en": note.en, "zh": note.zh} for note in each.notes],
        "mx": list(each.mx),
        "mx_records": [{"preference": record.preference, "host": record.host} for record in each.mx_records],
        "spf": each.spf,
        "sources": list(each.sources),
        "checked_on": each.checked_on.isoformat(),
        "unverified": sorted(each.unverified),
    }
