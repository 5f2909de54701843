"""Signing a file as the site, so that devices show whose it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from mailprov.errors import MailprovError
from mailprov.model import Secret

Sign = Callable[[bytes], bytes]


def signer(chain: str, key: Secret, *, where: str = "") -> Sign:
    """A function that wraps a file into CMS SignedData, DER, with the file in it (RFC 5652 §5).

    `chain` is PEM, leaf first, and goes along. Raises MailprovError where the two cannot sign: unreadable, not a pair,
    or of a kind that CMS here has no way to use.
    """
    try:
        leaf, *others = x509.load_pem_x509_certificates(chain.encode())
        private = load_pem_private_key(key.reveal().encode(), None)
    except (ValueError, TypeError):
        raise MailprovError(
            "this certificate or its key cannot be read", where=where, fix="name PEM files, the key unencrypted"
        ) from None
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise MailprovError("profiles are signed with RSA or ECDSA keys", where=where, fix="name another pair")
    if private.public_key() != leaf.public_key():
        raise MailprovError(
            "the key is not this certificate's",
            where=where,
            fix="name the certificate and the key that belong together",
        )
    if leaf.not_valid_after_utc < datetime.now(UTC):
        raise MailprovError(
            f"the certificate ended on {leaf.not_valid_after_utc:%Y-%m-%d}", where=where, fix="name a current one"
        )

    def sign(content: bytes) -> bytes:
        builder = PKCS7SignatureBuilder().set_data(content).add_signer(leaf, private, SHA256())
        for other in others:
            builder = builder.add_certificate(other)
        return builder.sign(Encoding.DER, [PKCS7Options.Binary])

    return sign
