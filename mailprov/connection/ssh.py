"""Another machine over SSH: the only file that imports paramiko, and no exception of paramiko leaves it.

Host keys are strict, always (sshd(8), known_hosts). Authentication is by key; nothing is forwarded.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
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

from mailprov.connection import connect_errors, known_hosts
from mailprov.connection.agent import Identity
from mailprov.connection.algorithms import KEY_KINDS, SCANNED, Options, restrict
from mailprov.connection.channel import Channel
from mailprov.connection.identities import Ask, Credential, credentials
from mailprov.connection.known_hosts import HostKey
from mailprov.connection.output import printable
from mailprov.connection.session import SshHost
from mailprov.connection.sshconfig import SshConfig, Target, route
from mailprov.connection.throttle import patiently, turn
from mailprov.connection.wire import Wire, dial
from mailprov.errors import ConnectError
from mailprov.model import HostSpec

KEEPALIVE = 15
"""seconds"""
_ONE_AFTER_ANOTHER = 3.0
"""seconds in which a server has noticed that a command has ended"""

_HUMAN = 60.0
"""seconds that logging in may take: a key in an agent may wait for a touch"""
_WINDOW = 8 * 1024 * 1024
"""bytes of output under way: enough for 64 MiB over a slow link in a few round trips"""


class _NoCommonAlgorithm(ConnectError):
    """The two sides share no algorithm."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The keys that `target` shows to whoever asks: the host itself, or a jump host not yet known."""

    target: Target
    keys: tuple[HostKey, ...]


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
    strangers = (i for i, hop in enumerate(way) if not _known(hop).of(*hop.known_as))
    position = next(strangers, len(way) - 1)
    before, target = way[:position], way[position]
    links = _open(before, ask)
    keys = []
    missing: ConnectError | None = None
    try:
        for kinds in SCANNED:
            try:
                link = patiently(partial(_meet, target, before, links, kinds))
            except _NoCommonAlgorithm as error:
                missing = error
                continue
            with contextlib.closing(link):
                keys.append(link.key)
    finally:
        _close(links)
    if missing is not None and not keys:
        raise missing
    return Scan(target, tuple(keys))


# --- the way there --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Link:
    target: Target
    wire: Wire
    transport: paramiko.Transport
    key: HostKey
    opened: threading.Event = field(default_factory=threading.Event)
    """set once a channel was opened"""

    @property
    def traffic(self) -> tuple[int, int]:
        return self.wire.sent, self.wire.received

    def open_channel(self, timeout: float, doing: str) -> Channel:
        try:
            channel = self._open_session(timeout)
            self.opened.set()
            return channel
        except paramiko.ChannelException as error:
            raise ConnectError(
                "the SSH server refuses to run a command in this session",
                where=self.target.where,
                why=printable(error.text, 200),
                fix="allow sessions in sshd_config: MaxSessions (at least 1)",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            silent = timeout if self.transport.is_active() else None
            raise connect_errors.lost(self.target.where, doing, silent) from error

    def _open_session(self, timeout: float) -> Channel:
        # Where a server allows one session at a time (MaxSessions 1), it may not have seen the end of the last one yet.
        patience = time.monotonic() + (_ONE_AFTER_ANOTHER if self.opened.is_set() else 0)
        while True:
            try:
                return cast(Channel, self.transport.open_session(window_size=_WINDOW, timeout=timeout))
            except paramiko.ChannelException:
                if time.monotonic() >= patience:
                    raise
                time.sleep(0.05)

    def close(self) -> None:
        _end(self.transport, self.wire)


def _open(way: Sequence[Target], ask: Ask | None) -> tuple[_Link, ...]:
    # paramiko reports on stderr what the errors here say better.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    links: list[_Link] = []
    try:
        for position, target in enumerate(way):
            known = _known(target)
            kinds = known.kinds(*target.known_as)
            wanted = (*kinds, *KEY_KINDS)
            with turn(target.host, target.port):
                link = patiently(partial(_meet, target, way[:position], links, wanted))
                links.append(link)
                _check(target, known, link)
                _log_in(target, link.transport, ask)
            link.transport.set_keepalive(KEEPALIVE)
        return tuple(links)
    except BaseException:
        _close(links)
        raise


def _meet(target: Target, before: Sequence[Target], links: Sequence[_Link], kinds: Sequence[str]) -> _Link:
    return _handshake(target, _reach(target, before, links), kinds)


def _known(target: Target) -> known_hosts.KnownHosts:
    return known_hosts.load(target.known_hosts, target.where)


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
            raise connect_errors.no_way_through(target, before[-1], error.code, error.text) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise connect_errors.no_way_through(target, before[-1], 0, str(error)) from error
        return Wire(channel)
    return dial(target)


def _handshake(target: Target, wire: Wire, kinds: Sequence[str]) -> _Link:
    transport = _Transport(cast(socket.socket, wire), default_window_size=_WINDOW)
    restrict(cast(Options, transport.get_security_options()), kinds)
    transport.banner_timeout = transport.handshake_timeout = target.timeout
    transport.auth_timeout = max(_HUMAN, target.timeout)
    began = time.monotonic()
    done = threading.Event()
    try:
        transport.start_client(event=done)
        in_time = done.wait(target.timeout + 1)
    except BaseException:
        _end(transport, wire)
        raise
    error, ended = transport.get_exception(), wire.ended
    if in_time and error is None and (key := transport.host_key) is not None:
        return _Link(target, wire, transport, HostKey(key.get_name(), key.asbytes()))
    _end(transport, wire)
    how: connect_errors.Ending = (
        "closed" if ended else "silent" if time.monotonic() - began >= target.timeout else "garbled"
    )
    trouble = connect_errors.no_handshake(target, wire.head, str(error or ""), how)
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        trouble = _NoCommonAlgorithm(trouble.what, where=trouble.where, why=trouble.why, fix=trouble.fix)
    raise trouble from error


def _end(transport: paramiko.Transport, wire: Wire) -> None:
    # Ends a timer that would keep this process waiting at its end.
    transport.packetizer.complete_handshake()
    transport.close()
    wire.close()


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
    key = link.key
    verdict, entries = known.judge(*target.known_as, key)
    if verdict == "revoked":
        raise connect_errors.revoked_key(target, key, entries[0])
    if verdict == "changed":
        raise connect_errors.changed_key(target, key, entries)
    if verdict == "unknown":
        authorities = [entry for entry in known.of(*target.known_as) if entry.marker == "@cert-authority"]
        raise connect_errors.unknown_key(target, key, authorities)


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
        raise connect_errors.second_factor(target, credential.label, more)
    raise connect_errors.not_admitted(target, tried, offered, "" if last == "Authentication failed." else last)


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
