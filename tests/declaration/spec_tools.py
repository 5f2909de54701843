"""What the tests of this folder share."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import HealthCheck, settings

from mailprov.model import Spec

NOW = datetime(2030, 6, 1, 12, 0, tzinfo=UTC)
HASH = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "a" * 86
SMALL = """\
mailprov: 1
hosts: {mail.example.com: {address: 192.0.2.10}}
domains: [{name: example.com, catch_all: alice@example.com}]
users:
  - {address: alice@example.com, password: {initial: {env: PW}}}
tls: {self_signed: {}}
services: {imap: true}
"""
ENVIRON = {"PW": "correct horse", "HOME": "/home/tester", "MULTI": "one\ntwo", "EMPTY": ""}

FUZZ = int(os.environ.get("MAILPROV_FUZZ", "1"))
"""multiplies the examples of every fuzz test"""

Load = Callable[..., Spec]


def fuzz(examples: int) -> settings:
    """Settings for that many examples, times MAILPROV_FUZZ."""
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples * FUZZ, suppress_health_check=health, deadline=None)
