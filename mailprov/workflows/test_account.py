"""An account that exists on a host only while it is verified."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from mailprov import standard
from mailprov.checks import Account
from mailprov.connection import Host
from mailprov.credentials.passwords import sha512_crypt
from mailprov.encode import passwd_row
from mailprov.engine.transaction import test_account_script
from mailprov.errors import HostError
from mailprov.model import Secret


def new(domain: str) -> tuple[Account, bytes]:
    """Another one in `domain`, with a random password, and its passwd-file row, which holds a hash only."""
    account = Account(f"mailprov-test-{secrets.token_hex(4)}@{domain}", Secret(secrets.token_urlsafe(18)))
    row = passwd_row(account.address, sha512_crypt(account.password).reveal(), "managed")
    return account, f"{row}\n".encode()


@contextmanager
def test_account(host: Host, domain: str) -> Iterator[Account]:
    """An account in `domain` with a random password, removed at the end with its mail.

    If this process dies, the host removes it by itself after ten minutes. Raises HostError when it cannot be made:
    before the first apply, or while another verification has one.
    """
    account, row = new(domain)
    _script(host, "open", account.address, row)
    try:
        yield account
    finally:
        _script(host, "close", account.address)


def _script(host: Host, action: str, address: str, stdin: bytes = b"") -> None:
    text = test_account_script(standard.REGISTRY)
    completed = host.run(("sh", "-c", text, "mailprov", action, address, text), stdin=stdin)
    if completed.status != 0:
        why = completed.stderr.decode("utf-8", "replace").strip()[:400]
        fix = "use an account of yours with --user ADDRESS --password-env NAME, or run `mailprov apply` first"
        raise HostError(f"could not {action} the test account", where=host.name, why=why, fix=fix)
