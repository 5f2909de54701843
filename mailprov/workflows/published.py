"""Whether records that something waits for are in DNS by now: the name servers of each zone are asked themselves.

A resolver would remember for a while that a name was not there, and so would whoever asks that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mailprov.dns import Answer, Record, dkim_records, judge, questions
from mailprov.dns.judge import Query
from mailprov.dns.records import AskedKind, Kind
from mailprov.dns.resolver import ask
from mailprov.errors import MailprovError
from mailprov.model import KeyPair

_ADDRESSES: tuple[Kind, ...] = ("A", "AAAA")
_ZONE: tuple[AskedKind, ...] = ("NS", "CNAME")
_AT_ONCE = 8
_HOPS = 4
"""CNAMEs after another that are followed"""
_MOST = 13
"""name servers of a domain that are asked; a DNS message of the former size holds no more (RFC 1035 §4.2.1)"""


def published(pairs: Iterable[KeyPair], resolver: tuple[str, int] | None) -> Mapping[str, str]:
    """By the name of each record of these keys, "" where DNS has it; else what is wrong."""
    by_place: dict[str, list[Record]] = {}
    for pair in pairs:
        by_place.setdefault(f"_domainkey.{pair.domain}", []).extend(dkim_records(pair))
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="published") as pool:
        each = pool.map(lambda pair: _of_place(pair[0], pair[1], resolver), by_place.items())
        try:
            return {name: what for found in each for name, what in found}
        except MailprovError as error:  # nobody can be asked: what waits goes on waiting
            return {
                record.name: f"{error.what}; declare `resolver`" for records in by_place.values() for record in records
            }


def _of_place(
    place: str, records: Sequence[Record], resolver: tuple[str, int] | None, hops: int = _HOPS
) -> list[tuple[str, str]]:
    """What is wrong with records below a name, which may be a zone of its own."""
    asked: list[Query] = [question for record in records for question in (*questions(record), (record.name, "CNAME"))]
    servers = list(_servers(place, resolver))
    with ThreadPoolExecutor(max_workers=_MOST, thread_name_prefix="servers") as pool:
        answers = pool.map(lambda server: ask(asked, server[1]), servers)
        told = [(who, found) for (who, _), found in zip(servers, answers, strict=True)]
    told = [(who, answers) for who, answers in told if not all(answer.why for answer in answers.values())]
    # Where none of them can be reached from here, a resolver tells.
    told = told or [("the resolver", ask(asked, resolver))]
    return [(record.name, _followed(record, told, resolver, hops)) for record in records]


def _servers(place: str, resolver: tuple[str, int] | None) -> Iterator[tuple[str, tuple[str, int]]]:
    """The names and addresses of the name servers of the zone that a name is in."""
    labels = place.split(".")
    zones = [".".join(labels[at:]) for at in range(max(1, len(labels) - 1))]
    found = ask(((zone, kind) for zone in zones for kind in _ZONE), resolver)
    # where a CNAME is, these are the servers of where that leads
    told = (found[zone, "NS"].values[:_MOST] for zone in zones if not found[zone, "CNAME"].values)
    names = next(filter(None, told), ())
    asked: list[Query] = [(name.rstrip("."), kind) for name in names for kind in _ADDRESSES]
    for (name, _), answer in ask(asked, resolver).items():
        yield from ((name, (address, 53)) for address in answer.values)


def _followed(
    record: Record, told: Sequence[tuple[str, Mapping[Query, Answer]]], resolver: tuple[str, int] | None, hops: int
) -> str:
    """What is wrong with a record, which may be in another zone, where a CNAME leads to: its servers know it then."""
    leads = {who: answers[record.name, "CNAME"].values for who, answers in told if not _texts(record, answers)}
    here = [(who, answers) for who, answers in told if not leads.get(who)]
    if here and (wrong := _wrong(record, here)):
        return wrong
    targets = sorted({name.rstrip(".").lower() for names in leads.values() for name in names})
    if targets and not hops:
        return f"{record.name} leads from one CNAME to the next"
    every = [_of_place(name, [replace(record, name=name)], resolver, hops - 1) for name in targets]
    return next((f"it leads to {name}; {what}" for found in every for name, what in found if what), "")


def _texts(record: Record, answers: Mapping[Query, Answer]) -> bool:
    return bool(answers[record.name, record.kind].values)


def _wrong(record: Record, told: Sequence[tuple[str, Mapping[Query, Answer]]]) -> str:
    """What is wrong with a record by what everybody who was asked says; "" where nothing is, and somebody answered."""
    found = [(who, judge(record, answers)) for who, answers in told]
    heard = [(who, finding) for who, finding in found if finding.status != "unknown"]
    if not heard:
        return found[0][1].what
    wrong = next(((who, finding) for who, finding in heard if finding.differs), None)
    return f"{wrong[0]}: {'it is not there' if wrong[1].status == 'missing' else wrong[1].what}" if wrong else ""
