"""The printed zone file, loaded by a real name server (Debian's NSD) on loopback, and checked over the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from name_server import NSD, NameServer

from mailprov.commands import run

pytestmark = pytest.mark.skipif(NSD is None, reason="needs Debian's package nsd (script/setup --test installs it)")

DECLARATION = """\
mailprov: 1
hosts:
  mail1: {address: 198.18.0.10, hostname: mail.example.com}
  mail2: {address: "2001:db8::25", hostname: mx.elsewhere.org, services: {pop3: false, smtp: false}}
  mail3: {address: local, hostname: mail.unnumbered.cn}
domains:
  - {name: example.com, hosts: [mail1]}
  - {name: 例子.公司, hosts: [mail1, mail2]}
  - {name: hosted.cn, hosted_by: tencent-exmail}
  - {name: apple.cn, hosted_by: icloud}
  - {name: unnumbered.cn, hosts: [mail3]}
users:
  - {address: postmaster@example.com, password: {initial: {env: P}}}
tls: {self_signed: {}}
services: {pop3: true, imap: {tls: 993}, submission: {tls: 465}, smtp: true}
"""
NAMES = ("example.com", "xn--fsqu00a.xn--55qx5d", "hosted.cn", "apple.cn", "unnumbered.cn")
WEB = "www.example.com"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mailprov(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "mail.yaml").write_text(DECLARATION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def go(*arguments: str) -> tuple[int, str, str]:
        status = run(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return go


@pytest.fixture
def server(mailprov: Run, tmp_path: Path) -> Iterator[NameServer]:
    """A name server with the zones that mailprov prints."""
    (tmp_path / "nsd").mkdir()
    made = NameServer(tmp_path / "nsd")
    for name in NAMES:
        status, out, err = mailprov("dns", name, "--zonefile", "--web", WEB)
        assert status == 0, err
        made.zones[name] = out
    made.zones["example.com"] += "www 60 IN A 198.18.0.80\n"
    made.zones["apple.cn"] += "@ 60 IN MX 10 mx01.mail.icloud.com.\n"  # only the pattern is documented
    made.zones["unnumbered.cn"] += "mail 60 IN AAAA 2001:db8::3\n"  # which address is not declared
    made.zones["elsewhere.org"] = "mx 60 IN AAAA 2001:db8::25\n"
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_what_we_print_is_what_we_want(server: NameServer, mailprov: Run) -> None:
    status, out, err = mailprov("dns", "--check", "--resolver", server.resolver, "--web", WEB)
    assert status == 0, out + err
    assert "records are as they should be" in out
    assert "missing" not in out


def test_each_fault_is_named_with_its_cure(server: NameServer, mailprov: Run) -> None:
    zone = server.zones["example.com"]
    for right, wrong in (
        ("@ IN MX 10 mail.example.com.\n", "@ IN MX 10 mail.example.com.\n@ IN MX 90 old.example.com.\n"),
        ('"v=spf1 mx ~all"', '"v=spf1 include:other.net -all"'),
        ("_pop3s._tcp IN SRV 10 1 995", "_pop3s._tcp IN SRV 10 1 993"),
        ("_imap._tcp IN SRV 0 0 0 .\n", ""),
        ("_imaps._tcp IN SRV 0 1 993 mail.example.com.\n", ""),
        ("autoconfig IN CNAME www.example.com.", "autoconfig IN A 198.18.0.80"),
        ("autodiscover IN CNAME www.example.com.", "autodiscover IN A 198.18.0.99"),
    ):
        assert right in zone
        zone = zone.replace(right, wrong)
    server.zones["example.com"] = zone
    server.start()
    arguments = ("dns", "example.com", "--check", "--resolver", server.resolver, "--web", WEB, "--format", "json")
    status, out, _ = mailprov(*arguments)
    assert status == 9
    told = json.loads(out)
    assert told["right"] is False
    found = {(r["name"].removesuffix("example.com"), r["type"]): r for r in told["domains"][0]["records"]}
    assert {key: record["status"] for key, record in found.items() if record["status"] != "ok"} == {
        ("", "MX"): "extra",
        ("", "TXT"): "different",
        ("_pop3s._tcp.", "SRV"): "different",
        ("_imap._tcp.", "SRV"): "missing",
        ("_imaps._tcp.", "SRV"): "missing",
        ("autodiscover.", "CNAME"): "different",
    }
    assert found["", "MX"]["what"] == "not declared: 90 old.example.com."
    assert "`mx`" in found["", "TXT"]["cure"]
    assert "0 1 993 mail.example.com." in found["_imaps._tcp.", "SRV"]["cure"]
    assert found["_imap._tcp.", "SRV"]["differs"] is False
    status, out, _ = mailprov(*arguments[:-2])
    assert (status, out.count("to do: ")) == (9, 5)
    assert "5 of " in out
    assert "optional   SRV" in out


def test_a_zone_that_is_not_there_is_unknown(server: NameServer, mailprov: Run) -> None:
    del server.zones["hosted.cn"]
    server.start()
    status, out, _ = mailprov("dns", "hosted.cn", "--check", "--resolver", server.resolver)
    assert status == 9
    assert "no answer: REFUSED" in out


def test_expectations_ask_a_name_server(server: NameServer, mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    records = """\
expectations: 1
records:
  - {domain: 例子.公司}
  - {name: example.com, type: MX, values: 10 mail.example.com.}
  - {name: _dmarc.example.com, type: TXT, values: v=DMARC1; p=none; rua=mailto:postmaster@example.com}
  - {name: _imaps._tcp.example.com, type: SRV, values: 0 1 993 mail.example.com.}
  - {name: autoconfig.example.com, type: CNAME, values: www.example.com.}
  - {name: mail.example.com, type: A, values: 198.18.0.10}
  - {name: mx.elsewhere.org, type: AAAA, values: "2001:db8:0::25"}
"""
    (tmp_path / "tests/records.yaml").write_text(records, encoding="utf-8")
    status, out, err = mailprov("test", "--live", "--strict", "--resolver", server.resolver)
    assert (status, out, err) == (0, "7 expectations: 7 hold.\n", "")
    server.zones["example.com"] = server.zones["example.com"].replace("198.18.0.10", "198.18.0.11")
    server.zones["example.com"] = server.zones["example.com"].replace("v=DMARC1; p=none;", r"v=DMARC1; p=\\027[2J;")
    server.start()
    status, out, err = mailprov("test", "--live", "--resolver", server.resolver)
    assert (status, "\x1b" in out + err) == (9, False)
    assert "DNS: mail.example.com A: found 198.18.0.11" in out
    assert "DNS: missing: v=DMARC1; p=none; rua=mailto:postmaster@example.com" in out
    assert out.endswith("7 expectations: 5 hold, 2 do not hold.\n")
    server.stop()
    status, out, err = mailprov("test", "--live", "--resolver", server.resolver)
    assert (status, "7 are not told here" in out, "DNS gives no answer" in err) == (1, True, True)


def test_no_name_server_at_all(server: NameServer, mailprov: Run) -> None:
    server.stop()
    status, out, _ = mailprov("dns", "hosted.cn", "--check", "--resolver", server.resolver)
    assert status == 9
    assert "unknown" in out


def test_hostile_answers_steer_no_terminal(server: NameServer, mailprov: Run) -> None:
    evil = r'"v=spf1 \027[2J\010 \155\255 -all"'
    server.zones["example.com"] = server.zones["example.com"].replace('"v=spf1 mx ~all"', evil)
    server.start()
    for form in ("text", "json"):
        status, out, err = mailprov("dns", "example.com", "--check", "--resolver", server.resolver, "--format", form)
        assert status == 9
        assert "\x1b" not in out + err
        assert "spf1" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--check", "--zonefile"), "exclude each other"),
        (("--resolver", "127.0.0.1"), "add --check"),
        (("--check", "--resolver", "localhost"), "is no resolver"),
        (("exampel.com",), "did you mean `example.com`?"),
        (("--web", "not a name"), "--web"),
    ],
)
def test_wrong_options(mailprov: Run, arguments: tuple[str, ...], said: str) -> None:
    status, out, err = mailprov("dns", *arguments)
    assert (status, out, said in err) == (1, "", True), err
