"""Secrets that are none: passwords that are guessed first, and files that everybody on this machine can read."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.files import Surroundings, described
from mailprov.errors import Origin
from mailprov.model import Purpose

LEAST: Final = 8
"""characters of a password (NIST SP 800-63B §5.1.1.2)"""
_NUMBER: Final = 12
_COMMON: Final = frozenset(
    {
        *("password", "passwort", "passw0rd", "p@ssw0rd", "p@ssword", "letmein", "welcome", "iloveyou", "sunshine"),
        *("princess", "football", "baseball", "dragon", "monkey", "shadow", "master", "superman", "batman"),
        *("trustno1", "changeme", "default", "secret", "geheim", "admin", "administrator", "root", "guest", "test"),
        *("login", "mima", "woaini", "qazwsx", "zaq1zaq", "asdf", "1q2w3e4r", "1qaz2wsx", "qwer1234", "a123456"),
        *("aa123456", "woaini1314", "5201314", "abc123", "initial", "startpasswort", "willkommen", "sommer"),
        *("winter", "hello", "google", "yourpassword", "mypassword", "newpassword", "temp"),
    }
)
_ROWS: Final = (
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "yxcvbnm",
    "zxcvbnm",
)
_OPEN: Final = stat.S_IRWXO | stat.S_IWGRP
"""what nobody but the owner, and a group that may read, should be allowed"""


def weakness(password: str, address: str = "") -> str:
    """Why a password is guessed soon; "" where nothing tells that it is. Words that hold none of it."""
    plain = password.casefold()
    bare = plain.strip("0123456789!?.,@#$%&*-_+= ") or plain
    local, _, domain = address.partition("@")
    if len(password) < LEAST:
        return f"has fewer than {LEAST} characters"
    if plain in _COMMON or bare in _COMMON:
        return "is one of the most common ones"
    if len(set(plain)) < 4 or re.fullmatch(r"(.{1,4})\1+", plain):
        return "is the same few characters again and again"
    if bare and bare in (address, local, domain, *re.split("[._-]", local), *domain.split(".")):
        return "is the address, or a part of it"
    if plain.isdecimal() and len(plain) < _NUMBER:
        return f"is a number of fewer than {_NUMBER} digits"
    if any(plain in row * 2 or plain in row[::-1] * 2 for row in _ROWS):
        return "is a row of keys"
    return ""


def warn_of_weak(password: str, address: str, place: Origin, diagnostics: Diagnostics) -> None:
    """Warn where the first password of a user is guessed soon."""
    if found := weakness(password, address):
        diagnostics.warn(place, f"this initial password {found}", "leave it out: one is generated then")


def warn_of_open(
    source: Mapping[str, Any], near: Surroundings, purpose: Purpose, place: Origin, diagnostics: Diagnostics
) -> None:
    """Warn where the secret that `{file: …}` names is read now, and can be read, or replaced, by others here, too."""
    if "file" not in source or purpose not in near.secrets:
        return
    try:
        found = openness(near.path(source["file"]))
    except InvalidValue:
        return  # told by whoever reads it
    if found:
        diagnostics.warn(place, f"{described(source)} is a secret, and {found}", cure(source["file"]))


def openness(path: Path) -> str:
    """How a file is open to others, who could read or replace it; "" where it is not, or is not there."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, ValueError):
        return ""  # told by whoever reads it
    return f"open to others on this machine (mode {mode:04o})" if mode & _OPEN else ""


def cure(file: Path | str) -> str:
    """What keeps others out of a file."""
    return f"chmod 600 {brief(str(file), 200)}"
