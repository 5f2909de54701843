"""The beginning of secrets in a repository: an identity outside of it, and its recipient in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailprov import local_files
from mailprov.encrypted import age, identities
from mailprov.encrypted.recipients import HEAD, NAME, lines
from mailprov.errors import FileError, MailprovError
from mailprov.workflows.exchange import alone


@dataclass(frozen=True, slots=True)
class Begun:
    """Which identity opens secrets here, whether it was made now, and which of its recipients were added."""

    where: str
    made: bool
    recipients: tuple[str, ...]
    added: tuple[str, ...]
    others: int
    """recipients that were there before"""


def begin(folder: Path, named: Path | None = None, environ: Mapping[str, str] = os.environ) -> Begun:
    """Have an identity, made where none is yet, and its recipients in the file beside the declaration in `folder`.

    Raises FileError for an identity that cannot be used, MailprovError for one within the repository and where a file
    cannot be written.
    """
    made = False
    if named is not None or not environ.get(identities.TEXT):
        path = identities.place(environ, named)
        _require_outside(path, folder)
        made = not os.path.lexists(path)
        if made:
            _make(path)
    text, where = identities.text(environ, named)
    own = age.recipients_of(text, where)
    with alone(folder):
        return Begun(where, made, own, *_added(folder / NAME, own))


def _require_outside(path: Path, folder: Path) -> None:
    inside = _repository(Path(os.path.realpath(folder)))
    if Path(os.path.realpath(path)).is_relative_to(inside):
        what = f"an identity is a secret, and {inside} is the repository"
        raise MailprovError(what, where=str(path), fix="name a file elsewhere: --identity ~/.config/mailprov/age.txt")


def _repository(folder: Path) -> Path:
    """The Git work tree around `folder`, or itself."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def _make(path: Path) -> None:
    secret, recipient = age.generated()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with local_files.descriptor(path, flags, follow=False) as number:
            os.write(number, f"# recipient: {recipient}\n{secret.reveal()}\n".encode())
            os.fsync(number)
    except OSError as error:
        raise local_files.unwritable(path, error) from None


def _added(path: Path, own: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Which recipients were added to the file, and how many others it has."""
    try:
        former, there = local_files.contents(path, local_files.MAX_CONFIG), [_key(line) for _, line in lines(path)]
    except FileError as error:
        if not error.absent:
            raise
        former, there = HEAD.encode(), []
    new = tuple(each for each in own if _key(each) not in there)
    if new:
        former = former if former.endswith(b"\n") or not former else former + b"\n"
        local_files.replace(path, former + "".join(f"{each}\n" for each in new).encode(), 0o644)
    return new, len([each for each in there if each not in {_key(one) for one in own}])


def _key(recipient: str) -> tuple[str, ...]:
    """A recipient without the comment that an SSH key may have."""
    return tuple(recipient.split()[:2])
