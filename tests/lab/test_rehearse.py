"""`mailprov rehearse` as somebody types it who has just unpacked the project."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.host

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "examples/quickstart/mail.yaml"


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_a_declaration_is_rehearsed(release: str, tmp_path: Path) -> None:
    junit = tmp_path / "r.xml"
    words = (
        "rehearse",
        "-f",
        str(QUICKSTART),
        "--limit",
        "mail1",
        "--release",
        release,
        "--keep",
        *("--format", "json", "--junit", str(junit)),
    )
    program = (sys.executable, "-c", "from mailprov.commands import main; main()")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen((*program, *words), text=True, **pipes) as process:  # type: ignore[call-overload]
        said = ""
        for line in process.stderr:
            said += line
            if "the hosts stay until this is interrupted" in line:
                break
        (login,) = re.findall(r"mail1 stays up: (ssh .*)", said) or [said]
        there = subprocess.run((*login.split(), "hostname"), capture_output=True, text=True, timeout=60)
        assert there.stdout == "mail1\n", there.stderr
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=120)
    assert process.returncode == 0, out + said + rest
    assert "rehearsed: applied, verified, and a second plan is empty" in said + rest
    assert f"booting a disposable {release}" in said
    told = json.loads(out)
    assert told["rehearsed"] and told["release"] == release
    (suite,) = ElementTree.parse(junit).getroot()  # noqa: S314
    assert (suite.get("name"), suite.get("failures"), suite.get("errors")) == ("mail1", "0", "0")
    steps = {case.get("name", "").split()[-1] for case in suite}
    assert steps >= {"login", "fetch", "rehearsal"}


EXPECTED = """\
expectations: 1
logins:
  - {user: bob@example.com, by: [pop3, imap]}
  - {user: bob@example.com, by: submission, allowed: false}
ports:
  - {port: 993, answers: tls}
  - {port: 80, answers: closed}
"""


def test_expectations_are_judged_on_a_disposable_host(tmp_path: Path) -> None:
    """Its ports are asked, and an account is logged in whose password was generated for it."""
    user = "users:\n  - {address: bob@example.com, protocols: [pop3, imap]}\n"
    text = QUICKSTART.read_text(encoding="utf-8").replace("users:\n", user)
    (tmp_path / "mail.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/first.yaml").write_text(EXPECTED)
    program = (sys.executable, "-c", "from mailprov.commands import main; main()")
    words = ("rehearse", "--test", "--format", "json")
    done = subprocess.run((*program, *words), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 expectations: 4 hold." in done.stderr
    told = json.loads(done.stdout)["expectations"]
    assert all(("rehearsal", True) in [(it["by"], it["holds"]) for it in each["findings"]] for each in told), told
