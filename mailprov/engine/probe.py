"""Every resource's questions as one script; its one answer as sections."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from mailprov import assets, shell
from mailprov.engine.registry import Registry
from mailprov.errors import HostError
from mailprov.model import Facts, Query, Secret
from mailprov.model.listeners import open_ports

BEGIN = "mailprov-answer 2"
END = "mailprov-answer end"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a host answered: `sections` by name, and the `digest` of the stable ones, as the host computes it too."""

    sections: Mapping[str, str]
    digest: str


def script(registry: Registry, queries: Sequence[Query], *more: str) -> bytes:
    """One POSIX sh script that asks `queries` in order, framed so that a noisy login shell cannot be mistaken.

    `more` are further functions that are asked.
    """
    calls = [("section", BEGIN), *(("answer", q.section, q.function, *q.words) for q in queries), ("section", END)]
    asked = ["everything() {", *map(shell.line, calls), "}", "told everything"]
    return "\n".join([functions(registry), *more, *asked, ""]).encode()


def stable_script(registry: Registry, queries: Sequence[Query]) -> bytes:
    """The same for what changes only when something managed does: a transaction asks nothing else again."""
    return script(registry, [query for query in queries if query.section in registry.stable])


def functions(registry: Registry) -> str:
    """The functions that answer queries."""
    return "\n".join((assets.script("engine/probe.sh"), *registry.shell.stores, *registry.shell.queries))


def parse(stdout: bytes, stable: Set[str]) -> Reply:
    """The sections of an answer, and the digest of the `stable` ones. Raises HostError when it is cut short or none."""
    said, begun, answer = stdout.partition(BEGIN.encode() + b"\n")
    lines = answer.split(b"\n")
    if not begun and said.strip() and not BEGIN.encode().startswith(said):
        raise HostError(
            "the host does something else than what it was asked",
            why=f"it says: {' '.join(said.decode('ascii', 'replace').split())[:300]}",
            fix="where root's key has a command of its own, as in cloud images, log in as the user that may: "
            "ssh: {user: …}, become: true",
        )
    if END.encode() not in lines:
        raise HostError(
            "the host's answer is cut short", fix="look at what ends the login shell there early, then run this again"
        )
    lines = lines[: lines.index(END.encode())]
    return Reply(decode([line.decode("utf-8", "replace") for line in lines]), digest(lines, stable))


def decode(lines: Iterable[str]) -> Mapping[str, str]:
    """The sections in an answer's lines: each begins with a section's name and a space, or is one where it begins."""
    texts: dict[str, list[str]] = {}
    for line in lines:
        name, told, text = line.partition(" ")
        texts.setdefault(name, []).extend([text + "\n"] if told else [])
    return {name: "".join(told) for name, told in texts.items()}


def only(stable: Set[str], lines: Iterable[str]) -> Iterator[str]:
    """Those of an answer's lines that tell of what changes only when something managed does."""
    for line in lines:
        name, told, _ = line.partition(" ")
        if told and name in stable:
            yield line


def digest(lines: Iterable[bytes], stable: Set[str]) -> str:
    """SHA-256 in hex of the stable sections among an answer's lines; transaction.sh computes the same."""
    found, names = hashlib.sha256(), {name.encode() for name in stable}
    for line in lines:
        name, told, _ = line.partition(b" ")
        if told and name in names:
            found.update(line + b"\n")
    return found.hexdigest()


def facts(registry: Registry, sections: Mapping[str, str]) -> Facts:
    """The host's own circumstances.

    Raises HostError when it is not a system with systemd that we know, or when we are not root there.
    """
    platform = registry.platform
    pairs = [line.partition(" ")[::2] for line in sections.get("facts", "").splitlines()]
    one = dict(pairs)
    if one.get("uid") != "0":
        raise HostError("these commands do not run as root", fix="connect as root, or set `become: true`")
    if one.get("os") != platform.OS or one.get("release", "") not in platform.RELEASES:
        found = f"{one.get('os', 'unknown')} {one.get('release', '')}".strip()
        known = f"{platform.NAME} {', '.join(platform.RELEASES[:-1])} or {platform.RELEASES[-1]}"
        fix = f"mailprov manages {platform.NAME} hosts only"
        raise HostError(f"this host is {found}, not {known}", fix=fix)
    if one.get("init") != "systemd":
        raise HostError("this host does not run systemd", fix="boot it with systemd as PID 1")
    shell = one.get("shell", "")
    if shell.endswith("csh"):
        fix = "give that user another one (chsh -s /bin/bash), or connect as another user: ssh: {user: …}, become: true"
        raise HostError(f"the login shell {shell[:100]} cannot run what an apply sends", fix=fix)
    connection = one.get("ssh", "").split()
    own = _number(connection[3]) if len(connection) == 4 else 0
    ports = {port.port for port in open_ports(sections.get("listeners", "")) if platform.ssh(port)} | {own}
    return Facts(
        machine_id=one.get("machine", ""),
        release=one["release"],
        clock=min(_number(one.get("clock")), _YEAR_9999),
        ssh_ports=tuple(port for port in sorted(ports) if 0 < port < 65536) or (22,),
        dovecot=platform.dovecot(sections, one),
        free_kib=_number(one.get("free")),
        pending_reloads=tuple(sorted(value for label, value in pairs if label == "owed")),
        ipv6="ipv6 none" not in sections.get("listeners", "").splitlines(),
        salt=Secret(salt[0]) if (salt := re.match("[0-9a-f]{64}", sections.get("salt", ""))) else None,
    )


_YEAR_9999 = 253402300799


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,15}", text) else 0
