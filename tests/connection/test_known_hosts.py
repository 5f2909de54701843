"""known_hosts: who is known, by which key, and how one becomes known."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.connection import patterns
from mailprov.connection.known_hosts import HostKey, KnownHosts, load, name_of, parse, record
from mailprov.errors import ConnectError

ED1 = HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519one")
ED2 = HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519two")
RSA = HostKey("ssh-rsa", b"\0\0\0\x07ssh-rsathree")


def b64(key: HostKey) -> str:
    return base64.b64encode(key.blob).decode()


def line(hosts: str, key: HostKey, marker: str = "") -> str:
    return f"{marker + ' ' if marker else ''}{hosts} {key.kind} {b64(key)} a comment\n"


def hashed(name: str) -> str:
    salt = b"0123456789abcdef0123"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def known(text: str) -> KnownHosts:
    return KnownHosts(parse(text, Path("known_hosts")))


@pytest.mark.parametrize(
    ("hosts", "host", "port", "covered"),
    [
        ("a.example", "a.example", 22, True),
        ("A.example", "a.EXAMPLE", 22, True),
        ("a.example,192.0.2.1", "192.0.2.1", 22, True),
        ("*.example", "a.example", 22, True),
        ("?.example", "a.example", 22, True),
        ("?.example", "ab.example", 22, False),
        ("*.example,!a.example", "a.example", 22, False),
        ("!a.example,*.example", "b.example", 22, True),
        ("[a.example]:2222", "a.example", 2222, True),
        ("[a.example]:2222", "a.example", 22, False),
        ("[a.example]:2222", "a.example", 2223, False),
        ("a.example", "a.example", 2222, True),  # ssh(1) falls back to the bare name
        ("2001:db8::1", "2001:db8::1", 22, True),
        (hashed("a.example"), "a.example", 22, True),
        (hashed("a.example"), "b.example", 22, False),
        (hashed("[a.example]:2222"), "a.example", 2222, True),
        ("|1|not base64|x", "a.example", 22, False),
    ],
)
def test_an_entry_covers_what_sshd_8_says(hosts: str, host: str, port: int, covered: bool) -> None:
    verdict, _ = known(line(hosts, ED1)).judge(host, port, ED1)
    assert verdict == ("known" if covered else "unknown")


def test_verdicts() -> None:
    hosts = known(line("a", ED1) + line("b", RSA) + line("*", ED2, "@revoked") + line("*", ED1, "@cert-authority"))
    assert hosts.judge("a", 22, ED1)[0] == "known"
    assert hosts.judge("a", 22, ED2)[0] == "revoked"
    assert hosts.judge("a", 22, RSA)[0] == "changed"
    assert hosts.judge("b", 22, ED1)[0] == "changed", "a kind that was never recorded is no reason to trust"
    assert hosts.judge("c", 22, ED1)[0] == "unknown", "an authority vouches for certificates only"
    assert hosts.kinds("a", 22) == ("ssh-ed25519",)


def test_two_keys_of_a_kind_are_both_good() -> None:
    hosts = known(line("a", ED1) + line("a", ED2))
    assert hosts.judge("a", 22, ED1)[0] == hosts.judge("a", 22, ED2)[0] == "known"


def test_a_bare_name_says_nothing_against_the_key_of_another_port() -> None:
    hosts = known(line("a", ED1))
    assert hosts.judge("a", 2222, ED1)[0] == "known"
    assert hosts.judge("a", 2222, ED2) == ("unknown", ())


def test_a_changed_key_names_its_line() -> None:
    verdict, entries = known("# comment\n\n" + line("a", ED1)).judge("a", 22, ED2)
    assert (verdict, [str(entry) for entry in entries]) == ("changed", ["known_hosts:3"])


def test_lines_that_cannot_be_read_are_left_out() -> None:
    assert parse("\n# x\na\na ssh-ed25519\na ssh-ed25519 !!!\n@revoked\n@other a b c\n", Path("x")) == ()


@given(st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    known(text).judge("a", 22, ED1)


HOSTS = ("a.example", "b.example", "192.0.2.1")
PATTERNS = (*HOSTS, "A.example", "*.example", "!a.example,*.example", "a.example,192.0.2.1", "[a.example]:2222", "?")


@given(st.lists(st.sampled_from((*PATTERNS, hashed("a.example"))), max_size=8), st.sampled_from(HOSTS))
def test_looking_up_a_host_is_asking_every_entry(hosts: list[str], host: str) -> None:
    found = known("".join(line(each, HostKey("ssh-ed25519", bytes([n]))) for n, each in enumerate(hosts)))
    assert found.of(host, 22) == tuple(entry for entry in found.entries if entry.covers(host))


def test_a_file_that_was_written_since_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    assert load([file]).entries == ()
    record(file, "a.example", 22, [ED1])
    first = load([file])
    assert (first.kinds("a.example", 22), load([file])) == (("ssh-ed25519",), first)
    record(file, "a.example", 22, [ED2], replace=True)
    assert [entry.key for entry in load([file]).entries] == [ED2]
    file.unlink()
    assert load([file]).entries == ()


def test_loading_skips_missing_files(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("a", ED1))
    assert len(load([tmp_path / "none", file, file / "below"]).entries) == 1


def test_loading_a_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match="cannot read the known host keys"):
        load([tmp_path])


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs ssh-keygen")
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"), check=True)
    kind, text, *_ = (tmp_path / "key.pub").read_text().split()
    key = HostKey(kind, base64.b64decode(text))
    told = subprocess.run(("ssh-keygen", "-lf", tmp_path / "key.pub"), check=True, capture_output=True, text=True)
    assert key.fingerprint in told.stdout
    assert f"({key.label})" in told.stdout
    assert str(key) == f"ED25519 {key.fingerprint}"


# --- recording ------------------------------------------------------------------------------------------------------


def test_recording_makes_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / ".ssh/known_hosts"
    assert record(file, "a", 2222, [ED1, RSA]) == (ED1, RSA)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text() == f"[a]:2222 {ED1.kind} {b64(ED1)}\n[a]:2222 {RSA.kind} {b64(RSA)}\n"


def test_recording_adds_only_what_is_new(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("a", ED1).rstrip())  # no newline at the end
    assert record(file, "a", 22, [ED1, RSA]) == (RSA,)
    assert record(file, "a", 22, [ED1, RSA]) == ()
    assert [entry.key for entry in load([file]).entries] == [ED1, RSA]


def test_recording_over_another_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(before := line("a", ED1))
    for keys in ([ED2], [RSA], [ED2, RSA]):
        with pytest.raises(ConnectError, match="known by another key") as caught:
            record(file, "a", 22, keys)
        assert ED1.fingerprint in str(caught.value)
        assert keys[0].fingerprint in str(caught.value)
    assert file.read_text() == before


def test_replacing_takes_out_the_host_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(
        "# mine\n" + line("b,a", ED1) + line(hashed("a"), RSA) + line("c", ED1) + line("a", ED2, "@revoked")
    )
    file.chmod(0o640)
    new = HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519new")
    assert record(file, "a", 22, [new], replace=True) == (new,)
    assert file.read_text() == (
        "# mine\n" + line("b", ED1) + line("c", ED1) + line("a", ED2, "@revoked") + f"a {new.kind} {b64(new)}\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["known_hosts"]


def test_replacing_keeps_off_patterns(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(before := line("*.example", ED1))
    with pytest.raises(ConnectError, match="a pattern of hosts"):
        record(file, "a.example", 22, [ED2], replace=True)
    assert file.read_text() == before


def test_a_revoked_key_is_never_recorded(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("a", ED1, "@revoked"))
    with pytest.raises(ConnectError, match="is revoked"):
        record(file, "a", 22, [ED1], replace=True)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConnectError, match="cannot record"):
        record(tmp_path / "file/known_hosts", "a", 22, [ED1])


def test_names() -> None:
    assert (name_of("a", 22), name_of("a", 2222), name_of("2001:db8::1", 22)) == ("a", "[a]:2222", "2001:db8::1")


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "", True),
        ("?", "", False),
        ("*.example.com", "mail.example.com", True),
        ("*.example.com", "example.com", False),
        ("mail?.example.com", "mail1.example.com", True),
        ("[mail]:2222", "[mail]:2222", True),
        ("[m]*", "mail", False),
        ("*a*b", "xaxbxab", True),
        ("*a*b", "xaxbxa", False),
        ("a**b", "ab", True),
    ],
)
def test_what_a_pattern_fits(pattern: str, name: str, fits: bool) -> None:
    assert known(line(pattern, ED1)).of(name, 22) == (known(line(pattern, ED1)).entries if fits else ())


@given(st.text("a*?b", max_size=8), st.text("ab", max_size=8))
def test_a_pattern_fits_what_its_regular_expression_does(pattern: str, name: str) -> None:
    expression = pattern.replace("*", ".*").replace("?", ".")
    assert patterns.fits(pattern, name) == bool(re.fullmatch(expression, name))


def test_many_stars_take_no_time() -> None:
    name = "a" * 250 + ".example.com"
    assert known(line("*a" * 500 + "*z", ED1)).of(name, 22) == ()
