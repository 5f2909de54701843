"""Another machine over SSH: the only file that imports paramiko, and no exception of paramiko leaves it.

Host keys are strict, always (sshd(8), known_hosts). Authentication is by key; nothing is forwarded.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, cast

if not TYPE_CHECKING and "invoke" not in sys.modules:
    # paramiko loads invoke, if it is there, for a part of ssh_config that is not used here: half of its loading time.
    sys.modules["invoke"] = None
    try:
        import paramiko
    finally:
        del sys.modules["invoke"]
import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from paramiko.auth_handler import AuthHandler

from mailprov.errors import ConnectError
from mailprov.host import known_hosts, sudo, troubles
from mailprov.host.agent import Identity
from mailprov.host.credentials import Ask, Credential, credentials
from mailprov.host.exchange import Channel, Exchange
from mailprov.host.known_hosts import HostKey
from mailprov.host.lines import Output, printable
from mailprov.host.sshconfig import SshConfig, Target, route
from mailprov.host.wire import Wire, dial
from mailprov.model import Completed, HostSpec

KEEPALIVE = 15
_WINDOW = 8 * 1024 * 1024
"""bytes of output under way: enough for 64 MiB over a slow link in a few round trips"""

# In order of preference, cut down to what the installed paramiko knows; SHA-1, CBC and 3DES are left out.
_KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
_KEY_KINDS: dict[str, tuple[str, ...]] = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_SCANNED = (("ssh-ed25519",), tuple(kind for kind in _KEY_KINDS if kind.startswith("ecdsa-")), ("ssh-rsa",))


class _NoCommonAlgorithm(ConnectError):
    """The two sides share no algorithm."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The keys that `target` shows to whoever asks: the host itself, or a jump host not yet known."""

    target: Target
    keys: tuple[HostKey, ...]


class SshHost:
    """An open SSH session with a host, as `connect` makes it: a `Host`, and a context manager."""

    def __init__(self, spec: HostSpec, way: Sequence[Target], links: Sequence[_Link]) -> None:
        self._spec = spec
        self._target = way[-1]
        self._links = tuple(links)

    @property
    def name(self) -> str:
        """The host's name in the declaration."""
        return self._spec.name

    @property
    def traffic(self) -> tuple[int, int]:
        """The bytes sent and received so far, by the first machine on the way."""
        return self._links[0].wire.sent, self._links[0].wire.received

    def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run one command as root; see `Host.run`. `timeout` counts seconds in which neither side got anything.

        Raises ConnectError when the session ends before the command, nothing comes for `timeout` seconds, or sudo
        refuses; HostError when the output is without bounds. Each of them ends the session, except sudo's refusal.
        """
        become = self._spec.become and self._target.user != "root"
        way = sudo.become(self._spec.become_password) if become else None
        command = quote(way.wrap(argv) if way is not None else argv)
        doing = printable(quote(argv[:2]).decode(errors="replace"), 60)
        output = Output(self._target.where, on_line, way.mark.encode() if way is not None else b"")
        complete = False
        try:
            channel = self._channel(timeout, doing)
            exchange = Exchange(channel, output, where=self._target.where, doing=doing, timeout=timeout, way=way)
            completed = exchange.run(command, stdin)
            complete = True
            return completed
        except sudo.Refused:
            complete = True
            raise
        finally:
            if not complete:
                self.close()

    def close(self) -> None:
        """End the session; may be called twice."""
        for link in reversed(self._links):
            link.close()

    def __enter__(self) -> SshHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _channel(self, timeout: float, doing: str) -> Channel:
        transport = self._links[-1].transport
        try:
            return cast(Channel, transport.open_session(window_size=_WINDOW, timeout=timeout))
        except paramiko.ChannelException as error:
            raise ConnectError(
                "the SSH server refuses to run a command in this session",
                where=self._target.where,
                why=printable(error.text, 200),
                cure="allow sessions in sshd_config: MaxSessions (at least 1)",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            silent = timeout if transport.is_active() else None
            raise troubles.lost(self._target.where, doing, silent) from error


def connect(spec: HostSpec, *, config: SshConfig, ask: Ask | None = None) -> SshHost:
    """A session with a host, over its jump hosts, every host key on the way checked.

    `ask` is asked for the passphrase of an encrypted key, with a text that names the key's file; None: nobody is there.

    Raises ConnectError, which says what to do, for each way in which this fails.
    """
    way = route(spec, config)
    return SshHost(spec, way, _open(way, ask))


def scan(spec: HostSpec, *, config: SshConfig, ask: Ask | None = None) -> Scan:
    """The keys that a host shows, without logging in to it; or those of the first jump host that is not known yet.

    Raises ConnectError when there is no way to ask.
    """
    way = route(spec, config)
    position = next(
        (i for i, hop in enumerate(way) if not known_hosts.load(hop.known_hosts).of(*hop.known_as)), len(way) - 1
    )
    before, target = way[:position], way[position]
    links = _open(before, ask)
    keys = []
    missing: ConnectError | None = None
    try:
        for kinds in _SCANNED:
            try:
                link = _handshake(target, _reach(target, before, links), kinds)
            except _NoCommonAlgorithm as error:
                missing = error
                continue
            with contextlib.closing(link):
                keys.append(link.key())
    finally:
        _close(links)
    if missing is not None and not keys:
        raise missing
    return Scan(target, tuple(keys))


def quote(argv: Sequence[str]) -> bytes:
    """`argv` as the one string that SSH carries to the login shell; the only place where such a string is made.

    Raises ValueError for an empty command, or a NUL, at which the far side would cut the command short.
    """
    if not argv or any("\0" in word for word in argv):
        raise ValueError("a command needs at least one word, and no NUL")
    return shlex.join(argv).encode("utf-8", "surrogateescape")


# --- the way there --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Link:
    wire: Wire
    transport: paramiko.Transport

    def key(self) -> HostKey:
        key = self.transport.get_remote_server_key()
        return HostKey(key.get_name(), key.asbytes())

    def close(self) -> None:
        self.transport.close()
        self.wire.close()


def _open(way: Sequence[Target], ask: Ask | None) -> tuple[_Link, ...]:
    # paramiko reports on stderr what the errors here say better.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    links: list[_Link] = []
    try:
        for position, target in enumerate(way):
            known = known_hosts.load(target.known_hosts)
            kinds = known.kinds(*target.known_as)
            link = _handshake(target, _reach(target, way[:position], links), (*kinds, *_KEY_KINDS))
            links.append(link)
            _check(target, known, link)
            _log_in(target, link.transport, ask)
            link.transport.set_keepalive(KEEPALIVE)
        return tuple(links)
    except BaseException:
        _close(links)
        raise


def _close(links: Sequence[_Link]) -> None:
    for link in reversed(links):
        link.close()


def _reach(target: Target, before: Sequence[Target], links: Sequence[_Link]) -> Wire:
    if links:
        try:
            channel = links[-1].transport.open_channel(
                "direct-tcpip", (target.host, target.port), ("127.0.0.1", 0), timeout=target.timeout
            )
        except paramiko.ChannelException as error:
            raise troubles.no_way_through(target, before[-1], error.code, error.text) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise troubles.no_way_through(target, before[-1], 0, str(error)) from error
        return Wire(channel)
    return dial(target)


def _handshake(target: Target, wire: Wire, kinds: Sequence[str]) -> _Link:
    transport = _Transport(cast(socket.socket, wire), default_window_size=_WINDOW)
    options = transport.get_security_options()
    options.kex = [name for name in _KEX if name in options.kex]
    options.ciphers = [name for name in _CIPHERS if name in options.ciphers]
    options.digests = [name for name in _MACS if name in options.digests]
    wanted = dict.fromkeys(name for kind in kinds for name in _KEY_KINDS.get(kind, ()))
    options.key_types = [name for name in wanted if name in options.key_types]
    transport.banner_timeout = transport.handshake_timeout = target.timeout
    transport.auth_timeout = max(30.0, target.timeout)
    done = threading.Event()
    transport.start_client(event=done)
    in_time = done.wait(target.timeout + 1)
    error = transport.get_exception()
    if in_time and error is None and transport.is_active():
        return _Link(wire, transport)
    _Link(wire, transport).close()
    silent = not in_time or "timed out" in str(error) or "timeout" in str(error).lower()
    trouble = troubles.no_handshake(target, wire.head, str(error or ""), silent)
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        trouble = _NoCommonAlgorithm(trouble.what, where=trouble.where, why=trouble.why, cure=trouble.cure)
    raise trouble from error


class _EagerAuth(AuthHandler):
    """Sends its request right behind the one for the service (RFC 4252 leaves that open): a round trip less."""

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc]
        accepted = paramiko.Message()
        accepted.add_string("ssh-userauth")
        accepted.rewind()
        super()._parse_service_accept(accepted)  # type: ignore[misc]

    def _parse_service_accept(self, m: paramiko.Message) -> None:
        pass


class _Transport(paramiko.Transport):
    def auth_publickey(self, username: str, key: paramiko.PKey, event: threading.Event | None = None) -> list[str]:
        self.auth_handler = handler = _EagerAuth(self)
        done = event or threading.Event()
        handler.auth_publickey(username, key, done)
        return handler.wait_for_response(done)


def _check(target: Target, known: known_hosts.KnownHosts, link: _Link) -> None:
    key = link.key()
    verdict, entries = known.judge(*target.known_as, key)
    if verdict == "revoked":
        raise troubles.revoked_key(target, key, entries[0])
    if verdict == "changed":
        raise troubles.changed_key(target, key, entries)
    if verdict == "unknown":
        raise troubles.unknown_key(target, key, target.toward or target.name)


# --- who we are -----------------------------------------------------------------------------------------------------


def _log_in(target: Target, transport: paramiko.Transport, ask: Ask | None) -> None:
    tried: list[str] = []
    offered: Sequence[str] = ()
    last = ""
    for credential in credentials(target, ask, tried):
        tried.append(credential.label)
        try:
            more = transport.auth_publickey(target.user, _pkey(credential))
        except paramiko.BadAuthenticationType as error:
            offered = error.allowed_types
            break
        except (paramiko.SSHException, OSError, EOFError) as error:
            last = str(error)
            if transport.is_active():
                continue
            last = "the server closed the connection: too many keys tried, or a penalty"
            break
        if not more:
            return
        raise troubles.second_factor(target, credential.label, more)
    raise troubles.not_admitted(target, tried, offered, "" if last == "Authentication failed." else last)


def _pkey(credential: Credential) -> paramiko.PKey:
    source = credential.source
    if isinstance(source, Identity):
        return _AgentKey(source)
    if isinstance(source, RSAPrivateKey):
        key: paramiko.PKey = paramiko.RSAKey(key=source)
    elif isinstance(source, EllipticCurvePrivateKey):
        key = paramiko.ECDSAKey(vals=(source, source.public_key()))
    else:
        text = source.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        key = paramiko.Ed25519Key(file_obj=io.StringIO(text.decode()))
    if credential.certificate:
        key.load_certificate(credential.certificate)
    return key


class _AgentKey(paramiko.PKey):
    """A key that stays in the agent."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self.public_blob = None

    def get_name(self) -> str:
        return self._identity.kind

    def asbytes(self) -> bytes:
        return self._identity.blob

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        # paramiko signs in the transport's own thread, where an exception would end the session: an agent that
        # declines gives an empty signature, which the server refuses, and the next key has its turn.
        return paramiko.Message(self._identity.sign(data, algorithm or self._identity.kind))
