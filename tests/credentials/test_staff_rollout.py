"""examples/staff-rollout on a real host: a hundred people from a GB18030 table, and who comes and goes afterwards."""

from __future__ import annotations

import os
import poplib
import re
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mailprov.credentials.folder import Folder
from mailprov.credentials.passwords import sha512_crypt
from mailprov.lab import Lab, LabHost
from mailprov.model import Secret

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/staff-rollout"
ACCOUNTS = "/etc/dovecot/mailprov/accounts"
LEAVE = ("jun.hu@example.com", "ji.liu@example.com", "min.xu@example.com")
JOIN = tuple(f"new{n}.wang@example.com" for n in range(1, 6))
OLD_NAME, NEW_NAME = "na.zhu@example.com", "na.zhou@example.com"


class Company:
    """The example with a lab host for its own; the tests below are its story, in order."""

    def __init__(self, folder: Path, host: LabHost) -> None:
        self.folder = folder
        self.host = host
        self.handout = Folder(folder / "handout")
        shutil.copytree(EXAMPLE, folder)
        ssh = f"{{user: root, identity_file: {host.identity_file}, known_hosts: {host.known_hosts}}}"
        declared = (folder / "mail.yaml").read_text(encoding="utf-8")
        declared, count = re.subn(r"address: 192\.0\.2\.10 .*", f"address: {host.address}\n    ssh: {ssh}", declared)
        assert count == 1
        (folder / "mail.yaml").write_text(declared, encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from mailprov.commands import main; main()", *words],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        """The exit code of `mailprov WORDS`, and all that it said: never a password."""
        process = self.start(*words)
        out, err = process.communicate(timeout=400)
        said = out + err
        assert "Traceback" not in said and "has a mistake" not in said, said
        assert not any(password in said for password in self.passwords().values())
        return process.returncode, said

    def passwords(self) -> dict[str, str]:
        if not self.handout.path.is_dir():
            return {}
        return {entry.address: entry.password.reveal() for entry in self.handout.entries()}

    def log(self) -> str:
        """What the host's mail services said last, for a failure's report."""
        script = "ss -Hltnp; journalctl -q -n 60 -u dovecot -u 'postfix*' -u 'mailprov*'"
        return self.host.run(("sh", "-c", script), check=False).stdout.decode("utf-8", "replace")

    def rows(self) -> dict[str, str]:
        """The host's passwd-file."""
        text = self.host.run(("cat", ACCOUNTS)).stdout.decode()
        return {line.partition(":")[0]: line for line in text.splitlines()}

    def pop3(self, address: str, password: str) -> poplib.POP3_SSL:
        """A session of a mail client, logged in."""
        context = ssl._create_unverified_context()  # noqa: S323
        session = poplib.POP3_SSL(self.host.address, 995, context=context, timeout=60)
        session.user(address)
        session.pass_(password)
        return session

    def edit(self, change: dict[str, str]) -> None:
        """Replace lines of the staff list (by address; "": take it out), and append the rest."""
        lines = (self.folder / "staff.csv").read_bytes().decode("gb18030").splitlines()
        left = dict(change)
        kept = [left.pop(key, line) for line in lines for key in [line.split(",")[2]]]
        text = "".join(f"{line}\r\n" for line in [*kept, *left.values()] if line)
        (self.folder / "staff.csv").write_bytes(text.encode("gb18030"))


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with Lab() as lab:
        yield Company(tmp_path_factory.mktemp("rollout") / "company", lab.boot("mail1", "bookworm"))


def joined(address: str, number: int) -> str:
    return (
        f"1{number:03},王新,{address},销售部,销售代表,+86 138 0000 1{number:03},{address.split('@')[0]}@home.example,"
    )


def test_the_plan_says_how_many_passwords_and_makes_none(company: Company) -> None:
    status, said = company.run("plan", "--out", "plan.json")
    assert status == 0, said
    assert "! 100 passwords will be generated, handed out in ./handout" in said
    assert not company.handout.path.exists()


def test_the_kept_plan_is_not_applied_without_a_folder(company: Company) -> None:
    (company.folder / "handout").write_text("in the way")
    status, said = company.run("apply", "plan.json", "--yes")
    assert (status, "this is no folder" in said) == (1, True), said
    (company.folder / "handout").unlink()
    assert company.host.run(("test", "-e", ACCOUNTS), check=False).returncode != 0


def test_a_hundred_people_log_in(company: Company) -> None:
    begun = time.monotonic()
    status, said = company.run("apply", "plan.json", "--yes")
    assert status == 0, said
    print(f"applied in {time.monotonic() - begun:.1f} s")
    entries = company.handout.entries()
    assert len(entries) == 100 and all((it.hosts, it.pending) == (("mail1",), ()) for it in entries)
    assert {it.contact.partition("@")[2] for it in entries} == {"home.example"} and len(set(company.passwords())) == 100
    assert stat.S_IMODE(company.handout.path.stat().st_mode) == 0o700
    begun = time.monotonic()
    status, said = company.run("verify", "--all-users", "--junit", "logins.xml")
    assert status == 0, said
    print(f"verified in {time.monotonic() - begun:.1f} s")
    assert "100 of 100 log in, each by pop3 995, imap 993, submission 465 as far as allowed" in said
    (suite,) = ElementTree.parse(company.folder / "logins.xml").getroot()  # noqa: S314
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("300", "0", "0")
    ports = {case.get("name", "").split()[-1] for case in suite}
    assert ports == {"995", "993", "465"}


def test_no_password_is_anywhere_else(company: Company) -> None:
    """Not on the host, in any file or in the journal; not in the plan."""
    patterns = "\n".join(company.passwords().values()).encode()
    script = (
        "cat >/dev/shm/p; grep -rlF -f /dev/shm/p /etc /var /root /run /tmp 2>/dev/null;"
        " journalctl -q -o cat | grep -cF -f /dev/shm/p; rm /dev/shm/p"
    )
    assert company.host.run(("sh", "-c", script), stdin=patterns, check=False).stdout.decode() == "0\n"
    kept = (company.folder / "plan.json").read_text()
    assert not any(password in kept for password in company.passwords().values())


def test_what_would_be_sent_is_shown(company: Company) -> None:
    status, said = company.run("handout", "send", "--passwords", "--again", "--per-minute", "60")
    assert status == 0 and "100 to send in 2 min (60 a minute); nothing was sent" in said, said
    assert company.run("profiles", "-o", "out", "--user", LEAVE[0])[0] == 0
    status, said = company.run("handout", "send", "--profiles", "out", LEAVE[0])
    assert status == 0 and "1 to send" in said, said


def test_a_welcome_waits_in_a_new_mailbox(company: Company) -> None:
    name = LEAVE[0]
    status, said = company.run("handout", "send", "--welcome", name)
    assert status == 0 and f"welcome    {name}  → {name}" in said and "nothing was sent" in said
    for count in ("1 of 1 sent; 0 had been before", "0 of 0 sent; 1 had been before"):
        status, said = company.run("handout", "send", "--welcome", name, "--send")
        assert status == 0 and count in said, said + company.log()
    session = company.pop3(name, company.passwords()[name])
    deadline = time.monotonic() + 20
    while session.stat()[0] == 0 and time.monotonic() < deadline:
        session.quit()
        time.sleep(0.5)
        session = company.pop3(name, company.passwords()[name])
    assert session.stat()[0] == 1
    letter = message_from_bytes(b"\r\n".join(session.retr(1)[1]), policy=policy.default)
    assert letter["Subject"] == "Welcome to your mailbox / 欢迎使用您的邮箱" and letter["To"] == name
    session.quit()


def test_nothing_is_left_to_do_and_no_password_is_made_again(company: Company) -> None:
    before = (company.handout.passwords.read_bytes(), company.handout.passwords.stat().st_mtime_ns)
    status, said = company.run("apply", "--yes")
    assert status == 0 and "generated" not in said
    assert company.run("plan", "--detailed-exitcode")[0] == 0
    assert (company.handout.passwords.read_bytes(), company.handout.passwords.stat().st_mtime_ns) == before
    company.handout.path.rename(company.folder / "elsewhere")
    assert company.run("apply", "--yes")[0] == 0 and not company.handout.path.exists()
    (company.folder / "elsewhere").rename(company.handout.path)


def test_three_leave_five_join_one_is_renamed_and_nobody_else_notices(company: Company) -> None:
    rows, passwords = company.rows(), company.passwords()
    stays = sorted(rows.keys() - {*LEAVE, OLD_NAME})[0]
    renamed = (company.folder / "staff.csv").read_bytes().decode("gb18030").splitlines()
    (line,) = (line for line in renamed if f",{OLD_NAME}," in line)
    new = {address: joined(address, n) for n, address in enumerate(JOIN)}
    company.edit(dict.fromkeys(LEAVE, "") | {OLD_NAME: line.replace(OLD_NAME, NEW_NAME)} | new)
    session = company.pop3(stays, passwords[stays])
    status, said = company.run("plan")
    assert status == 0, said
    assert "10 of 106 accounts change (6 added, 4 removed)" in said, said
    assert "! 6 passwords will be generated, handed out in ./handout" in said
    assert "no service is reloaded or restarted" in said
    assert company.run("apply", "--yes")[0] == 5
    assert company.passwords() == passwords
    status, said = company.run("apply", "--yes", "--allow-removals")
    assert status == 0, said
    after = company.rows()
    assert after.keys() == rows.keys() - {*LEAVE, OLD_NAME} | {*JOIN, NEW_NAME}
    same = after.keys() & rows.keys()
    assert len(same) == 96 and all(after[name] == rows[name] for name in same)
    assert session.noop().startswith(b"+OK")
    session.quit()
    now = company.passwords()
    assert now.keys() == passwords.keys() - {*LEAVE, OLD_NAME} | {*JOIN, NEW_NAME}
    assert all(now[name] == password for name, password in passwords.items() if name in now)
    status, said = company.run("verify", "--all-users")
    assert status == 0 and "102 of 102 log in" in said, said
    status, said = company.run("handout", "list")
    assert status == 0 and "not declared any more" not in said and "102 passwords" in said


def test_a_password_that_its_owner_changed_is_left_alone(company: Company) -> None:
    name = JOIN[0]
    own = sha512_crypt(Secret("my own")).reveal()
    edited = f'sed "s|^{name}:[^:]*|{name}:$1|" {ACCOUNTS} >{ACCOUNTS}.x'
    script = f"cp -p {ACCOUNTS} {ACCOUNTS}.x; {edited}; mv {ACCOUNTS}.x {ACCOUNTS}"
    company.host.run(("sh", "-c", script, "sh", own))
    time.sleep(1.2)  # Dovecot looks at a passwd-file once in each second of the clock
    assert company.run("plan", "--detailed-exitcode")[0] == 0
    company.edit({JOIN[1]: joined(JOIN[1], 1).rstrip(",") + ",3GiB"})
    status, said = company.run("apply", "--yes")
    assert status == 0 and "generated" not in said, said
    assert company.rows()[name].split(":")[1] == own
    status, said = company.run("verify", "--all-users")
    assert (status, "101 of 102 log in" in said, name in said) == (9, True, True), said


def test_no_password_is_lost_when_this_machine_dies(company: Company) -> None:
    """The host may have it from the moment that it is given the work: by then it is on disk here."""
    late = "late.wang@example.com"
    company.edit({late: joined(late, 9)})
    process = company.start("apply", "--yes")
    assert process.stderr is not None
    for line in process.stderr:
        if "  1/" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    (entry,) = (entry for entry in company.handout.entries() if entry.address == late)
    assert (entry.hosts, entry.pending) == ((), ("mail1",))
    deadline = time.monotonic() + 300
    while (status := company.run("apply", "--yes")[0]) != 0:
        assert time.monotonic() < deadline and status in (1, 4, 8), status
        time.sleep(3)
    assert company.passwords()[late] == entry.password.reveal()
    assert "102 of 103 log in" in company.run("verify", "--all-users")[1]
    status, said = company.run("handout", "purge", "--yes")
    assert status == 0 and "removed 103 passwords" in said and not company.handout.path.exists()
