"""What resources keep out of people's sight, and how they word what differs."""

from __future__ import annotations

import base64
import hashlib
import ssl
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from simulated_host import NOW, self_signed

from mailprov.errors import HostError
from mailprov.model import Effect, Facts, Password, Secret, User
from mailprov.resources import accounts, certificates, files, firewall, maps, packages, rows, system_users
from mailprov.resources.accounts import consents
from mailprov.resources.certificates import Certificate, problems
from mailprov.resources.files import File, text_file
from mailprov.resources.packages import Packages
from mailprov.resources.services import Service
from mailprov.roles import dovecot
from mailprov.standard import REGISTRY

PATH = "/etc/postfix/main.cf"


def shown(live: File, text: str) -> File:
    """A file whose content the host has told."""
    return files.with_details(live, None, f"{base64.b64encode(text.encode()).decode()}\n")


@pytest.mark.parametrize("text", ["one = 1\n", "dGVzdA", "dGVzdA==dGVz", "é"])
def test_content_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(HostError, match="garbled"):
        files.with_details(text_file(PATH, ""), None, text)


def test_content_of_any_bytes_is_shown() -> None:
    before = files.with_details(text_file(PATH, "a\n"), None, base64.b64encode(b"\xff\0\n").decode())
    assert before.content == b"\xff\0\n"
    assert files.delta(before, text_file(PATH, "b\n")).detail


@pytest.mark.parametrize(
    "line",
    [
        "smtp_sasl_password_maps = static:user:hunter2",
        "password = hunter2",
        "Password: hunter2",
        "  dnpass=hunter2",
        "connect = host=db user=mail password=hunter2",
        "# the old password was: hunter2",
        "ssl_key_password = hunter2",
        "auth_policy_server_api_header = X-API-Key: hunter2",
        "api_key=hunter2",
        "oauth_token : hunter2",
        "client_secret = 'hunter2'",
        "passphrase hunter2",
    ],
)
def test_a_password_that_somebody_wrote_is_not_shown(line: str) -> None:
    after = text_file(PATH, "one = 1\n")
    before = shown(replace(after, sha256="0" * 64), f"one = 1\n{line}\n")
    detail = files.delta(before, after).detail
    assert any(row.startswith("-") and "<secret>" in row for row in detail)
    assert "hunter2" not in "".join(detail)


def test_lines_of_ours_are_shown_as_they_are() -> None:
    ours = "passwd_file_path = /etc/dovecot/mailprov/accounts\n"
    before = shown(text_file(PATH, ""), f"{ours}one = 1\n")
    detail = files.delta(before, text_file(PATH, f"{ours}two = 2\n")).detail
    assert f" {ours.rstrip()}" in detail


@pytest.mark.parametrize("secret", ["before", "after"])
def test_a_secret_file_has_no_diff(secret: str) -> None:
    before = replace(shown(text_file(PATH, ""), "hunter2\n"), secret=secret == "before")
    after = replace(text_file(PATH, "KEY\n"), secret=secret == "after")
    assert files.delta(before, after).detail == ()
    assert files.detail_query(replace(before, secret=True), None) is None


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        ("inet_interfaces = all\n", "inet_interfaces = loopback-only\n", Effect.RESTART),
        ("inet_interfaces=all\n", "inet_interfaces = all\n", Effect.RELOAD),
        ("inet_interfaces = x\ninet_interfaces = all\n", "inet_interfaces = all\n", Effect.RELOAD),
        ("", "inet_interfaces = all\n", Effect.RESTART),
        ("# inet_interfaces = x\ninet_interfaces = all\n", "inet_interfaces = all\n", Effect.RELOAD),
        ("biff = yes\n", "biff = no\n", Effect.RELOAD),
    ],
)
def test_what_a_setting_needs(before: str, after: str, effect: Effect) -> None:
    wanted = text_file(PATH, after, services=("postfix",), restart_settings=("inet_interfaces",))
    found = shown(text_file(PATH, before), before)
    assert files.effects(found, wanted) == {"postfix": effect}


def test_a_new_file_restarts_nothing() -> None:
    wanted = text_file(PATH, "inet_interfaces = all\n", services=("postfix",), restart_settings=("inet_interfaces",))
    assert files.effects(None, wanted) == {"postfix": Effect.RELOAD}


def test_a_unit_that_goes_is_told_to_systemd() -> None:
    unit = File("/etc/systemd/system/x.service", "644", "root", "root", "file", "0" * 64)
    assert files.effects(unit, None) == {"systemd": Effect.RELOAD}
    assert files.effects(replace(unit, path="/etc/mailprov/x"), None) == {}


@pytest.mark.parametrize(
    ("before", "after", "summary"),
    [
        ({}, {"a": "1"}, "1 of 1 rows changes (1 added)"),
        ({"a": "1"}, {"a": "2", "b": "1"}, "2 of 2 rows change (1 added, 1 changed)"),
        ({"a": "1", "b": "1"}, {"a": "1"}, "1 of 2 rows changes (1 removed)"),
        ({"a": "1"}, {}, "1 of 1 rows changes (1 removed)"),
        ({}, {}, "no rows"),
        ({"a": "1"}, {"a": "1"}, "order or comments"),
        ({}, {str(n): "" for n in range(1204)}, "1,204 of 1,204 rows change (1,204 added)"),
    ],
)
def test_counts(before: dict[str, str], after: dict[str, str], summary: str) -> None:
    assert rows.change("rows", rows.Seen(before), rows.Seen(after)).summary == summary


def found(names: tuple[str, ...], **more: datetime) -> Certificate:
    """A live certificate as it is read from an answer."""
    pem = self_signed(names, more.get("until", NOW + timedelta(days=90)), more.get("since", NOW - timedelta(days=1)))
    [item] = certificates.read({"certificates": f"certificate /x\nmode 600 root\n{pem}matches\n"}).values()
    return item


@pytest.mark.parametrize(
    ("names", "hostname", "good"),
    [
        (("mail.example.com",), "mail.example.com", True),
        (("MAIL.Example.com",), "mail.example.com", True),
        (("*.example.com",), "mail.example.com", True),
        (("*.example.com",), "a.mail.example.com", False),
        (("example.com",), "mail.example.com", False),
        (("mail.example.com.evil.example",), "mail.example.com", False),
    ],
)
def test_names_of_a_certificate(names: tuple[str, ...], hostname: str, good: bool) -> None:
    wrong = problems(found(names), hostname, NOW)
    assert (not wrong) is good
    assert good or f"does not name {hostname}" in wrong[0]


def test_times_and_key_of_a_certificate() -> None:
    item = found(("mail.example.com",))
    assert problems(None, "mail.example.com", NOW) == ("there is no readable certificate",)
    assert "expired on 2030-08-30" in problems(item, "mail.example.com", NOW + timedelta(days=90))[0]
    assert "not valid before 2030-05-31" in problems(item, "mail.example.com", NOW - timedelta(days=2))[0]
    assert "key is missing" in problems(replace(item, matches=False), "mail.example.com", NOW)[0]


def test_certificates_that_cannot_be_read_are_none() -> None:
    good = self_signed(("mail.example.com",), NOW + timedelta(days=90))
    der = x509.load_pem_x509_certificate(good.encode()).public_bytes(serialization.Encoding.DER)
    version = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07")
    assert version != der
    for pem in (ssl.DER_cert_to_PEM_cert(version), ssl.DER_cert_to_PEM_cert(der[:-9]), "-----BEGIN CERTIFICATE-----\n"):
        text = f"certificate /bad\n{pem}\ncertificate /good\nmode 600 root\n{good}matches\n"
        assert [key.name for key in certificates.read({"certificates": text})] == ["/good"]


def test_renewal_has_a_month() -> None:
    live = replace(found(("mail.example.com",), until=NOW + timedelta(days=397)), issued="self")
    for days, same in ((367, True), (368, False)):
        wanted = Certificate("/x", "/x", "self_signed", ("mail.example.com",), now=NOW + timedelta(days=days))
        assert certificates.same(wanted, live, live.leaf) is same
    wanted = replace(wanted, now=NOW)
    assert not certificates.same(wanted, replace(live, key_mode="644"), "")
    assert not certificates.same(wanted, replace(live, issued="CN=ca"), "")
    assert not certificates.same(wanted, replace(live, names=("other.example",)), "")
    assert not certificates.same(wanted, replace(live, matches=False), "")


@pytest.mark.parametrize(
    ("unit", "wrapped", "expected"),
    [
        ({}, {}, Service("postfix")),
        ({"ActiveState": "reloading"}, {}, Service("postfix", active=False)),
        ({"UnitFileState": "enabled-runtime"}, {}, Service("postfix")),
        ({"UnitFileState": "static"}, {}, Service("postfix", enabled=False)),
        ({"LoadState": "masked", "UnitFileState": "masked"}, {}, Service("postfix", enabled=False, masked=True)),
        ({"LoadState": "masked", "UnitFileState": "masked-runtime"}, {}, Service("postfix", False, masked=True)),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, {}, None),
        ({"LoadState": "not-found"}, {}, Service("postfix")),
        ({"Type": "oneshot"}, {"ActiveState": "active"}, Service("postfix")),
        ({"Type": "oneshot"}, {"ActiveState": "failed"}, Service("postfix", active=False)),
        ({"Type": "oneshot"}, {"LoadState": "not-found", "ActiveState": "inactive"}, Service("postfix", active=False)),
    ],
)
def test_states_of_a_unit(unit: dict[str, str], wrapped: dict[str, str], expected: Service | None) -> None:
    plain = {"Type": "forking", "LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}
    blocks = [plain | {"Id": "postfix.service"} | unit, plain | {"Id": "postfix@-.service"} | wrapped]
    text = "\n\n".join("\n".join(f"{name}={value}" for name, value in block.items()) for block in blocks) + "\n"
    read = REGISTRY.services.read({"services": text})
    assert [item for key, item in read.items() if key.name == "postfix"] == ([expected] if expected else [])
    assert all(key.name != "postfix@-" for key in read)


ACTIVE = "Id=dovecot.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"
LISTENING = (
    'LISTEN 0 100 0.0.0.0:993 0.0.0.0:* users:(("imap-login",pid=70,fd=5),("dovecot",pid=7,fd=3))\n'
    'LISTEN 0 100 [::]:993 [::]:* users:(("dovecot",pid=7,fd=4))\n'
    'LISTEN 0 100 [::1]:143 [::]:* users:(("dovecot",pid=7,fd=5))\n'
    'LISTEN 0 100 0.0.0.0:4190 0.0.0.0:* users:(("dovecot",pid=77,fd=5))\n'
)


@pytest.mark.parametrize(
    ("listeners", "daemons", "why"),
    [
        (LISTENING, "pid dovecot 7\n", ": it does not listen on 143"),
        (LISTENING.replace("[::1]", "*"), "pid dovecot 7\n", ""),
        (LISTENING.replace("=77", "=7"), "pid dovecot 7\n", ": it does not listen on 143; it listens on 4190"),
        (LISTENING, "", ""),
        (LISTENING.replace(" users", " timer"), "pid dovecot 7\n", ""),
        ("", "pid dovecot 7\n", ""),
    ],
)
def test_what_a_daemon_owes_for_where_it_listens(listeners: str, daemons: str, why: str) -> None:
    """Only its own sockets count, not those of another program of that name."""
    sections = {"services": ACTIVE, "listeners": listeners, "daemons": daemons}
    [live] = REGISTRY.services.read(sections).values()
    found = REGISTRY.services.behind(Service("dovecot", ports=frozenset({143, 993})), live, read_again=False, ours=True)
    assert (found.why if found else "") == why


def test_half_installed_packages_are_missing() -> None:
    """One that an administrator holds is whole."""
    text = "ii |dovecot-core|1\nrc |postfix|1\niU |nftables|1\nun |x|\nhi |openssl|1\n"
    assert [key.name for key in Packages(REGISTRY.daemons).read({"packages": text})] == ["dovecot-core", "openssl"]


SIMULATED = """\
NOTE: This is only a simulation!
Inst dovecot-sieve [1:2.4.1+dfsg1-6] (1:2.4.1+dfsg1-6+u1 Debian:13/stable, Debian-Security:13 [amd64]) []
Inst dovecot-core [1:2.4.1+dfsg1-6] (1:2.4.1+dfsg1-6+u1 localhost [amd64])
Inst libx (0~1 Debian:13 [amd64])
Inst dovecot-pop3d (1:2.4.1+dfsg1-6+u1 localhost [amd64])
Conf libx (0~1 Debian:13 [amd64])
"""


def test_what_an_installation_brings_along() -> None:
    changes, new = Packages(REGISTRY.daemons).along(SIMULATED, ["dovecot-pop3d"])
    assert [(change.key.name, dict(change.effects)) for change in changes] == [
        ("dovecot-core", {"dovecot": Effect.RESTART}),
        ("dovecot-sieve", {"dovecot": Effect.RESTART}),
    ]
    assert changes[0].summary == "upgrade 1:2.4.1+dfsg1-6 → 1:2.4.1+dfsg1-6+u1 (apt brings it along)"
    assert new == ("+ libx 0~1",)
    assert packages.brought(SIMULATED)["dovecot-pop3d"] == ("", "1:2.4.1+dfsg1-6+u1")
    assert Packages(REGISTRY.daemons).steps(changes) == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SIMULATED, ""),
        ("Conf dovecot-pop3d (1:2.4.1+dfsg1-6 Debian:13/stable [amd64])\n", ""),
        ("E: Unable to locate package dovecot-pop3d\n", "apt on the host says: Unable to locate package dovecot-pop3d"),
        ("", "apt on the host says: it says nothing"),
    ],
)
def test_where_apt_cannot_tell_it_is_said(text: str, why: str) -> None:
    assert packages.untold(text, ["dovecot-pop3d"]).endswith(why)
    assert bool(packages.untold(text, ["dovecot-pop3d"])) == bool(why)


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("1:2.3.19.1+dfsg1-2.1", "1:2.3.21+dfsg1-1", False),
        ("1:2.3.19.1+dfsg1-2.1", "1:2.4.1+dfsg1-6", True),
        ("1:2.4.1+dfsg1-6", "1:2.4.2-1", False),
        ("", "1:2.4.2-1", False),
    ],
)
def test_an_installation_never_crosses_to_another_syntax(old: str, new: str, refused: bool) -> None:
    text = f"Inst dovecot-core{f' [{old}]' if old else ''} ({new} Debian [amd64])\n"
    try:
        packages.refuse_crossing(text, "mail1")
    except HostError as error:
        assert refused
        assert f"NAME={old}" in str(error.fix)
    else:
        assert not refused


def test_a_table_that_is_not_loaded_is_missing() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -\n"
    assert firewall.read({"firewall": empty}) == firewall.read({}) == {}
    assert len(firewall.read({"firewall": f"{'0' * 64}  -\n"})) == 1


def test_a_user_line_that_is_none_is_no_user() -> None:
    text = "vmail:x:999:999::/var/vmail:/usr/sbin/nologin\nvmail mail\nbroken:x\n\n"
    [found] = system_users.read({"users": text}).values()
    assert (found.home, found.group, found.uid) == ("/var/vmail", "mail", 999)


def test_a_map_wants_the_database_that_was_compiled() -> None:
    wanted = maps.table("/m", ["a@example.com OK"])
    live = replace(wanted, database="1" * 64)
    assert maps.same(wanted, live, "1" * 64)
    assert not maps.same(wanted, live, "")
    assert not maps.same(wanted, live, "2" * 64)
    assert not maps.same(wanted, replace(live, database=""), "")
    odd = [
        ("file", "666", *maps.MODE[1:]),
        ("file", "640", "nobody", "postfix"),
        ("symlink", "777", "root", "root"),
        None,
    ]
    for beside in odd:
        other = replace(live, beside=beside)  # type: ignore[arg-type]
        assert not maps.same(wanted, other, "1" * 64)
        assert other.fingerprint != live.fingerprint
        assert not other.obstacles


# --- tables


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["a@x:h:::managed:::", "a@x OK", "b@x b@x", "a@x:", "a@x ", "#a@x OK", "(line 1) OK", " ", "a:b c"]
        ),
        st.text(st.sampled_from('ab#@: \t\r\x0b\x0cä!~"$'), max_size=6),
    ),
    max_size=6,
)


@given(LINES, st.sampled_from([":", " "]), st.sampled_from(["\n", ""]))
def test_a_plain_table_is_read_as_any_other(lines: list[str], separator: str, ending: str) -> None:
    text = "\n".join(lines) + ending
    # An empty line is no row and has no other effect than that no short cut is taken.
    assert rows.parse(text, separator) == rows.parse(f"{text}\n\n", separator)
    assert rows.Table(text, separator).reveal() == rows.parse(text, separator).rows


@given(st.dictionaries(st.text("ab@x.-", min_size=1, max_size=4), st.sampled_from(["OK", "b@x"])))
def test_a_table_is_what_sort_and_sha256sum_make_of_it(wanted: dict[str, str]) -> None:
    lines = [f"{key} {value}" for key, value in wanted.items()]
    made = rows.table(lines, " ")
    assert made.reveal() == dict(zip(wanted, lines, strict=True))
    assert made.digest() == hashlib.sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()


def test_a_large_table_has_the_digest_of_its_text() -> None:
    lines = [f"user{n:06}@example.com OK" for n in range(50_000)]
    text = "".join(f"{line}\n" for line in lines)
    assert len(text) > 1 << 20
    assert rows.table(reversed(lines), " ").digest() == hashlib.sha256(text.encode()).hexdigest()


def test_a_table_never_shows_itself() -> None:
    made = rows.table(["a@example.com:hunter2:::managed:::"], ":")
    made.reveal()
    item = replace(accounts.accounts("/a", [], lambda _: Secret("")), rows=made)
    for text in (str(made), repr(made), f"{made}", str(item), repr(item)):
        assert "hunter2" not in text


def test_where_nothing_differs_no_row_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(_: rows.Table) -> None:
        raise AssertionError("a row was asked for")

    wanted = accounts.accounts("/a", ["a@example.com::::initial:::"], lambda _: Secret(""))
    table = maps.table("/m", ["a@example.com OK"])
    monkeypatch.setattr(rows.Table, "reveal", asked)
    assert accounts.same(wanted, accounts.Accounts("/a", wanted.digest), "")
    assert maps.same(table, maps.Map("/m", table.digest, database="1" * 64), "1" * 64)
    assert wanted.fingerprint == accounts.Accounts("/a", wanted.digest).fingerprint


QUOTAS = st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, 1, 2]))


@given(QUOTAS, QUOTAS)
def test_whose_quota_falls(before: dict[str, int | None], after: dict[str, int | None]) -> None:
    def table(quotas: dict[str, int | None]) -> accounts.Accounts:
        extra = {name: "" if size is None else f"userdb_quota_rule=*:bytes={size}" for name, size in quotas.items()}
        return accounts.accounts("/a", [f"{name}@x::::initial:::{text}" for name, text in extra.items()], Secret)

    was, will = table(before), table(after)
    sides = [side.rows.reveal() if side.rows else {} for side in (was, will)]

    both = [(name, before[name], after[name]) for name in before.keys() & after.keys()]
    falls = {f"{name}@x" for name, was, will in both if will is not None and (was is None or will < was)}
    assert set(consents.shrinking(accounts.delta(was, will), *sides)) == falls


AGES = st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, 1, 30, 90]))


@given(AGES, AGES)
def test_who_would_lose_messages(before: dict[str, int | None], after: dict[str, int | None]) -> None:
    def table(ages: dict[str, int | None], version: str) -> accounts.Accounts:
        users = [
            User(f"{name}@x.cn", Password("initial", ""), quota=5000 if name == "a" else None, expire=days)
            for name, days in ages.items()
        ]
        return accounts.accounts("/a", dovecot.rows(users, Facts("", "12", 0, (22,), version, 0)), lambda _: Secret(""))

    both = [(name, before[name], after[name]) for name in before.keys() & after.keys()]
    lose = {(f"{name}@x.cn", will) for name, was, will in both if will is not None and (was is None or will < was)}
    was, will_be = table(before, "2.3.19"), table(after, "2.4.1")
    sides = [side.rows.reveal() if side.rows else {} for side in (was, will_be)]
    found = consents.expiring(accounts.delta(was, will_be), *sides)
    assert {(name, days) for days, names in found.items() for name in names} == lose
