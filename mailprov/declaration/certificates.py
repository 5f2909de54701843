"""Certificates and keys as files: everything that can be known about them before they reach a host.

Daemons accept an expired certificate or a key that does not match, exit 0, and refuse every client afterwards;
so the checking is done here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

SOON: Final = timedelta(days=21)
"""a certificate that ends within this time earns a warning"""
MAX_CHAIN: Final = 10
"""certificates in one file"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the `certificate` or the `key`; a warning only where it says so."""

    where: Literal["certificate", "key"]
    what: str
    fix: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """A certificate file and its key: the chain in canonical PEM, the names it is good for, and every fault."""

    chain: str
    key: str | None
    names: tuple[str, ...]
    """the DNS names of the first certificate, lower case"""
    faults: tuple[Fault, ...]
    until: int | None = None
    """when the first certificate ends, in seconds since the epoch"""


def examine(chain: str | None, key: str | None, now: datetime) -> Examined:
    """What there is to know about the PEM texts `chain` and `key` at the moment `now` (with a time zone).

    None is one that was not read.
    """
    certificates, faults = _certificates(chain) if chain is not None else ([], [])
    private, key_faults = _private(key) if key is not None else (None, [])
    faults += key_faults
    names: tuple[str, ...] = ()
    if certificates:
        leaf = certificates[0]
        names = _names(leaf)
        faults += [*_leaf_faults(leaf, now), *_chain_faults(certificates, now)]
        if private is not None and _public(private.public_key()) != _public(leaf.public_key()):
            faults.append(Fault("key", "this key does not belong to the certificate", "name the key it was made with"))
    pem = "".join(certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in certificates)
    until = int(certificates[0].not_valid_after_utc.timestamp()) if certificates else None
    clean = key.replace("\r\n", "\n").strip() + "\n" if key is not None else None
    return Examined(pem, clean, names, tuple(faults), until)


Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def _certificates(text: str) -> tuple[list[x509.Certificate], list[Fault]]:
    if "PRIVATE KEY-----" in text:
        return [], [Fault("certificate", "this file holds a private key, too", "keep the key in a file of its own")]
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except (ValueError, UnsupportedAlgorithm, TypeError):
        return [], [
            Fault("certificate", "no certificate can be read here", "name a PEM file (-----BEGIN CERTIFICATE-----)")
        ]
    if len(found) > MAX_CHAIN:
        return [], [Fault("certificate", f"{len(found)} certificates are too many for a chain", "name no CA bundle")]
    return found, []


def _private(text: str) -> tuple[Private | None, list[Fault]]:
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        return None, [Fault("key", "this key is encrypted: no server could start with it", "decrypt it: openssl pkey")]
    except (ValueError, UnsupportedAlgorithm):
        return None, [Fault("key", "no private key can be read here", "name a PEM file (-----BEGIN PRIVATE KEY-----)")]
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        return key, []
    return None, [Fault("key", "mail clients do not know this kind of key", "make an EC (P-256) or RSA key")]


def _public(key: object) -> bytes:
    encode = getattr(key, "public_bytes", None)
    return encode(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if encode else b""


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(name.lower() for name in alternative.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError):
        return ()


def _leaf_faults(leaf: x509.Certificate, now: datetime) -> Iterator[Fault]:
    yield from _dates(leaf, now, "the certificate")
    yield from _strength(leaf)
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usage:
        yield Fault("certificate", "this certificate is not made for servers", "ask for one with usage serverAuth")


def _dates(certificate: x509.Certificate, now: datetime, which: str) -> Iterator[Fault]:
    now = now if now.tzinfo else now.replace(tzinfo=UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        yield Fault("certificate", f"{which} is valid only from {begin:%Y-%m-%d %H:%M} UTC", "check the clock, or wait")
    elif now > end:
        yield Fault("certificate", f"{which} expired on {end:%Y-%m-%d %H:%M} UTC", "renew it")
    elif end - now < SOON:
        yield Fault("certificate", f"{which} expires on {end:%Y-%m-%d %H:%M} UTC", "renew it", warning=True)


def _strength(leaf: x509.Certificate) -> Iterator[Fault]:
    try:
        key = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        yield Fault("certificate", "mail clients do not know this kind of key", "make an EC (P-256) or RSA key")
        return
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < 2048:
            yield Fault("certificate", f"an RSA key of {key.key_size} bits is too weak", "make one of at least 2048")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            yield Fault("certificate", f"the curve {key.curve.name} is not offered to clients", "use P-256 or P-384")
    elif isinstance(key, ed25519.Ed25519PublicKey):
        yield Fault("certificate", "few mail clients know Ed25519 certificates", "use P-256 or RSA", warning=True)
    else:
        yield Fault("certificate", "mail clients do not know this kind of key", "make an EC (P-256) or RSA key")
    if leaf.subject != leaf.issuer and _digest(leaf) in ("md5", "sha1"):
        yield Fault("certificate", "this certificate is signed with a broken digest", "ask for one signed with SHA-256")


def _digest(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return ""
    return algorithm.name if isinstance(algorithm, hashes.HashAlgorithm) else ""


def _chain_faults(certificates: Sequence[x509.Certificate], now: datetime) -> Iterator[Fault]:
    for number, (lower, upper) in enumerate(pairwise(certificates), start=1):
        if lower.issuer != upper.subject:
            yield Fault(
                "certificate",
                f"certificate {number + 1} in this file did not sign certificate {number}",
                "order them: the host's own first, then each one's signer (RFC 8446 §4.4.2)",
            )
            return
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            yield Fault(
                "certificate",
                f"certificate {number + 1} has the right name, but did not sign certificate {number}",
                "name the chain that came with the certificate",
            )
            return
        yield from _dates(upper, now, f"certificate {number + 1} of the chain")
    leaf = certificates[0]
    if len(certificates) == 1 and leaf.subject != leaf.issuer:
        lacking = "the intermediate certificate is missing"
        fix = "append the signer's certificate to the file (fullchain.pem has it)"
        yield Fault("certificate", lacking, fix, warning=not _names_its_signer(leaf))


def _names_its_signer(leaf: x509.Certificate) -> bool:
    """Whether the certificate tells where its signer's certificate is, as those of public CAs do (RFC 5280 §4.2.2.1).

    Clients that are not browsers do not fetch it; without it, this may be a private CA that signs with its root.
    """
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(item.access_method == AuthorityInformationAccessOID.CA_ISSUERS for item in access)
