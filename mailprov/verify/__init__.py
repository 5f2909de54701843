"""A mail server as its clients see it.

`verify` does everything; `check_listener`, `check_login`, `check_delivery` and `check_relay` are its parts. All give
back Checks and raise nothing for what a network or a server does. A password travels only over TLS whose certificate
verified or is pinned (`mailprov.verify.tls`).
"""

from mailprov.verify.cause import Cause
from mailprov.verify.certificate import fingerprint, pin
from mailprov.verify.check import Account, Check, Endpoint, OnCheck, Trust, endpoints
from mailprov.verify.delivery import check_delivery, check_login
from mailprov.verify.listener import check_listener
from mailprov.verify.relay import check_relay
from mailprov.verify.run import verify
from mailprov.verify.watch import Watched, watched

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
