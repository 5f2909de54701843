"""A roll-back after each kind of change: planned, agreed to and confirmed as an apply is, and all is as it was."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from mail_clients import LOGIN_DENIED, login, logins, served
from mail_machine import ALICE, CAROL, HASHES, PASSWORDS, PORTS, Machine
from test_mail_trouble import one_error

pytestmark = pytest.mark.host

CONSENTS = ("--allow-removals", "--allow-many", "--allow-closing", "--allow-shrinking", "--allow-expiry")

# Everything that a roll-back owes: what is in these folders with mode and owner, who mail belongs to, what is enabled,
# who listens, and what the kernel lets in. A map's database is told by what it holds.
_STATE = r"""
find /etc/dovecot /etc/postfix /etc/mailprov /var/vmail -maxdepth 2 ! -name '*.db' ! -path '/var/vmail/*' \
    -printf '%p %y %m %u:%g %l\n' | sort
find /etc/dovecot /etc/postfix /etc/mailprov -type f ! -name '*.db' ! -name accounts -exec sha256sum {} + | sort
awk -F: -v OFS=: '$5 == "initial" { $2 = "" } { print }' /etc/dovecot/mailprov/accounts
for map in /etc/postfix/mailprov/*.db; do
    [ ! -f "$map" ] || { stat -c '%n %a %U:%G' "$map"; postmap -s "hash:${map%.db}" | sort; }
done
find /etc/systemd/system /run/systemd/system \( -name '*mailprov*' -o -name 'dovecot*' -o -name 'postfix*' \) \
    ! -name '*watch*' -printf '%p %l\n' | sort
getent passwd vmail; getent group vmail
systemctl is-enabled dovecot postfix; systemctl is-active dovecot postfix
ss -Hltn | awk '{ print $4 }' | sort
nft -s list ruleset
"""


def state(mail: Machine) -> list[str]:
    return mail.sh(f"({_STATE}) 2>/dev/null; :").splitlines()


def rolled_back(mail: Machine, *more: str) -> None:
    ran = mail.mailprov("rollback", "--yes", *CONSENTS, *more)
    assert ran.status == 0, ran.said


def listener(declared: dict[str, Any]) -> None:
    declared["services"]["pop3"] = {"tls": 995}
    declared["services"]["imap"] = {"tls": 993, "starttls": 10143}


def people(declared: dict[str, Any]) -> None:
    declared["users"][2]["quota"] = "1MiB"
    declared["users"][3]["password"] = {"hash": HASHES[ALICE]}
    declared["users"].append({"address": "new@example.test", "password": {"hash": HASHES[ALICE]}})


def certificate_and_firewall(declared: dict[str, Any]) -> None:
    declared["tls"] = {"self_signed": {}}
    declared["firewall"] = {"manage": False}


def a_restart(declared: dict[str, Any]) -> None:
    declared["hosts"]["mail1"]["hostname"] = "mail.example.test"
    declared["services"] = {"pop3": {"tls": 995}, "submission": {"tls": 465}, "smtp": {"port": 25}}


@pytest.mark.parametrize("change", [listener, people, certificate_and_firewall, a_restart])
def test_after_each_kind_of_change(clone: Machine, change: Callable[[dict[str, Any]], None]) -> None:
    """And back again: a roll-back is an apply, which can be rolled back."""
    before, declared = state(clone), copy.deepcopy(clone.declared)
    change(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    between = state(clone)
    assert between != before
    rolled_back(clone)
    assert state(clone) == before
    changed, clone.declared = clone.declared, declared
    assert clone.plan().status == 0
    assert served(clone) == dict.fromkeys(PORTS, clone.shown.fingerprint)
    assert logins(clone, ALICE) == [True, True, True]
    rolled_back(clone)
    assert state(clone) == between
    clone.declared = changed
    assert clone.plan().status == 0
    assert "no changes" in clone.plan().out


@pytest.mark.one_release
@pytest.mark.parametrize("unit", ["dovecot.service", "postfix@-.service"])
def test_over_an_apply_that_started_what_was_down(clone: Machine, unit: str) -> None:
    """What runs goes on, and reads what comes back."""
    declared = copy.deepcopy(clone.declared)
    clone.declared["tls"]["min_version"] = "TLSv1.3"
    clone.sh(f"systemctl stop {unit}")
    assert clone.apply(*CONSENTS).status == 0
    rolled_back(clone)
    clone.declared = declared
    assert clone.sh(f"systemctl is-active {unit}").strip() == "active"
    assert "no changes" in clone.plan().out


@pytest.mark.one_release
def test_over_an_apply_that_put_a_hand_edit_right(clone: Machine) -> None:
    """What somebody had edited since is nothing that was there before."""
    before, declared = state(clone), copy.deepcopy(clone.declared)
    people(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    first = clone.sh("ls /var/lib/mailprov/txn | sort | tail -n 1").strip()
    clone.sh("echo message_size_limit = 0 >>/etc/postfix/main.cf; chmod 600 /etc/dovecot/dovecot.conf")
    assert clone.apply(*CONSENTS).status == 0
    edit = "what somebody had changed by hand comes back, and is drift again: "
    assert f"{edit}/etc/dovecot/dovecot.conf, /etc/postfix/main.cf" in clone.mailprov("rollback").out
    assert edit not in clone.mailprov("rollback", "--to", first).out
    rolled_back(clone, "--to", first)
    assert state(clone) == before
    clone.declared = declared
    assert "no changes" in clone.plan().out


@pytest.mark.one_release
def test_what_it_takes_away_is_named_and_wants_a_consent(clone: Machine) -> None:
    people(clone.declared)
    clone.declared["users"].append({"address": "generated@example.test"})
    assert clone.apply(*CONSENTS).status == 0
    assert "generated@example.test" in clone.mailprov("handout", "list").out
    before = state(clone)
    refused = clone.mailprov("rollback", "--yes")
    assert refused.status == 5, refused.said
    one_error(refused, "new@example.test", "--allow-removals")
    shown = clone.mailprov("rollback", "--yes", "--details").out
    assert "- new@example.test" in shown and "quota 1 MiB → 300 KiB" in shown
    asked = clone.mailprov("rollback", "--allow-removals")
    assert asked.status == 5
    one_error(asked, "--yes")
    assert state(clone) == before
    ran = clone.mailprov("rollback", "--yes", *CONSENTS, "--format", "json", "--markdown", "back.md")
    assert ran.status == 0, ran.said
    (told,) = json.loads(ran.out)["hosts"]
    assert (told["verdict"], len(told["plan"]["changes"])) == ("applied", told["changes"])
    page = (clone.folder / "back.md").read_text(encoding="utf-8")
    assert page.startswith("### mailprov rollback: 1 applied\n") and "--allow-removals" in page
    assert login(clone, "pop3s", "new@example.test", PASSWORDS[ALICE]) == LOGIN_DENIED
    assert login(clone, "pop3s", CAROL, PASSWORDS[CAROL]) == 0
    assert "generated@example.test" not in clone.mailprov("handout", "list").out


def test_the_first_apply_and_all_after_it(clone: Machine) -> None:
    """Bare again, but for packages and mail; and from there it is a mail host again."""
    listener(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    converged = state(clone)
    first = clone.sh("ls /var/lib/mailprov/txn | sort | head -n 1").strip()
    rolled_back(clone, "--to", first)
    assert clone.sh("ss -Hltn | awk '{ sub(/.*:/, \"\", $4); print $4 }' | sort -u").split() == ["22"]
    left = clone.sh("find /etc -name '*mailprov*'; nft list tables; systemctl is-active dovecot postfix; :")
    assert left.split() == ["inactive", "inactive"]
    assert clone.sh("systemctl is-enabled dovecot postfix; :").split() == ["masked", "masked"]
    clone.host.stop()
    clone.host.start()
    assert clone.sh("ss -Hltn | awk '{ sub(/.*:/, \"\", $4); print $4 }' | sort -u").split() == ["22"]
    assert clone.apply(*CONSENTS).status == 0
    assert clone.plan().status == 0
    assert state(clone) == converged


def test_what_was_there_before_mailprov(clone: Machine) -> None:
    """An admin's mask, the mail folder's owner and mode, vmail's home and shell, and an empty folder."""
    first = clone.sh("ls /var/lib/mailprov/txn | sort | head -n 1").strip()
    rolled_back(clone, "--to", first)
    clone.sh("""
        rm -rf /var/vmail /var/lib/mailprov; userdel vmail 2>/dev/null; groupdel vmail 2>/dev/null
        groupadd mailers; useradd --gid mailers --no-user-group --home-dir /srv/mail --shell /bin/sh vmail
        mkdir -m 770 /var/vmail && chown nobody:mailers /var/vmail
        mkdir -m 700 /etc/mailprov
        systemctl unmask postfix; systemctl disable -q postfix
    """)
    before = state(clone)
    assert clone.apply(*CONSENTS).status == 0
    assert clone.plan().status == 0
    rolled_back(clone)
    assert state(clone) == before
    assert clone.apply(*CONSENTS).status == 0
    assert logins(clone, ALICE) == [True, True, True]


@pytest.mark.one_release
def test_a_host_that_allows_one_session_at_a_time(clone: Machine) -> None:
    """The confirmation comes over a new connection, of course (sshd_config(5), MaxSessions)."""
    clone.sh("echo 'MaxSessions 1' >>/etc/ssh/sshd_config; systemctl restart ssh")
    before, declared = state(clone), copy.deepcopy(clone.declared)
    listener(clone.declared)
    people(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    rolled_back(clone)
    assert state(clone) == before
    clone.declared = declared
    assert clone.mailprov("verify", "--ca", "ca.pem").status == 0


def test_a_setting_that_wants_a_restart(clone: Machine) -> None:
    """A Postfix that listened on loopback only does so again; the restart is told, and wants its consent."""
    first = clone.sh("ls /var/lib/mailprov/txn | sort | head -n 1").strip()
    rolled_back(clone, "--to", first)
    clone.sh("""
        rm -rf /var/lib/mailprov
        systemctl unmask -q postfix dovecot
        postconf -e inet_interfaces=loopback-only mynetworks_style=host
        systemctl enable -q postfix; systemctl start postfix
    """)
    before = state(clone)
    refused = clone.apply(*CONSENTS)
    assert refused.status == 5, refused.said
    one_error(refused, "restarts postfix", "--allow-restart")
    assert clone.apply(*CONSENTS, "--allow-restart").status == 0
    refused = clone.mailprov("rollback", "--yes", *CONSENTS)
    assert refused.status == 5, refused.said
    rolled_back(clone, "--allow-restart")
    assert state(clone) == before


def test_killed_on_its_way(clone: Machine) -> None:
    """Old or new by itself; the next one does it."""
    before = state(clone)
    listener(clone.declared)
    people(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    between = state(clone)
    units = "$(systemctl list-units --plain --no-legend 'mailprov-2*' | cut -d ' ' -f 1)"
    strike = f': >"$STATE/struck"; systemctl kill --kill-who=all --signal=KILL {units}; sleep 5'
    act = f'act() {{ [ "$1" != 6 ] || [ -e "$STATE/struck" ] || {{ {strike}; }}; '
    clone.prelude = (
        "from mailprov.engine import transaction; kept = transaction.script; "
        f"transaction.script = lambda registry: kept(registry).replace('act() {{', {act!r}, 1)"
    )
    ran = clone.mailprov("rollback", "--yes", *CONSENTS)
    assert ran.status == 6, ran.said
    assert state(clone) == between
    assert "idle" in clone.mailprov("status").out
    clone.prelude = ""
    rolled_back(clone)
    assert state(clone) == before


@pytest.mark.one_release
def test_a_dovecot_that_systemd_starts_when_somebody_comes(clone: Machine) -> None:
    """Its socket unit would listen on what is not declared: it is stopped, and told; and comes back."""
    first = clone.sh("ls /var/lib/mailprov/txn | sort | head -n 1").strip()
    rolled_back(clone, "--to", first)
    clone.sh("""
        rm -rf /var/lib/mailprov
        systemctl unmask -q postfix dovecot; systemctl disable -q dovecot postfix
        systemctl enable -q --now dovecot.socket
    """)
    before = state(clone)
    clone.declared["services"]["imap"] = {"tls": 993}
    assert "stop dovecot.socket" in clone.plan().out
    assert clone.apply(*CONSENTS).status == 0
    assert clone.plan().status == 0
    assert clone.sh("ss -Hltn 'sport = :143'") == ""
    rolled_back(clone)
    assert state(clone) == before


@pytest.mark.one_release
def test_a_host_that_the_form_before_has_managed(clone: Machine) -> None:
    """Its transactions were functions of a shell script, its manifest the host's whole answer."""
    before = state(clone)
    listener(clone.declared)
    people(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    for name in clone.sh("ls /var/lib/mailprov/txn").split():
        folder = f"/var/lib/mailprov/txn/{name}"
        records = [line.split("\t") for line in clone.host.read(f"{folder}/steps").decode().splitlines()]
        functions = [
            f"{part}_{number}() {{ {shlex.join(words)}; }}\n"
            for number, part, *words in records
            if part in ("do", "undo")
        ]
        clone.host.write(f"{folder}/plan.sh", "".join(functions).encode(), 0o600)
        clone.sh('cd "$1" && rm steps settings checks kept.sums', folder)
    clone.sh(
        'cd "/var/lib/mailprov/txn/$1" && grep -v "^made " desired | sed "1s/3/2/" | cat - after >../../manifest',
        clone.sh("ls /var/lib/mailprov/txn | sort | tail -n 1").strip(),
    )
    assert clone.plan().status == 0
    rolled_back(clone)
    assert state(clone) == before
    rolled_back(clone)
    assert clone.plan().status == 0
