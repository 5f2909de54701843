"""Declarations in temporary folders, and certificates of every kind to declare."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copytree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from spec_tools import ENVIRON, NOW, Load

from mailprov.declaration import load
from mailprov.model import Spec

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """load(), of a text instead of a file."""

    def loaded(text: str | bytes, environ: Mapping[str, str] = ENVIRON, now: datetime = NOW) -> Spec:
        path = tmp_path / "mail.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return load(path, environ=environ, now=now)

    return loaded


class Maker:
    """Makes certificates, and writes them as PEM files into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.inter_key = ec.generate_private_key(ec.SECP256R1())

    def certificate(
        self,
        subject: str,
        *,
        key: Key | None = None,
        issuer: str = "",
        signer: Key | None = None,
        names: tuple[str, ...] = ("mail.example.com",),
        begin: datetime = NOW - timedelta(days=30),
        end: datetime = NOW + timedelta(days=60),
        ca: bool = False,
        aia: bool = False,
        usage: x509.ObjectIdentifier | None = None,
    ) -> x509.Certificate:
        key = key or self.key
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer or subject)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if aia:
            where = x509.UniformResourceIdentifier("http://ca.example/inter.der")
            access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), False)
        return builder.sign(signer or key, hashes.SHA256())

    def write(self, name: str, *certificates: x509.Certificate) -> None:
        (self.folder / name).write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))

    def write_key(self, name: str, key: Key, passphrase: bytes | None = None) -> None:
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        (self.folder / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        (self.folder / name).chmod(0o600)


def _make_all(make: Maker) -> None:
    make.write_key("mail.key", make.key)
    make.write_key("other.key", ec.generate_private_key(ec.SECP256R1()))
    make.write_key("encrypted.key", make.key, b"secret")
    make.write("mail.pem", make.certificate("self"))
    make.write("wildcard.pem", make.certificate("self", names=("*.example.com",)))
    make.write("expired.pem", make.certificate("self", end=NOW - timedelta(seconds=1)))
    make.write("future.pem", make.certificate("self", begin=NOW + timedelta(hours=1)))
    make.write("soon.pem", make.certificate("self", end=NOW + timedelta(days=13)))
    make.write("nameless.pem", make.certificate("mail.example.com", names=()))
    make.write("client.pem", make.certificate("self", usage=ExtendedKeyUsageOID.CLIENT_AUTH))
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    make.write_key("weak.key", weak)
    make.write("weak.pem", make.certificate("self", key=weak))
    curve = ec.generate_private_key(ec.SECP521R1())
    make.write_key("curve.key", curve)
    make.write("curve.pem", make.certificate("self", key=curve))
    root = make.certificate("root", key=make.root_key, ca=True, names=())
    inter = make.certificate("inter", key=make.inter_key, issuer="root", signer=make.root_key, ca=True, names=())
    impostor = make.certificate("inter", ca=True, names=())
    leaf = make.certificate("leaf", issuer="inter", signer=make.inter_key, aia=True)
    make.write("chain.pem", leaf, inter, root)
    make.write("disordered.pem", inter, leaf)
    make.write("swapped.pem", leaf, root, inter)
    make.write("impostor.pem", leaf, impostor)
    make.write("leaf-only.pem", leaf)
    make.write("private-ca.pem", make.certificate("leaf", issuer="root", signer=make.root_key))
    (make.folder / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (make.folder / "both.pem").write_bytes(
        (make.folder / "mail.pem").read_bytes() + (make.folder / "mail.key").read_bytes()
    )
    (make.folder / "huge.pem").write_bytes(b"#" * (1024 * 1024 + 1))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates and keys; each file's name says what is the matter with it."""
    folder = tmp_path_factory.mktemp("certs")
    _make_all(Maker(folder))
    return folder


@pytest.fixture
def with_certificates(certificates: Path, tmp_path: Path) -> Path:
    """tmp_path, with those certificates in its subfolder certs/, and a Sieve script."""
    copytree(certificates, tmp_path / "certs")
    (tmp_path / "before.sieve").write_text("stop;\n")
    return tmp_path
