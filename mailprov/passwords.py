"""Hashes for new accounts."""

from __future__ import annotations

from typing import Any

from mailprov.errors import MailprovError
from mailprov.model import Secret, User

ROUNDS = 5000
"""SHA512-CRYPT's own default; more would slow every login, which one process of Dovecot checks one by one"""


def initial_hash(user: User) -> Secret:
    """The hash with which `user` is created: the one declared, or one made of the declared password.

    Raises MailprovError when the password's source is absent.
    """
    if user.password.hash is not None:
        return user.password.hash
    if user.password.plaintext is None:
        raise MailprovError(
            f"{user.address} is new, and its initial password is not here",
            where=str(user.origin or ""),
            why=f"it should come from {user.password.source}",
            cure=f"provide {user.password.source} and run this again",
        )
    return sha512_crypt(user.password.plaintext)


def sha512_crypt(password: Secret) -> Secret:
    """A salted hash with its scheme, as Dovecot takes it; every supported release checks this one in about 20 ms."""
    from passlib.hash import sha512_crypt as scheme  # heavy, and most plans need none

    handler: Any = scheme  # its stubs leave `using` untyped
    return Secret("{SHA512-CRYPT}" + str(handler.using(rounds=ROUNDS).hash(password.reveal())))
