"""Passwords for new accounts: made up where none is declared, and hashed."""

from __future__ import annotations

import math
import secrets
import threading
from functools import cache
from typing import Any

from mailprov.errors import MailprovError
from mailprov.model import Secret, User

_LOADING = threading.Lock()
ROUNDS = 5000
"""SHA512-CRYPT's own default; more would slow every login, which one process of Dovecot checks one by one"""

LETTERS = "acdefhjkmnprtuwxy23456789"
"""no two of these look alike (0 O, 1 l I i, 2 Z, 5 S, 6 b, 8 B, 9 g q, u v), and nobody has to say "capital\""""
GROUPS, IN_A_GROUP = 4, 4
BITS = GROUPS * IN_A_GROUP * math.log2(len(LETTERS))


def generated() -> Secret:
    """A new password of 74 bits, in groups to be read out: "k7mr-9wpx-f4hc-3aye"."""
    group = [[secrets.choice(LETTERS) for _ in range(IN_A_GROUP)] for _ in range(GROUPS)]
    return Secret("-".join(map("".join, group)))


def initial_hash(user: User) -> Secret:
    """The hash with which `user` is created: the one declared, or one made of the declared or generated password.

    Raises MailprovError when the password's source is absent, or it was not generated yet.
    """
    if user.password.hash is not None:
        return user.password.hash
    if user.password.plaintext is None and user.password.generated:
        raise MailprovError(
            f"{user.address} is new, and its password was not generated",
            where=str(user.origin or ""),
            why="the hand-out folder does not hold it where this host is changed from",
            fix="name a folder that every worker reaches at the same path (--handout), and run this again",
        )
    if user.password.plaintext is None:
        raise MailprovError(
            f"{user.address} is new, and its initial password is not here",
            where=str(user.origin or ""),
            why=f"it should come from {user.password.source}",
            fix=f"provide {user.password.source} and run this again",
        )
    return sha512_crypt(user.password.plaintext)


@cache
def _handler() -> Any:
    """What makes hashes: heavy, and most plans need none. While it is imported, and looks for the fastest code that is
    here, and makes its first hash, a second thread would find half of it."""
    from passlib.handlers.sha2_crypt import sha512_crypt as scheme

    handler: Any = scheme  # its stubs leave `using` untyped
    handler.using(rounds=1_000).hash("")
    return handler


def sha512_crypt(password: Secret) -> Secret:
    """A salted hash with its scheme, as Dovecot takes it; every supported release checks this one in about 20 ms."""
    with _LOADING:
        handler = _handler()
    return Secret("{SHA512-CRYPT}" + str(handler.using(rounds=ROUNDS).hash(password.reveal())))
