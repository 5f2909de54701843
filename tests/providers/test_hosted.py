"""People whose mailboxes a provider has, in a declaration without any host: what works, and what cannot."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailprov.commands import run

DECLARED = """\
mailprov: 1
domains:
  - {name: q.cn, hosted_by: QQ}
  - {name: x.cn, hosted_by: exmail}
  - {name: o.com, hosted_by: microsoft365}
users:
  - {address: wang@q.cn, name: Wang}
  - {address: li@x.cn, name: 李雷, protocols: [imap]}
  - {address: otto@o.com, name: Otto}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mail.yaml").write_text(DECLARED, encoding="utf-8")


def test_a_declaration_without_a_host_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate"]) == 0
    said = capsys.readouterr()
    assert "0 hosts, 3 domains (3 hosted elsewhere), 3 users" in said.out
    assert said.err == ""
    assert run(["dns"]) == 0
    assert "mxbiz1.qq.com" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        *(["plan"], ["apply", "--yes"], ["verify"], ["status"], ["history"], ["rehearse"], ["rollback", "--yes"]),
        *(["purge"], ["check-certs"], ["render", "-o", "out"], ["trust", "mail1"], ["explain", "mail1"]),
        *(["validate", "--limit", "mail1"], ["doctor", "--limit", "mail1"], ["profiles", "-o", "out", "--limit", "m"]),
    ],
    ids=" ".join,
)
def test_what_needs_a_host_says_so(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert run(command) == 1
    said = capsys.readouterr()
    assert "no host is declared, and this command works on hosts" in said.err
    assert "hosted by a provider (microsoft365, qq, tencent-exmail)" in said.err
    assert said.out == ""
    assert not Path("out").exists()


def unreachable(host: str, *more: Any, **rest: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ([], {"Microsoft 365 (Exchange Online)": {995, 993, 587}, "QQ Mail": {995, 993, 465}, "Tencent Exmail": None}),
        (["--user", "li@x.cn"], {"Tencent Exmail": {993}}),
        (["--user", "li@x.cn", "--protocol", "pop3"], {"Tencent Exmail": {995}}),
        (["--user", "nobody@q.cn"], {"QQ Mail": {995, 993, 465}}),
    ],
)
def test_doctor_looks_at_the_providers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], places: dict[str, Any]
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    assert run(["doctor", "--format", "json", *options]) == 9
    found = {host["host"]: host["checks"] for host in json.loads(capsys.readouterr().out)["hosts"]}
    assert found.keys() == places.keys()
    for name, ports in places.items():
        assert ports is None or {check["port"] for check in found[name]} == ports


# --- profiles


def made(*options: str) -> dict[str, bytes]:
    assert run(["profiles", "-o", "out", *options]) == 0
    out = Path("out")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_people_of_providers_get_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    files = made("--lang", "en")
    assert {name.split("/")[1] for name in files if name.startswith("people/")} == {
        *("wang@q.cn", "li@x.cn", "otto@o.com")
    }
    assert b"<hostname>pop.qq.com</hostname>" in files["people/wang@q.cn/autoconfig.xml"]
    assert b"pop.exmail.qq.com" not in files["people/li@x.cn/autoconfig.xml"]  # she may use IMAP alone
    assert b"authorization code" in files["people/wang@q.cn/guide.en.html"]
    assert b"no password is given out" in files["people/otto@o.com/guide.en.html"]
    assert "people/otto@o.com/otto@o.com.mobileconfig" not in files
    assert b"imap.exmail.qq.com" in files["publish/autoconfig.x.cn/mail/config-v1.1.xml"]
    said = capsys.readouterr().err
    assert "Tencent Exmail: its servers are documented, not tried (pop3, imap, submission: from third-party" in said


def test_each_reads_their_own_language() -> None:
    text = DECLARED.replace("name: Wang}", "name: Wang, language: en}")
    Path("mail.yaml").write_text(text + "handout: {language: zh, helpdesk: ext. 4400, company: 例子公司}\n", "utf-8")
    guides = {name for name in made() if "/guide." in name}
    assert guides == {
        f"people/{name}.{kind}"
        for name in ("wang@q.cn/guide.en", "li@x.cn/guide.zh", "otto@o.com/guide.zh")
        for kind in ("html", "pdf")
    }
    assert b"ext. 4400" in Path("out/people/li@x.cn/guide.zh.html").read_bytes()
    assert "people/wang@q.cn/guide.zh.pdf" in made("--lang", "zh")


def test_what_nobody_can_know_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Which of NetEase's servers a company is on is known to it alone; a provider's own domain is published by it."""
    more = "  - {name: n.cn, hosted_by: netease-qiye}\n  - {name: qq.com, hosted_by: qq}\nusers:\n"
    text = DECLARED.replace("users:\n", more) + "  - {address: hu@n.cn}\n  - {address: li@qq.com}\n"
    Path("mail.yaml").write_text(text, "utf-8")
    files = made("--lang", "en")
    said = (
        "hu@n.cn: customers of NetEase enterprise mail have different servers: say in `domains` which, {servers: […]}"
    )
    assert said in capsys.readouterr().err
    assert not [name for name in files if "n.cn" in name]
    assert [name for name in files if name.startswith("people/li@qq.com/")]
    assert not [name for name in files if name.startswith("publish/") and "qq.com" in name]


def test_the_servers_of_a_customer_are_declared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = "servers: [pophz.qiye.163.com, SMTPhz.qiye.163.com]"
    text = "mailprov: 1\nusers: [{address: hu@n.cn}]\ndomains: [{name: n.cn, hosted_by: netease-qiye, " + used + "}]\n"
    Path("mail.yaml").write_text(text, "utf-8")
    config = made("--lang", "en")["people/hu@n.cn/autoconfig.xml"].decode()
    assert "pophz.qiye.163.com" in config and "smtphz.qiye.163.com" in config
    assert "pop.qiye" not in config and "imap" not in config
    assert run(["dns"]) == 0
    assert "0 1 465 smtphz.qiye.163.com." in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    assert run(["doctor", "--format", "json", "--user", "hu@n.cn"]) == 9
    (place,) = json.loads(capsys.readouterr().out)["hosts"]
    assert {check["port"] for check in place["checks"]} == {995, 465}


def test_servers_that_cannot_be_seen_from_here_are_not_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    assert run(["profiles", "-o", "out", "--verified", "--user", "wang@q.cn"]) == 9
    assert "QQ Mail: no listener could be verified from here" in capsys.readouterr().err


# --- hand-out


def test_nobody_is_handed_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["handout", "list"]) == 0
    said = capsys.readouterr().out
    assert "nobody waits" in said
    assert "1 person at QQ Mail log in with an authorization code (授权码): none is handed out from here" in said
    assert "1 person at Microsoft 365 (Exchange Online) log in with OAuth2" in said


def test_what_is_sent_to_them(capsys: pytest.CaptureFixture[str]) -> None:
    """The guide alone; asked for by name, it is said why there is no password and no welcome."""
    text = DECLARED + "  - from_csv: staff.csv\nhandout: {from: it@q.cn, relay: {host: smtp.q.cn}}\n"
    Path("mail.yaml").write_text(text, "utf-8")
    Path("staff.csv").write_text("邮箱,个人邮箱\nhan@q.cn,han@home.example\n", "utf-8")
    for what in ("--passwords", "--welcome"):
        assert run(["handout", "send", what, "han@q.cn"]) == 0
        said = capsys.readouterr()
        assert "han@q.cn: qq has this mailbox: no password is sent from here" in said.err
        assert "nothing to send" in said.out
    made("--lang", "en")
    capsys.readouterr()
    assert run(["handout", "send", "--profiles", "out", "han@q.cn"]) == 0
    assert "han@q.cn  → han@home.example" in capsys.readouterr().out
    command = (sys.executable, "-m", "mailprov", "handout", "send", "--profiles", "out", "--all-files", "han@q.cn")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "han@q.cn  → han@home.example" in done.stdout) == (0, True), done.stderr
