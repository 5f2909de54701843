"""The catalogue as it is shipped, and looking things up in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from mailprov.providers.plain import plain
from mailprov.providers.words import MxRecord, Provider, Server, Words

FILE = Path(__file__).with_name("catalogue.yaml")


@cache
def document() -> Mapping[str, Any]:
    """The catalogue's own text, parsed. Treat it as read-only: there is one per process."""
    import yaml

    # libyaml's loader, where PyYAML has it, is ten times faster
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: Mapping[str, Any] = yaml.load(FILE.read_text(encoding="utf-8"), loader)  # noqa: S506 - both are safe
    return loaded


@cache
def catalogue() -> Mapping[str, Provider]:
    """Every provider by its id, in the catalogue's order."""
    return {node["id"]: _provider(node) for node in document()["providers"]}


def serving(name: str, hosts: Collection[str] = ()) -> Provider:
    """The provider with this id, as a customer sees it who uses the servers `hosts` of it; () leaves them open."""
    provider = catalogue()[name]
    if not hosts:
        return provider

    def used(servers: tuple[Server, ...] | None) -> tuple[Server, ...] | None:
        return servers and tuple(server for server in servers if server.host in hosts)

    return replace(
        provider,
        pop3=used(provider.pop3),
        imap=used(provider.imap),
        submission=used(provider.submission),
        cluster=False,
    )


def named(text: str) -> Provider | None:
    """The provider with this very id or name, whatever its case, width and blanks; None where there is none."""
    wanted = plain(text)
    for provider in catalogue().values():
        if wanted in (plain(provider.id), plain(provider.name.en), plain(provider.name.zh)):
            return provider
    return next((each for each in catalogue().values() if wanted in map(plain, each.aliases)), None)


def search(text: str) -> tuple[Provider, ...]:
    """The providers that `text` may mean: a name, or a part of one; an address, a domain or a server of theirs."""
    exact = named(text)
    if exact is not None:
        return (exact,)
    wanted = plain(text.rpartition("@")[2])
    if not wanted:
        return ()
    known = catalogue().values()
    hosted = tuple(each for each in known if wanted in each.domains or wanted in each.hosts)
    return hosted or tuple(each for each in known if any(wanted in plain(name) for name in _names(each)))


def of_mx(host: str) -> Provider | None:
    """The provider whose MX host this is, as far as its name tells."""
    return next((provider for provider in catalogue().values() if provider.receives_at(host)), None)


def _names(provider: Provider) -> tuple[str, ...]:
    return (provider.id, provider.name.en, provider.name.zh, *provider.aliases, *provider.domains)


def _provider(node: Mapping[str, Any]) -> Provider:
    return Provider(
        id=node["id"],
        name=_words(node["name"]),
        pop3=_servers(node["pop3"]),
        imap=_servers(node["imap"]),
        submission=_servers(node["submission"]),
        credentials=tuple(node["credentials"]),
        enable=_words(node["enable"]),
        sources=tuple(node["sources"]),
        checked_on=date.fromisoformat(node["checked_on"]),
        aliases=tuple(node.get("aliases", ())),
        domains=tuple(node["domains"]),
        cluster=node.get("cluster", False),
        notes=tuple(map(_words, node.get("notes", ()))),
        mx=tuple(node.get("mx", ())),
        mx_records=tuple(MxRecord(**record) for record in node.get("mx_records", ())),
        spf=node.get("spf", ""),
        local_part_login=frozenset(node.get("local_part_login", ())),
        unverified=frozenset(node.get("unverified", ())),
    )


def _words(node: Mapping[str, str]) -> Words:
    return Words(node["en"], node["zh"])


def _servers(node: Any) -> tuple[Server, ...] | None:
    if isinstance(node, str):
        return () if node == "none" else None
    return tuple(Server(**server) for server in node)
