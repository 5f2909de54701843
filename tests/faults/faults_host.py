"""A lab host that an apply is tried on: where its journal stops, what state it is in, and what it serves."""

from __future__ import annotations

import hashlib
import imaplib
import io
import json
import os
import poplib
import re
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from faults_runner import patch
from faults_scenarios import BOB, HASHES, LIVE, PASSWORDS, PAST, Declared, base
from faults_senders import handled, nobody_knows, trusting
from mail_certificates import Certificate
from newer_archive import newer_archive
from warm import Warm

from mailprov import commands as cli
from mailprov import declaration
from mailprov.commands.root import every
from mailprov.engine import probe
from mailprov.lab import LabHost
from mailprov.model import Spec
from mailprov.resources.maps import Map
from mailprov.standard import REGISTRY
from mailprov.workflows import survey

RUNNER = Path(__file__).with_name("faults_runner.py")
PATIENCE = 180.0
"""seconds after which something that should have happened counts as never happening"""

# What no item of ours tells: who listens, what failed, which units are linked or masked, whose folders are, what maps
# answer (no two runs of postmap give the same bytes), and what was left behind.
_MORE = r"""
ss -Hltnp | awk '/"(dovecot|master)"/ { print "listens", $4 }' | sort -u
systemctl --failed --plain --no-legend | awk '{ print "failed", $1 }'
find /etc/systemd/system /run/systemd/system -printf 'unit %P %l\n' | grep mailprov
find /etc/systemd/system /run/systemd/system -regex '.*/\(dovecot\|postfix\|rspamd\)[^/]*' -printf 'unit %P %l\n'
find /etc -name '.*.mailprov' -printf 'left behind %p\n'
# (An apply that was cut off before it began has nothing on the host that could tidy up; the next one does.)
for begun in $(grep -l ' begin$' /var/lib/mailprov/txn/*/journal 2>/dev/null); do
    [ ! -e "${begun%/*}/new" ] || echo "left behind ${begun%/*}/new"
done
nft list tables | sort
find /etc/dovecot /etc/postfix /etc/mailprov /etc/systemd/system -type d -printf 'folder %p %m %u:%g\n' 2>/dev/null
stat -c 'store %n %F %a %U:%G' /var/vmail 2>/dev/null
find /var/vmail -type l 2>/dev/null | sed 's/^/link /'
getent passwd vmail | cut -d: -f 1,6,7 | sed 's/^/user /'
for map in /etc/postfix/mailprov/*.db; do
    [ -e "$map" ] || continue
    echo "map ${map%.db} $(stat -c '%F %a %U:%G' "$map") $(postmap -s "hash:${map%.db}" | sort | sha256sum)"
done
for relay in /etc/postfix/mailprov/relay-*; do
    [ ! -e "$relay" ] || echo "relay $relay $(stat -c '%F %a %U:%G' "$relay") $(sed 1d "$relay" | sha256sum)"
done
for daemon in postfix dovecot rspamd; do
    systemctl -q is-active "$daemon" && echo "active $daemon"
done
[ ! -S /run/rspamd/milter.sock ] || echo "listens rspamd"
find /etc/mailprov/dkim -type f -printf 'key %P %m %u:%g\n' 2>/dev/null
find /etc/mailprov/dkim -name '*.txt' -exec awk '/^use / { print "key", FILENAME, $2 }' {} + 2>/dev/null
find /etc/dovecot/mailprov/sieve -type f -printf 'script %P %m %u:%g ' -exec sha256sum {} \; 2>/dev/null
:
"""
_ELSEWHERE = ("/var/vmail", "/etc/postfix/mailprov/relay-")
LASTING = r"(store|user) .*"
"""lines of what stays where it was made: mail may be in there, and belong to it by now"""


@dataclass(frozen=True)
class Certificates:
    """The certificates that are declared, and who signed them."""

    ca: Certificate
    a: Certificate
    b: Certificate

    def write(self, folder: Path) -> None:
        """Put them where the declarations look for them."""
        (folder / "ca.pem").write_text(self.ca.pem)
        (folder / "before.sieve").write_text('require "fileinto";\nif header "X-Spam" "Yes" { fileinto "Junk"; }\n')
        for name, shown in (("a", self.a), ("b", self.b)):
            (folder / f"{name}.pem").write_text(shown.pem)
            (folder / f"{name}.key").touch(0o600)
            (folder / f"{name}.key").write_text(shown.key_pem)

    def declared(self, declared: Declared) -> Certificate | None:
        """The one that a declaration brings."""
        file = declared["tls"].get("certificate", {}).get("file")
        return {"a.pem": self.a, "b.pem": self.b}.get(file)  # None: the host has its own


@dataclass(frozen=True)
class State:
    """A host's state, item by item. Packages stay; so do a mail store and its user, where there were none before."""

    items: Mapping[str, str]
    more: frozenset[str]

    def without(self, *patterns: str) -> State:
        """The same, but for what these are about: the names of items, and whole lines."""
        if not patterns:
            return self
        theirs = re.compile("|".join(f"(?:{pattern})" for pattern in patterns)).fullmatch
        items = {name: value for name, value in self.items.items() if not theirs(name)}
        return State(items, frozenset(line for line in self.more if not theirs(line)))

    def unlike(self, other: State) -> list[str]:
        """What differs from a known state."""
        stays = {line.split()[0] for line in other.more if re.fullmatch(LASTING, line)}
        made = [f"{word} .*" for word in ("store", "user") if word not in stays]
        self = self.without(*made)
        names = {*self.items, *other.items}
        found = [name for name in sorted(names) if self.items.get(name) != other.items.get(name)]
        return (
            found
            + [f"+ {line}" for line in sorted(self.more - other.more)]
            + [f"- {line}" for line in sorted(other.more - self.more)]
        )


class Patient:
    """The host under test, with its declarations in `folder`."""

    def __init__(self, host: LabHost, folder: Path, certificates: Certificates) -> None:
        self.host = host
        self.folder = folder
        self.certificates = certificates
        folder.mkdir(parents=True)
        certificates.write(folder)

    # --- the declaration and the command line

    def declare(self, declared: Declared) -> Path:
        """Write a declaration for this host; its path."""
        ssh = {"user": "root", "identity_file": str(self.host.identity_file), "known_hosts": str(self.host.known_hosts)}
        if any(isinstance(domain, dict) and "sign" in domain for domain in declared["domains"]):
            declared["resolver"] = nobody_knows()
        declared["hosts"]["mail1"] |= {"address": self.host.address, "ssh": {**ssh, "connect_timeout": 5}}
        path = self.folder / "mail.yaml"
        path.write_text(yaml.safe_dump(declared))
        return path

    def spec(self, declared: Declared) -> Spec:
        """A declaration, read."""
        return declaration.load(self.declare(declared), environ=_ENVIRONMENT, now=datetime.now(UTC))

    def start(self, declared: Declared, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start `mailprov ARGUMENTS` on a declaration, changed as `options` say."""
        self.declare(declared)
        return Warm(
            [sys.executable, "-c", f"import runpy; runpy.run_path({str(RUNNER)!r}, run_name='__main__')", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                **_ENVIRONMENT,
                "HOME": str(self.folder),
                "MAILPROV_TEST": json.dumps(options),
                "PYTHONPATH": str(Path(cli.__file__).parents[2]),  # the very code that is tested here
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def mailprov(self, declared: Declared, *arguments: str, **options: Any) -> tuple[int, str]:
        """Run `mailprov ARGUMENTS` to its end: its exit code, and what it said."""
        return ended(self.start(declared, *arguments, **options))

    def here(self, declared: Declared, *arguments: str, **options: Any) -> tuple[int, str]:
        """As `mailprov`, in this very process: many times faster to start."""
        path, said = self.declare(declared), io.StringIO()
        with redirect_stdout(said), redirect_stderr(said), pytest.MonkeyPatch.context() as patched:
            for name, value in _ENVIRONMENT.items():
                patched.setenv(name, value)
            patch(options, patched.setattr)
            status = cli.run([arguments[0], "-f", str(path), *arguments[1:]])
        return status, _end_of(said.getvalue())

    def arguments(self, verb: str, to: int | None = None) -> tuple[str, ...]:
        """A verb that changes the host, with every consent that it knows; back to before the apply number `to`."""
        options = [option for each in every()[verb].params for option in each.opts]
        consents = [option for option in options if option.startswith("--allow-")]
        target = () if to is None else ("--to", self.transactions()[to])
        return (verb, "--yes", *consents, *target)

    # --- what led here

    def lead(self, past: Sequence[str]) -> None:
        """Do what a scenario's past tells, one after the other."""
        for word in past:
            if word in PAST:
                self.converge(PAST[word]())
            elif word == "rollback":
                status, said = self.mailprov(base(), *self.arguments("rollback"))
                assert status == 0, said
            elif word == "acme_client":
                self.acme(self.certificates.a)
            elif word == "update":
                newer_archive(self.host)
            else:
                self.sh(_OTHERS[word])

    def converge(self, declared: Declared) -> None:
        """Apply without a fault."""
        status, said = self.mailprov(declared, *self.arguments("apply"))
        assert status == 0, said

    def acme(self, shown: Certificate) -> None:
        """An ACME client puts its certificate where it keeps it."""
        self.host.run(("mkdir", "-p", "-m", "700", LIVE))
        self.host.write(f"{LIVE}/privkey.pem", shown.key_pem.encode(), 0o600)
        self.host.write(f"{LIVE}/fullchain.pem", shown.pem.encode())

    # --- where the journal stops

    def stop_at(self, event: str) -> None:
        """Make the next journal that comes to this event (a pattern of the shell) wait there."""
        arm = 'mkdir -p -m 700 /run/fault; cd /run/fault; rm -f at go; printf %s "$1" >new; mv new event'
        self.sh(arm, event)

    def stopped(self, controller: subprocess.Popen[str] | None, seconds: float = PATIENCE) -> tuple[int, str] | None:
        """The process that waits and its transaction, once it does; None when it will not come.

        That is when the controller has ended before; without one, when nothing is open any more, or the time is over.
        """
        deadline = time.monotonic() + seconds
        wait = "timeout 2 sh -c 'until [ -e /run/fault/at ]; do sleep 0.02; done'; cat /run/fault/at 2>/dev/null || :"
        while time.monotonic() < deadline:
            over = not self.open() if controller is None else controller.poll() is not None
            found = self.sh(wait).split()
            if found:
                return int(found[0]), found[1]
            if over:
                return None
        assert controller is None, "the journal never came to the event"
        return None

    def go_on(self, keep: bool = False) -> None:
        """Let it go on, past everything, or to the next stop that is wanted by now (`keep`)."""
        self.sh(f"mkdir -p /run/fault; {'' if keep else 'rm -f /run/fault/event;'} touch /run/fault/go")

    def open(self) -> bool:
        """Whether a transaction has begun and not come to its end."""
        return self.host.run(("test", "-e", "/var/lib/mailprov/open"), check=False).returncode == 0

    def alive(self, pid: int) -> bool:
        """Whether a process that waited does so still, a moment later."""
        look = "for _ in 1 2 3 4 5 6; do grep -q '^State:.[^ZX]' /proc/$1/status || exit 1; sleep 0.05; done"
        return bool(pid) and self.host.run(("sh", "-c", look, "sh", str(pid)), check=False).returncode == 0

    # --- what is kept

    def transactions(self) -> list[str]:
        """The applies and rollbacks that were not taken back, oldest first."""
        return self.sh("cut -d ' ' -f 3,4 /var/lib/mailprov/history | sed -n 's/ applied$//p'").split()

    def steps(self, transaction: str) -> dict[str, str]:
        """What a transaction's steps do: function and words, by number."""
        folder = f"/var/lib/mailprov/txn/{transaction}"
        read = f"""
            if [ -f {folder}/steps ]; then sed -n 's/\\t/ /g; s/^\\([0-9]*\\) do /\\1 /p' {folder}/steps
            else sed -n 's/^do_\\([0-9]*\\)() {{ \\(.*\\); }}$/\\1 \\2/p' {folder}/plan.sh; fi"""
        return {number: words for number, _, words in (line.partition(" ") for line in self.sh(read).splitlines())}

    def journal(self, transaction: str) -> tuple[str, ...]:
        """The events of a transaction's journal."""
        lines = self.sh(f"cut -d ' ' -f 2- /var/lib/mailprov/txn/{transaction}/journal").splitlines()
        lines = [line.partition(" ")[0] if line.startswith("await") else line for line in lines]
        return tuple(line for line in lines if not line.startswith("says "))

    # --- what it is now

    def sh(self, script: str, *words: str, check: bool = True) -> str:
        """Run a shell script on the host, not over the network."""
        return self.host.run(("sh", "-c", script, "sh", *words), check=check).stdout.decode("utf-8", "replace")

    def state(self, *declared: Declared) -> State:
        """What the host is, in all that these declarations ask about."""
        items: dict[str, str] = {}
        for each in declared:
            read = self.spec(each)
            asked = survey.script(read, read.hosts["mail1"])
            answer = probe.parse(self.host.run(("sh", "-s"), stdin=asked).stdout, REGISTRY.stable)
            for key, item in REGISTRY.live(answer.sections).items():
                if isinstance(item, Map):  # no two runs of postmap give the same bytes
                    item = replace(item, database="there" if item.database else "")
                # `_MORE` tells of these, without what no two hosts have alike.
                if key.kind not in ("package", "user") and not key.name.startswith(_ELSEWHERE):
                    items[str(key)] = item.fingerprint
        return State(items, frozenset(self.sh(_MORE).splitlines()))

    def rests(self, seconds: float = PATIENCE) -> str:
        """Wait until nothing is open, locked or at work; what still is, if something is."""
        look = r"""
            [ ! -e /var/lib/mailprov/open ] || echo "open: $(cat /var/lib/mailprov/open)"
            [ ! -e /var/lib/mailprov/lock ] || flock -n /var/lib/mailprov/lock true || echo "locked"
            systemctl list-units --all --plain --no-legend 'mailprov-2*' | cut -d ' ' -f 1
            systemctl list-jobs --plain --no-legend
            pgrep -l -x 'apt-get|dpkg' | sed 's/^/at work: /'
            pgrep -f 'UNIT=mailprov[-]' | sed 's/^/taken in by /'
        """
        deadline = time.monotonic() + seconds
        while found := self.sh(look).strip():
            if time.monotonic() > deadline:
                return found.replace("\n", ", ")
            time.sleep(0.1)
        return ""

    def journals(self) -> str:
        """The last transactions' journals, for a failure's report."""
        last = "cd /var/lib/mailprov/txn && for name in $(ls | tail -n 2); do tail -v -n 60 $name/journal; done"
        return self.sh(last, check=False)

    def services_told(self) -> str:
        """What systemd, Dovecot and dpkg did lately, for a failure's report."""
        told = "journalctl -q --no-pager -n 200 -o short-precise -u dovecot.service -u 'mailprov*' -t systemd"
        return self.sh(
            f"{told}; tail -n 80 /var/log/dpkg.log; ls -l --full-time /etc/dovecot /etc/systemd/system", check=False
        )

    # --- what it serves

    def serves(self, declared: Declared, certificate: Certificate | Literal["any"] | None = None) -> list[str]:
        """What is wrong with each listener, seen from outside: TLS, its certificate, each user's login, recipients.

        `certificate`: the one to be shown, if it is not the declared one; or any that clients trust.
        """
        wrong: list[str] = []
        shown = None if certificate == "any" else certificate or self.certificates.declared(declared)
        want = shown.fingerprint if shown else ""
        passwords = _passwords(declared)
        reached = {*passwords, *(alias for user in declared["users"] for alias in user.get("aliases", ()))}
        for name, listener in declared["services"].items():
            if name == "sieve":  # that it listens is compared
                continue
            ways = {how: port for how, port in listener.items() if how in ("tls", "starttls", "port")}
            for how, port in ways.items():
                _try(wrong, f"{name} on {port}", partial(self._look, name, how, port, want, passwords, reached))
        return wrong

    def signs(self, seconds: float = 20) -> list[str]:
        """What is wrong with whose keys sign, by what the files say; rspamd's reload returns before it has happened."""
        asked = bool(self.sh("postconf -h smtpd_milters").strip())
        selectors = sorted(re.findall('{ selector = "(.*?)"', self.sh("cat /etc/mailprov/rspamd.conf || :")))
        want, context = (selectors if asked else [], asked), trusting(str(self.folder / "ca.pem"))
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = handled(self.host.address, context)
                wrong = f"signed with and checked: {found}, and the files say {want}"
            except (OSError, imaplib.IMAP4.error, smtplib.SMTPException) as error:
                found, wrong = None, f"sending: {error!r}"
            if found == want or time.monotonic() > deadline:
                return [] if found == want else [wrong]

    def _look(self, name: str, how: str, port: int, want: str, passwords: Mapping[str, str], reached: Set[str]) -> None:
        """Meet one listener; everybody logs in where that is a login's port."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.check_hostname = False
        for address, password in passwords.items() or [("", "")]:
            client = _client(self.host.address, name, how, port, context)
            shown = client.sock.getpeercert(binary_form=True)
            if want and hashlib.sha256(shown or b"").hexdigest() != want:
                raise OSError("another certificate is served")
            if isinstance(client, poplib.POP3):
                client.user(address)
                client.pass_(password)
                client.stat()
            elif isinstance(client, imaplib.IMAP4):
                client.login(address, password)
                client.select()
            elif name == "submission":
                client.login(address, password)
                for code, said in (client.mail(address), client.rcpt(address)):
                    if code != 250:
                        raise OSError(f"{address} cannot send: {code} {said!r}")
            else:
                client.mail("")
                for recipient in PASSWORDS:
                    code, said = client.rcpt(recipient)
                    if code != (250 if recipient in reached else 550):
                        raise OSError(f"RCPT {recipient}: {code} {said!r}")
            if isinstance(client, imaplib.IMAP4):
                client.logout()
            else:
                client.quit()


def _client(host: str, name: str, how: str, port: int, context: ssl.SSLContext) -> Any:
    """A session with a listener, encrypted."""
    if name == "pop3":
        if how == "tls":
            return poplib.POP3_SSL(host, port, timeout=20, context=context)
        plain = poplib.POP3(host, port, timeout=20)
        plain.stls(context)
        return plain
    if name == "imap":
        if how == "tls":
            return imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=20)
        imap = imaplib.IMAP4(host, port, timeout=20)
        imap.starttls(context)
        return imap
    if how == "tls":
        return smtplib.SMTP_SSL(host, port, local_hostname="mx.elsewhere.test", timeout=20, context=context)
    smtp = smtplib.SMTP(host, port, local_hostname="mx.elsewhere.test", timeout=20)
    smtp.starttls(context=context)
    smtp.ehlo()
    return smtp


def _passwords(declared: Declared) -> dict[str, str]:
    """Who can log in, and with what."""
    known = {value: PASSWORDS[address] for address, value in HASHES.items()}
    return {user["address"]: known.get(user["password"].get("hash"), PASSWORDS[BOB]) for user in declared["users"]}


# A host that somebody has used: a user and a folder of our names, a mask, an empty folder where we make one.
_ADMIN = r"""
set -e
groupadd --system vmail && useradd --system --gid vmail --home-dir /srv/mail --shell /bin/sh vmail
mkdir -m 711 /var/vmail && chown vmail:root /var/vmail
systemctl mask --quiet dovecot.service
mkdir -m 777 /etc/dovecot/mailprov
"""
# What becomes of keys: DNS has their records, for a month by now; they are followed by others; and time passes.
_NOTES = """
set -e
cd /etc/mailprov/dkim/example.test
since() { sed -i "s/^use .*/use $2 $(($(date +%s) - $3 * 86400))/" "$1.txt"; }
"""
_OTHERS = {
    "admin": _ADMIN,
    "published": f"{_NOTES} since mail1-1 signs 31",
    "spent": f"{_NOTES} for half in rsa ed25519 txt; do cp -p mail1-1.$half mail1-2.$half; done; "
    "since mail1-1 signed 1",
    "aged": f"{_NOTES} since mail1-1 signed 8; since mail1-2 signs 31",
}
_ENVIRONMENT = {"BOB_INITIAL": PASSWORDS[BOB], "RELAY_PASSWORD": "secret of the relay"}


def _try(wrong: list[str], what: str, act: Callable[[], None]) -> None:
    try:
        act()
    except (OSError, EOFError, poplib.error_proto, imaplib.IMAP4.error, smtplib.SMTPException) as error:
        wrong.append(f"{what}: {error!r}")


def ended(process: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[int, str]:
    """Wait for a controller; its exit code, and the end of what it says, which is never a traceback."""
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        raise AssertionError(f"the controller does not end: {_end_of(out)}") from None
    return process.returncode, _end_of(out)


def _end_of(said: str) -> str:
    assert "Traceback" not in said and "has a mistake" not in said, said
    return "\n".join(said.splitlines()[-12:])
