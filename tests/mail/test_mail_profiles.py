"""What `mailprov profiles` writes, used as it is by the programs that it is for."""

from __future__ import annotations

import mailbox
import os
import pty
import shutil
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mail_clients import arrives, deliver
from mail_machine import ALICE, BOB, CAROL, HOSTNAME, LI, PASSWORDS, Machine

pytestmark = [pytest.mark.host, pytest.mark.one_release]

STARTTLS = {"pop3": {"starttls": 110}, "imap": {"starttls": 143}, "submission": {"starttls": 587}}


class Desk:
    """Where somebody sits who has got a folder: a home, a network that knows the mail host's name, and a terminal."""

    def __init__(self, mail: Machine, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        self._folder = folder
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{mail.address} {HOSTNAME}\n")
        (folder / "certs").mkdir()
        shutil.copy(mail.roots, folder / "certs/ca-certificates.crt")
        rehash = ("openssl", "rehash", str(folder / "certs"))
        shutil.copy(mail.roots, folder / "certs/ca.pem")
        subprocess.run(rehash, check=True, capture_output=True)

    def maildir(self, *parts: str) -> list[str]:
        return [str(letter["Subject"]) for letter in mailbox.Maildir(self.home.joinpath("Mail", *parts), create=False)]

    def run(self, command: str, password: str) -> str:
        """Run a command line as a person would, who types a password where one is asked for."""
        binds = f"mount --bind {self._folder}/hosts /etc/hosts && mount --bind {self._folder}/certs /etc/ssl/certs"
        script = f"{binds} && cd && exec setsid --ctty sh -c '{command}'"
        terminal, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        process = subprocess.Popen(
            ("unshare", "--mount", "--propagation", "private", "sh", "-c", script),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"HOME": str(self.home), "PATH": os.environ["PATH"], "USER": "root", "LANG": "C.UTF-8"},
        )
        os.close(slave)
        said = ""
        while True:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # how Linux says that nobody holds the other end
                break
            said += part.decode("utf-8", "replace")
            if "assword" in said.rpartition("\n")[2]:
                os.write(terminal, f"{password}\n".encode())
                said += "\n"
        os.close(terminal)
        assert process.wait(60) == 0, said
        return said


@pytest.fixture(scope="module", params=["as declared", "STARTTLS only"])
def profiles(request: pytest.FixtureRequest, mail: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of people, made for the listeners that are found good from here."""
    out = tmp_path_factory.mktemp("profiles") / "out"
    declared: dict[str, Any] = dict(mail.declared)
    if request.param == "STARTTLS only":
        mail.declared = {**declared, "services": STARTTLS}
    try:
        made = mail.mailprov("profiles", "--verified", "--lang", "en", "-o", str(out))
    finally:
        mail.declared = declared
    assert made.status == 0, made.said
    assert "left out" not in made.said
    yield out / "people"


@pytest.fixture
def desk(mail: Machine, tmp_path: Path) -> Desk:
    return Desk(mail, tmp_path)


def installed(source: Path, target: Path) -> None:
    """Save a file as its first lines say."""
    shutil.copy(source, target)
    target.chmod(0o600)


def test_mpop_uses_its_file(mail: Machine, profiles: Path, desk: Desk) -> None:
    installed(profiles / BOB / "mpoprc", desk.home / ".mpoprc")
    for part in ("cur", "new", "tmp"):
        (desk.home / "Mail" / BOB / part).mkdir(parents=True)
    subject = deliver(mail, BOB)
    assert arrives(mail, BOB, subject)
    desk.run("mpop", PASSWORDS[BOB])
    assert subject in desk.maildir(BOB)
    # It was left on the server, and is not fetched again.
    count = len(desk.maildir(BOB))
    desk.run("mpop", PASSWORDS[BOB])
    assert len(desk.maildir(BOB)) == count
    assert arrives(mail, BOB, subject)


def test_mbsync_uses_its_file(mail: Machine, profiles: Path, desk: Desk) -> None:
    installed(profiles / LI / "mbsyncrc", desk.home / ".mbsyncrc")
    (desk.home / "Mail" / LI).mkdir(parents=True)
    subject = deliver(mail, LI)
    assert arrives(mail, LI, subject)
    desk.run("mbsync --all", PASSWORDS[LI])
    assert subject in desk.maildir(LI, "INBOX")


def test_fetchmail_uses_its_file(mail: Machine, profiles: Path, desk: Desk) -> None:
    installed(profiles / ALICE / "fetchmailrc", desk.home / ".fetchmailrc")
    subject = deliver(mail, ALICE)
    assert arrives(mail, ALICE, subject)
    desk.run('fetchmail --nosyslog --pidfile pid --mda "cat >>$HOME/got"', PASSWORDS[ALICE])
    assert f"Subject: {subject}\n" in (desk.home / "got").read_text()


def test_no_program_speaks_to_somebody_else(mail: Machine, profiles: Path, desk: Desk, tmp_path: Path) -> None:
    """The files make programs look at the certificate: one that they do not know is no server to log in to."""
    for certificate in (tmp_path / "certs").iterdir():
        certificate.unlink()
    installed(profiles / CAROL / "mpoprc", desk.home / ".mpoprc")
    installed(profiles / CAROL / "mbsyncrc", desk.home / ".mbsyncrc")
    installed(profiles / CAROL / "fetchmailrc", desk.home / ".fetchmailrc")
    (desk.home / "Mail" / CAROL).mkdir(parents=True)
    for command in ("mpop", "mbsync --all", "fetchmail --nosyslog --pidfile pid"):
        with pytest.raises(AssertionError, match=r"(?i)certificate|verif|trust"):
            desk.run(command, PASSWORDS[CAROL])


@pytest.mark.one_release
def test_only_what_is_verified_is_told(mail: Machine, tmp_path: Path) -> None:
    """A declared port at which nobody listens is left out."""
    services = {**mail.declared["services"], "pop3": {"starttls": 110, "tls": 1995}}
    file = tmp_path / "other.yaml"
    for name in ("mail.pem", "mail.key"):
        shutil.copy(mail.folder / name, tmp_path / name)
    mail.mailprov("validate")
    file.write_text(yaml.safe_dump({**mail.declared, "services": services}, allow_unicode=True))
    made = mail.mailprov(
        "profiles", "-f", str(file), "--verified", "--lang", "zh", "--user", BOB, "-o", str(tmp_path / "out")
    )
    assert made.status == 0, made.said
    assert f"pop3/tls {mail.address}:1995 is left out" in made.said
    config = (tmp_path / "out/people" / BOB / "autoconfig.xml").read_text()
    assert "<port>110</port>" in config and "1995" not in config
