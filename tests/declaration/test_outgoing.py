"""How mail leaves, as it is declared: what holds, what is refused, what is warned of."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from spec_tools import NOW

from mailprov.declaration import Reading, load
from mailprov.errors import SpecError
from mailprov.model import HostSpec, Outgoing, Purpose, Secret, Spec
from mailprov.workflows.secrets import PLAN, require

RELAY: dict[str, Any] = {"host": "smtp.example.net", "user": "office", "password": {"env": "RELAY"}}
ENVIRON = {"RELAY": "a b:c", "SPACED": " x", "HARD": "a\u00a0b", "HOME": "/home/tester"}


def declared(folder: Path, outgoing: object, environ: dict[str, str] | None = None, **more: Any) -> Spec:
    hosts = {name: {"address": f"192.0.2.{name[-1]}", "hostname": f"{name}.example.com"} for name in ("mail1", "mail2")}
    hosts["mail2"] |= more.pop("second", {})
    document = {
        "mailprov": 1,
        "hosts": hosts,
        "domains": [{"name": "example.com", "hosts": ["mail1", "mail2"]}],
        "users": [{"address": "alice@example.com", "aliases": ["postmaster@example.com"]}],
        "tls": {"self_signed": {}},
        "services": {"imap": True, "smtp": True},
        "outgoing": outgoing,
        **more,
    }
    (folder / "mail.yaml").write_text(yaml.safe_dump(document))
    return load(folder / "mail.yaml", environ=ENVIRON if environ is None else environ, now=NOW)


def first(spec: Spec) -> HostSpec:
    return spec.hosts["mail1"]


def test_what_is_said_is_what_a_host_has(tmp_path: Path) -> None:
    spec = declared(
        tmp_path,
        {
            "relay": RELAY,
            "senders": [
                {"from": ["Example.ORG", "Boss@example.com"], "relay": {"host": "192.0.2.1", "tls": "none"}},
                {"from": ["例子.公司"], "relay": "direct"},
            ],
            "allow_from": ["10.0.0.0/9", "10.128.0.0/9"],
            "tls": "required",
            "keep_trying": "2d",
            "message_size": "20MB",
        },
        second={"outgoing": {"relay": "direct", "senders": []}},
    )
    found = first(spec).outgoing
    assert found.relay and (found.relay.host, found.relay.port, found.relay.tls) == (
        "smtp.example.net",
        587,
        "starttls",
    )
    assert (found.relay.password, found.relay.source) == (Secret("a b:c"), "env RELAY")
    assert "a b" not in repr(found)
    assert [(name, relay and relay.spelled) for name, relay in found.senders] == [
        ("@example.org", "192.0.2.1:25 (without TLS)"),
        ("boss@example.com", "192.0.2.1:25 (without TLS)"),
        ("@xn--fsqu00a.xn--55qx5d", None),
    ]
    assert found.networks == (ip_network("10.0.0.0/8"),)
    assert (found.tls, found.days, found.message_size) == ("required", 2, 20_000_000)
    other = spec.hosts["mail2"].outgoing
    assert (other.relay, other.senders, other.networks, other.days) == (None, (), found.networks, 2)
    assert first(declared(tmp_path, {})).outgoing == Outgoing()


WRONG: tuple[tuple[object, str], ...] = (
    ({"relay": "smtp.example.net"}, "smtp.example.net"),
    ({"relay": {**RELAY, "host": "smtp_1.example.net"}}, "smtp_1.example.net"),
    ({"relay": {**RELAY, "host": "smtp"}}, "smtp"),
    ({"relay": {**RELAY, "host": "[192.0.2.1"}}, "192.0.2.1"),
    ({"relay": {**RELAY, "port": 0}}, "the number 0"),
    ({"relay": {**RELAY, "tls": "none"}}, "passwords are not sent over a network without TLS"),
    ({"relay": {**RELAY, "user": "a:b"}}, "the user a:b has a colon"),
    ({"relay": {**RELAY, "user": "a "}}, "has a colon, or a space at an end"),
    ({"relay": {**RELAY, "password": {"env": "SPACED"}}}, "a space at an end"),
    ({"relay": {**RELAY, "password": "secret"}}, "password"),
    ({"relay": {"host": "smtp.example.net", "user": "x"}}, "a user without a password"),
    ({"relay": {"host": "smtp.example.net", "password": {"env": "RELAY"}}}, "a password without a user"),
    ({"senders": [{"from": ["exam ple.com"], "relay": "direct"}]}, "exam ple.com"),
    ({"senders": [{"from": ["a.example"], "relay": "direct"}] * 2}, "a.example has a relay already"),
    ({"senders": [{"from": [], "relay": "direct"}]}, "this list is empty"),
    ({"allow_from": ["10.0.0.1/8"]}, "10.0.0.1/8"),
    ({"allow_from": ["0.0.0.0/0"]}, "an open relay"),
    ({"allow_from": ["0.0.0.0/1", "128.0.0.0/1"]}, "an open relay"),
    ({"allow_from": ["8.0.0.0/8"]}, "an open relay"),
    ({"relay": {**RELAY, "host": "192.0.2.1"}}, "never by an address"),
    ({"relay": {"host": "::", "tls": "none"}}, "the address of no server"),
    ({"relay": {"host": "fe80::1%x]:25, permit", "tls": "none"}}, "the address of no server"),
    ({"relay": {**RELAY, "host": "mail2.example.com"}}, "`mail2` would be its own relay"),
    ({"relay": {"host": "127.0.0.1", "tls": "none"}}, "would be its own relay"),
    ({"relay": {**RELAY, "password": {"env": "HARD"}}}, "a character that nobody sees"),
    (
        {"senders": [{"from": [f"d{n}.example"], "relay": {"host": f"r{n}.example"}} for n in range(101)]},
        "more than 100",
    ),
    ({"allow_from": ["::/0"]}, "an open relay"),
    ({"keep_trying": "0d"}, "time in the queue"),
    ({"keep_trying": "5"}, "time in the queue"),
    ({"message_size": "unlimited"}, "no size of a message"),
    ({"message_size": "2GiB"}, "no size of a message"),
    ({"message_size": "1KiB"}, "no size of a message"),
    ({"tls": "dane"}, "dane"),
    ({"realy": "direct"}, "did you mean `relay`"),
)


@pytest.mark.parametrize(("outgoing", "said"), WRONG, ids=str)
def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path, outgoing: object, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        declared(tmp_path, outgoing)
    assert said in str(raised.value), str(raised.value)
    assert "mail.yaml:" in str(raised.value) and "a b:c" not in str(raised.value)


def test_a_password_is_read_by_who_needs_it(tmp_path: Path) -> None:
    spec = declared(tmp_path, {"relay": RELAY}, {"HOME": "/"})
    relay = first(spec).outgoing.relay
    assert relay and relay.password is None and relay.lacking is not None
    with pytest.raises(SpecError, match="RELAY is not set"):
        require(spec, [first(spec)], PLAN)
    require(spec, [first(spec)], {Purpose.SUDO})
    file = tmp_path / "mail.yaml"
    unread = load(file, environ=ENVIRON, now=NOW, reading=Reading(secrets=frozenset({Purpose.SUDO})))
    relay = first(unread).outgoing.relay
    assert relay and relay.password is None and relay.lacking is None
    guess = Secret("a guess")
    told = first(unread).outgoing.with_password(guess).relay
    assert told and told.password == guess


def test_networks_that_nobody_listens_to_are_warned_of(tmp_path: Path) -> None:
    said = "nobody can send from these networks"
    assert not any(said in each for each in declared(tmp_path, {"allow_from": ["10.0.0.0/8"]}).warnings)
    spec = declared(tmp_path, {"allow_from": ["10.0.0.0/8"]}, services={"imap": True})
    assert [each for each in spec.warnings if said in each] != []


def test_what_all_hosts_have_is_complained_of_once(tmp_path: Path) -> None:
    senders = [{"from": [f"d{n}.example"], "relay": {"host": f"r{n}.example"}} for n in range(101)]
    with pytest.raises(SpecError) as raised:
        declared(tmp_path, {"senders": senders})
    assert str(raised.value).count("more than 100 relays") == 1
