"""Password hashes as Dovecot checks them: {SCHEME} and what must follow it.

Only schemes that Dovecot 2.3 and 2.4 on Debian 11 to 13 can both check, and that are not trivially broken.
A hash that passes holds only [A-Za-z0-9./$,=+-] behind its scheme, so it cannot break out of a passwd-file field
(doc.dovecot.org, "Passwd-file" and "Password Schemes").
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from typing import Final

from mailprov.declaration.diagnostics import InvalidValue

MAX_LENGTH: Final = 512
MAX_ARGON_MEMORY: Final = 256 * 1024
"""KiB; each login in progress takes this much of the host's memory"""

_FRAME: Final = re.compile(r"\{([A-Za-z0-9.-]{1,30})\}(.*)")
USUAL: Final = re.compile(r"\{SHA512-CRYPT\}\$6\$[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}")
"""what most hashes look like: one that fits is right as it stands"""
_ALLOWED: Final = re.compile(r"[A-Za-z0-9./$,=+-]+")
_DIGEST: Final = 20
"""characters of the shortest hash behind a scheme"""
_MAKE: Final = "make one with `doveadm pw -s SHA512-CRYPT`"
_REFUSED: Final = {
    "PLAIN": "is no hash at all",
    "CLEAR": "is no hash at all",
    "CLEARTEXT": "is no hash at all",
    "CRYPT": "leaves the method open, and may mean DES, which reads 8 characters only",
    "DES-CRYPT": "reads 8 characters only",
    "MD5": "is broken",
    "MD5-CRYPT": "is broken, and Dovecot 2.4 refuses it",
    "PLAIN-MD4": "is broken, and Dovecot 2.4 refuses it",
    "PLAIN-MD5": "is broken, and Dovecot 2.4 refuses it",
    "LDAP-MD5": "is broken, and Dovecot 2.4 refuses it",
    "SMD5": "is broken, and Dovecot 2.4 refuses it",
    "CRAM-MD5": "is as good as the password for a thief",
    "HMAC-MD5": "is as good as the password for a thief",
    "DIGEST-MD5": "is as good as the password for a thief",
    "LANMAN": "is broken, and Dovecot 2.4 refuses it",
    "NTLM": "is broken, and Dovecot 2.4 refuses it",
    "NOOP": "is no hash at all",
    **dict.fromkeys(("SASL", "KERBEROS", "UNIX"), "means that another system knows the password"),
    "OTP": "cannot serve a mail client",
    "RPA": "cannot serve a mail client",
    "SHA": "has no salt",
    "SHA1": "has no salt",
    "SSHA": "rests on SHA-1",
    "SHA256": "has no salt",
    "SHA512": "has no salt",
    "ARGON2": "leaves the variant open",
}


def checked(text: str) -> str:
    """`text` with its scheme in capitals. Raises Wrong, whose words never hold any of the hash."""
    if USUAL.fullmatch(text):
        return text
    found = _FRAME.fullmatch(text)
    if not found:
        raise InvalidValue("this is not a password hash: it has no {SCHEME} in front", _bare_cure(text))
    scheme, rest = found[1].upper(), found[2]
    if scheme not in _SYNTAX or (_named(rest) and _named(rest) != scheme):
        raise _wrong_scheme(scheme, rest)
    if len(text) > MAX_LENGTH:
        raise InvalidValue(f"this password hash has more than {MAX_LENGTH} characters", _MAKE)
    if not _ALLOWED.fullmatch(rest):
        raise InvalidValue(
            "this password hash holds characters that no hash has", "copy it again, with nothing before or behind it"
        )
    _SYNTAX[scheme](rest, scheme)
    return f"{{{scheme}}}{rest}"


def is_hash(text: str) -> bool:
    """Whether `text` is meant as a hash: whether what looks like a scheme in braces opens it."""
    found = _FRAME.fullmatch(text)
    if found is None:
        return False
    names = found[1].upper(), found[1].upper().partition(".")[0]
    known = any(name in _SYNTAX or name in _REFUSED for name in names)
    return known or (len(found[2]) >= _DIGEST and _ALLOWED.fullmatch(found[2]) is not None)


def refuse_bare(text: str) -> None:
    """Raise Wrong where `text` is a hash without its scheme, as other systems keep them, and no password."""
    plain = text.strip()[: 2 * MAX_LENGTH]
    if plain.startswith(("!", "*")) and (plain.strip("!*") in ("", "LK") or _FOREIGN.fullmatch(plain.lstrip("!*"))):
        fix = "delete this line, or say so in a column `enabled`; an empty cell stands for a generated password"
        raise InvalidValue("this is how a system marks an account that is locked, no password", fix)
    if _FOREIGN.fullmatch(plain):
        raise InvalidValue("this is a password hash, and no password: it has no {SCHEME} in front", _bare_cure(plain))


def is_foreign(text: str) -> bool:
    """Whether `refuse_bare` refuses `text`."""
    try:
        refuse_bare(text)
    except InvalidValue:
        return True
    return False


def is_digest(text: str) -> bool:
    """Whether `text` is as long as a digest in hexadecimal (MD5, SHA-1, SHA-2), and made of such digits."""
    return len(text) in (32, 40, 56, 64, 96, 128) and re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", text) is not None


def are_des(texts: Collection[str]) -> bool:
    """Whether several texts all have the form of DES hashes, which a password may have by chance."""
    return len(texts) > 2 and all(map(_DES.fullmatch, texts))


def _named(rest: str) -> str:
    """The scheme that a hash in crypt's form names itself; "" where it names none that is known."""
    return next((scheme for prefix, scheme in _PREFIXES if rest.startswith(prefix)), "")


def _bare_cure(text: str) -> str:
    if scheme := _named(text):
        whole = "" if _is_whole(text, scheme) else ", and copy all of it: this is not complete"
        return f"did you mean {{{scheme}}}{_prefix(text)}…?{whole}"
    broken = next((words for prefix, words in _BROKEN if text.startswith(prefix)), "")
    return f"{broken}; {_MAKE}" if broken else _MAKE


def _prefix(text: str) -> str:
    return next(prefix for prefix, _ in _PREFIXES if text.startswith(prefix))


def _wrong_scheme(scheme: str, rest: str) -> InvalidValue:
    """What is wrong with a scheme that is not known, or not that of the hash behind it."""
    right = _named(rest)
    what = _malformed(scheme).what if scheme in _SYNTAX else _unknown_scheme(scheme).what
    if not right:
        return _unknown_scheme(scheme)
    if not _is_whole(rest, right):
        return InvalidValue(what, f"copy it again, whole, as {{{right}}}{_prefix(rest)}…")
    return InvalidValue(what, f"did you mean {{{right}}}{_prefix(rest)}…?")


def _is_whole(rest: str, scheme: str) -> bool:
    try:
        _SYNTAX[scheme](rest, scheme)
    except InvalidValue:
        return False
    return True


def _unknown_scheme(scheme: str) -> InvalidValue:
    if scheme in _REFUSED:
        return InvalidValue(f"{{{scheme}}} {_REFUSED[scheme]}", _MAKE)
    base, dot, _ = scheme.partition(".")
    if dot and base in _SYNTAX:
        return InvalidValue(f"{{{scheme}}} names an encoding, too", f"write the hash in its usual form, as {{{base}}}")
    close = get_close_matches(scheme, _SYNTAX, 1, 0.6)
    fix = f"did you mean {{{close[0]}}}?" if close else f"known schemes: {', '.join(_SYNTAX)}"
    return InvalidValue(f"{{{scheme}}} is not a scheme that every Dovecot here can check", fix)


def _malformed(scheme: str) -> InvalidValue:
    return InvalidValue(f"this is not a complete {{{scheme}}} hash", "copy it again, whole")


def _crypt(prefix: str, length: int) -> Callable[[str, str], None]:
    """SHA-crypt: Drepper, "Unix crypt using SHA-256 and SHA-512", §"Algorithm"; crypt(5)."""
    letter = "[./A-Za-z0-9]"
    shape = re.compile(rf"\${prefix}\$(?:rounds=([1-9][0-9]{{0,8}})\$)?{letter}{{1,16}}\${letter}{{{length}}}")

    def check(rest: str, scheme: str) -> None:
        found = shape.fullmatch(rest)
        if not found:
            raise _malformed(scheme)
        if found[1] and not 1000 <= int(found[1]) <= 1_000_000:
            raise InvalidValue(
                f"rounds={found[1]} is out of range", "choose from 1000 to 1000000: every login waits for it"
            )

    return check


def _bcrypt(rest: str, scheme: str) -> None:
    """crypt(5), bcrypt: `$2[aby]$`, cost in two digits, 22 characters of salt and 31 of hash."""
    found = re.fullmatch(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", rest)
    if not found:
        raise _malformed(scheme)
    if not 4 <= int(found[1]) <= 14:
        raise InvalidValue(
            f"the cost {found[1]} is out of range", "choose from 04 to 14: at 14 a login takes about a second"
        )


def _argon(variant: str) -> Callable[[str, str], None]:
    """The PHC string of RFC 9106's reference implementation, version 19."""
    shape = re.compile(
        rf"\${variant}\$v=19\$m=([1-9][0-9]{{0,9}}),t=([1-9][0-9]{{0,9}}),p=([1-9][0-9]{{0,2}})"
        r"\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{22,128}"
    )

    def check(rest: str, scheme: str) -> None:
        found = shape.fullmatch(rest)
        if not found:
            raise _malformed(scheme)
        memory, passes = int(found[1]), int(found[2])
        if memory > MAX_ARGON_MEMORY:
            raise InvalidValue(
                f"m={memory} asks for {memory // 1024} MiB at every login",
                f"make it with m={MAX_ARGON_MEMORY} (256 MiB) at most",
            )
        if memory < 8 * int(found[3]) or passes > 20:
            raise InvalidValue(
                "the parameters of this hash are out of range", "choose m of at least 8 × p, t of at most 20"
            )

    return check


def _pbkdf2(rest: str, scheme: str) -> None:
    """Dovecot's own form: `$1$salt$rounds$hash`, a SHA-1 in hex (doc.dovecot.org, "Password Schemes")."""
    found = re.fullmatch(r"\$1\$[./A-Za-z0-9+=]{4,64}\$([1-9][0-9]{0,8})\$[0-9a-f]{40}", rest)
    if not found:
        raise _malformed(scheme)
    if not 1000 <= int(found[1]) <= 1_000_000:
        raise InvalidValue(
            f"{found[1]} rounds are out of range", "choose from 1000 to 1000000: every login waits for it"
        )


def _salted(length: int) -> Callable[[str, str], None]:
    """base64 of the hash (`length` bytes) and of a salt behind it."""

    def check(rest: str, scheme: str) -> None:
        raw = _base64(rest, scheme)
        if not length + 4 <= len(raw) <= length + 64:
            raise _malformed(scheme)

    return check


def _scram(length: int) -> Callable[[str, str], None]:
    """`iterations,salt,StoredKey,ServerKey` (RFC 5802 §3; Dovecot's auth-scram)."""

    def check(rest: str, scheme: str) -> None:
        parts = rest.split(",")
        if len(parts) != 4 or not re.fullmatch(r"[1-9][0-9]{0,8}", parts[0]):
            raise _malformed(scheme)
        if not _base64(parts[1], scheme) or any(len(_base64(part, scheme)) != length for part in parts[2:]):
            raise _malformed(scheme)
        if not 4096 <= int(parts[0]) <= 1_000_000:
            raise InvalidValue(f"{parts[0]} iterations are out of range", "choose from 4096 (RFC 7677 §4) to 1000000")

    return check


def _base64(text: str, scheme: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(scheme) from None


_SYNTAX: Final[dict[str, Callable[[str, str], None]]] = {
    "SHA512-CRYPT": _crypt("6", 86),
    "SHA256-CRYPT": _crypt("5", 43),
    "BLF-CRYPT": _bcrypt,
    "ARGON2ID": _argon("argon2id"),
    "ARGON2I": _argon("argon2i"),
    "PBKDF2": _pbkdf2,
    "SSHA512": _salted(64),
    "SSHA256": _salted(32),
    "SCRAM-SHA-1": _scram(20),
    "SCRAM-SHA-256": _scram(32),
}
_PREFIXES: Final = (
    ("$6$", "SHA512-CRYPT"),
    ("$5$", "SHA256-CRYPT"),
    ("$2a$", "BLF-CRYPT"),
    ("$2b$", "BLF-CRYPT"),
    ("$2y$", "BLF-CRYPT"),
    ("$argon2id$", "ARGON2ID"),
    ("$argon2i$", "ARGON2I"),
)
_BROKEN: Final = (
    ("$1$", "MD5-crypt is broken, and Dovecot 2.4 refuses it"),
    ("$apr1$", "Apache's MD5 is broken, and no scheme of Dovecot"),
    ("$2x$", "hashes of $2x$ were made by a faulty program"),
    ("$y$", "yescrypt is not a scheme that every Dovecot here can check"),
    ("$7$", "scrypt is not a scheme that every Dovecot here can check"),
)
_FOREIGN: Final = re.compile(
    r"\$(?:[1-9][a-z]?|y|gy|md5|sha1|apr1|P|H|S|sm3|argon2[a-z]*|pbkdf2[a-z0-9-]*|scrypt|bcrypt[a-z0-9-]*)[$,].{4,}"
    r"|\$[HPS]\$?[./A-Za-z0-9]{31,}"
    r"|\$[a-z0-9-]{1,20}\$[./A-Za-z0-9$,=+-]{24,}"
    r"|\*[0-9A-F]{40}|md5[0-9a-f]{32}|[0-9A-Fa-f]{32}:[0-9A-Fa-f]{32}|SCRAM-SHA-[0-9]{1,3}\$[0-9]+:.{20,}"
    r"|(?:pbkdf2|scrypt|bcrypt|argon2|md5|sha1|sha256|sha512)[a-z0-9_]*[$:].*[$:].*[./A-Za-z0-9=+]{20,}"
)
"""hashes as crypt(5), phpass, MySQL, PostgreSQL, Samba, Django and Werkzeug write them"""
_DES: Final = re.compile(r"[./0-9A-Za-z]{12}[.26AEIMQUYcgkosw]")
"""crypt(5), descrypt: a salt of two characters, and 64 bits in eleven, of which the last has only four"""
SCHEMES: Final = tuple(_SYNTAX)
"""the schemes that a declaration may use, strong ones first"""
