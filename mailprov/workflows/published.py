"""Whether records that something waits for are in DNS by now: the name servers of each domain are asked themselves.

A resolver would remember for a while that a name was not there, and so would whoever asks that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mailprov.dns import Answer, Record, dkim_records, judge, questions
from mailprov.dns.judge import Query
from mailprov.dns.records import Kind
from mailprov.dns.resolver import ask
from mailprov.errors import MailprovError
from mailprov.model import KeyPair

_ADDRESSES: tuple[Kind, ...] = ("A", "AAAA")
_AT_ONCE = 8
_MOST = 13
"""name servers of a domain that are asked; a DNS message of the former size holds no more (RFC 1035 §4.2.1)"""


def published(pairs: Iterable[KeyPair], resolver: tuple[str, int] | None) -> Mapping[str, str]:
    """By the name of each record of these keys, "" where DNS has it; else what is wrong."""
    by_domain: dict[str, list[Record]] = {}
    for pair in pairs:
        by_domain.setdefault(pair.domain, []).extend(dkim_records(pair))
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="published") as pool:
        each = pool.map(lambda pair: _of_domain(pair[0], pair[1], resolver), by_domain.items())
        try:
            return {name: what for found in each for name, what in found}
        except MailprovError as error:  # nobody can be asked: what waits goes on waiting
            return {
                record.name: f"{error.what}; declare `resolver`" for records in by_domain.values() for record in records
            }


def _of_domain(domain: str, records: Sequence[Record], resolver: tuple[str, int] | None) -> list[tuple[str, str]]:
    asked = [question for record in records for question in questions(record)]
    servers = list(_servers(domain, resolver))
    with ThreadPoolExecutor(max_workers=_MOST, thread_name_prefix="servers") as pool:
        answers = pool.map(lambda server: ask(asked, server[1]), servers)
        told = [(who, found) for (who, _), found in zip(servers, answers, strict=True)]
    told = [(who, answers) for who, answers in told if not all(answer.why for answer in answers.values())]
    # Where none of them can be reached from here, a resolver tells.
    told = told or [("the resolver", ask(asked, resolver))]
    return [(record.name, _wrong(record, told)) for record in records]


def _servers(domain: str, resolver: tuple[str, int] | None) -> Iterator[tuple[str, tuple[str, int]]]:
    """The names and addresses of a domain's name servers, or of those of the domain that it is a part of."""
    labels = domain.split(".")
    for at in range(max(1, len(labels) - 1)):
        zone = ".".join(labels[at:])
        names = ask([(zone, "NS")], resolver)[zone, "NS"].values[:_MOST]
        if names:
            asked: list[Query] = [(name.rstrip("."), kind) for name in names for kind in _ADDRESSES]
            for (name, _), answer in ask(asked, resolver).items():
                yield from ((name, (address, 53)) for address in answer.values)
            return


def _wrong(record: Record, told: Sequence[tuple[str, Mapping[Query, Answer]]]) -> str:
    """What is wrong with a record by what everybody who was asked says; "" where nothing is, and somebody answered."""
    found = [(who, judge(record, answers)) for who, answers in told]
    heard = [(who, finding) for who, finding in found if finding.status != "unknown"]
    if not heard:
        return found[0][1].what
    wrong = next(((who, finding) for who, finding in heard if finding.differs), None)
    return f"{wrong[0]}: {'it is not there' if wrong[1].status == 'missing' else wrong[1].what}" if wrong else ""
