"""A host's answer: whole or refused, whatever stands around it and whoever sent it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from subprocess import run

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from simulated_host import SimulatedHost

from mailprov.connection.fake import FakeHost
from mailprov.engine import manifest, probe
from mailprov.errors import HostError
from mailprov.model import Completed, Facts, Key, Query
from mailprov.resources.certificates import clock
from mailprov.resources.files import text_file
from mailprov.roles import dovecot
from mailprov.standard import REGISTRY
from mailprov.workflows.survey import ask

NAMES = st.sampled_from(
    [*sorted(REGISTRY.stable), "facts", "listeners", "daemons", "manifest", "closer0", "unheard-of"]
)
SECTIONS = st.dictionaries(NAMES, st.text(max_size=60))


def parsed(answer: bytes) -> probe.Reply:
    """An answer as it is read everywhere."""
    return probe.parse(answer, REGISTRY.stable)


def formatted(sections: Mapping[str, str]) -> bytes:
    lines = [line for name, text in sections.items() for line in (name, *(f"{name} {row}" for row in rows(text)))]
    return "\n".join([probe.BEGIN, *lines, probe.END, ""]).encode("utf-8", "replace")


def rows(text: str) -> list[str]:
    """A text's lines; nothing but a newline ends one."""
    return text.removesuffix("\n").split("\n") if text else []


def read(text: str) -> str:
    """A text as it is read: its last line has its newline."""
    return "".join(f"{row}\n" for row in rows(text)).encode("utf-8", "replace").decode()


@given(SECTIONS)
@example({"files": "\n\n\x0b\x85\u2028\r\n", "facts": "", "manifest": f"{probe.END}\n{probe.BEGIN}\nfiles x"})
def test_what_is_said_is_what_is_read(sections: Mapping[str, str]) -> None:
    assert parsed(formatted(sections)).sections == {name: read(text) for name, text in sections.items()}


@given(SECTIONS, st.binary(max_size=80), st.binary(max_size=80))
@example({"facts": "uid 0\n"}, b"Welcome to mail1!\r\n\x1b[31mLast login: today\x1b[0m\n", b"logout\n")
@example({}, b"mailprov-answer 1\n", b"\xff\xfe")
def test_a_noisy_shell_is_not_heard(sections: Mapping[str, str], before: bytes, after: bytes) -> None:
    answer = parsed(formatted(sections))
    assert parsed(before + b"\n" + formatted(sections) + after) == answer


@given(st.data())
def test_a_truncated_answer_is_refused(data: st.DataObject) -> None:
    whole = formatted({"facts": "uid 0\n", "files": "x" * 50})
    cut = data.draw(st.integers(0, len(whole) - 2))
    with pytest.raises(HostError, match="cut short"):
        parsed(whole[:cut])


@given(st.binary(max_size=200))
@example(b"facts \xc3\n")
@example(b"facts \x00\x01\n\n \n  \n")
@example(f"{probe.END}\n".encode())
def test_a_garbled_answer_is_an_answer(body: bytes) -> None:
    answer = parsed(probe.BEGIN.encode() + b"\n" + body + b"\n" + probe.END.encode() + b"\n")
    assert all(isinstance(text, str) for text in answer.sections.values())


@given(st.dictionaries(NAMES, st.text(max_size=200)))
@example({"facts": "owed \nowed\nowed a\nowed b c d\n", "services": "Id=\n=\n\n\nLoadState=loaded\n"})
@example({"certificates": "certificate /x\nmode \n-----BEGIN-----END CERTIFICATE-----matches\n"})
@example({"accounts": "  -\n", "maps": "  .db\n" * 3, "files": "||||\n|||||||\n", "users": "::::::\n"})
@example(
    {
        "services": "Id=dovecot.service\nActiveState=active\n",
        "daemons": "pid dovecot x\n||\n",
        "listeners": "LISTEN 0 0 :",
    }
)
@example({"packages": "||\nii\nii |dovecot-core|\n", "firewall": " "})
def test_no_section_can_break_the_readers(sections: Mapping[str, str]) -> None:
    assert isinstance(REGISTRY.live(sections), dict)


def test_sections_that_nobody_knows_are_ignored() -> None:
    said = {"files": "directory|755|root|root|/etc/mailprov\n"}
    assert REGISTRY.live(said | {"closer7": "x", "future": "y"}) == REGISTRY.live(said)
    assert parsed(formatted(said)).digest == parsed(formatted(said | {"future": "y"})).digest


def test_the_digest_is_of_what_changes_by_a_hand_only() -> None:
    said = {"facts": "clock 1", "files": "a", "manifest": "m"}
    digest = parsed(formatted(said)).digest
    assert parsed(formatted(said | {"facts": "clock 2", "manifest": "n"})).digest == digest
    for section in sorted(REGISTRY.stable):
        assert parsed(formatted(said | {section: "b"})).digest != digest
    assert digest == hashlib.sha256(b"files a\n").hexdigest()


# --- facts

PLAIN = SimulatedHost().ask("facts")


def facts(**changes: str) -> Facts:
    rows = dict(line.partition(" ")[::2] for line in PLAIN.splitlines()) | changes
    return probe.facts(REGISTRY, {"facts": "".join(f"{name} {value}\n" for name, value in rows.items())})


def test_facts_of_a_plain_host() -> None:
    found = facts()
    assert (found.release, found.dovecot, found.ssh_ports, found.pending_reloads) == ("12", "2.3.19.1", (22,), ())


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"uid": "1000"}, "do not run as root"),
        ({"uid": ""}, "do not run as root"),
        ({"os": "ubuntu", "release": "24.04"}, "ubuntu 24.04, not Debian 11, 12 or 13"),
        ({"os": "debian", "release": "10"}, "debian 10, not"),
        ({"os": "debian", "release": ""}, "this host is debian, not"),
        ({"release": "1²"}, "not Debian"),
        ({"init": "sysvinit"}, "does not run systemd"),
        ({"init": ""}, "does not run systemd"),
        ({"candidate": "1:x"}, "a version that means nothing"),
        ({"candidate": "\x1b[31m2.4"}, "a version that means nothing"),
    ],
)
def test_hosts_that_are_refused(changes: dict[str, str], refusal: str) -> None:
    with pytest.raises(HostError, match=refusal) as caught:
        facts(**changes)
    assert caught.value.fix or caught.value.why
    assert "\x1b" not in caught.value.why


def test_no_answer_is_no_root() -> None:
    with pytest.raises(HostError, match="root"):
        probe.facts(REGISTRY, {})


def test_a_host_that_says_nothing_is_an_error_with_a_cause() -> None:
    for said, why in ((b"", "it says nothing, and ends with 1"), (b"no sh here", "no sh here")):
        with pytest.raises(HostError) as caught:
            ask(FakeHost("mail1", Completed(1, b"", said)), b"")
        assert (caught.value.why, bool(caught.value.fix)) == (why, True)


@pytest.mark.parametrize(
    ("packages", "candidate", "release", "version", "syntax"),
    [
        ("ii |dovecot-core|1:2.3.19.1+dfsg1-2.1\n", "", "12", "2.3.19.1", "2.3"),
        ("ii |dovecot-core|1:2.4.1+dfsg1-6+deb13u1\n", "", "13", "2.4.1", "2.4"),
        ("ii |dovecot-core|2:2.3.21-1+debian12\n", "", "12", "2.3.21", "2.3"),
        ("ii |dovecot-core|2.4.0~rc1\n", "", "12", "2.4.0", "2.4"),
        ("ii |dovecot-core|1:2.10.1-1\n", "", "13", "2.10.1", "2.4"),
        ("rc |dovecot-core|1:2.3.13+dfsg1-2\n", "1:2.4.1+dfsg1-6", "13", "2.4.1", "2.4"),
        ("un |dovecot-core|\n", "(none)", "12", "2.3.19", "2.3"),
        ("", "", "11", "2.3.13", "2.3"),
        ("", "", "13", "2.4.1", "2.4"),
    ],
)
def test_which_dovecot(packages: str, candidate: str, release: str, version: str, syntax: str) -> None:
    said = PLAIN.replace("release 12", f"release {release}")
    said = "".join(f"{line}\n" for line in said.splitlines() if not line.startswith("candidate"))
    said += f"candidate {candidate}\n" if candidate else ""
    found = probe.facts(REGISTRY, {"facts": said, "packages": packages})
    assert (found.dovecot, dovecot.syntax(found)) == (version, syntax)


@pytest.mark.parametrize(
    ("connection", "listens", "ports"),
    [
        ("", ["0.0.0.0:22", "[::]:22", "*:2222"], (22, 2222)),
        ("", [], (22,)),
        ("192.0.2.1 50000 192.0.2.10 2022", [], (2022,)),
        ("192.0.2.1 50000 192.0.2.10 2022", ["0.0.0.0:22"], (22, 2022)),
        ("192.0.2.1 50000", ["*:0", "*:65536", "*:²", "*:-1", "*", ""], (22,)),
        ("a b c drop", ["*:22;add"], (22,)),
        ("a b c 65536", [], (22,)),
    ],
)
def test_where_ssh_is_reached(connection: str, listens: list[str], ports: tuple[int, ...]) -> None:
    lines = [line for line in PLAIN.splitlines() if not line.startswith("ssh")]
    text = "\n".join([*lines, f"ssh {connection}"])
    table = [f'LISTEN 0 128 {address} 0.0.0.0:* users:(("sshd",pid=7,fd=3))\n' for address in listens]
    table.append('LISTEN 0 100 0.0.0.0:25 0.0.0.0:* users:(("master",pid=2,fd=3))\n')
    table.append("process\t7\t0\t1\t/system.slice/ssh.service\t/usr/sbin/sshd\n")
    assert probe.facts(REGISTRY, {"facts": text, "listeners": "".join(table)}).ssh_ports == ports


def test_ipv6_is_there_unless_it_is_told_otherwise() -> None:
    assert probe.facts(REGISTRY, {"facts": PLAIN, "listeners": ""}).ipv6
    assert not probe.facts(REGISTRY, {"facts": PLAIN, "listeners": "ipv6 none\n"}).ipv6


@given(st.text(max_size=30), st.sampled_from(["clock", "free", "machine", "ssh", "owed"]))
@example("²", "clock")
@example("9" * 5000, "clock")
@example("9" * 15, "clock")
def test_facts_of_any_host_are_usable(text: str, name: str) -> None:
    found = facts(**{name: text})
    assert clock(found.clock).year < 10_000
    assert all(0 < port < 65536 for port in found.ssh_ports)


# --- manifest


@given(
    st.lists(st.from_regex(r"/[!-~]{1,20}( [!-~]{1,5})?", fullmatch=True), max_size=5),
    st.dictionaries(
        st.sampled_from(sorted(REGISTRY.stable - {"past", "mailboxes", "scripts", "dkim_keys"})),
        st.text(st.characters(codec="utf-8"), max_size=40),
    ),
)
def test_a_manifest_is_read_as_it_was_written(paths: list[str], sections: dict[str, str]) -> None:
    desired = {item.key: item.fingerprint for item in (text_file(path, "x") for path in paths)}
    made = {Key("map", path): "0" * 64 for path in paths}
    found = manifest.parse(manifest.head("id", desired, made) + f"made firewall {'1' * 64} inet mailprov\n")
    assert found is not None
    assert (found.transaction, found.desired, found.sections) == ("id", desired, {})
    assert found.made == made | {Key("firewall", "inet mailprov"): "1" * 64}
    # As hosts have it that were managed by the form before: with the host's whole answer.
    rows = "".join(f"desired {key.kind} {value} {key.name}\n" for key, value in desired.items())
    found = manifest.parse(f"{manifest.BEFORE}\ntransaction id\n{rows}" + formatted(sections).decode())
    assert found is not None
    assert (found.transaction, found.desired, found.made) == ("id", desired, {})
    assert found.sections == {name: read(text) for name, text in sections.items() if text}


@pytest.mark.parametrize("text", ["", "\n", "mailprov-manifest 1\ntransaction x\n", "x", "mailprov-manifest 3"])
def test_what_is_no_manifest_is_none(text: str) -> None:
    assert manifest.parse(text) is None


@given(st.text(max_size=80), st.sampled_from(["", "count 0", "count 1", "count", "count 0\ncount 0"]))
def test_any_manifest_is_read_or_refused(text: str, count: str) -> None:
    found = manifest.parse(f"{manifest.HEAD}\ntransaction x\n{count}\n{text}")
    assert (found is not None) is (count in ("", "count 0"))
    if found is None:
        return
    assert all(isinstance(key, Key) for key in found.desired)


# --- the script


def test_questions_are_quoted() -> None:
    hostile = "/etc/a b'; touch /x; $(id) `id` \\\n#"
    script = probe.script(REGISTRY, [Query("files", "files", (hostile,))])
    seen = b'section() { :; }\nanswer() { printf \'%s\\0\' "$@"; }\ntold() { "$1"; }\n'
    done = run(
        ["dash"], input=seen + script.partition(probe.functions(REGISTRY).encode())[2], capture_output=True, check=True
    )
    words = done.stdout.split(b"\0")
    assert words[:3] == [b"files", b"files", hostile.encode()]


def test_every_question_names_a_function() -> None:
    asked = [REGISTRY.services.queries([]), (Query("x", "content"), Query("x", "rows"), Query("x", "manifest"))]
    for query in (each for queries in asked for each in queries):
        assert f"\n{query.function}() {{" in probe.functions(REGISTRY)
