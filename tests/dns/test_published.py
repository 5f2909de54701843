"""Whether DNS has what a host waits for: by the domain's own name servers, all of them, or else by a resolver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from name_server import NameServer

from mailprov.dns import Record, dkim_records
from mailprov.errors import MailprovError
from mailprov.model import KeyPair
from mailprov.workflows import published as asking
from mailprov.workflows.published import published

pytestmark = pytest.mark.xdist_group("name-servers-at-53")

PAIR = KeyPair("example.test", "mail1-1", "waits", public=(("rsa", "M" * 400), ("ed25519", "F" * 43 + "=")))
RSA, ED = dkim_records(PAIR)
LINES = {
    RSA: f'mail1-1r._domainkey 1 IN TXT "v=DKIM1; k=rsa; p={"M" * 200}" "{"M" * 200}"\n',
    ED: f'mail1-1e._domainkey 1 IN TXT "v=DKIM1; k=ed25519; p={"F" * 43}="\n',
}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[NameServer, NameServer]]:
    """Two of them, each with what it says itself."""
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(NameServer(folder, f"127.0.53.{number}", 53))
    yield found[0], found[1]
    for each in found:
        each.stop()


def tell(server: NameServer, *records: Record, more: str = "") -> None:
    both = "@ 1 IN NS ns2\nns2 1 IN A 127.0.53.2\n"
    server.zones["example.test"] = both + "".join(LINES[record] for record in records) + more
    server.start()


def ask(address: str = "127.0.53.1") -> list[str]:
    found = published([PAIR], (address, 53))
    return [found[RSA.name], found[ED.name]]


def test_every_server_must_have_them(servers: tuple[NameServer, NameServer]) -> None:
    one, two = servers
    tell(one, RSA, ED)
    tell(two, RSA)
    assert ask() == ["", "ns2.example.test: it is not there"]
    tell(two, RSA, ED)
    assert ask() == ["", ""]
    # one that is down is no obstacle: resolvers ask the others
    two.stop()
    assert ask() == ["", ""]


def test_other_keys_lies_and_silence(servers: tuple[NameServer, NameServer]) -> None:
    one, two = servers
    other = 'mail1-1e._domainkey 1 IN TXT "v=DKIM1; k=ed25519; p=AAAA"\n'
    tell(one, RSA, more=other)
    tell(two, RSA, ED, more='mail1-1r._domainkey 1 IN TXT "v=DKIM1; p=MMMM"\n')
    rsa, ed = ask()
    assert ed == "ns.example.test: another key is there"
    assert rsa.startswith("ns2.example.test: ") and rsa != "ns2.example.test: it is not there"
    for each in servers:
        each.stop()
    assert all("no answer" in each for each in ask())


def test_names_below_a_zone_are_asked_of_its_servers(servers: tuple[NameServer, NameServer]) -> None:
    pair = KeyPair("mail.example.test", "mail1-1", "waits", public=PAIR.public)
    for each in servers:
        lines = "".join(line.replace("_domainkey", "_domainkey.mail") for line in LINES.values())
        tell(each, more=lines)
    found = published([pair], ("127.0.53.1", 53))
    assert set(found.values()) == {""}


def test_where_nobody_can_be_asked_it_goes_on_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> object:
        raise MailprovError("this machine has no resolver")

    monkeypatch.setattr(asking, "ask", none)
    assert ask() == ["this machine has no resolver; declare `resolver`"] * 2
