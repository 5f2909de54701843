"""Groups, and where a host's settings come from: what is explained is what the host got."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from spec_tools import ENVIRON, NOW, Load, fuzz

from mailprov.declaration import Explained, explained, load
from mailprov.declaration.origins import HIDDEN, Setting
from mailprov.errors import SpecError
from mailprov.model import HostSpec, Relay, Secret, Spec

LAYERED = """\
mailprov: 1
tls: {self_signed: {}, min_version: TLSv1.3}
services: {pop3: true, imap: {tls: 1993}, smtp: true}
firewall: {manage: true, allow: [{port: 9100, from: [10.0.0.0/8]}]}
domains: [{name: example.com, catch_all: postmaster@example.com}]
users: [{address: postmaster@example.com, password: {initial: {env: PW}}}]
groups:
  edge:
    parent: all
    hosts: [mail1, mail2]
    ssh: {port: 2222}
    services: {pop3: {starttls: false}}
    tls: {on_host: {certificate: /etc/a, key: /etc/b}}
    become_password: {env: PW}
  all: {ssh: {user: admin, port: 22, connect_timeout: 5}, become: true, firewall: {allow: []}}
  rest: {parent: all, hosts: [mail3]}
hosts:
  mail1: {hostname: m1.example.com}
  mail2: {hostname: m2.example.com, ssh: {user: root}, become: false, services: {imap: true}}
  mail3: {hostname: m3.example.com, firewall: {allow: [{port: 9200}]}}
  mail4: {hostname: m4.example.com}
"""


def test_a_group_is_over_the_top_level_and_under_the_host(load_text: Load) -> None:
    spec = load_text(LAYERED)
    one, two, three, four = (spec.hosts[f"mail{number}"] for number in (1, 2, 3, 4))
    assert (one.ssh.user, one.ssh.port, one.ssh.connect_timeout) == ("admin", 2222, 5.0)
    assert (two.ssh.user, two.ssh.port) == ("root", 2222)
    assert (three.ssh.user, three.ssh.port) == ("admin", 22)
    assert (four.ssh.user, four.ssh.port, four.ssh.connect_timeout) == (None, None, 10.0)
    assert [host.become for host in (one, two, three, four)] == [True, False, True, False]
    assert one.become_password == Secret(ENVIRON["PW"])
    assert [host.become_password for host in (two, three, four)] == [None] * 3
    assert [host.tls.source for host in (one, two, three, four)] == ["on_host", "on_host", "self_signed", "self_signed"]
    assert {host.tls.min_version for host in spec.hosts.values()} == {"TLSv1.3"}
    assert [host.services.pop3.starttls for host in (one, two, three, four)] == [None, None, 110, 110]
    assert [host.services.imap.tls for host in (one, two, three, four)] == [1993, 993, 1993, 1993]
    assert [[rule.port for rule in host.firewall.allow] for host in (one, two, three, four)] == [[], [], [9200], [9100]]
    assert all(host.firewall.manage for host in spec.hosts.values())


def test_the_groups_of_a_spec_hold_the_hosts_below_them(load_text: Load) -> None:
    groups = {name: set(members) for name, members in load_text(LAYERED).groups.items()}
    assert groups == {"edge": {"mail1", "mail2"}, "all": {"mail1", "mail2", "mail3"}, "rest": {"mail3"}}


def test_groups_stand_in_the_main_file_and_name_hosts_of_any(tmp_path: Path) -> None:
    main = (
        LAYERED.replace("  mail1: {hostname: m1.example.com}\n", "") + "include: [{files: more.yaml, trusted: true}]\n"
    )
    (tmp_path / "mail.yaml").write_text(main)
    more = tmp_path / "more.yaml"
    more.write_text("hosts: {mail1: {hostname: m1.example.com}}\n")
    assert load(tmp_path / "mail.yaml", environ=ENVIRON, now=NOW).hosts["mail1"].ssh.port == 2222
    more.write_text("groups: {x: }\nhosts: {mail1: {hostname: m1.example.com}}\n")
    with pytest.raises(SpecError, match=r"more\.yaml:1:1: `groups` may stand in the main file only"):
        load(tmp_path / "mail.yaml", environ=ENVIRON, now=NOW)
    more.write_text("hosts: {mail1: {hostname\n")
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "mail.yaml", environ=ENVIRON, now=NOW)
    # what could not be read is not called undeclared
    assert not [each for each in caught.value.errors if each.origin.file != str(more)]


@pytest.mark.parametrize(("count", "sound"), [(20, True), (21, False), (200, False)])
def test_groups_in_groups_have_a_limit(count: int, sound: bool, load_text: Load) -> None:
    chain = "".join(f"  g{n}: {{parent: g{n + 1}}}\n" for n in range(1, count - 1))
    text = LAYERED.replace("groups:\n", f"groups:\n  g0: {{parent: g1, hosts: [mail4]}}\n{chain}  g{count - 1}:\n")
    if sound:
        assert load_text(text).groups[f"g{count - 1}"] == ("mail4",)
    else:
        with pytest.raises(SpecError, match="more than 20 groups"):
            load_text(text)


# --- explained


def shown(found: Explained, host: str) -> dict[str, Setting]:
    return {setting.key: setting for setting in found.settings[host]}


def explain(folder: Path, text: str) -> Explained:
    file = folder / "mail.yaml"
    file.write_text(text, encoding="utf-8")
    return explained(file, environ=ENVIRON, now=NOW)


def test_each_value_has_its_level_and_place_and_what_it_overrides(tmp_path: Path) -> None:
    found = shown(explain(tmp_path, LAYERED), "mail2")

    def told(key: str) -> list[tuple[str, Any, str, str]]:
        each = found[key]
        every = (each, *each.overridden)
        return [(e.key, e.value, e.level, str(e.origin).rpartition("/")[2]) for e in every]

    assert told("ssh.user") == [
        ("ssh.user", "root", "host", "mail.yaml:19:49"),
        ("ssh.user", "admin", "group all", "mail.yaml:15:21"),
    ]
    assert told("services.imap.tls") == [
        ("services.imap.tls", 993, "host", "mail.yaml:19:88"),
        ("services.imap.tls", 1993, "top level", "mail.yaml:3:36"),
    ]
    assert told("tls.on_host.key") == [
        ("tls.on_host.key", "/etc/b", "group edge", "mail.yaml:13:47"),
        ("tls.self_signed", {}, "top level", "mail.yaml:2:20"),
    ]
    assert told("services.submission.tls") == [("services.submission.tls", None, "default", "None")]
    assert told("become_password") == [("become_password", None, "group edge", "mail.yaml:14:22")]
    assert found["become_password"].note == "not used, since `become` is false"
    assert shown(explain(tmp_path, LAYERED), "mail1")["become_password"].note == "env PW"


RELAY = {"host": "mx.example.net", "user": "u", "password": {"env": "PW"}}
LEVEL = {
    "services": st.fixed_dictionaries(
        {},
        optional={
            "pop3": st.one_of(st.booleans(), st.fixed_dictionaries({"tls": st.sampled_from([995, 1995, False])})),
            "imap": st.one_of(st.booleans(), st.fixed_dictionaries({"starttls": st.sampled_from([143, 1143, False])})),
            "smtp": st.booleans(),
        },
    ),
    "tls": st.sampled_from(
        [
            {"min_version": "TLSv1.3"},
            {"self_signed": {}},
            {"on_host": {"certificate": "/a", "key": "/k"}},
            {"certificate": {"file": "certs/wildcard.pem"}, "key": {"file": "certs/mail.key"}},
            {"self_signed": {}, "min_version": "TLSv1.2"},
        ]
    ),
    "firewall": st.fixed_dictionaries(
        {},
        optional={
            "manage": st.booleans(),
            "allow": st.sampled_from([[], [{"port": 9100}], [{"port": 110, "from": ["10.0.0.0/8"]}, {"port": 9200}]]),
        },
    ),
    "outgoing": st.fixed_dictionaries(
        {},
        optional={
            "relay": st.sampled_from(["direct", RELAY]),
            "senders": st.sampled_from([[], [{"from": ["a.example"], "relay": RELAY}]]),
            "allow_from": st.sampled_from([[], ["10.0.0.0/8"]]),
            "message_size": st.sampled_from(["1MiB", "2GB"]),
            "limits": st.sampled_from([False, True, {"messages": 5}, {"recipients": 7}]),
            "keep_trying": st.sampled_from(["1d", "99d"]),
            "tls": st.sampled_from(["required", "opportunistic"]),
        },
    ),
    "incoming": st.sampled_from([{}, {"dmarc": "mark"}, {"dmarc": "follow"}]),
    "sieve": st.sampled_from([True, False, {}, {"before": False}, {"before": {"file": "before.sieve"}}]),
    "drift": st.sampled_from([{}, {"ignore": []}, {"ignore": [{"kind": "file", "name": "/etc/*", "only": ["mode"]}]}]),
}
REACHED = {
    "ssh": st.fixed_dictionaries(
        {},
        optional={
            "user": st.sampled_from(["root", "admin"]),
            "port": st.sampled_from([22, 2222]),
            "identity_file": st.sampled_from(["key", "~/key"]),
            "connect_timeout": st.sampled_from([5, 10, 2.5]),
        },
    ),
    "become": st.booleans(),
    "become_password": st.sampled_from([{"env": "PW"}]),
}
TOPS = st.fixed_dictionaries({}, optional=LEVEL)
OTHERS = st.fixed_dictionaries({}, optional={**LEVEL, **REACHED})


@fuzz(60)
@given(top=TOPS, parent=OTHERS, group=OTHERS, host=OTHERS)
def test_what_is_explained_is_what_the_host_got(
    top: dict[str, Any], parent: dict[str, Any], group: dict[str, Any], host: dict[str, Any], with_certificates: Path
) -> None:
    declared = {
        "mailprov": 1,
        **top,
        "groups": {"all": parent, "edge": {**group, "parent": "all", "hosts": ["a.example.com", "b.example.com"]}},
        "hosts": {"a.example.com": host, "b.example.com": None, "c.example.com": None},
        "domains": ["example.com"],
    }
    try:
        found = explain(with_certificates, json.dumps(declared))
    except SpecError:
        reject()  # a rule that no host needs, or no certificate
    for name, spec in found.spec.hosts.items():
        agree(spec, shown(found, name), with_certificates)
    layers = (("host", host), ("group edge", group), ("group all", parent), ("top level", top))
    for key, setting in shown(found, "a.example.com").items():
        section, _, name = key.partition(".")
        if section == "ssh":
            saying = [level for level, words in layers if name in words.get("ssh", {})]
            assert [each.level for each in (setting, *setting.overridden)] == (saying or ["default"])


def _said(relay: Relay | None) -> Any:
    return {"host": relay.host, "user": relay.user, "password": relay.source} if relay else "direct"


def agree(spec: HostSpec, told: dict[str, Setting], folder: Path) -> None:
    """`told` holds all that `spec` says, and nothing else."""
    listeners = ("pop3", "imap", "submission")
    want: dict[str, Any] = {"address": spec.address, "hostname": spec.hostname, "become": spec.become}
    want |= {f"ssh.{key}": getattr(spec.ssh, key) for key in type(spec.ssh).__slots__}
    want |= {f"services.{key}.starttls": getattr(spec.services, key).starttls for key in listeners}
    want |= {f"services.{key}.tls": getattr(spec.services, key).tls for key in listeners}
    want |= {"services.smtp.port": spec.services.smtp, "become_password": spec.become_password}
    want |= {"firewall.manage": spec.firewall.manage, "firewall.allow": spec.firewall.allow}
    mail = spec.system_mail
    want |= {"system_mail.to": mail.to or None, "system_mail.submit_users": mail.submit_users}
    sent = spec.outgoing
    want |= {"outgoing.relay": _said(sent.relay), "outgoing.allow_from": sent.networks, "outgoing.tls": sent.tls}
    want |= {"outgoing.senders": tuple({"from": name, "relay": _said(relay)} for name, relay in sent.senders)}
    want |= {"services.sieve.starttls": spec.services.sieve, "sieve": spec.sieve.on}
    want |= {"incoming.dmarc": spec.incoming.dmarc}
    want |= {"sieve.before": {"file": "before.sieve"} if spec.sieve.before else None}
    want |= {"outgoing.keep_trying": sent.days, "outgoing.message_size": sent.message_size}
    limits = {"messages": sent.limits.messages, "recipients": sent.limits.recipients}
    want |= {"outgoing.limits": limits if sent.limits.messages else False}
    want |= {"drift.ignore": spec.ignored, "tls.min_version": spec.tls.min_version}
    if spec.tls.source == "self_signed":
        want["tls.self_signed"] = {}
    elif spec.tls.source == "on_host":
        want |= {"tls.on_host.certificate": spec.tls.certificate_path, "tls.on_host.key": spec.tls.key_path}
    else:
        want |= {"tls.certificate": {"file": "certs/wildcard.pem"}, "tls.key": HIDDEN}
        assert (folder / told["tls.certificate"].value["file"]).read_text().strip() == spec.tls.chain.strip()
    assert {key: setting.value for key, setting in told.items()} == want


def test_explaining_reads_as_loading_does(tmp_path: Path) -> None:
    spec: Spec = explain(tmp_path, LAYERED).spec
    assert spec == load(tmp_path / "mail.yaml", environ=ENVIRON, now=NOW)
