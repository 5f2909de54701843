"""Whether an SPF record lets an address send for a domain (RFC 7208; pure: who asks DNS is given)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from mailprov.dns.judge import Answer
from mailprov.dns.records import AskedKind
from mailprov.dns.spf_syntax import Directive, Syntax, expanded, is_spf, parsed

Result = Literal["pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"]
"""RFC 7208 §2.6"""
Lookup = Callable[[str, AskedKind], Answer]
"""What DNS says of a name: within a time that it bounds itself."""

LOOKUPS: Final = 10
"""terms that ask DNS; more are a permerror (RFC 7208 §4.6.4)"""
VOID: Final = 2
"""questions that nothing answers; more are a permerror (RFC 7208 §4.6.4)"""
_NAMES: Final = 10
"""of the MX or PTR records of one name that are looked at (RFC 7208 §4.6.4)"""
_QUALIFIERS: Final[dict[str, Result]] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a receiver comes to: the `result`, the term that `matched` in which `record`, or `why` none could be had.

    `lookups` is how many of the ten that SPF allows were used. `by_sender`: the outcome may be another for another
    mailbox of the domain, because the record asks for its name (%{s}, %{l}).
    """

    result: Result
    matched: str = ""
    why: str = ""
    record: str = ""
    lookups: int = 0
    by_sender: bool = False


class _End(Exception):
    """An evaluation that is over before its record ends."""

    def __init__(self, result: Result, why: str) -> None:
        self.result: Result = result
        self.why = why


def evaluate(
    address: IPv4Address | IPv6Address, domain: str, lookup: Lookup, *, helo: str = "", local: str = "postmaster"
) -> Evaluation:
    """check_host() of RFC 7208 §4 for mail from `local`@`domain` that comes from `address`. Raises nothing."""
    run = _Run(address, domain, lookup, helo or domain, local)
    try:
        result, matched = run.check(domain)
        why = ""
    except _End as end:
        result, matched, why = end.result, "", end.why
    return Evaluation(result, matched, why, run.record, run.lookups, run.by_sender)


class _Run:
    """One evaluation: what is asked about, and how much of DNS was used."""

    def __init__(self, address: IPv4Address | IPv6Address, domain: str, lookup: Lookup, helo: str, local: str) -> None:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None  # RFC 7208 §5
        self.address: IPv4Address | IPv6Address = mapped or address
        self.sender, self.helo, self.local = domain, helo, local
        self.ask = lookup
        self.record = ""
        self.lookups = self.void = 0
        self.by_sender = False
        self.kind: AskedKind = "A" if self.address.version == 4 else "AAAA"

    def check(self, domain: str) -> tuple[Result, str]:
        """What the record of `domain` comes to, and the term that says so. Raises _End."""
        text = self._text(domain)
        if text is None:
            return "none", ""
        self.record = self.record or text
        try:
            record = parsed(text)
        except Syntax as wrong:
            raise _End("permerror", f"the record of {domain} is not valid: {wrong}") from None
        for term in record.directives:
            if self._matches(term, domain):
                return _QUALIFIERS[term.qualifier], term.text if domain == self.sender else f"{term.text} of {domain}"
        if not record.redirect:
            return "neutral", ""
        self._count()
        target = self._expand(record.redirect, domain)
        result, matched = self.check(target)
        if result == "none":
            raise _End("permerror", f"redirect={target} leads to no SPF record")
        return result, matched

    def _text(self, domain: str) -> str | None:
        if not _is_name(domain):
            return None
        found = [text for text in self._asked(domain, "TXT") if is_spf(text)]
        if len(found) > 1:
            raise _End("permerror", f"{domain} has {len(found)} SPF records, and one is allowed")
        return found[0] if found else None

    # --- DNS

    def _asked(self, name: str, kind: AskedKind) -> tuple[str, ...]:
        answer = self.ask(name, kind)
        if answer.why:
            raise _End("temperror", f"{name} {kind}: {answer.why}")
        return answer.values

    def _needed(self, name: str, kind: AskedKind) -> tuple[str, ...]:
        """As `_asked`, for a term: it may ask in vain seldom."""
        found = self._asked(name, kind) if _is_name(name) else ()
        if not found:
            self.void += 1
            if self.void > VOID:
                raise _End("permerror", f"more than {VOID} of its names do not exist, {name} the last")
        return found

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > LOOKUPS:
            raise _End("permerror", f"it takes more than {LOOKUPS} DNS lookups")

    # --- terms

    def _matches(self, term: Directive, domain: str) -> bool:
        if term.name == "all":
            return True
        if term.network is not None:
            return _within(self.address, term.network)
        self._count()
        target = self._expand(term.spec, domain) if term.spec else domain
        if term.name == "include":
            return self._included(target)
        if term.name == "exists":
            return bool(self._needed(target, "A"))
        if term.name == "ptr":
            return any(_below(name, target) for name in self._validated())
        hosts = [target] if term.name == "a" else self._exchangers(target)
        found = (text for host in hosts for text in self._needed(host, self.kind))
        length = term.prefix4 if self.address.version == 4 else term.prefix6
        return any(_same(self.address, text, length) for text in found)

    def _included(self, target: str) -> bool:
        """RFC 7208 §5.2: what fails there does not match here; what cannot be read there is an error here."""
        result, _ = self.check(target)
        if result == "none":
            raise _End("permerror", f"include:{target} leads to no SPF record")
        return result == "pass"

    def _exchangers(self, target: str) -> list[str]:
        names = [text.split()[-1].rstrip(".") for text in self._needed(target, "MX") if text.split()]
        if len(names) > _NAMES:
            raise _End("permerror", f"{target} has more than {_NAMES} MX records")
        return [name for name in names if name]

    def _validated(self) -> Iterator[str]:
        """The names of the address that lead back to it (RFC 7208 §5.5): what fails is passed over."""
        answer = self.ask(self.address.reverse_pointer, "PTR")
        for name in (text.rstrip(".").lower() for text in answer.values[:_NAMES]):
            if _is_name(name) and any(_same(self.address, text, None) for text in self.ask(name, self.kind).values):
                yield name

    def _expand(self, spec: str, domain: str) -> str:
        def value(letter: str) -> str:
            if letter in "sl":
                self.by_sender = True
            if letter == "p":
                names = list(self._validated())
                near = [name for name in names if _below(name, domain)]
                return next(iter([*near, *names]), "unknown")
            return self._values(domain)[letter]

        return _shortened(expanded(spec, value).rstrip("."))

    def _values(self, domain: str) -> dict[str, str]:
        """RFC 7208 §7.2; the nibbles of an IPv6 address stand with dots (§7.3)."""
        v4 = self.address.version == 4
        dotted = str(self.address) if v4 else ".".join(self.address.exploded.replace(":", ""))
        return {
            "s": f"{self.local}@{self.sender}",
            "l": self.local,
            "o": self.sender,
            "d": domain,
            "i": dotted,
            "v": "in-addr" if v4 else "ip6",
            "h": self.helo,
        }


def _is_name(name: str) -> bool:
    """Whether DNS can be asked for it: labels of 1 to 63 characters, at least two of them (RFC 7208 §4.3)."""
    labels = name.split(".")
    return len(labels) > 1 and len(name) <= 253 and name.isascii() and all(0 < len(label) < 64 for label in labels)


def _shortened(name: str) -> str:
    """A name that is too long loses labels on the left (RFC 7208 §7.3)."""
    while len(name) > 253 and "." in name:
        name = name.partition(".")[2]
    return name


def _below(name: str, domain: str) -> bool:
    name, domain = name.lower(), domain.lower()
    return name == domain or name.endswith(f".{domain}")


def _within(address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    return address.version == network.version and address in network


def _same(address: IPv4Address | IPv6Address, text: str, length: int | None) -> bool:
    """Whether an address record is in one network with the address; what is no address is not."""
    try:
        found = ip_address(text)
        return _within(address, ip_network((found, found.max_prefixlen if length is None else length), strict=False))
    except ValueError:
        return False


_ALL: Final = re.compile(r"[+\-~?]?all", re.IGNORECASE)


def with_term(record: str, term: str) -> str:
    """An SPF record with one more term where it is reached: before `all`, and before a redirect."""
    words = record.split()
    last = next((n for n, word in enumerate(words) if _ALL.fullmatch(word) or _redirects(word)), len(words))
    return " ".join([*words[:last], term, *words[last:]])


def _redirects(word: str) -> bool:
    return word.lower().startswith("redirect=")
