"""Asking DNS. The only file that imports dnspython, and only when something is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from mailprov.dns.judge import Answer, Query
from mailprov.errors import MailprovError
from mailprov.model.resolver import EXAMPLES, resolver_at

SECONDS = 5.0
"""how long one question may take, with its repetitions"""
_AT_ONCE = 8


def server(text: str) -> tuple[str, int]:
    """Address and port of the resolver that `text` means: IP, IP:port or [IPv6]:port. Raises MailprovError."""
    if (found := resolver_at(text)) is not None:
        return found
    fix = f"write its IP address, with a port where it is not 53: {EXAMPLES}"
    raise MailprovError(f"`{text}` is no resolver", where="--resolver", fix=fix)


def ask(questions: Iterable[Query], resolver: tuple[str, int] | None) -> Mapping[Query, Answer]:
    """What a resolver says to each question; the system's own resolver where none is given.

    Nothing about names that do not exist, and whatever keeps it from answering, is an Answer, too.
    Raises MailprovError where this system has no resolver.
    """
    import dns.resolver

    try:
        asked = dns.resolver.Resolver(configure=resolver is None)
    except dns.resolver.NoResolverConfiguration as error:
        fix = "name one: --resolver 192.0.2.53"
        raise MailprovError("this machine has no resolver", where="/etc/resolv.conf", fix=fix) from error
    if resolver is not None:
        asked.nameservers, asked.port = [resolver[0]], resolver[1]
    asked.lifetime = SECONDS
    every = tuple(dict.fromkeys(questions))
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="dns") as pool:
        return dict(zip(every, pool.map(lambda question: _one(asked, question), every), strict=True))


def _one(asked: object, question: Query) -> Answer:
    import dns.exception
    import dns.resolver

    assert isinstance(asked, dns.resolver.Resolver)  # noqa: S101 - its type has no name before the import
    name, kind = question
    try:
        answer = asked.resolve(f"{name}.", kind, raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN:
        return Answer()
    except dns.resolver.LifetimeTimeout:
        return Answer(why=f"none within {SECONDS:g} seconds")
    except dns.resolver.NoNameservers as error:
        codes = sorted({str(each[-2]) for each in error.kwargs.get("errors", ())})
        return Answer(why=", ".join(codes) or "the resolver refuses")
    except (dns.exception.DNSException, OSError) as error:
        return Answer(why=type(error).__name__)
    return Answer(tuple(sorted(map(_text, answer.rrset or ()))))


def _text(record: object) -> str:
    """A record's data as `mailprov.dns` writes it."""
    strings = getattr(record, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "backslashreplace")
    return str(record)
