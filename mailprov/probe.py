"""Every resource's questions as one script; its one answer as sections."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mailprov import onhost, shell
from mailprov.errors import HostError
from mailprov.model import Facts, Question

BEGIN = "mailprov-answer 2"
END = "mailprov-answer end"

STABLE = ("packages", "users", "files", "accounts", "maps", "certificates", "services", "firewall", "past")
"""sections that change only when something managed does: a plan is bound to them; `past` is what a rollback asks for,
which goes back over the last apply and no other"""


LISTEN = ("dovecot", "master")
"""the programs that listen for mail; Postfix's is called master"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered: `sections` by name, and the `digest` of the stable ones, as the host computes it too."""

    sections: Mapping[str, str]
    digest: str


def script(questions: Sequence[Question], *more: str) -> bytes:
    """One POSIX sh script that asks `questions` in order, framed so that a noisy login shell cannot be mistaken.

    `more` names scripts beside probe.sh whose functions are asked too.
    """
    calls = [("section", BEGIN), *(("answer", q.section, q.function, *q.words) for q in questions), ("section", END)]
    asked = ["everything() {", *map(shell.line, calls), "}", "told everything"]
    return "\n".join([*map(onhost.text, ("probe.sh", *more)), *asked, ""]).encode()


def parse(stdout: bytes) -> Answer:
    """The sections of an answer. Raises HostError when it is cut short or not an answer."""
    lines = stdout.partition(BEGIN.encode() + b"\n")[2].split(b"\n")
    if END.encode() not in lines:
        raise HostError(
            "the host's answer is cut short", cure="look at what ends the login shell there early, then run this again"
        )
    lines = lines[: lines.index(END.encode())]
    return Answer(decode([line.decode("utf-8", "replace") for line in lines]), digest(lines))


def decode(lines: Iterable[str]) -> Mapping[str, str]:
    """The sections in an answer's lines: each begins with a section's name and a space, or is one where it begins."""
    texts: dict[str, list[str]] = {}
    for line in lines:
        name, told, text = line.partition(" ")
        texts.setdefault(name, []).extend([text + "\n"] if told else [])
    return {name: "".join(told) for name, told in texts.items()}


def stable(line: str) -> bool:
    """Whether a line of an answer tells of what changes only when something managed does."""
    name, told, _ = line.partition(" ")
    return bool(told) and name in STABLE


def digest(lines: Iterable[bytes]) -> str:
    """SHA-256 in hex of the stable sections among an answer's lines; transaction.sh computes the same."""
    found = hashlib.sha256()
    for line in lines:
        if stable(line.decode("ascii", "replace")):
            found.update(line + b"\n")
    return found.hexdigest()


def facts(sections: Mapping[str, str]) -> Facts:
    """The host's own circumstances.

    Raises HostError when it is not a Debian with systemd that we know, or when we are not root there.
    """
    pairs = [line.partition(" ")[::2] for line in sections.get("facts", "").splitlines()]
    one = dict(pairs)
    if one.get("uid") != "0":
        raise HostError("these commands do not run as root", cure="connect as root, or set `become: true`")
    if one.get("os") != "debian" or one.get("release", "") not in ("11", "12", "13"):
        found = f"{one.get('os', 'unknown')} {one.get('release', '')}".strip()
        raise HostError(f"this host is {found}, not Debian 11, 12 or 13", cure="mailprov manages Debian hosts only")
    if one.get("init") != "systemd":
        raise HostError("this host does not run systemd", cure="boot it with systemd as PID 1")
    connection = one.get("ssh", "").split()
    own = _number(connection[3]) if len(connection) == 4 else 0
    ports = {port for _, port in listening(sections.get("listeners", ""), "sshd")} | {own}
    return Facts(
        machine_id=one.get("machine", ""),
        release=one["release"],
        clock=min(_number(one.get("clock")), _YEAR_9999),
        ssh_ports=tuple(port for port in sorted(ports) if 0 < port < 65536) or (22,),
        dovecot=_dovecot(sections, one),
        free_kib=_number(one.get("free")),
        owed=tuple(sorted(value for label, value in pairs if label == "owed")),
        ipv6="ipv6 none" not in sections.get("listeners", "").splitlines(),
    )


def listening(text: str, *programs: str) -> frozenset[tuple[str, int]]:
    """The addresses and ports on which `programs` listen, in the output of `ss -Hltnp` (ss(8))."""
    found = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and any(f'("{program}",' in line for program in programs):
            address, _, port = words[3].rpartition(":")
            if 0 < _number(port) < 65536:
                found.add((address, _number(port)))
    return frozenset(found)


_YEAR_9999 = 253402300799


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,15}", text) else 0


def _dovecot(sections: Mapping[str, str], one: Mapping[str, str]) -> str:
    """The version installed, else the one that apt would install, else the one that this release came with."""
    for line in sections.get("packages", "").splitlines():
        status, name, version = (*line.split("|"), "", "")[:3]
        if name == "dovecot-core" and status.startswith("ii"):
            return _upstream(version)
    candidate = one.get("candidate", "")
    if candidate and candidate != "(none)":
        return _upstream(candidate)
    return {"11": "2.3.13", "12": "2.3.19", "13": "2.4.1"}[one["release"]]


def _upstream(version: str) -> str:
    """The upstream part of a Debian version: "2.3.19.1" of "1:2.3.19.1+dfsg1-2.1" (deb-version(7))."""
    found = re.match(r"(?:[0-9]{1,9}:)?([0-9]{1,9}(?:\.[0-9]{1,9})+)", version)
    if found is None:
        raise HostError("the host's Dovecot has a version that means nothing here", why=ascii(version[:80]))
    return found[1]
