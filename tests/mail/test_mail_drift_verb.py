"""`mailprov drift` on a real host: what somebody changed there, and nothing else; and a kept plan of it, shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mail_machine import ALICE, DAVE, HASHES, Machine, Ran

pytestmark = pytest.mark.host

MAIN = "/etc/postfix/main.cf"
ACCOUNTS = "/etc/dovecot/mailprov/accounts"
DENIED = "/etc/dovecot/mailprov/denied"
# By what is told of it: what somebody does on the host, and the kind of rule that ignores it.
EDITS = {
    f"~ file {MAIN}  content": (f"echo 'mynetworks = 0.0.0.0/0' >>{MAIN}", "file"),
    f"~ accounts {ACCOUNTS}  1 of 7 accounts changes (1 changed)": (
        f"sed -i 's/^\\(carol@[^:]*\\):[^:]*:/\\1:{{PLAIN}}hunter2:/' {ACCOUNTS}",
        "accounts",
    ),
    "~ service postfix  start": ("systemctl stop postfix postfix@-", "service"),
    "~ firewall inet mailprov  load again: what is loaded is not what was applied": (
        "nft insert rule inet mailprov input tcp dport 4444 accept",
        "firewall",
    ),
}


def drift(machine: Machine) -> Ran:
    return machine.mailprov("drift")


def forms(machine: Machine) -> str:
    """Run it in the other forms, which end as the text does; what they say."""
    wanted = drift(machine).status
    ran = [machine.mailprov("drift", "--format", form) for form in ("json", "markdown")]
    assert [each.status for each in ran] == [wanted, wanted], ran
    assert json.loads(ran[0].out)["drifted"] is (wanted == 2)
    assert ran[1].out.startswith("### mailprov: ")
    return "".join(each.said for each in ran)


def told(ran: Ran) -> list[str]:
    """The lines of things, blanks made one or two."""
    lines = [" ".join(line.split("  ")).split() for line in ran.out.splitlines() if line.startswith(("  ~ ", "  + "))]
    return [" ".join(words) for words in lines]


@contextmanager
def ignoring(machine: Machine, *rules: dict[str, object]) -> Iterator[None]:
    machine.declared["drift"] = {"ignore": [*rules]}
    try:
        yield
    finally:
        del machine.declared["drift"]


@pytest.mark.one_release
def test_what_somebody_did_is_told_until_it_is_put_back(clone: Machine) -> None:
    after = drift(clone)
    assert (after.status, after.err) == (0, "")
    assert after.out == "mail1\n  no drift: nothing was changed here since the last apply\nNo drift on 1 host.\n"
    wanted: list[str] = []
    for line, (edit, kind) in EDITS.items():
        clone.sh(edit)
        wanted.append(" ".join(line.split()))
        ran = drift(clone)
        assert ran.status == 2, ran.said
        assert sorted(told(ran)) == sorted(wanted), ran.out
        with ignoring(clone, {"kind": kind, "name": "*", "reason": "known"}):
            assert f"{wanted[-1]} [mail.yaml:" in " ".join(drift(clone).out.split())
    assert "-mynetworks = 0.0.0.0/0" in ran.out
    assert "~ carol@other.test  password" in ran.out
    assert ran.out.endswith("Drift: 4 changes on 1 host.\n")
    # Declared noise: all of it, and each in sight.
    with ignoring(clone, *({"kind": kind, "name": "*", "reason": f"why {kind}"} for _, kind in EDITS.values())):
        ran = clone.mailprov("drift", "--details")
        assert ran.status == 0, ran.said
        assert all(f": why {kind}]" in ran.out for _, kind in EDITS.values())
        others = forms(clone)
        assert all(f"why {kind}" in others for _, kind in EDITS.values())
        assert ran.out.endswith("No drift on 1 host; 4 changes ignored.\n")
        assert "since 2" in ran.out.splitlines()[0]
        planned = clone.plan("--details", "--out", "kept.json")
        assert planned.status == 2, "an apply ignores nothing"
    shows_what_was_kept(clone, planned)
    said = ran.said + forms(clone)
    assert "hunter2" not in said and HASHES[ALICE] not in said
    applied = clone.apply("--allow-opening", "--allow-closing")
    assert applied.status == 0, applied.said
    assert drift(clone).out == after.out


def shows_what_was_kept(clone: Machine, planned: Ran) -> None:
    """Without a declaration, and with nobody to ask."""
    clone.host.run(("systemctl", "stop", "ssh"), check=False)
    for form in ("text", "json", "markdown"):
        shown = clone.mailprov("show", "kept.json", "--format", form, "--details")
        assert (shown.status, shown.err) == (0, ""), shown.said
        assert MAIN in shown.out and "hunter2" not in shown.out
    shown = clone.mailprov("show", "kept.json")
    assert sorted(told(shown)) == sorted(" ".join(line.split()) for line in told(planned))
    text = (clone.folder / "kept.json").read_text().replace("UPDATE", "REMOVE", 1)
    (clone.folder / "other.json").write_text(text)
    assert clone.mailprov("show", "other.json").status == 3
    clone.host.run(("systemctl", "start", "ssh"), check=False)


@pytest.mark.one_release
def test_the_declaration_alone_is_no_drift(clone: Machine) -> None:
    clone.user(DAVE)["quota"] = "2GiB"
    clone.declared["aliases"].append({"address": "new@example.test", "to": [ALICE]})
    ran = clone.mailprov("drift", "--shard", "1/1", "--executor", "threads")
    assert ran.status == 0, ran.said
    assert "changes of the declaration pending: see `mailprov plan`" in ran.out
    # Other ports and another certificate, which services do not have yet, either.
    clone.declared["services"]["pop3"]["tls"] = 1995
    clone.renew()
    ran = drift(clone)
    assert ran.status == 0, ran.said
    clone.declared["services"]["pop3"]["tls"] = 995
    # Both moved: it is drift, and it is said that the declaration has its part in what is shown.
    clone.sh(f"sed -i '/^erin@/d' {ACCOUNTS}")
    ran = drift(clone)
    assert ran.status == 2
    assert "2 of 7 accounts change (1 added, 1 changed) [the declaration changed it, too]" in told(ran)[0]
    # Somebody made on the host what is declared by now: nothing is left to do about that.
    assert clone.apply().status == 0
    clone.user(DAVE)["protocols"] = ["imap"]
    clone.sh(f"printf '%s\\n' {DAVE}/pop3 {DAVE}/smtp >>{DENIED}")
    ran = drift(clone)
    assert ran.status == 0
    assert f"changed here to what is declared by now, so that nothing is to be done: file {DENIED}" in ran.out


@pytest.mark.one_release
def test_no_key_is_needed_and_a_record_is(clone: Machine) -> None:
    (clone.folder / "mail.key").rename(clone.folder / "elsewhere.key")
    clone.environment.clear()
    ran = drift(clone)
    assert ran.status == 0, ran.said
    assert "what depends on it is compared by its fingerprint alone" in ran.err
    assert clone.plan().status == 3
    clone.sh("chmod 644 /etc/mailprov/tls/default.pem")
    ran = drift(clone)
    assert ran.status == 2
    assert "file /etc/mailprov/tls/default.pem changed; how is not told, for that takes a secret" in told(ran)[0]
    clone.sh("chmod 600 /etc/mailprov/tls/default.pem")
    assert drift(clone).status == 0
    clone.sh("cp -p /var/lib/mailprov/manifest /root/manifest")
    clone.sh("grep -v ' /etc/postfix/main.cf$' /root/manifest >/var/lib/mailprov/manifest")
    ran = drift(clone)
    assert ran.status == 1 and "cannot be read: it is damaged" in ran.err
    clone.sh("rm /var/lib/mailprov/manifest")
    ran = drift(clone)
    assert ran.status == 1 and "the record of the last apply is gone" in ran.err
    clone.sh("mv /root/manifest /var/lib/mailprov/manifest")
    assert drift(clone).status == 0


@pytest.mark.one_release
def test_a_link_where_a_file_was(clone: Machine) -> None:
    """A plan can only refuse that."""
    clone.sh(f"mv {MAIN} /root/main.cf && ln -s /root/main.cf {MAIN}")
    ran = drift(clone)
    assert ran.status == 2
    assert told(ran)[0].startswith(f"~ file {MAIN} type symlink → file")
    assert f"an apply would refuse this host: {MAIN} is a symlink" in ran.out
    assert clone.plan().status == 1
    clone.sh(f"mv /root/main.cf {MAIN}")
    assert drift(clone).status == 0
