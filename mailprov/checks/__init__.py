"""A mail server as its clients see it.

`verify` does everything; `check_listener`, `check_login`, `check_delivery` and `check_relay` are its parts. All give
back Checks and raise nothing for what a network or a server does. A password travels only over TLS whose certificate
verified or is pinned (`mailprov.checks.tls`).
"""

from mailprov.checks.cause import Cause
from mailprov.checks.certificate import fingerprint, pin
from mailprov.checks.check import Account, Check, Endpoint, OnCheck, Trust, endpoints
from mailprov.checks.delivery import check_delivery, check_login
from mailprov.checks.listener import check_listener
from mailprov.checks.relay import check_relay
from mailprov.checks.run import verify
from mailprov.checks.watch import Watched, watched

__all__ = [
    "Account",
    "Cause",
    "Check",
    "Endpoint",
    "OnCheck",
    "Trust",
    "Watched",
    "check_delivery",
    "check_listener",
    "check_login",
    "check_relay",
    "endpoints",
    "fingerprint",
    "pin",
    "verify",
    "watched",
]
