"""The provider catalogue against its own schema and itself, and how it is searched and corrected."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mailprov.assets import folder
from mailprov.commands import run
from mailprov.declaration import addresses
from mailprov.providers import catalogue, corrected, named, of_mx, search
from mailprov.providers.catalogue import document
from mailprov.providers.plain import plain

SCHEMA: dict[str, Any] = json.loads((folder("schemas") / "providers.schema.json").read_text(encoding="utf-8"))
EVERY = list(catalogue().values())
PROTOCOLS = ("pop3", "imap", "submission")


def test_it_fits_its_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert [f"{list(e.path)}: {e.message}" for e in Draft202012Validator(SCHEMA).iter_errors(document())] == []


@pytest.mark.parametrize(
    "damage",
    [
        {"pop3": "maybe"},
        {"pop3": []},
        {"imap": [{"host": "x", "port": 993, "mode": "tls"}]},
        {"imap": [{"host": "x.cn", "port": 993, "mode": "ssl"}]},
        {"checked_on": "yesterday"},
        {"sources": []},
        {"unverified": ["everything"]},
        {"surplus": 1},
    ],
)
def test_the_schema_refuses_damage(damage: dict[str, Any]) -> None:
    wanted = {"$defs": SCHEMA["$defs"], "$ref": "#/$defs/provider"}
    sound = document()["providers"][0]
    assert Draft202012Validator(wanted).is_valid(sound)
    assert not Draft202012Validator(wanted).is_valid(sound | damage)


def test_every_id_is_there_once() -> None:
    assert len(EVERY) == len(document()["providers"])
    names = [plain(name) for each in EVERY for name in {each.id, *each.aliases}]
    assert len(names) == len(set(names)), "two providers share a name"


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.id)
def test_a_row_holds_together(each: Any) -> None:
    assert each.checked_on <= date.today()
    for protocol in PROTOCOLS:
        for server in each.servers(protocol) or ():
            assert addresses.hostname(server.host) == server.host
            # RFC 8314 §7.3 and RFC 6409 §3.1; NetEase has 994 for sending as well
            usual = {"pop3": {"tls": (995,)}, "imap": {"tls": (993,)}, "submission": {"tls": (465, 994)}}[protocol]
            assert server.port in {**usual, "starttls": (587,)}[server.mode]
    assert all(each.receives_at(record.host) for record in each.mx_records)
    assert named(each.id) is each
    assert named(each.name.zh) is each
    for domain in each.domains:
        assert each in search(f"someone@{domain}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("QQ", ["qq"]),
        ("腾讯企业邮箱", ["tencent-exmail"]),
        ("ｅｘｍａｉｌ", ["tencent-exmail"]),
        ("pop.qiye.aliyun.com", ["aliyun"]),
        ("alice@Hotmail.com", ["outlook"]),
        ("outlook.office365.com", ["outlook", "microsoft365"]),
        ("网易", ["netease-163"]),
        ("enterprise", ["aliyun", "netease-qiye"]),
        ("no such", []),
        ("@", []),
    ],
)
def test_search(text: str, found: list[str]) -> None:
    assert [each.id for each in search(text)] == found


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("mail.tenxun.com", "tencent-exmail"),
        ("pop3://MAIL.TenXun.com:110/", "tencent-exmail"),
        ("tenxun.com.", "tencent-exmail"),
        ("the server is mail.aliyun.com.", "aliyun"),
        ("pop3.live.com", "outlook"),
        ("turn on Less  Secure apps, please", "gmail"),
        ("请允许不够安全的应用访问", "gmail"),
        ("pop.qq.com:110", "qq"),
        ("填写QQ密码", "qq"),
        ("pop.icloud.com", "icloud"),
    ],
)
def test_what_is_often_said_is_corrected(text: str, provider: str) -> None:
    found = corrected(text)
    assert found is not None
    assert found.provider == provider
    assert found.right in str(found)
    assert found.why.zh


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mymail.aliyun.com",
        "mail.aliyun.com.cn",
        "xtenxun.com",
        "pop.qq.com:1100",
        "pop.qq.com",
        "qq passwords",
        ".",
    ],
)
def test_what_is_right_is_left_alone(text: str) -> None:
    assert corrected(text) is None


def test_no_correction_hits_the_catalogue_itself() -> None:
    for each in EVERY:
        for protocol in PROTOCOLS:
            for server in each.servers(protocol) or ():
                assert corrected(f"{server.host}:{server.port}") is None
    assert {node["provider"] for node in document()["corrections"]} <= catalogue().keys()


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("mxbiz1.qq.com.", "tencent-exmail"),
        ("HZMX01.mxmail.netease.com", "netease-qiye"),
        ("mxn.mxhichina.com", "aliyun"),
        ("x-cn.mail.protection.outlook.com", "microsoft365"),
        ("mail.example.com", None),
        ("mxbiz1.qq.com.evil.example", None),
    ],
)
def test_an_mx_host_tells_the_provider(host: str, provider: str | None) -> None:
    found = of_mx(host)
    assert (found.id if found else None) == provider


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["providers"]) == 0
    assert all(each.id in capsys.readouterr().out for each in EVERY[:1])
    assert run(["providers", "feishu"]) == 0
    out = capsys.readouterr().out
    assert "pop.feishu.cn:995 TLS  (unverified)" in out
    assert "imap.feishu.cn:993 TLS\n" in out
    assert run(["providers", "mail.tenxun.com", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["correction"]["right"] == "pop.exmail.qq.com:995"
    assert [each["id"] for each in told["providers"]] == ["tencent-exmail"]
    assert run(["providers", "lark", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["providers"][0]["pop3"] is None
    assert run(["providers", "no such"]) == 1
    assert "known are: qq" in capsys.readouterr().err


def test_a_hosted_domain_is_served_by_no_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mail.yaml"
    file.write_text(
        "mailprov: 1\nhosts: {mail.example.com: {address: 192.0.2.10}}\n"
        "domains: [example.com, {name: x.cn, hosted_by: exmail}]\n"
        "users:\n  - {address: li@x.cn}\n  - {address: postmaster@example.com, password: {initial: {env: P}}}\n"
        "tls: {self_signed: {}}\nservices: {pop3: true, smtp: true}\n"
    )
    assert run(["validate", "-f", str(file)]) == 0
    captured = capsys.readouterr()
    assert "2 domains (1 hosted elsewhere), 2 users" in captured.out
    assert "1 user of x.cn has no mailbox here: the domain is hosted by tencent-exmail" in captured.err
    assert run(["render", "-f", str(file), "-o", str(tmp_path / "out")]) == 0
    for written in (tmp_path / "out").rglob("*"):
        assert not written.is_file() or "x.cn" not in written.read_text(), written
