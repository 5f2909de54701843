"""A warning is told of the hosts that it is about, and what is about none in particular, of each."""

from __future__ import annotations

from spec_tools import Load

from mailprov.model import Facts, Plan
from mailprov.report import markdown, text

FACTS = Facts("", "12", 0, (22,), "2.3", 0)

DECLARED = """\
mailprov: 1
hosts:
  a.example.com: {address: 192.0.2.1, services: {imap: false}}
  b.example.com:
    address: 192.0.2.2
    firewall: {manage: true, allow: [{port: 22, from: [10.0.0.0/8]}]}
  c.example.com: {address: 192.0.2.3, become_password: {env: PW}}
groups: {two: {hosts: [b.example.com, c.example.com], become_password: {env: PW}}, none: {}}
domains:
  - {name: example.com, hosts: [a.example.com, b.example.com]}
  - {catch_all: alice@example.com, name: example.net, hosts: [c.example.com]}
aliases:
  - {address: x@example.net, to: nobody@example.net}
users:
  - {address: alice@example.com, password: {initial: {env: PW2}}}
tls: {self_signed: {}}
services: {imap: true}
"""


def test_a_warning_is_where_it_belongs(load_text: Load) -> None:
    spec = load_text(DECLARED)
    told = {name: {words.partition(".yaml:")[2] for words in found} for name, found in spec.host_warnings.items()}
    every = {words.partition(".yaml:")[2] for words in spec.warnings}
    assert set().union(*told.values()) == every
    assert [sorted({words.split(":")[0] for words in told[name]}, key=int) for name in sorted(told)] == [
        ["3", "8", "10"],
        ["6", "8", "10"],
        ["7", "8", "13"],
    ]


def test_what_all_hosts_are_told_is_shown_once() -> None:
    plans = [Plan(name, FACTS, {}, (), {}, ("everyone", f"only {name}"), "0" * 64, ()) for name in ("a", "b")]
    for shown in ("\n".join(line.text for line in text.plans(plans)), markdown.plans(plans)):
        assert [shown.count(words) for words in ("everyone", "only a", "only b")] == [1, 1, 1]
        assert shown.index("everyone") < shown.index("only a")
    (alone,) = plans[:1]
    assert "! everyone" in "".join(line.text for line in text.plans([alone]))
