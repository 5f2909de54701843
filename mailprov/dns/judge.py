"""What is there against what is wanted (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal

from mailprov.dns.records import AskedKind, Kind, Record, Spf

Status = Literal["ok", "missing", "different", "extra", "unknown"]
Query = tuple[str, AskedKind]
"""a name and a type"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a resolver says: the records, () where there are none; or `why` it says nothing."""

    values: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """How a record is there: `found` what is, `what` is wrong with it, and the `fix`; both "" where all is well.

    "extra": what is wanted is there, with more beside it. "unknown": the resolver gave no answer.
    """

    record: Record
    status: Status
    found: tuple[str, ...] = ()
    what: str = ""
    fix: str = ""

    @property
    def differs(self) -> bool:
        """Whether something must be done. An optional record may be missing."""
        return self.status != "ok" and not (self.status == "missing" and self.record.optional)


def questions(record: Record) -> Iterator[Query]:
    """What must be asked to judge `record`. A CNAME may be replaced by the addresses of what it leads to."""
    yield record.name, record.kind
    if record.kind == "A" and not record.values:
        yield record.name, "AAAA"
    if record.kind == "CNAME":
        for name in (record.name, record.values[0].removesuffix(".")):
            yield name, "A"
            yield name, "AAAA"


def judge(record: Record, answers: Mapping[Query, Answer]) -> Finding:
    """How what is there compares with what is wanted. `answers` has one for each of `questions(record)`."""
    answer = answers[record.name, record.kind]
    if answer.why:
        fix = "see whether the resolver can be reached, or ask another one (--resolver)"
        return Finding(record, "unknown", (), f"no answer: {answer.why}", fix)
    if record.spf is not None:
        return _spf(record, record.spf, [text for text in answer.values if _tag(text, "v=spf1")])
    if record.dkim:
        return _dkim(record, [text for text in answer.values if "p" in tags(text)])
    if record.kind == "TXT":
        return _dmarc(record, [text for text in answer.values if _tag(text, "v=DMARC1")])
    if record.provider is not None:
        return _provider_mx(record, answer.values)
    if record.kind == "A" and not record.values:
        found = (*answer.values, *answers[record.name, "AAAA"].values)
        return Finding(record, "ok", found) if found else _missing(record)
    if record.kind == "CNAME" and not answer.values:
        return _same_place(record, answers)
    return _compared(record, answer.values)


def _compared(record: Record, found: Sequence[str]) -> Finding:
    wanted, there = ({_essence(record.kind, value) for value in side} for side in (record.values, found))
    if not there:
        return _missing(record)
    if wanted == there:
        return Finding(record, "ok", tuple(found))
    if wanted < there:
        surplus = tuple(value for value in found if _essence(record.kind, value) not in wanted)
        return Finding(record, "extra", tuple(found), f"not declared: {', '.join(surplus)}", "remove it, or declare it")
    return Finding(record, "different", tuple(found), f"found {', '.join(found)}", f"replace it: {_shown(record)}")


def _essence(kind: Kind, value: str) -> str:
    """What counts of a value: preferences, priorities and weights are the owner's own choice."""
    words = value.lower().split()
    if kind == "MX":
        return words[-1]
    if kind == "SRV":
        return "." if words[-1] == "." else " ".join(words[2:])
    if kind in ("A", "AAAA"):
        return str(ip_address(value))
    return value.lower()


def _missing(record: Record) -> Finding:
    return Finding(record, "missing", (), f"nothing is there: {record.why}", f"add it: {_shown(record)}")


def _shown(record: Record) -> str:
    return f"{record.name}. {record.kind} {' and '.join(record.shown) or 'or AAAA, with its public address'}"


def _tag(text: str, version: str) -> bool:
    """Whether a TXT record begins with this version, as a word (RFC 7208 §4.5, RFC 7489 §6.3)."""
    first = text.replace(";", " ").split()[:1]
    return bool(first) and first[0].lower() == version.lower()


def _one(record: Record, found: Sequence[str]) -> Finding | None:
    """The finding where there is not exactly one record: several count as none."""
    if not found:
        return _missing(record)
    if len(found) > 1:
        what = f"there are {len(found)} of them, which counts as an error: {' | '.join(found)}"
        return Finding(record, "different", tuple(found), what, "merge them into one")
    return None


def _spf(record: Record, spf: Spf, found: Sequence[str]) -> Finding:
    wrong = _one(record, found)
    if wrong is not None:
        return wrong
    terms = [term.lower().removeprefix("+") for term in found[0].split()[1:]]
    if "all" in terms:
        fix = "end it with ~all or -all"
        return Finding(record, "different", tuple(found), f"it lets everybody send: {found[0]}", fix)
    # what follows `all` is never reached, a redirect neither (RFC 7208 §5.1, §6.1)
    reached = terms[: next((number for number, term in enumerate(terms) if term[1:] == "all"), len(terms))]
    for group in spf.groups:
        if not any(_allows(term, wanted) for term in reached for wanted in group):
            what = f"it is not seen to allow {group[-1]}: {found[0]}"
            return Finding(record, "different", tuple(found), what, f"add `{group[0]}` before its `all`")
    return Finding(record, "ok", tuple(found))


def _allows(term: str, wanted: str) -> bool:
    """Whether an SPF term allows what another one would; networks may be wider."""
    if term == wanted:
        return True
    kind, _, network = term.partition(":")
    if kind not in ("ip4", "ip6") or not wanted.startswith(f"{kind}:"):
        return False
    try:
        return ip_address(wanted.partition(":")[2]) in ip_network(network, strict=False)
    except (ValueError, TypeError):
        return False


def tags(text: str) -> Mapping[str, str]:
    """The tags of a record; case matters, blanks within a value mean nothing (RFC 6376 §3.2)."""
    pairs = (part.partition("=")[::2] for part in text.split(";") if "=" in part)
    return {tag.strip(): "".join(value.split()) for tag, value in pairs}


def _dkim(record: Record, found: Sequence[str]) -> Finding:
    """Whether the key under this name is the one that signs; which other tags there are is the owner's choice."""
    wrong = _one(record, found)
    if wrong is not None:
        return wrong
    there, wanted = tags(found[0]), tags(record.values[0])
    if useless := _useless(there):
        return Finding(record, "different", tuple(found), useless, f"replace it: {_shown(record)}")
    if (there["p"], there.get("k", "rsa")) != (wanted["p"], wanted["k"]):
        what = "another key is there" if there["p"] else "the key that is there is revoked (its p= is empty)"
        return Finding(record, "different", tuple(found), what, f"replace it: {_shown(record)}")
    return Finding(record, "ok", tuple(found))


def _useless(there: Mapping[str, str]) -> str:
    """Why receivers do not take a key, whichever it is (RFC 6376 §3.6.1); "" where nothing is against it."""
    if there.get("v", "DKIM1") != "DKIM1":
        return f"its version is not DKIM1: v={there['v']}"
    if not {"*", "email"} & set(there.get("s", "*").split(":")):
        return f"it is not for mail: s={there['s']}"
    if "sha256" not in there.get("h", "sha256").split(":"):
        return f"it is not for what is signed by SHA-256: h={there['h']}"
    return ""


def _dmarc(record: Record, found: Sequence[str]) -> Finding:
    """Which policy there is is the owner's choice; that it is one is not (RFC 7489 §6.3)."""
    wrong = _one(record, found)
    if wrong is not None:
        return wrong
    policy = tags(found[0].lower()).get("p", "")
    if policy not in ("none", "quarantine", "reject"):
        return Finding(
            record, "different", tuple(found), f"it has no policy (p=): {found[0]}", "write p=none or stricter"
        )
    return Finding(record, "ok", tuple(found))


def _provider_mx(record: Record, found: Sequence[str]) -> Finding:
    if not found or record.provider is None:
        return _missing(record)
    strangers = tuple(value for value in found if not record.provider.receives_at(value.split()[-1]))
    if not strangers:
        return Finding(record, "ok", tuple(found))
    name = record.provider.name.en
    if len(strangers) < len(found):
        what = f"not {name}'s: {', '.join(strangers)}"
        return Finding(record, "extra", tuple(found), what, "remove it: mail would go there as well")
    what = f"mail does not go to {name}: {', '.join(found)}"
    return Finding(record, "different", tuple(found), what, f"replace it: {_shown(record)}")


def _same_place(record: Record, answers: Mapping[Query, Answer]) -> Finding:
    """A name with addresses of its own is right where they are those of what the CNAME would lead to."""
    here, there = (
        frozenset((*answers[name, "A"].values, *answers[name, "AAAA"].values))
        for name in (record.name, record.values[0].removesuffix("."))
    )
    if not here:
        return _missing(record)
    if here <= there:
        return Finding(record, "ok", tuple(sorted(here)))
    what = f"it leads to {', '.join(sorted(here))}, which is not {record.values[0]}"
    return Finding(record, "different", tuple(sorted(here)), what, f"replace it: {_shown(record)}")
