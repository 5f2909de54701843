"""What a host gets to send mail through relays: names that stay, and digests that tell nothing of a password."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from simulated_host import declare

from mailprov.model import Facts, HostSpec, Secret
from mailprov.resources.files import File
from mailprov.roles import mailhost
from mailprov.roles.postfix import sending

FACTS = Facts("", "12", 1_900_000_000, (22,), "2.3.19.1", 0)
LOGIN = {"user": "office", "password": {"env": "BOB_INITIAL"}}
FIRST, SECOND = {"host": "a.example.net", **LOGIN}, {"host": "b.example.net", **LOGIN}


def host(folder: Path, *relays: object) -> HostSpec:
    senders = [{"from": [f"d{n}.example"], "relay": relay} for n, relay in enumerate(relays)]
    return declare(folder, {"outgoing": {"senders": senders}}).hosts["mail1"]


def logins(host: HostSpec, salt: str = "") -> dict[str, File]:
    found = sending.items(host, replace(FACTS, salt=Secret(salt)))
    return {item.path: item for item in found if isinstance(item, File)}


def test_no_password_can_be_guessed_from_a_digest(tmp_path: Path) -> None:
    """Kept plans hold digests of all that is asked for, and a person has chosen this secret."""
    spec = host(tmp_path, FIRST)
    (one,), (other,) = logins(spec, "0a").values(), logins(spec, "0b").values()
    assert (one.mode, one.secret, one.path) == ("600", True, other.path)
    assert one.fingerprint != other.fingerprint
    assert one.content is not None and one.content.startswith(b"# 0a\n[a.example.net]:587 office:")


def test_a_relay_that_goes_renames_no_other(tmp_path: Path) -> None:
    both, alone = logins(host(tmp_path, FIRST, SECOND)), logins(host(tmp_path, SECOND))
    assert len(both) == 2 and alone.keys() < both.keys()
    assert all(mailhost.reads(path).secret and mailhost.reads(path).services == ("postfix",) for path in both)


def test_the_same_login_is_one_relay(tmp_path: Path) -> None:
    assert len(logins(host(tmp_path, FIRST, FIRST))) == 1
    assert len(logins(host(tmp_path, FIRST, {**FIRST, "user": "other"}))) == 2
    assert logins(host(tmp_path, {"host": "::1", "port": 2525, "tls": "none"})) == {}
    (transport,) = sending.transports(host(tmp_path, {"host": "::1", "port": 2525, "tls": "none"}))
    assert transport["nexthop"] == "[::1]:2525"
