"""A host looked at as a client, with an account of somebody's or one that is made for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mailprov.checks import Account, Check
from mailprov.errors import MailprovError, VerifyError
from mailprov.model import HostSpec, Secret, Spec
from mailprov.observer import Observer
from mailprov.workflows import client_view
from mailprov.workflows.session import session
from mailprov.workflows.test_account import test_account


@dataclass(frozen=True, slots=True)
class Login:
    """With which account, if any: one of `user`'s, whose password is in the variable `password_env`, or one made for
    the check; `none`: with none. `roots` are certificates that are trusted beside the declared one."""

    user: str | None = None
    password_env: str | None = None
    none: bool = False
    roots: Path | None = None


def verify(
    spec: Spec, declared: HostSpec, how: Login, observer: Observer, begun: Callable[[str], None]
) -> Sequence[Check]:
    """The checks of one host; `begun` is told beforehand with which account. Raises ConnectError, HostError or
    MailprovError."""
    with ExitStack() as stack:
        host = None if how.none and declared.tls.source == "file" else stack.enter_context(session(declared))
        leaf = client_view.kept_leaf(declared, host) if host else ""
        trusted = client_view.trust(declared, leaf, how.roots)
        domains = spec.domains_of(declared.name)
        account, whose = None, "without a login"
        if how.user and not how.none:
            account = _own(spec, how)
            whose = f"as {account.address}"
        elif host is not None and domains and not how.none:
            account = stack.enter_context(test_account(host, domains[0].name))
            whose = f"as {account.address} (made for this check, removed after it)"
        begun(whose)
        with observer.during(f"looking at {declared.name} as a client"):
            return client_view.everything(declared, trusted, account)


def require(name: str, checks: Sequence[Check]) -> None:
    """Raises VerifyError, naming the step, when a disposable host does not serve what is declared."""
    failed = [check for check in checks if check.failed]
    if failed:
        first = failed[0]
        what = f"{first.endpoint}: {first.step} failed: {first.detail}"
        fix = "rehearse it with --keep, and look at the disposable host: `journalctl -u dovecot -u 'postfix*'` there"
        raise VerifyError(what, where=name, fix=fix)


def _own(spec: Spec, how: Login) -> Account:
    password = os.environ.get(how.password_env or "")
    if password is None:
        what = f"{how.password_env} is not set" if how.password_env else "a password is needed with --user"
        raise MailprovError(what, where="--password-env", fix="name the variable that holds the account's password")
    user = next((user for user in spec.users if user.address == how.user), None)
    if user is None:
        raise MailprovError(f"{how.user} is not declared", where="--user", fix="use a declared mailbox's address")
    return Account(user.address, Secret(password), user.protocols)
