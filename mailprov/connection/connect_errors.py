"""Each way in which an SSH session fails to come about, as an error that says what to do."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Literal

from mailprov.connection.known_hosts import Entry, HostKey
from mailprov.connection.output import excerpt, printable
from mailprov.connection.sshconfig import Target
from mailprov.connection.throttle import TurnedAwayError
from mailprov.errors import ConnectError, visible


def no_route(target: Target, error: OSError | UnicodeError) -> ConnectError:
    """No TCP connection: name, route, refusal, silence."""
    if isinstance(error, UnicodeError | socket.gaierror):
        return ConnectError(
            f"the name {target.host} does not resolve",
            where=target.where,
            why=str(error) if isinstance(error, UnicodeError) else error.strerror or str(error),
            fix="correct the host's address in the declaration, or the DNS",
        )
    if isinstance(error, TimeoutError):
        return ConnectError(
            f"no answer within {target.timeout:g} s",
            where=target.where,
            why="the host is down, or a firewall drops what is sent to this port",
            fix="check address, ssh.port and firewalls on the way; allow more by ssh.connect_timeout",
        )
    if isinstance(error, ConnectionRefusedError):
        return ConnectError(
            "the connection was refused",
            where=target.where,
            why="the host is up and nothing listens on this port",
            fix="correct ssh.port, or start the SSH server: systemctl start ssh",
        )
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return ConnectError(
            "there is no route to the host",
            where=target.where,
            why=error.strerror or str(error),
            fix="check this machine's network (VPN, IPv6), or give a jump host: ssh.jump",
        )
    if isinstance(error, ConnectionError):
        return _closed(target, "before saying anything", error.strerror or str(error))
    return ConnectError(
        "cannot connect",
        where=target.where,
        why=error.strerror or str(error),
        fix="check the address and this machine's network",
    )


def no_way_through(target: Target, hop: Target, code: int, text: str) -> ConnectError:
    """The jump host was reached and does not lead on."""
    if code == 1:
        return ConnectError(
            f"the jump host {hop} forbids forwarding to {target.host}:{target.port}",
            where=target.where,
            why=printable(text, 300),
            fix="allow it there: AllowTcpForwarding, PermitOpen in sshd_config; permitopen in authorized_keys",
        )
    return ConnectError(
        f"the jump host {hop} cannot connect to {target.host}:{target.port}",
        where=target.where,
        why=printable(text, 300),
        fix="check address and port as the jump host sees them, and the firewalls between the two",
    )


Ending = Literal["closed", "silent", "garbled"]


def no_handshake(target: Target, head: bytes, error: str, how: Ending) -> ConnectError:
    """TCP connected, and no SSH session came of it. `head` is the first that was received."""
    if not head:
        if how == "silent":
            return ConnectError(
                f"the connection was accepted, and then nothing came within {target.timeout:g} s",
                where=target.where,
                why="the SSH server hangs or is overloaded, or this is another service's port",
                fix="look at the host's console or load; check ssh.port",
            )
        return _closed(target, "before saying anything", "")
    if not any(line.startswith(b"SSH-") for line in head.split(b"\n")):
        said = printable(head.split(b"\n")[0].decode(errors="replace"), 100).strip()
        if b"MaxStartups" in head or b"Not allowed at this time" in head:
            return _closed(target, "before the handshake", said)
        return ConnectError(
            "this is not an SSH server",
            where=target.where,
            why=f"it says: {said}" if said else "",
            fix="correct ssh.port or the address",
        )
    version = next(line for line in head.split(b"\n") if line.startswith(b"SSH-"))
    said = printable(version.decode(errors="replace").strip(), 100)
    if "ncompatible" in error or "no acceptable" in error.lower():
        return ConnectError(
            "the SSH server and mailprov have no algorithm in common",
            where=target.where,
            why=f"{printable(error, 300)}; the server is {said}",
            fix="update the SSH server; mailprov uses no SHA-1, CBC or other outdated algorithms",
        )
    if how == "silent":
        return ConnectError(
            f"the SSH handshake did not end within {target.timeout:g} s",
            where=target.where,
            why=f"{said} stopped answering: an overloaded host, or a link that loses large packets (MTU)",
            fix="try again; allow more by ssh.connect_timeout",
        )
    if how == "garbled":
        return ConnectError(
            "the SSH handshake failed",
            where=target.where,
            why=f"{said}; {printable(error, 300)}",
            fix="update the SSH server, or look for what garbles the connection on its way",
        )
    return _closed(target, "during the handshake", f"{said}; {printable(error, 300)}" if error else said, ConnectError)


def _closed(target: Target, when: str, said: str, kind: type[ConnectError] = TurnedAwayError) -> ConnectError:
    return kind(
        f"the SSH server closed the connection {when}",
        where=target.where,
        why=said,
        fix="wait and try again: it limits connections (MaxStartups, PerSourcePenalties, fail2ban, TCP wrappers), "
        "or its host keys are broken (journalctl -u ssh on the host)",
    )


def unknown_key(target: Target, key: HostKey, authorities: Sequence[Entry]) -> ConnectError:
    """Nothing is known about the host's key; `authorities` would vouch for certificates."""
    vouched = (
        f"; {authorities[0]} vouches for certificates, which mailprov does not ask hosts for" if authorities else ""
    )
    return ConnectError(
        f"the host key of {target.known_name} is not known",
        where=target.where,
        why=f"it shows {key}, which is not in {_files(target)}{vouched}",
        fix=f"compare the fingerprint on the host (ssh-keygen -lf /etc/ssh/ssh_host_{key.label.lower()}_key.pub), "
        f"then: mailprov trust {target.toward or target.name}",
    )


def changed_key(target: Target, key: HostKey, entries: Sequence[Entry]) -> ConnectError:
    """The host shows another key than the known one."""
    known = "; ".join(f"{entry} has {entry.key}" for entry in entries)
    return ConnectError(
        f"THE HOST KEY OF {target.known_name} HAS CHANGED; nothing was sent",
        where=target.where,
        why=f"it shows {key}; {known}",
        fix="if the host was reinstalled, compare the new fingerprint on its console and remove the old line "
        f"(ssh-keygen -R '{target.known_name}' -f {visible(entries[0].file)}); else somebody is in between",
    )


def revoked_key(target: Target, key: HostKey, entry: Entry) -> ConnectError:
    """The host shows a key that is marked @revoked."""
    return ConnectError(
        f"the host key of {target.known_name} is revoked; nothing was sent",
        where=target.where,
        why=f"{entry} revokes {key}",
        fix="give the host a new key; the revoked one may be in other hands",
    )


def not_admitted(target: Target, tried: Sequence[str], offered: Sequence[str], last: str) -> ConnectError:
    """No key opened the door."""
    if "publickey" not in offered and offered:
        return ConnectError(
            f"the SSH server takes no keys from {target.user}, only {', '.join(printable(o, 40) for o in offered)}",
            where=target.where,
            fix="allow PubkeyAuthentication on the host and install a key; mailprov offers no passwords to SSH",
        )
    why = "tried: " + "; ".join(tried) if tried else "there was no key to try"
    return ConnectError(
        f"the SSH server does not let {target.user} in",
        where=target.where,
        why=why + (f" ({printable(last, 200)})" if last else ""),
        fix="install a key there (ssh-copy-id), or name the right one in ssh.identity_file and the right user in "
        "ssh.user; mailprov offers no passwords to SSH"
        + ("; PermitRootLogin may forbid root: use another user with become: true" if target.user == "root" else ""),
    )


def second_factor(target: Target, label: str, more: Sequence[str]) -> ConnectError:
    """A key was right, and the server wants something else on top."""
    return ConnectError(
        f"the SSH server wants more than a key from {target.user}",
        where=target.where,
        why=f"{label} was accepted, and then it asks for: {', '.join(printable(kind, 40) for kind in more)}",
        fix="exempt this user from the second factor (AuthenticationMethods publickey)",
    )


def locked_key(target: Target, path: str, wrong: bool) -> ConnectError:
    """A key's passphrase is missing or wrong."""
    path = visible(path)
    return ConnectError(
        f"the passphrase does not open the SSH key {path}" if wrong else f"the SSH key {path} needs a passphrase",
        where=target.where,
        fix=f"ssh-add {path}" + ("" if wrong else ", or run mailprov in a terminal, where it asks"),
    )


def lost(where: str, doing: str, silent_for: float | None = None, stderr: bytes = b"") -> ConnectError:
    """The session ended, or fell silent, before the command did."""
    said = excerpt(stderr)
    if silent_for is not None:
        return ConnectError(
            f"nothing came from the host for {silent_for:g} s during `{doing}`; the session was ended",
            where=where,
            why=said,
            fix="whether the command still runs there is unknown; look at the host and run mailprov again",
        )
    return ConnectError(
        f"the connection was lost during `{doing}`",
        where=where,
        why=said,
        fix="whether the command ended there is unknown; run mailprov again, it starts from what it finds",
    )


def _files(target: Target) -> str:
    return ", ".join(visible(path) for path in target.known_hosts) or "no known_hosts file"
