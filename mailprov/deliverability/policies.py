"""What TXT and TLSA records of mail say, strictly read: DMARC, MTA-STS, TLS reports, DANE (pure).

DMARC is RFC 9989, which obsoletes RFC 7489; where receivers that know only the former differ, that is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 8_192
"""characters of a record that is read"""
_DMARC: Final = re.compile(r"v[ \t]*=[ \t]*dmarc1[ \t]*(;|$)", re.IGNORECASE)
_TAG: Final = re.compile(r"([A-Za-z0-9_]{1,32})[ \t]*=[ \t]*([ -:<-~]*)")
_POLICIES: Final = ("none", "quarantine", "reject")
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "sp": _POLICIES,
    "np": _POLICIES,
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "t": ("y", "n"),
    "psd": ("y", "n", "u"),
}
_MAILBOX: Final = re.compile(r"mailto:[^\s@,!]{1,64}@[A-Za-z0-9.-]{1,253}(![0-9]{1,20}[kmgt]?)?", re.IGNORECASE)
_WEB: Final = re.compile(r"https://[^\s,;!]{1,2000}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dmarc:
    """A DMARC record: its policy for the domain and for those below it ("" where there is none that is valid), whether
    it is only tried out, whether somebody gets reports, what it says of its place, and what is `wrong` with it."""

    policy: str
    below: str
    testing: bool
    reports: bool
    psd: str
    wrong: tuple[str, ...]

    @property
    def applies(self) -> bool:
        """Whether receivers go by it (RFC 9989 §4.10.1)."""
        return bool(self.policy) or self.reports


def is_dmarc(text: str) -> bool:
    """Whether it means to be a DMARC record (RFC 9989 §4.8)."""
    return _DMARC.match(text) is not None


def dmarc(text: str) -> Dmarc:
    """What a DMARC record says (RFC 9989 §4.7): what is not understood of it is left out."""
    tags, wrong = _tags(text)
    if tags.get("v") != "DMARC1":
        wrong.append("its version must be written v=DMARC1")
    policy = tags.get("p", "").lower()
    if policy not in _POLICIES:
        wrong.append(f"its policy is p={policy}" if policy else "it has no policy (p=)")
        policy = ""
    elif list(tags)[1] != "p":
        wrong.append("p= does not come right after v=DMARC1, which older receivers want (RFC 7489 §6.4)")
    for name, values in _VALUES.items():
        if name in tags and tags[name].lower() not in values:
            wrong.append(f"{name}= is none of {', '.join(values)}")
    below = tags.get("sp", "").lower()
    uris = [uri.strip() for uri in tags.get("rua", "").split(",") if uri.strip()]
    good = [uri for uri in uris if _MAILBOX.fullmatch(uri) or _WEB.fullmatch(uri)]
    if len(good) < len(uris):
        wrong.append("rua= has what is no address: write rua=mailto:somebody@example.com")
    testing, psd = tags.get("t", "").lower() == "y", tags.get("psd", "").lower()
    return Dmarc(policy, below if below in _POLICIES else policy, testing, bool(good), psd, tuple(wrong))


def sts_wrong(text: str) -> tuple[str, ...]:
    """What is wrong with a record of MTA-STS (RFC 8461 §3.1)."""
    tags, wrong = _tags(text)
    if tags.get("v") != "STSv1":
        wrong.append("its version must be written v=STSv1")
    if not re.fullmatch("[A-Za-z0-9]{1,32}", tags.get("id", "")):
        wrong.append("id= is not 1 to 32 letters and digits")
    return tuple(wrong)


def tls_reports_wrong(text: str) -> tuple[str, ...]:
    """What is wrong with a record that asks for TLS reports (RFC 8460 §3)."""
    tags, wrong = _tags(text)
    if tags.get("v") != "TLSRPTv1":
        wrong.append("its version must be written v=TLSRPTv1")
    uris = [uri.strip() for uri in tags.get("rua", "").split(",")]
    if not all(_MAILBOX.fullmatch(uri) or _WEB.fullmatch(uri) for uri in uris):
        wrong.append("rua= is no list of mailto: and https: addresses")
    return tuple(wrong)


def tlsa_wrong(text: str) -> str:
    """What is wrong with a TLSA record of SMTP (RFC 6698 §2.1, RFC 7672 §3.1); "" where nothing is."""
    words = text.split()
    if len(words) < 4 or not all(re.fullmatch(r"[0-9]{1,3}", word, re.ASCII) for word in words[:3]):
        return "it is not of the form `3 1 1 …`"
    usage, selector, matching = map(int, words[:3])
    data = "".join(words[3:])
    if usage not in (2, 3):
        return f"its usage {usage} is not used for mail: write 3 (this certificate) or 2 (who signed it)"
    if selector > 1 or matching > 2:
        return f"{selector} {matching} is no selector and matching type that is known"
    wanted = {0: 0, 1: 64, 2: 128}[matching]
    if not re.fullmatch("[0-9a-fA-F]+", data) or (wanted and len(data) != wanted):
        return f"its data is not the {wanted} hexadecimal digits of matching type {matching}"
    return ""


def _tags(text: str) -> tuple[dict[str, str], list[str]]:
    """The tags of a record in their order, and what is wrong with its form; the first of a name counts."""
    if len(text) > LONGEST:
        return {}, [f"it has more than {LONGEST:,} characters"]
    tags: dict[str, str] = {}
    wrong: list[str] = []
    for part in _parts(text):
        found = _TAG.fullmatch(part)
        if found is None:
            wrong.append(f"`{part[:40]}` is not of the form name=value")
        elif found[1].lower() in tags:
            wrong.append(f"{found[1]}= stands in it twice")
        else:
            tags[found[1].lower()] = found[2].rstrip()
    return tags, wrong[:5]


def _parts(text: str) -> Iterator[str]:
    return (part for part in (each.strip(" \t") for each in text.split(";")) if part)
