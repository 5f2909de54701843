"""The faults: what each does to a host or its controller at a stop of the journal, and how it is mended."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from contextlib import suppress

from faults_bystanders import BYSTANDERS
from faults_case import SHORT, Act, Case, Fault
from faults_scenarios import Scenario

from mailprov.lab.errors import LabError

# --- whoever is at work dies


def _kill_controller(case: Case) -> None:
    assert case.controller is not None
    case.controller.kill()
    case.controller.wait()


_KILL = r"""
for unit in $(systemctl list-units --plain --no-legend 'mailprov-2*.service' | cut -d ' ' -f 1); do
    systemctl kill --kill-who="$1" --signal=KILL "$unit"
done
:
"""


def _kill_transaction(case: Case) -> None:
    if case.pid:
        case.patient.sh('kill -9 "$1" || :', str(case.pid))
    else:
        case.patient.sh(_KILL, "main")


def _kill_unit(case: Case) -> None:
    case.patient.sh(_KILL, "all")


def _kill_sshd(case: Case) -> None:
    case.patient.sh("systemctl kill --kill-who=all --signal=KILL ssh.service; systemctl start ssh.service")


def _power(case: Case) -> None:
    case.patient.host.kill()
    case.patient.host.start()


def _power_twice(case: Case) -> None:
    """The second time while it boots, as far as it comes in a moment that chance has drawn."""
    case.patient.host.kill()
    timer = threading.Timer(random.Random(case.event).uniform(0.1, 1.5), case.patient.host.kill)  # noqa: S311
    timer.start()
    with suppress(LabError):  # it is off
        case.patient.host.start()
    timer.join()
    if not case.patient.host.running:
        case.patient.host.start()


_BOOT = "stat -c %Y /proc/1"
"""changes with every boot of a host"""


def _reboot(case: Case) -> None:
    booted = case.patient.sh(_BOOT)
    case.patient.sh("systemctl --no-block reboot; touch /run/fault/go")
    # Dovecot is asked to leave its live sessions alone: systemd waits 90 seconds for them before it ends them.
    deadline = time.monotonic() + 240
    while True:
        time.sleep(0.3)
        with suppress(LabError):  # it is off, or half up
            if case.patient.sh(_BOOT) != booted:
                break
        assert time.monotonic() < deadline, "the host does not come back from its reboot"
    case.patient.host.wait(90)


def _gone(case: Case) -> None:
    """A controller whose host has vanished may wait for its keepalive: long enough for this test."""
    assert case.controller is not None
    try:
        case.controller.wait(2)
    except subprocess.TimeoutExpired:
        case.controller.kill()


# --- the link


def _cut(case: Case) -> None:
    case.patient.host.link(False)


def _restored(case: Case) -> None:
    """The link comes back when the host has decided."""
    stuck = case.patient.rests()
    if stuck:
        case.problems.append(f"not at rest while the link is cut: {stuck}")
    case.patient.host.link(True)


# --- no room

ROOM = r"""
set -e
size=$1 place=$2
mkdir -p "$place" /run/fault-keep
cp -a "$place/." /run/fault-keep/
mount -t tmpfs -o "size=$size,mode=$(stat -c %a "$place")" tmpfs "$place"
cp -a /run/fault-keep/. "$place/"
rm -rf /run/fault-keep
"""
_FILL = 'cat /dev/zero >"$1/.full" 2>/dev/null; :'


def _small_state(case: Case) -> None:
    case.patient.sh(ROOM, "24m", "/var/lib/mailprov")


def _small_etc(case: Case) -> None:
    # Daemons that run have /etc mounted for themselves (ProtectSystem=full): they must see this one.
    case.patient.sh(ROOM + 'systemctl try-restart dovecot.service postfix.service "$3"', "8m", "/etc", "postfix@-")


def _fill_state(case: Case) -> None:
    case.patient.sh(_FILL, "/var/lib/mailprov")


def _fill_etc(case: Case) -> None:
    case.patient.sh(_FILL, "/etc")


def _make_room(case: Case) -> None:
    case.patient.sh("rm -f /etc/.full /var/lib/mailprov/.full")


def _read_only(case: Case) -> None:
    case.patient.sh("mount --bind /etc /etc && mount -o remount,bind,ro /etc")


def _writable(case: Case) -> None:
    # Lazily: somebody may be in there.
    case.patient.sh("mountpoint -q /etc && umount --lazy /etc || :")


# --- services that do not do what they should

_DAEMONS = "dovecot.service postfix.service postfix@-.service rspamd.service"


def _drop_in(*lines: str) -> Act:
    text = "[Service]\n" + "".join(f"{line}\n" for line in lines)

    def place(case: Case) -> None:
        case.unsure = True  # what was not reloaded may run what is in its file again, and cannot know it
        case.patient.sh(
            f'for unit in {_DAEMONS}; do mkdir -p "/run/systemd/system/$unit.d" && '
            'printf %s "$1" >"/run/systemd/system/$unit.d/fault.conf"; done; systemctl daemon-reload',
            text,
        )

    return place


def _no_drop_in(case: Case) -> None:
    case.patient.sh(f'for unit in {_DAEMONS}; do rm -rf "/run/systemd/system/$unit.d"; done; systemctl daemon-reload')


def _lying_checker(case: Case) -> None:
    """doveconf refuses whatever it is given, when it is asked to check."""
    case.patient.sh(r"""
        cp -a /usr/bin/doveconf /run/fault/doveconf
        printf '%s\n' '#!/bin/sh' '[ "$*" != -n ] || { echo "doveconf: Fatal: a test says no"; exit 89; }' \
            'exec /run/fault/doveconf "$@"' >/run/fault/refuses
        chmod 755 /run/fault /run/fault/refuses
        mount --bind /run/fault/refuses /usr/bin/doveconf
    """)


def _honest_checker(case: Case) -> None:
    case.patient.sh("umount /usr/bin/doveconf 2>/dev/null || :")


_PEM = "/etc/mailprov/tls/default.pem"


def _wrong_key(case: Case) -> None:
    """The key that is staged, or in place by now, becomes another one."""
    steps = case.patient.steps(case.transaction).items()
    number = next(number for number, words in steps if words.split()[0].startswith("put") and _PEM in words.split())
    case.patient.sh(
        r"""
        pem=/var/lib/mailprov/txn/$1/new/$3
        ! grep -q "^[0-9]* done $3\$" "/var/lib/mailprov/txn/$1/journal" || pem=$2
        openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt >/run/fault/pem
        openssl x509 -in "$pem" >>/run/fault/pem
        cat /run/fault/pem >"$pem"
        """,
        case.transaction,
        _PEM,
        number,
    )


def _take_port(case: Case) -> None:
    """Another program listens on the port that the apply opens."""
    listen = (
        "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); "
        "bind(S, sockaddr_in(shift, INADDR_ANY)) or die $!; listen(S, 5); sleep 600"
    )
    case.patient.sh(
        'systemd-run --quiet --unit=fault-port perl -e "$1" "$2"; '
        'until ss -Hltn "sport = :$2" | grep -q .; do sleep 0.05; done',
        listen,
        str(case.scenario.taken),
    )


def _give_port(case: Case) -> None:
    case.patient.sh("systemctl stop fault-port 2>/dev/null || :")


def _starts_daemons(scenario: Scenario, event: str, words: str) -> bool:
    """Whether the daemons read what was placed: from here on it is too late to be wrong."""
    return words.startswith("activate dovecot") or event == "health"


def _after_health(scenario: Scenario, event: str, words: str) -> bool:
    return event == "await"


# --- others


def _wrong_clock(case: Case) -> None:
    """Guests share this machine's clock, so what the transaction and the daemons know of it is set: the date that it
    reads, and the times of files, which lie a year ahead, as after a clock that was put back."""
    case.patient.sh(r"""
        find /etc/dovecot /etc/postfix /etc/mailprov -type f -exec touch -d '+1 year' {} + 2>/dev/null
        echo "date() { echo $(($(date +%s) + 31536000)); }" >/run/fault/then
    """)
    case.unsure = True  # what is touched after a daemon has read it looks like what it has not read yet


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("controller", "SIGKILL of the controller", _kill_controller, at="step", patience=SHORT),
        Fault("transaction", "kill -9 of the host's transaction", _kill_transaction, at="event"),
        Fault("unit", "kill -9 of all its processes", _kill_unit, at="step"),
        Fault("power", "machine killed, booted again", _power, mend=_gone, at="event", serves=False),
        Fault("reboot", "machine told to reboot", _reboot, mend=_gone, serves=False),
        Fault("sshd", "sshd killed, connections dropped", _kill_sshd, patience=SHORT),
        Fault("link", "link cut, back later", _cut, mend=_restored, patience=SHORT, serves=False),
        Fault("full-state", "/var/lib/mailprov full", _fill_state, _small_state, _make_room, leaves=True),
        Fault("full-etc", "/etc full", _fill_etc, _small_etc, _make_room, leaves=True, serves=False),
        Fault("read-only", "/etc read-only", _read_only, mend=_writable, leaves=True),
        Fault(
            "refuses",
            "services refuse to start and reload",
            _drop_in("ExecStartPre=/bin/false", "ExecReload=", "ExecReload=/bin/false"),
            mend=_no_drop_in,
        ),
        Fault(
            "lies",
            "reloads exit 0, old thing served",
            _drop_in("ExecReload=", "ExecReload=/bin/true"),
            mend=_no_drop_in,
        ),
        Fault("checker", "a validator fails", _lying_checker, mend=_honest_checker, leaves=True),
        Fault(
            "key",
            "key of another certificate",
            _wrong_key,
            before=_starts_daemons,
            fits=lambda scenario: scenario.renews,
        ),
        Fault(
            "port",
            "port taken by another program",
            _take_port,
            mend=_give_port,
            before=_starts_daemons,
            # Where the apply is refused, Dovecot has the port already.
            fits=lambda scenario: scenario.taken > 0 and not scenario.refused,
        ),
        Fault("clock", "clock a year ahead, file times too", _wrong_clock, leaves=True),
        Fault(
            "twice",
            "the transaction killed, then its settling",
            _kill_transaction,
            again=("settle*",),
        ),
        Fault(
            "thrice",
            "the same, and the next settling too, halfway",
            _kill_transaction,
            again=("settle*", "und*"),
        ),
        Fault("power-twice", "machine killed, and again while it boots", _power_twice, mend=_gone, serves=False),
        *BYSTANDERS,
    )
}

__all__ = ["FAULTS"]
