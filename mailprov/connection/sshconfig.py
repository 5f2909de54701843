"""Which way leads to a host: the declaration first, then ~/.ssh/config (ssh_config(5)), then OpenSSH's defaults.

Understood: Host, Match (host, originalhost, user, localuser, all, final), Include, HostName, User, Port, IdentityFile,
IdentitiesOnly, IdentityAgent, CertificateFile, ProxyJump, ConnectTimeout, UserKnownHostsFile, GlobalKnownHostsFile,
HostKeyAlias. `Match exec` never matches: reading a configuration runs no commands. StrictHostKeyChecking is not
looked at: "no" and "accept-new" would trust whoever answers first with the root account of a mail server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

from mailprov import local_files
from mailprov.connection.known_hosts import name_of
from mailprov.connection.patterns import matches
from mailprov.errors import ConnectError, FileError, brief, visible
from mailprov.model import HostSpec, Ssh

_MANY = ("identityfile", "certificatefile")
_DEPTH = 16
_FILES = 1000
"""files that one configuration may be made of"""
_LONGEST = 600.0
"""seconds to wait for a connection, as in the declaration: a socket has a limit of its own"""
_DIGITS = 4
"""as many of a number's digits tell that it is beyond that"""


@dataclass(frozen=True, slots=True)
class Block:
    """Settings that hold where every one of `conditions` does; a condition is a Host or Match line's words."""

    conditions: tuple[tuple[str, ...], ...]
    settings: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class SshConfig:
    """The user's side of SSH: what ~/.ssh/config and the environment say."""

    home: Path
    user: str
    """the local user's name, which is the remote one where nothing else is said"""
    agent: Path | None = None
    """the socket of ssh-agent"""
    blocks: tuple[Block, ...] = ()

    def lookup(self, alias: str, user: str | None = None) -> dict[str, tuple[str, ...]]:
        """The settings for a host as it is called on the command line, by lower-case keyword; the first value wins."""
        found: dict[str, tuple[str, ...]] = {} if user is None else {"user": (user,)}
        for block in self.blocks:
            if all(self._holds(condition, alias, found) for condition in block.conditions):
                for key, values in block.settings:
                    if key in _MANY:
                        found[key] = found.get(key, ()) + values
                    else:
                        found.setdefault(key, values)
        return found

    def _holds(self, condition: tuple[str, ...], alias: str, found: Mapping[str, tuple[str, ...]]) -> bool:
        word, *patterns = condition
        if word == "host":
            return matches(patterns, alias)
        subjects = {
            "host": found.get("hostname", (alias,))[0].replace("%h", alias),
            "originalhost": alias,
            "user": found.get("user", (self.user,))[0],
            "localuser": self.user,
        }
        words = iter(patterns)
        for criterion in words:
            name = criterion.lower().removeprefix("!")
            if name in ("all", "final"):
                holds = True
            elif name == "canonical":
                holds = False
            else:
                pattern = next(words, "")
                holds = name in subjects and matches(pattern.split(","), subjects[name])
            if holds == criterion.startswith("!"):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Target:
    """One machine to open an SSH session with: the host itself, or a jump host on the way to it."""

    name: str
    """as the declaration or the jump calls it"""
    host: str
    port: int
    user: str
    identities: tuple[Path, ...]
    certificates: tuple[Path, ...]
    explicit: bool
    """`identities` were declared: nothing else is tried"""
    agent: Path | None
    identities_only: bool
    known_hosts: tuple[Path, ...]
    known_as: tuple[str, int]
    """the name and port under which known_hosts keeps it"""
    timeout: float
    toward: str = ""
    """for a jump host: the declared host that it leads to"""

    def __str__(self) -> str:
        address = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{address}:{self.port}"

    @property
    def where(self) -> str:
        """The machine as errors call it."""
        return f"{self.toward}, jump host {self}" if self.toward else f"{self.name} ({self})"

    @property
    def known_name(self) -> str:
        """The name under which known_hosts keeps it, as written there."""
        return name_of(*self.known_as)


def load_config(path: Path | None = None, *, environ: Mapping[str, str]) -> SshConfig:
    """What ~/.ssh/config and then /etc/ssh/ssh_config say; with `path`, that file alone, as `ssh -F` does.

    Raises ConnectError for a file that cannot be read.
    """
    home = Path(environ.get("HOME") or "/root")
    files = [path] if path is not None else [home / ".ssh/config", Path("/etc/ssh/ssh_config")]
    agent = environ.get("SSH_AUTH_SOCK")
    return SshConfig(
        home=home,
        user=environ.get("LOGNAME") or environ.get("USER") or "root",
        agent=Path(agent) if agent else None,
        blocks=tuple(block for file in files for block in _Reader(home).blocks(file, must_exist=file == path)),
    )


def route(spec: HostSpec, config: SshConfig) -> tuple[Target, ...]:
    """Every machine to pass on the way to a host, the host itself last.

    Raises ConnectError for a jump that cannot be understood, or a way that only a ProxyCommand knows.
    """
    return _route(spec.name, spec.address, spec.ssh, config, 0)


def _route(name: str, alias: str, ssh: Ssh, config: SshConfig, depth: int) -> tuple[Target, ...]:
    # `name` is the declared host's, at every depth.
    if depth > _DEPTH:
        raise ConnectError("the jump hosts lead in a circle", where=name, fix="correct ProxyJump in ~/.ssh/config")
    settings = config.lookup(alias, ssh.user)
    # A bastion that ~/.ssh/config knows a key for has its own key.
    own = replace(ssh, identity_file=None) if depth and "identityfile" in settings else ssh
    target = _target(name, alias, own, settings, config, hop=depth > 0)
    jump = ssh.jump if ssh.jump is not None else settings.get("proxyjump", ("none",))[0]
    if jump.lower() in ("", "none"):
        if settings.get("proxycommand", ("none",))[0].lower() != "none":
            raise ConnectError(
                "~/.ssh/config reaches this host by a ProxyCommand, which mailprov does not run",
                where=target.where,
                fix="say ssh.jump: user@bastion in the declaration, or ProxyJump in ~/.ssh/config",
            )
        return (target,)
    before: tuple[Target, ...] = ()
    for number, text in enumerate(jump.split(",")):
        hop, its = _hop(text.strip(), name, ssh)
        # Only the first hop is reached from here, so only its own ProxyJump has a meaning.
        before += _route(name, hop, its if number == 0 else replace(its, jump="none"), config, depth + 1)
    return (*before, target)


def _hop(text: str, name: str, ssh: Ssh) -> tuple[str, Ssh]:
    found = re.fullmatch(r"(?:ssh://)?(?:(.+)@)?(?:\[([^\]]+)\]|([^@:\s/]+))(?::(\d{1,5}))?/?", text)
    if found is None or (found[4] and not 0 < int(found[4]) < 65536):
        raise ConnectError(f"the jump host {text!r} cannot be understood", where=name, fix="write it user@host:port")
    return found[2] or found[3], Ssh(
        user=found[1],
        port=int(found[4]) if found[4] else None,
        known_hosts=ssh.known_hosts,
        identity_file=ssh.identity_file,
        connect_timeout=ssh.connect_timeout,
    )


def _target(
    name: str, alias: str, ssh: Ssh, settings: Mapping[str, tuple[str, ...]], config: SshConfig, *, hop: bool
) -> Target:
    user = ssh.user or settings.get("user", (config.user,))[0]
    port = ssh.port or _port(settings.get("port", ("22",))[0], name)
    host = settings.get("hostname", (alias,))[0].replace("%%", "%").replace("%h", alias)
    tokens = {"%": "%", "d": str(config.home), "h": host, "n": alias, "p": str(port), "r": user, "u": config.user}

    def paths(values: Sequence[str]) -> tuple[Path, ...]:
        return tuple(_path(value, tokens, config.home) for value in values if value.lower() != "none")

    ssh_folder = config.home / ".ssh"
    if ssh.identity_file is not None:
        identities: tuple[Path, ...] = (_path(str(ssh.identity_file), {}, config.home),)
    else:
        defaults = [str(ssh_folder / f"id_{kind}") for kind in ("ed25519", "ecdsa", "rsa")]
        identities = paths(settings.get("identityfile", tuple(defaults)))
    known: tuple[Path, ...] = () if ssh.known_hosts is None else (_path(str(ssh.known_hosts), {}, config.home),)
    if not known or hop:
        # The declared file is the whole truth about the declared hosts; a bastion may well be known to the user alone.
        both = [str(ssh_folder / "known_hosts"), str(ssh_folder / "known_hosts2")]
        known += paths(settings.get("userknownhostsfile", tuple(both)))
        known += paths(settings.get("globalknownhostsfile", ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")))
    key_alias = settings.get("hostkeyalias", ("",))[0]
    timeout = ssh.connect_timeout
    if timeout == Ssh().connect_timeout:  # not declared
        timeout = _seconds(settings.get("connecttimeout", ("",))[0], timeout)
    return Target(
        name=name,
        host=host,
        port=port,
        user=user,
        identities=identities,
        certificates=paths(settings.get("certificatefile", ())),
        explicit=ssh.identity_file is not None,
        agent=_agent(settings.get("identityagent", ("SSH_AUTH_SOCK",))[0], tokens, config),
        identities_only=settings.get("identitiesonly", ("no",))[0].lower() in ("yes", "true"),
        known_hosts=known,
        known_as=(key_alias, 22) if key_alias else (host.lower(), port),
        timeout=timeout,
        toward=name if hop else "",
    )


def _agent(value: str, tokens: Mapping[str, str], config: SshConfig) -> Path | None:
    if value == "SSH_AUTH_SOCK":
        return config.agent
    return None if value.lower() == "none" else _path(value, tokens, config.home)


def _path(value: str, tokens: Mapping[str, str], home: Path) -> Path:
    text = re.sub("%(.)", lambda found: tokens.get(found[1], found[0]), value) if tokens else value
    return home / text[2:] if text.startswith("~/") else Path(text)


def _port(text: str, name: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ConnectError(
            f"the Port {brief(text, 20)} in ~/.ssh/config is none", where=name, fix="write a number from 1 to 65535"
        )
    return int(text)


def _seconds(text: str, otherwise: float) -> float:
    found = re.fullmatch("0*([1-9][0-9]*)", text)
    return min(float(found[1][:_DIGITS]), _LONGEST) if found else otherwise


@dataclass
class _Reader:
    """Reads a configuration and what it includes."""

    home: Path
    left: int = _FILES
    """files that may still be read"""

    def blocks(
        self, file: Path, outer: tuple[tuple[str, ...], ...] = (), depth: int = 0, *, must_exist: bool = False
    ) -> Iterator[Block]:
        """The blocks of one file, all of them within `outer` conditions. Raises ConnectError."""
        inner: tuple[tuple[str, ...], ...] = ()
        settings: list[tuple[str, tuple[str, ...]]] = []
        for line in self._lines(file, must_exist=must_exist):
            found = re.match(r"\s*(\w+)(?:\s*=\s*|\s+)(\S.*)", line)
            if found is None:
                continue
            key, words = found[1].lower(), _words(found[2])
            if key in ("host", "match", "include"):
                yield Block(outer + inner, tuple(settings))
                settings = []
            if key in ("host", "match"):
                inner = ((key, *words),)
            elif key == "include" and depth < _DEPTH:
                for word in words:
                    for path in self._included(word, file):
                        yield from self.blocks(path, outer + inner, depth + 1)
            elif words:
                settings.append((key, words))
        yield Block(outer + inner, tuple(settings))

    def _lines(self, file: Path, *, must_exist: bool) -> list[str]:
        self.left -= 1
        if self.left < 0:
            raise ConnectError(
                f"the SSH configuration includes more than {_FILES:,} files",
                why=f"one of them is {visible(file)}",
                fix="look for a file that includes itself",
            )
        try:
            return local_files.contents(file, local_files.MAX_CONFIG).decode(errors="replace").splitlines()
        except FileError as error:
            if not error.absent:
                raise ConnectError(
                    f"cannot read the SSH configuration {visible(file)}",
                    why=error.what,
                    fix="correct it, or the Include that names it",
                ) from None
            if must_exist:
                raise ConnectError(
                    f"there is no SSH configuration {visible(file)}", fix="name an existing file"
                ) from None
            return []

    def _included(self, word: str, file: Path) -> list[Path]:
        path = self.home / word[2:] if word.startswith("~/") else Path(word)
        if not path.is_absolute():
            # ssh_config(5): relative to ~/.ssh for a user's file, to /etc/ssh for the system's.
            path = (Path("/etc/ssh") if file.is_relative_to("/etc/ssh") else self.home / ".ssh") / path
        # As glob(3) does for ssh(1): ** is *, and a folder is nothing to read.
        found = map(Path, sorted(glob(str(path))))  # noqa: PTH207 - Path.glob knows **
        return [each for each in found if not each.is_dir()]


def _words(text: str) -> tuple[str, ...]:
    words = []
    for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', text):
        if bare.startswith("#"):
            break
        words.append(quoted or bare)
    return tuple(words)
