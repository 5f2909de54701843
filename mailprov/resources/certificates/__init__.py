"""Certificates that live on the host: self-signed ones made there, and those that something else renews there.

A certificate from the declaration's own files is a plain secret file (resources.files).
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from mailprov.model import Change, Effect, Key, Phase, Query, State, Step, Words, fingerprint, listing
from mailprov.resources import common

KIND = "certificate"
SECTIONS = ("certificates",)
REMOVED = False
FILE = "file"
"""as what it is kept and put back where mailprov made it"""
RENEW_DAYS = 30
"""a self-signed certificate with fewer days left is made again"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate at `path` with its key at `key_path` (one file may hold both).

    `leaf` is the SHA-256 of the leaf's DER in hex. `matches`: whether the key is the certificate's. `names` are its DNS
    names, `not_after` its end (UTC), `issued`: "self" when it signs itself.
    """

    path: str
    key_path: str
    source: Literal["self_signed", "on_host", "live"]
    names: tuple[str, ...] = ()
    leaf: str = ""
    matches: bool = False
    issued: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    key_mode: str = ""
    services: tuple[str, ...] = field(default=(), compare=False)
    now: datetime | None = field(default=None, compare=False)
    """the host's clock, for a desired one"""

    @property
    def key(self) -> Key:
        """Its path."""
        return Key(KIND, self.path)

    @property
    def fingerprint(self) -> str:
        """Of the very certificate that is there, or of what is asked for."""
        return fingerprint(KIND, self.path, self.leaf, self.matches, self.key_mode, *self.names)


activation = common.no_steps
behind = common.never_behind
detail_query = common.no_details
kept_query = common.no_kept_query
lasting = common.nothing_lasts
off = common.never_off
restored = common.never_restored
with_kept = common.without_kept
foreseen = common.nothing_foreseen
foresight = common.no_foresight
pending = common.no_steps
risk_queries = common.no_risk_queries
risks = common.no_risks
runs = common.never_runs
with_details = common.without_details


def queries(desired: Sequence[Certificate]) -> tuple[Query, ...]:
    """One: the leaf certificates and whether the keys are theirs."""
    words = tuple(word for item in desired for word in (item.path, item.key_path))
    return (Query("certificates", "certificates", words),) if words else ()


def read(sections: Mapping[str, str]) -> Mapping[Key, Certificate]:
    """Those that could be read."""
    found: dict[Key, Certificate] = {}
    for block in sections.get("certificates", "").split("certificate /")[1:]:
        path, _, body = block.partition("\n")
        item = _read_one("/" + path, body)
        if item is not None:
            found[item.key] = item
    return found


def prepare() -> None:
    """Load what reads certificates."""
    import cryptography.x509  # noqa: F401 - heavy, and most hosts' certificates are plain files


def _read_one(path: str, body: str) -> Certificate | None:
    from cryptography import x509

    begin, end = body.find("-----BEGIN"), body.find("-----END CERTIFICATE-----")
    if begin < 0 or end < 0:
        return None
    try:
        der = ssl.PEM_cert_to_DER_cert(body[begin : end + 25])
        leaf = x509.load_der_x509_certificate(der)
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = tuple(extension.value.get_values_for_type(x509.DNSName))
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion):
        return None
    mode = next((line.split(" ")[1] for line in body.splitlines() if line.startswith("mode ")), "")
    return Certificate(
        path,
        "",
        "live",
        names,
        hashlib.sha256(der).hexdigest(),
        "\nmatches" in body,
        "self" if leaf.issuer == leaf.subject else leaf.issuer.rfc4514_string(),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        mode,
    )


def same(desired: Certificate, live: Certificate, made: str) -> bool:
    """Self-signed: ours, for these names, with days left. On the host: the one that the daemons have loaded."""
    if desired.source == "on_host":
        return live.leaf == made and live.matches
    days = (live.not_after - desired.now).days if live.not_after and desired.now else 0
    ours = live.issued == "self" and live.names == desired.names and live.matches and live.key_mode == "600"
    return ours and days >= RENEW_DAYS and made in ("", live.leaf)


def moved(live: Certificate, asked: str, made: str) -> bool:
    """Another one is there than was made or taken up."""
    return live.leaf != made


def made(live: Certificate) -> str:
    """The certificate itself, by its fingerprint."""
    return live.leaf


def delta(before: Certificate | None, after: Certificate | None) -> Words:
    """What is made or taken up, and why."""
    if after is None:
        return Words("remove")
    if after.source == "on_host":
        until = f", valid until {before.not_after:%Y-%m-%d}" if before and before.not_after else ""
        return Words(f"take up the certificate that is there{until}", aspects=_aspects(before, after))
    names = ", ".join(after.names)
    if before is None:
        return Words(f"make a self-signed one for {names}")
    until = f", ends {before.not_after:%Y-%m-%d}" if before.not_after else ""
    told = f"make a new self-signed one for {names} (there: {', '.join(before.names)}{until})"
    return Words(told, aspects=_aspects(before, after))


def _aspects(before: Certificate | None, after: Certificate) -> frozenset[str]:
    """Whether another one is there that clients can use; one that they cannot is no renewal."""
    usable = after.now is not None and not problems(before, after.names[0], after.now)
    return frozenset(("renewed",) if usable else ("unusable",))


def effects(before: Certificate | None, after: Certificate | None) -> Mapping[str, Effect]:
    """Each daemon reads certificates at its own reload."""
    return dict.fromkeys((after or before).services, Effect.RELOAD) if after or before else {}  # type: ignore[union-attr]


def paths(item: Certificate) -> tuple[str, ...]:
    """Its own, where mailprov makes it."""
    return (item.path,) if item.source == "self_signed" else ()


def former(key: Key) -> Key:
    """It goes as the file that it is, if mailprov put it there."""
    return Key(FILE, key.name)


def obstacles(before: Certificate | None, after: Certificate | None, there: State) -> tuple[tuple[str, str], ...]:
    """What is in the place of one that mailprov makes, and is no plain file."""
    if after is None or after.source != "self_signed":
        return ()
    found = there.get(Key(FILE, after.path))
    noun = listing.noun(found) if found else "file"
    return ((after.path, noun),) if noun != "file" else ()


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """A self-signed one is made in the transaction's folder and put in place; one on the host is left as it is."""
    made: list[Step] = []
    for change in changes:
        after = change.after
        if isinstance(after, Certificate) and after.source == "self_signed":
            put, restore = ("put", "@", after.path, "600", "root", "root"), ("restore", "@", after.path)
            stage = ("self_signed", "@", after.path, *after.names)
            made.append(Step(Phase.COMMIT, f"make {after.path}", put, restore, stage, key=Key(FILE, after.path)))
        elif isinstance(after, Certificate):
            note = ("note_certificate", "@", after.path)
            made.append(Step(Phase.COMMIT, f"note which certificate is at {after.path}", note, ("keep",)))
    return tuple(made)


def problems(certificate: Certificate | None, hostname: str, now: datetime) -> tuple[str, ...]:
    """Why clients could not use a certificate that is on the host; empty when they can (RFC 6125 for the name)."""
    if certificate is None:
        return ("there is no readable certificate",)
    found: list[str] = []
    if not certificate.matches:
        found.append("its key is missing or belongs to another certificate")
    if certificate.not_after and certificate.not_after <= now:
        found.append(f"it expired on {certificate.not_after:%Y-%m-%d}")
    if certificate.not_before and certificate.not_before > now:
        found.append(f"it is not valid before {certificate.not_before:%Y-%m-%d}")
    parent = hostname.partition(".")[2]
    covering = {hostname, f"*.{parent}"} if "." in parent else {hostname}  # "*.com" would cover too much
    if not covering & {name.lower() for name in certificate.names}:
        found.append(f"it does not name {hostname} (it names {', '.join(certificate.names) or 'nothing'})")
    return tuple(found)


def clock(seconds: int) -> datetime:
    """Seconds since the epoch as a UTC datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def bare(name: str) -> Certificate:
    """A path."""
    return Certificate(name, name, "live")
