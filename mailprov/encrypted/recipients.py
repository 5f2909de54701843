"""For whom secrets are encrypted: `.age-recipients` beside the declaration, as `age -R` reads it, too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mailprov import local_files
from mailprov.encrypted import age
from mailprov.errors import Diagnostic, FileError, Origin, SpecError

NAME: Final = ".age-recipients"
HEAD: Final = "# Who can open the secrets of this declaration, a line each. After a change: mailprov secret rekey\n"
LARGEST: Final = 1024 * 1024
"""bytes of such a file"""
MOST: Final = 100
"""recipients; each one adds some hundred bytes to each secret"""


def recipients(folder: Path) -> tuple[age.Recipient, ...]:
    """The recipients of the declaration in `folder`, each once.

    Raises SpecError with every line that is none, FileError where there is no such file or nobody in it.
    """
    path = folder / NAME
    found: dict[str, age.Recipient] = {}
    faults: list[Diagnostic] = []
    for number, line in lines(path):
        try:
            found.setdefault(line, age.recipient(line))
        except FileError as error:
            if error.denied:
                raise
            faults.append(Diagnostic(Origin(str(path), number, 1), error.what, error.fix))
    if faults:
        raise SpecError(faults)
    if not found:
        raise FileError("nobody is there to encrypt for", where=str(path), fix="run `mailprov secret init`")
    if len(found) > MOST:
        raise FileError(f"more than {MOST} recipients", where=str(path), fix="name fewer")
    return tuple(found.values())


def lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a file of recipients with their numbers, without comments. Raises FileError where it is no text."""
    try:
        text = local_files.contents(path, LARGEST).decode("utf-8-sig")
    except FileError as error:
        fix = "run `mailprov secret init`, which makes it" if error.absent else error.fix
        raise FileError(error.what, fix=fix, absent=error.absent, denied=error.denied) from None
    except UnicodeDecodeError:
        raise FileError("this file is no text", where=str(path), fix="write a recipient a line") from None
    read = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in read if line and not line.startswith("#")]
