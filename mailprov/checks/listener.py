"""One listener as a client meets it, without any account: reachable, encrypted, whose certificate, what it offers."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import datetime

from mailprov.checks import certificate, tls
from mailprov.checks.cause import CAUGHT, Cause, ServerError, cause_of, explanation
from mailprov.checks.check import Check, Endpoint, Log, Note, OnCheck, Step, Stopped, Trust
from mailprov.checks.session import Session, approach, begin, leave, upgrade
from mailprov.checks.wire import dial


def check_listener(
    endpoint: Endpoint,
    trust: Trust,
    *,
    now: datetime,
    timeout: float = 20.0,
    on_check: OnCheck | None = None,
    brief: bool = False,
) -> tuple[Check, ...]:
    """Looks at one listener without logging in, in up to three connections; sends no password, real or invented.

    Steps, as far as they apply: connect, greeting, cleartext login refused, starttls, tls, certificate (dates),
    name, declared certificate (pins), chain, capability, old tls refused. A step that cannot be passed ends the list.
    `brief` ends it, after one connection, with the certificate. A chain that does not verify is an error, but a
    warning where the leaf is pinned: clients will warn.

    `now` is aware; `timeout` is seconds for each connection attempt, handshake and exchange. Raises nothing that the
    network or the server causes: that is what the checks are for.
    """
    log = Log(endpoint, on_check)
    with suppress(Stopped):
        session = _arrive(log, timeout)
        try:
            served, pinned = _handshake(log, session, trust, timeout)
            sound = _certificate(log, served, trust, now)
            if brief:
                return log.checks
            checked = _chain(log, served, trust, sound, timeout)
            live = checked or (session if pinned else None)
            _offers(log, live)
            if live is not None:
                leave(live)
        finally:
            session.wire.close()
        _old_tls(log, trust, timeout)
    return log.checks


def look_in_cleartext(endpoint: Endpoint, *, timeout: float = 20.0) -> tuple[Check, ...]:
    """Looks at one listener as a client does that is set to use no TLS; sends no password, real or invented.

    Steps: connect, greeting, capability, which fails where no login is taken without TLS (as it should be), and warns
    where one is. Raises nothing that the network or the server causes.
    """
    log = Log(endpoint)
    with suppress(Stopped):
        with log.step("connect") as note:
            wire = dial(endpoint.address, endpoint.port, timeout)
            note.detail = f"TCP to {endpoint.address}:{endpoint.port}"
        session = begin(wire, endpoint)
        try:
            with log.step("greeting") as note:
                note.detail = _greeting(session, endpoint, timeout)
            with log.step("capability") as note:
                accepted = session.cleartext_login()
                if accepted:
                    _judge_cleartext(note, endpoint, accepted, wire.same_host)
                    note.severity = "warning"
                else:
                    note.fail(Cause.LOGIN_NEEDS_TLS, "without TLS no login is offered, and none is taken")
        finally:
            leave(session)
    return log.checks


def _arrive(log: Log, timeout: float) -> Session:
    """Connects, and walks to the edge of TLS; the caller owns the connection."""
    endpoint = log.endpoint
    with log.step("connect") as note:
        wire = dial(endpoint.address, endpoint.port, timeout)
        note.detail = f"TCP to {endpoint.address}:{endpoint.port}"
    session = begin(wire, endpoint)
    if endpoint.mode == "tls":
        return session
    try:
        with log.step("greeting") as note:
            note.detail = _greeting(session, endpoint, timeout)
        with log.step("cleartext login refused") as note:
            accepted = session.cleartext_login()
            note.detail = "no login without TLS"
            if accepted:
                _judge_cleartext(note, endpoint, accepted, wire.same_host)
        with log.step("starttls") as note:
            upgrade(session)
            note.detail = "the server is ready for TLS"
    except BaseException:
        wire.close()
        raise
    return session


def _greeting(session: Session, endpoint: Endpoint, timeout: float) -> str:
    try:
        return session.greet()
    except TimeoutError:
        if _speaks_tls(endpoint, timeout):
            raise ServerError(Cause.TLS_EXPECTED) from None
        raise


def _speaks_tls(endpoint: Endpoint, timeout: float) -> bool:
    with suppress(ServerError, *CAUGHT):
        tls.inspect(dial(endpoint.address, endpoint.port, timeout).bare(), endpoint.server_name, frozenset())
        return True
    return False


def _judge_cleartext(note: Note, endpoint: Endpoint, accepted: str, same_host: bool) -> None:
    if same_host and endpoint.protocol in ("pop3", "imap", "sieve"):
        # Dovecot counts a connection from its own machine as secured, whatever `ssl = required` says.
        note.fail(Cause.NOT_TESTED, f"{accepted}, on the mail host itself: judge from another host", "warning")
    else:
        note.fail(Cause.CLEARTEXT_LOGIN, f"without TLS, {accepted}")


def _handshake(log: Log, session: Session, trust: Trust, timeout: float) -> tuple[tls.Served, bool]:
    """Makes TLS on the first connection; True where the leaf is pinned and the connection lives on."""
    with log.step("tls") as note:
        try:
            pinned, served = tls.inspect(session.wire.bare(), log.endpoint.server_name, trust.pins)
        except ssl.SSLError as error:
            if cause_of(error) is Cause.TLS_VERSION:
                raise _too_old(log.endpoint, timeout) or error from None
            raise
        note.detail = f"{served.version}, {served.cipher}"
    if pinned is not None:
        session.wire.adopt(pinned)
    return served, pinned is not None


def _too_old(endpoint: Endpoint, timeout: float) -> ServerError | None:
    """Which side is too old, where no version was shared; None where even that cannot be told."""
    with suppress(ServerError, *CAUGHT):
        versions = tls.spoken(lambda: approach(endpoint, timeout).wire.bare(), endpoint.server_name)
        if versions:
            # What is new enough was not agreed on at first: settings of this machine forbid it.
            usable = {"TLS 1.2", "TLS 1.3"}.intersection(versions)
            cause = Cause.CLIENT_TLS_OLD if usable else Cause.SERVER_TLS_OLD
            return ServerError(cause, f"the server agrees to {', '.join(versions)} only")
        if not ssl.HAS_TLSv1_3:
            return ServerError(Cause.CLIENT_TLS_OLD, "this machine's TLS library has no TLS 1.3")
    return None


def _certificate(log: Log, served: tls.Served, trust: Trust, now: datetime) -> bool:
    """Judges the leaf by its own words; True where its dates and its name are right."""
    sound = True
    steps: tuple[tuple[Step, certificate.Verdict], ...]
    try:
        dates = certificate.dates(served.leaf, now)
        steps = (("certificate", dates), ("name", certificate.name(served.leaf, log.endpoint.server_name)))
        summary = certificate.summary(served.leaf)
    except ValueError:
        unreadable = certificate.Verdict(Cause.CERTIFICATE, "the certificate cannot be read")
        steps, summary = (("certificate", unreadable),), f"SHA-256 {served.fingerprint}"
    for step, verdict in steps:
        with log.step(step) as note:
            note.detail, note.until = verdict.detail, verdict.until
            if verdict.cause is Cause.EXPIRES_SOON:
                note.fail(verdict.cause, verdict.detail, "warning")
            elif verdict.cause is not Cause.NONE:
                note.fail(verdict.cause, verdict.detail)
                sound = False
    if trust.pins:
        with log.step("declared certificate") as note:
            note.detail = summary
            if served.fingerprint not in trust.pins:
                note.fail(Cause.PIN_MISMATCH, f"another certificate is served: {summary}")
    return sound


def _chain(log: Log, served: tls.Served, trust: Trust, sound: bool, timeout: float) -> Session | None:
    """Lets OpenSSL judge chain and name in a connection of its own, which is returned if they verify."""
    endpoint = log.endpoint
    with suppress(Stopped), log.step("chain") as note:
        session = approach(endpoint, timeout)
        try:
            session.wire.adopt(tls.verified(session.wire.bare(), endpoint.server_name, trust.roots))
        except ssl.SSLCertVerificationError as error:
            _judge_chain(note, error, served, trust, sound)
            return None
        except BaseException:
            session.wire.close()
            raise
        note.detail = "chain and name verify" + (f", with {trust.roots.name}" if trust.roots else "")
        return session
    return None


def _judge_chain(
    note: Note, error: ssl.SSLCertVerificationError, served: tls.Served, trust: Trust, sound: bool
) -> None:
    cause, detail = cause_of(error), explanation(error)
    if not sound and cause in (Cause.EXPIRED, Cause.NOT_YET_VALID, Cause.WRONG_NAME):
        # One fault of the certificate is one error, and it is recorded already.
        note.fail(cause, f"clients refuse it: {detail}", "warning")
    elif cause is Cause.UNKNOWN_CA and (how := certificate.leaves_out(served.chain, trust.known)):
        pinned = served.fingerprint in trust.pins
        note.fail(Cause.MISSING_INTERMEDIATE, f"clients refuse it: {how}", "warning" if pinned else "error")
    elif served.fingerprint in trust.pins:
        note.fail(cause, f"clients will warn: {detail}", "warning")
    elif cause is Cause.UNKNOWN_CA and certificate.sent_alone(served.chain):
        note.fail(cause, f"no trusted CA signed it, and the server sent no intermediate: {detail}")
    else:
        note.fail(cause, detail)


def _offers(log: Log, session: Session | None) -> None:
    endpoint = log.endpoint
    if session is None:
        log.skip("capability", "nothing is asked of a server whose certificate is not trusted")
        return
    with suppress(Stopped):
        if endpoint.mode == "tls":
            with log.step("greeting") as note:
                note.detail = session.greet()
        with log.step("capability") as note:
            offered = session.capabilities()
            missing = session.missing(offered) if endpoint.protocol != "smtp" else ()
            note.detail = " ".join(sorted(offered))
            if missing:
                note.fail(Cause.NO_MECHANISM, f"not offered: {', '.join(missing)}")


def _old_tls(log: Log, trust: Trust, timeout: float) -> None:
    endpoint = log.endpoint
    older = "TLS 1.1" if trust.min_version == "TLSv1.2" else "TLS 1.2"
    with log.step("old tls refused") as note:
        try:
            sock = approach(endpoint, timeout).wire.bare()
        except (ServerError, *CAUGHT) as error:
            note.fail(Cause.NOT_TESTED, f"{older} was not tested: {explanation(error)}", "warning")
            return
        result, evidence = tls.old_tls(sock, endpoint.server_name, trust.min_version)
        note.detail = f"{older} is refused ({evidence})"
        if result == "accepted":
            note.fail(Cause.OLD_TLS, f"{older} is accepted ({evidence})")
        elif result == "unable":
            note.fail(Cause.NOT_TESTED, f"{older} was not tested: {evidence}", "warning")
