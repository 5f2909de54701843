"""Commands that ask no host, as somebody types them: a process each, on the examples."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "staff-rollout", tmp_path / "work")
    return tmp_path / "work"


def typed(folder: Path, *words: str, status: int = 0, stdin: str = "") -> str:
    """What `mailprov WORDS` prints; how it ends is as expected, and never with a traceback."""
    done = subprocess.run(
        (sys.executable, "-c", "from mailprov.commands import main; main()", *words),
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "NO_COLOR": "1"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout or done.stderr


def test_dns_as_a_zone_file(folder: Path) -> None:
    zone = typed(folder, "dns", "--file", "mail.yaml", "--zonefile")
    assert "IN\tMX" in zone.replace(" ", "\t") or " MX " in zone


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "mail1", "--format", "json"),
        ("providers", "qq", "--format", "json"),
        ("dns", "--format", "json"),
        ("handout", "list", "--format", "json"),
        ("handout", "purge", "--yes", "--format", "json"),
        ("handout", "send", "--welcome", "--format", "json"),
        ("profiles", "-o", "out", "--user", "jun.hu@example.com", "--format", "json"),
        ("render", "-o", "out", "--limit", "mail1", "--format", "json"),
        ("users", "import", "staff.csv", "--format", "json"),
        ("validate", "--format", "json"),
    ],
    ids=" ".join,
)
def test_what_programs_read(folder: Path, words: tuple[str, ...]) -> None:
    found = json.loads(typed(folder, *words))
    assert found["report"] in "-".join(words)


def test_a_file_for_each_reader_in_one_run(folder: Path) -> None:
    said = typed(folder, "validate", "--sarif", "r.sarif", "--json", "r.json")
    assert " is valid: " in said
    assert json.loads((folder / "r.json").read_text())["valid"] is True
    assert json.loads((folder / "r.sarif").read_text())["version"] == "2.1.0"


def test_a_hash_of_a_password(folder: Path) -> None:
    said = typed(folder, "password", "--scheme", "SHA512-CRYPT", stdin="correct horse battery\n")
    assert said.strip().rpartition("\n")[2].startswith("{SHA512-CRYPT}$6$") and "correct" not in said


def test_a_provider_that_nobody_knows(folder: Path) -> None:
    said = typed(folder, "doctor", "--provider", "nobody-knows-this", status=1)
    assert "nobody-knows-this" in said


def test_profiles_with_everything(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer.example.com")])
    now = datetime.now(UTC).replace(tzinfo=None)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now)
    signer = builder.not_valid_after(now + timedelta(days=9)).sign(key, hashes.SHA256())
    (folder / "signer.pem").write_bytes(signer.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "signer.key").touch(0o600)
    (folder / "signer.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    sign = ("--sign-cert", "signer.pem", "--sign-key", "signer.key", "--ca", "signer.pem")
    person = ("--user", "jun.hu@example.com", "--limit", "mail1", "--lang", "en,zh")
    typed(folder, "profiles", "-o", "out", *person, "--prefer", "imap", "--helpdesk", "IT, 8008", *sign)
    made = [path for path in (folder / "out").rglob("*") if path.is_file()]
    guide = next(path for path in made if path.suffix == ".html" and "jun.hu" in str(path))
    assert "IT, 8008" in guide.read_text(encoding="utf-8") and "993" in guide.read_text(encoding="utf-8")
    (apple,) = (path for path in made if path.suffix == ".mobileconfig")
    assert apple.read_bytes()[:1] == b"\x30", "a signed one is DER (CMS, RFC 5652)"


def test_a_column_that_may_say_who_has_left(folder: Path) -> None:
    (folder / "list.csv").write_text("email,VIP\na@example.com,yes\nb@example.com,no\n", encoding="utf-8")
    assert "number 2  (not used)" in typed(folder, "users", "import", "list.csv", status=3)
    assert "2 users" in typed(folder, "users", "import", "list.csv", "--ignore", "vip")


def test_warnings_taken_for_errors(folder: Path) -> None:
    (folder / "one.yaml").write_text(
        "mailprov: 1\nhosts: {mail.example.com: {address: 192.0.2.10}}\ndomains: [example.com]\n"
        "tls: {self_signed: {}}\nservices: {imap: true}\n",
        encoding="utf-8",
    )
    typed(folder, "validate", "-f", "one.yaml")
    assert "--strict takes warnings for errors" in typed(folder, "validate", "-f", "one.yaml", "--strict", status=3)


@pytest.mark.parametrize("words", [("validate",), ("dns",), ("password",), ("plan",), ("password", "reset", "--ask")])
def test_who_closes_stdin_says_nothing(folder: Path, words: tuple[str, ...]) -> None:
    line = f"exec {sys.executable} -m mailprov {' '.join(words)} <&-"
    done = subprocess.run(("sh", "-c", line), cwd=folder, capture_output=True, text=True, timeout=60)
    assert "has a mistake" not in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert (done.returncode == 0) == (words in (("validate",), ("dns",))), done.stderr


def test_no_more_of_stdin_is_read_than_a_password(folder: Path) -> None:
    with Path("/dev/zero").open() as endless:
        command = (sys.executable, "-m", "mailprov", "password")
        done = subprocess.run(command, cwd=folder, stdin=endless, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "this password has more than 512 characters" in done.stderr
