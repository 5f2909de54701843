"""A session with each host, and who is asked for a passphrase or a password on the way."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mailprov.connection import Host
from mailprov.errors import ConnectError, MailprovError, SpecError
from mailprov.model import HostSpec, Secret, Spec
from mailprov.observer import Failed, Observer
from mailprov.workflows.selection import refuse_confined

Ask = Callable[[str], Secret]
"""asks somebody for a secret; raises KeyboardInterrupt where that person would rather not say it"""

_somebody: Ask | None = None


def ask_by(ask: Ask | None) -> None:
    """From now on `ask` is who asks for secrets; None where nobody is there to answer."""
    global _somebody
    _somebody = ask


def begin(declared: HostSpec) -> Host:
    """A session with a host, which is the caller's to end. Raises ConnectError, and SpecError without its secret."""
    from mailprov.connection.connect import open_host

    refuse_confined(f"a session with {declared.name}")
    if declared.lacking is not None and _asks_sudo(declared):
        raise SpecError([declared.lacking])
    return open_host(declared, ask=_asker(_somebody) if _somebody is not None else None)


def _asks_sudo(declared: HostSpec) -> bool:
    return os.geteuid() != 0 if declared.address == "local" else declared.ssh.user != "root"


@contextmanager
def session(declared: HostSpec) -> Iterator[Host]:
    """A session with a host, ended when the block is."""
    opened = begin(declared)
    try:
        yield opened
    finally:
        opened.close()


def each(
    spec: Spec, chosen: Sequence[HostSpec], act: Callable[[Spec, HostSpec, Host], None], observer: Observer
) -> list[MailprovError]:
    """Do `act` with each host, one after another; an error is told, and the next has its turn. Returns the errors."""
    failures: list[MailprovError] = []
    for declared in chosen:
        try:
            with session(declared) as opened:
                act(spec, declared, opened)
        except MailprovError as error:
            error.at(declared.name)
            failures.append(error)
            observer.tell(Failed(error))
    return failures


def _told(ask: Ask, text: str) -> Secret:
    try:
        return ask(text)
    except KeyboardInterrupt:
        if threading.current_thread() is threading.main_thread():
            raise
        raise ConnectError(f"{text}: nobody said it") from None  # here it would end one host's thread, and nothing else


_one_question = threading.Lock()
_answers: dict[str, Secret] = {}
"""what was asked for, by the question: one key opens many hosts, and each one twice when it is changed"""


def _asker(somebody: Ask) -> Ask:
    """What asks for one session, one question at a time; nothing again, unless what was said before proved wrong."""
    given: dict[str, Secret] = {}

    def ask(text: str) -> Secret:
        with _one_question:
            if text not in _answers or _answers[text] is given.get(text):
                _answers[text] = _told(somebody, text)
            given[text] = _answers[text]
            return given[text]

    return ask
