"""All encrypted values of a declaration, encrypted anew for whoever should be able to open them now."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailprov import local_files
from mailprov.declaration.age_values import AgeValue, age_values
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue
from mailprov.declaration.files import Surroundings, declaration
from mailprov.declaration.source_file import SourceFile, parts
from mailprov.encrypted import age, armour
from mailprov.encrypted.decryption import Decryption
from mailprov.encrypted.recipients import NAME, recipients
from mailprov.errors import Diagnostic, FileError, SpecError, brief
from mailprov.workflows.age_files import LARGEST, in_form, with_values
from mailprov.workflows.exchange import Exchange, alone, exchange


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What was encrypted anew: of each file, how many values; and for whom."""

    files: Mapping[Path, int]
    recipients: tuple[str, ...]


def rekey(file: Path, identity: Path | None = None, environ: Mapping[str, str] = os.environ) -> Rekeyed:
    """Encrypt every age value of the declaration, and every age file that it names, for its recipients.

    All of them or none; only who is killed leaves some done, and doing it again finishes it: whoever may do that stays
    able to open both. Raises SpecError with each value that cannot be opened, MailprovError where a file cannot be
    written, LockedError where somebody else is at it.
    """
    decryption = Decryption(environ, identity)
    with alone(file.parent):
        names = recipients(file.parent)
        _require_own(decryption, names)
        plan = _Plan(decryption, names)
        diagnostics = Diagnostics()
        sources, _ = parts(file, Surroundings(file.parent, environ, decryption=decryption), diagnostics)
        if diagnostics.errors:
            raise SpecError(diagnostics.errors)
        for source in sources:
            plan.take(source)
        if plan.faults:
            raise SpecError(plan.faults)
        exchange(plan.exchanges.values())
    return Rekeyed(plan.counts, tuple(each.text for each in names))


def _require_own(decryption: Decryption, names: Sequence[age.Recipient]) -> None:
    """Raises FileError where whoever does this could not open the result, and so could not finish what was cut off."""
    own = decryption.identity()
    try:
        age.decrypted(age.encrypted(b"-", names), own)
    except FileError:
        what = f"{NAME} has no recipient for the identity in {own.where}: it could open nothing any more"
        fix = "add it (mailprov secret init), or let somebody who stays in there do this"
        raise FileError(what, fix=fix) from None


class _Plan:
    """What becomes of each file, and what cannot be done."""

    def __init__(self, decryption: Decryption, names: Sequence[age.Recipient]) -> None:
        self.exchanges: dict[Path, Exchange] = {}
        self.counts: dict[Path, int] = {}
        self.faults: list[Diagnostic] = []
        self._decryption, self._names = decryption, names

    def take(self, source: SourceFile) -> None:
        """Plan for the values of a declaration file, and for the files that they name."""
        path = Path(source.document.file)
        text = declaration(path)
        inline: dict[AgeValue, bytes] = {}
        for value in age_values(text, str(path)):
            try:
                if value.file:
                    self._take_file(source.surroundings.path(value.file))
                else:
                    inline[value] = self._anew(armour.unarmoured(value.text))
            except (FileError, InvalidValue) as error:
                named = f"{brief(value.file, 200)}: " if value.file and value.file not in error.what else ""
                self.faults.append(Diagnostic(value.origin, named + error.what, error.fix))
        if inline and not self.faults:
            content = text.encode("utf-8")
            self._add(path, content, with_values(path, content, inline), len(inline))

    def _take_file(self, path: Path) -> None:
        if Path(os.path.realpath(path)) not in self.exchanges:
            content = local_files.contents(path, 2 * LARGEST)
            self._add(path, content, in_form(content, self._anew(armour.of_file(content)[0])), 1)

    def _anew(self, data: bytes) -> bytes:
        return age.encrypted(self._decryption.age(data), self._names)

    def _add(self, path: Path, was: bytes, content: bytes, values: int) -> None:
        real = Path(os.path.realpath(path))
        self.exchanges[real] = Exchange(real, was, content)
        self.counts[path] = values
