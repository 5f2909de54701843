"""Others who act on a host while a transaction is at work: our own programs, an admin, dpkg, certbot, cron."""

from __future__ import annotations

import re
from contextlib import suppress

from faults_case import Act, Case, Fault, nothing
from faults_scenarios import Scenario

from mailprov.lab.errors import LabError


def _act(case: Case, script: str, *words: str) -> None:
    """What somebody tries, and does not come to where a fault is in the way."""
    case.patient.sh(script, *words, check=False)


# --- our own programs


def _second_apply(case: Case) -> None:
    declared = case.scenario.declared("new")
    declared["users"][0]["quota"] = "7GiB"
    looked = case.patient.here(case.scenario.declared("new"), "status")[1]
    if "  at work since " not in looked:
        case.problems.append(f"status says {looked}")
    status, said = case.patient.mailprov(declared, *case.patient.arguments("apply"))
    case.patient.declare(case.scenario.declared("new"))
    if status != 8 or "another apply is at work" not in said or "effect on services" not in said:
        case.problems.append(f"the second apply ends with {status}: {said}")


def _verify(case: Case) -> None:
    """As from cron; it may find what is being changed, and says so then, but trips nobody."""
    case.others.append(case.patient.start(case.scenario.declared("old"), "verify"))
    case.patient.declare(case.scenario.declared("new"))


# --- an admin


def _managed(case: Case, touched: bool) -> str:
    """A plain file that the transaction replaces, or leaves as it is; "" where there is none."""
    old, new = case.known.old.items, case.known.new.items
    both = [
        name.removeprefix("file ")
        for name in sorted(old.keys() & new.keys())
        if re.fullmatch(r"file /etc/.*\.(conf|cf|nft|service)", name) and (old[name] != new[name]) is touched
    ]
    # Ours are plain, with comments: a line more does no harm.
    return both[0] if both else ""


def _edit(touched: bool) -> Act:
    def edit(case: Case) -> None:
        if path := _managed(case, touched):
            case.theirs.append(re.escape(f"file {path}"))
            _act(case, '[ ! -f "$1" ] || echo "# an admin was here" >>"$1"', path)

    return edit


def _immutable(case: Case) -> None:
    case.unsure = True  # a file whose attributes were changed may look as if nobody had read it since
    if path := _managed(case, touched=True):
        _act(case, '[ ! -f "$1" ] || chattr +i "$1"', path)


def _mutable(case: Case) -> None:
    if path := _managed(case, touched=True):
        _act(case, '[ ! -f "$1" ] || chattr -i "$1"', path)


def _rule(case: Case) -> None:
    case.theirs.append("firewall .*")
    _act(case, "nft insert rule inet mailprov input tcp dport 3306 accept 2>/dev/null || :")


def _database(case: Case) -> None:
    """Somebody runs postmap on another table, into ours."""
    case.theirs.append("map /etc/postfix/mailprov/mailboxes.*")
    case.down = True  # who is not in there gets no mail
    _act(
        case,
        r"""
        cd /etc/postfix/mailprov 2>/dev/null && [ -f mailboxes.db ] || exit 0
        echo 'nobody@example.test nobody' >/run/fault/mailboxes && postmap hash:/run/fault/mailboxes
        cat /run/fault/mailboxes.db >mailboxes.db
    """,
    )


# --- other programs


def _dpkg(case: Case) -> None:
    """An upgrade that changes nothing but a version."""
    _act(
        case,
        r"""
        sed -i '/^Package: dovecot-core$/,/^$/s/^Version: .*/&+b9/' /var/lib/dpkg/status
    """,
    )


def _certbot(case: Case) -> None:
    with suppress(LabError):  # where nothing can be written
        case.patient.acme(case.patient.certificates.b)
        case.renewed, case.unsure = case.patient.certificates.b, True
        case.theirs.append("certificate .*")
        case.lasting.append("certificate .*")


def _restart(case: Case) -> None:
    _act(case, "! systemctl -q is-active dovecot.service || systemctl restart dovecot.service")


def _stop(case: Case) -> None:
    """A cron job that stops Postfix, and does not come to starting it again."""
    case.down = True
    case.theirs += ["service postfix", r"listens \S+:(25|465|587)", "active postfix"]
    _act(case, "systemctl stop postfix.service 'postfix@*'")


def _fail(case: Case) -> None:
    """Dovecot is down, since somebody has taken one of its ports."""
    case.down = True
    case.theirs += ["service dovecot", r"listens \S+:(110|143|993|995)", "active dovecot", "failed dovecot.service"]
    _act(
        case,
        r"""
        systemctl stop dovecot.service
        systemd-run --quiet --unit=fault-port perl -e "$1"
        until ss -Hltn 'sport = :993' | grep -q .; do sleep 0.05; done
        ! systemctl start dovecot.service 2>/dev/null
        """,
        "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); "
        "bind(S, sockaddr_in(993, INADDR_ANY)) or die $!; listen(S, 5); sleep 600",
    )


def _give_back(case: Case) -> None:
    _act(case, "systemctl stop fault-port 2>/dev/null || :")


def _lives(scenario: Scenario) -> bool:
    """Whether something of ours serves before."""
    return scenario.before is not None


def _renews(scenario: Scenario) -> bool:
    """Whether the certificate is the host's own."""
    return all(declared and "on_host" in declared["tls"] for declared in (scenario.before, scenario.after))


BYSTANDERS = (
    Fault(
        "second", "a second apply at once", _second_apply, well=True, fits=lambda scenario: scenario.after is not None
    ),
    Fault("verify", "`mailprov verify` started", _verify, well=True, fits=_lives),
    Fault("edit-other", "an admin edits a managed file that is left alone", _edit(touched=False)),
    Fault("edit-same", "an admin edits a file that is replaced", _edit(touched=True), fits=_lives),
    Fault("immutable", "an admin makes a file immutable, for a while", _immutable, mend=_mutable, fits=_lives),
    Fault("rule", "an admin inserts a rule in our firewall", _rule),
    Fault("database", "another database put in a map's place", _database, serves=False),
    Fault("dpkg", "dpkg changes a version", _dpkg),
    Fault("certbot", "the host's certificate renewed", _certbot, fits=_renews, leaves=True),
    Fault("restart", "Dovecot restarted", _restart, serves=False),
    Fault("stop", "Postfix stopped", _stop, fits=_lives, serves=False),
    Fault(
        "failed",
        "Dovecot failed before, its port taken",
        nothing,
        prepare=_fail,
        mend=_give_back,
        before=lambda scenario, event, words: words.startswith("activate dovecot") or event == "health",
        fits=_lives,
        serves=False,
    ),
)
