"""One account's row in Dovecot's passwd-file: whose its password is, what else it says, and how two of them differ."""

from __future__ import annotations

import re

from mailprov.model import FieldChange, Secret


def owns_password(row: str) -> bool:
    """Whether this row's account owns its password: the gecos field says so."""
    return row.split(":")[4:5] == ["initial"]


def with_password(row: str, password: Secret) -> str:
    """`row` with this hash in the password field."""
    name, _, rest = row.split(":", 2)
    return f"{name}:{password.reveal()}:{rest}"


_QUOTA = re.compile(r"userdb_quota_(?:rule=\*:bytes=|storage_size=)([0-9]{1,15})B?(?: |$)")


def quota(row: str) -> int | None:
    """The quota in this row, in bytes; None: there is none."""
    found = _QUOTA.search(row.split(":", 7)[7] if row.count(":") >= 7 else "")
    return int(found[1]) if found else None


_EXPIRE = re.compile(r"userdb_namespace/inbox/mailbox/INBOX/autoexpunge=([0-9]{1,9})d(?: |$)")


def expire(row: str) -> int | None:
    """After how many days this row's account loses messages; None: it keeps them."""
    found = _EXPIRE.search(row.split(":", 7)[7] if row.count(":") >= 7 else "")
    return int(found[1]) if found else None


_EXTRA = 7
"""the fields of a row before its extra ones: name, password, uid, gid, gecos, home, shell (passwd-file of Dovecot)"""

_KNOWN = re.compile(
    r"(userdb_quota_rule=\*:bytes|userdb_quota_storage_size|allow_nets|userdb_namespace/.*autoexpunge)=.*"
)


_USER, _DECLARATION = "the user", "the declaration"
RESET = FieldChange("a new password")
TAKEN = FieldChange("password of", _USER, _DECLARATION)
"""the password that the user had ends"""


def fields(was: str, will: str) -> tuple[FieldChange, ...]:
    """What differs between two rows of one account. No password is shown, nor what is in no field that we know."""
    old, new = ((row.split(":", _EXTRA) + [""] * _EXTRA)[: _EXTRA + 1] for row in (was, will))
    extras = [[word for word in row[_EXTRA].split() if not _KNOWN.fullmatch(word)] for row in (old, new)]
    pairs = (
        ("quota", size(quota(was)), size(quota(will))),
        ("networks", _networks(was), _networks(will)),
        ("messages kept", _days(expire(was)), _days(expire(will))),
        ("password of", _owner(was), _owner(will)),
    )
    found = [FieldChange(name, before, after) for name, before, after in pairs if before != after]
    if old[1] != new[1] and owns_password(was) == owns_password(will):
        found.append(FieldChange("password"))
    # The gecos field says whose the password is, which is told above.
    if (*old[2:4], *old[5:_EXTRA], extras[0]) != (*new[2:4], *new[5:_EXTRA], extras[1]) or not found:
        found.append(FieldChange("other fields"))
    return tuple(found)


def _owner(row: str) -> str:
    return _USER if owns_password(row) else _DECLARATION


def size(count: int | None) -> str:
    """So many bytes in words; "none" where there is no limit."""
    if count is None:
        return "none"
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count and count % (1 << power) == 0:
            return f"{count >> power:,} {unit}"
    return f"{count:,} byte{'' if count == 1 else 's'}"


def _days(days: int | None) -> str:
    return "for good" if days is None else f"{days} day{'' if days == 1 else 's'}"


def _networks(row: str) -> str:
    """Where an account may log in from; what is no network is not shown: it may be anything."""
    names = networks(row)
    return (", ".join(names) if all(map(_NETWORK.fullmatch, names)) else "unreadable") if names else "any"


def networks(row: str) -> tuple[str, ...]:
    """Where this row's account may log in from, in words; nothing is anywhere."""
    extra = row.split(":", _EXTRA)[_EXTRA] if row.count(":") >= _EXTRA else ""
    texts = [word.removeprefix("allow_nets=") for word in extra.split(" ") if word.startswith("allow_nets=")]
    return tuple(name for text in texts for name in text.split(","))


_NETWORK = re.compile(r"[0-9a-fA-F:.]{2,45}(/[0-9]{1,3})?")
