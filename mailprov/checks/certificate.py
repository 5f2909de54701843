"""Judging a certificate by its own words, apart from who signed it. Pure: bytes and a clock reading in, words out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from mailprov.checks.cause import Cause, clean

WARN_BEFORE = timedelta(days=21)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`cause` is NONE where nothing is wrong; EXPIRES_SOON is a warning, everything else an error."""

    cause: Cause
    detail: str
    until: datetime | None = None
    """when the certificate ends (UTC), where that was asked"""


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate's DER in lower-case hex: 64 characters."""
    return hashlib.sha256(der).hexdigest()


def pin(chain: str) -> str:
    """The fingerprint of the first (leaf) certificate in PEM text; raises ValueError where there is none."""
    certificates = x509.load_pem_x509_certificates(chain.encode())
    return fingerprint(certificates[0].public_bytes(Encoding.DER))


def dates(der: bytes, now: datetime) -> Verdict:
    """Whether `now` (aware) lies in the certificate's validity, and how many days are left.

    Warns when less than 21 days, or less than a third of a shorter life, are left.
    Raises ValueError when `der` is no certificate.
    """
    leaf = _load(der)
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < begin:
        return Verdict(Cause.NOT_YET_VALID, f"not valid before {begin:%Y-%m-%d %H:%M} UTC", end)
    if now > end:
        return Verdict(Cause.EXPIRED, f"expired on {end:%Y-%m-%d %H:%M} UTC", end)
    left = end - now
    soon = left < min(WARN_BEFORE, (end - begin) / 3)
    return Verdict(
        Cause.EXPIRES_SOON if soon else Cause.NONE,
        f"valid until {end:%Y-%m-%d}, {left.days} day{'' if left.days == 1 else 's'} left",
        end,
    )


def name(der: bytes, server_name: str) -> Verdict:
    """Whether the certificate is for `server_name` (a DNS name in A-labels, or an IP address).

    Only subjectAltName counts, and `*` only as the whole first label (RFC 9525 §6.3, §6.4).
    Raises ValueError when `der` is no certificate.
    """
    names, addresses = _subjects(_load(der))
    try:
        covered = ip_address(server_name) in [ip_address(address) for address in addresses]
    except ValueError:
        covered = any(_matches(pattern, server_name) for pattern in names)
    listed = clean(", ".join((*names, *addresses)) or "no name at all", limit=120)
    if covered:
        return Verdict(Cause.NONE, f"for {listed}")
    return Verdict(Cause.WRONG_NAME, f"for {listed}; clients ask for {server_name}")


def summary(der: bytes) -> str:
    """Fingerprint, serial number and issuer in one line; raises ValueError when `der` is no certificate."""
    leaf = _load(der)
    issuer = clean(leaf.issuer.rfc4514_string(), limit=80)
    return f"SHA-256 {fingerprint(der)}, serial {leaf.serial_number:x}, issuer {issuer}"


def sent_alone(chain: tuple[bytes, ...]) -> bool:
    """Whether the server sent only a leaf that it did not sign itself: an intermediate may be missing."""
    if len(chain) != 1:
        return False
    try:
        leaf = _load(chain[0])
        return leaf.issuer != leaf.subject
    except ValueError:
        return False


def leaves_out(chain: tuple[bytes, ...], known: str = "") -> str:
    """How it shows that a server which sent `chain` (DER, leaf first) leaves out an intermediate; "" where it does not.

    OpenSSL gives code 20 for that as well as for a CA that nobody knows. They differ in this: the issuer of the last
    certificate sent is among `known` (PEM) and is itself no root, or that certificate says where its issuer is
    published (caIssuers, RFC 5280 §4.2.2.1), as those of public CAs do and a root's own children need not.
    """
    try:
        last = _last([_load(der) for der in chain])
        if last is None or last.issuer == last.subject:
            return ""
        for issuer in x509.load_pem_x509_certificates(known.encode()) if "BEGIN CERTIFICATE" in known else ():
            if issuer.subject == last.issuer and issuer.issuer != issuer.subject and _signed(last, issuer):
                return f"its issuer {_short(last.issuer)} is known here, and was not sent"
        about = last.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        where = [each.access_location.value for each in about if each.access_method == _CA_ISSUERS]
    except (ValueError, x509.ExtensionNotFound):
        return ""
    return clean(f"its issuer {_short(last.issuer)} was not sent, and is published at {where[0]}") if where else ""


_CA_ISSUERS = AuthorityInformationAccessOID.CA_ISSUERS


def _last(chain: list[x509.Certificate]) -> x509.Certificate | None:
    """The end of the path that begins with the leaf, through what was sent, in whatever order it was sent."""
    if not chain:
        return None
    last, rest = chain[0], chain[1:]
    while last.issuer != last.subject:
        issuers = [each for each in rest if each.subject == last.issuer]
        if not issuers:
            break
        last = issuers[0]
        rest = [each for each in rest if each is not last]
    return last


def _signed(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _short(name: x509.Name) -> str:
    return clean(name.rfc4514_string(), limit=80)


def _load(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def _subjects(leaf: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error
    names = tuple(found.get_values_for_type(x509.DNSName))
    return names, tuple(str(address) for address in found.get_values_for_type(x509.IPAddress))


def _matches(pattern: str, server_name: str) -> bool:
    wanted = server_name.lower().removesuffix(".").split(".")
    offered = pattern.lower().removesuffix(".").split(".")
    if offered[0] == "*" and len(offered) > 2:
        return len(wanted) == len(offered) and wanted[1:] == offered[1:]
    return wanted == offered
