"""Encrypted values where they are kept: a file of their own, or a place in a declaration file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailprov import local_files
from mailprov.declaration.age_values import AgeValue, age_values, exchanged
from mailprov.declaration.files import MAX_PEM, MAX_SECRET, declaration
from mailprov.declaration.yamltext import read
from mailprov.encrypted import age, armour
from mailprov.encrypted.decryption import Decryption
from mailprov.encrypted.recipients import recipients
from mailprov.errors import FileError, MailprovError
from mailprov.workflows.exchange import Exchange, alone, exchange

LARGEST: Final = MAX_PEM
"""bytes of a secret: those of a file with a key"""
_AT: Final = re.compile(r"(.+?):([1-9][0-9]{0,8})(?::([1-9][0-9]{0,8}))?", re.S)
_LINE: Final = "name its line: mail.yaml:12, as errors and `mailprov explain` do"


@dataclass(frozen=True, slots=True)
class Held:
    """Where an encrypted value is kept: in the age file `path`, or as `value` in the declaration file `path`."""

    path: Path
    content: bytes
    """of the whole file; nothing where there is no age file yet"""
    value: AgeValue | None = None

    @property
    def where(self) -> str:
        """Its place, for messages."""
        return str(self.value.origin) if self.value else str(self.path)

    def ciphertext(self) -> bytes:
        """The age file (binary) that is there. Raises FileError where there is none, or a damaged one."""
        try:
            return armour.unarmoured(self.value.text) if self.value else armour.of_file(self.content)[0]
        except FileError as error:
            raise FileError(error.what, where=self.where, fix=error.fix) from None

    def with_(self, data: bytes) -> bytes:
        """The whole file with another age file (binary) there. Raises FileError where that cannot be."""
        return with_values(self.path, self.content, {self.value: data}) if self.value else in_form(self.content, data)


def in_form(former: bytes, data: bytes) -> bytes:
    """An age file, armoured if the `former` one is, or is none."""
    return data if former.startswith(armour.MAGIC) else armour.armoured(data).encode()


def with_values(path: Path, content: bytes, new: Mapping[AgeValue, bytes]) -> bytes:
    """A declaration file with other age files in the places of these values. Raises FileError, SpecError."""
    return exchanged(content.decode("utf-8"), str(path), new).encode("utf-8")


def held(target: str) -> Held:
    """What `target` names: an age file, or FILE:LINE[:COLUMN] of a declaration file with a value there.

    Raises FileError where nothing of that kind is there, SpecError where the file is no YAML.
    """
    path, found = Path(target), _AT.fullmatch(target)
    if found is None or path.exists():
        return Held(path, _age_file(path))
    return _in_declaration(Path(found[1]), int(found[2]), int(found[3] or 0))


def _in_declaration(path: Path, line: int, column: int) -> Held:
    text = declaration(path)
    read(text, str(path))  # told as it is everywhere, where it is no YAML
    values = age_values(text, str(path))
    there = [each for each in values if each.origin.line <= line <= each.last]
    if len(there) > 1 and column:
        there = [each for each in there if each.origin.line < line or each.origin.column <= column][-1:]
    where = f"{path}:{line}"
    if not there:
        fix = "write `age: TODO` there, as in password: {initial: {age: TODO}}"
        if values:
            fix += f"; it has some in line {', '.join(str(each.origin.line) for each in values[:20])}"
        raise FileError("no `age` value stands in this line", where=where, fix=fix)
    if len(there) > 1:
        places = ", ".join(f"{path}:{each.origin.line}:{each.origin.column}" for each in there)
        raise FileError("several `age` values stand in this line", where=where, fix=f"name the column: {places}")
    (value,) = there
    if value.file:
        file = path.parent / os.path.expanduser(value.file)  # noqa: PTH111 - which raises where nobody is called so
        return at_file(file)
    return Held(path, text.encode("utf-8"), value)


def opened(there: Held, by: Decryption) -> bytes:
    """The secret that is kept there. Raises FileError with its place where it cannot be opened."""
    try:
        return by.age(there.ciphertext())
    except FileError as error:
        where = error.where or there.where
        raise FileError(error.what, where=where, fix=error.fix, denied=error.denied) from None


def encrypted(folder: Path, secret: bytes, limit: int = LARGEST) -> bytes:
    """`secret` as an age file (binary) for the recipients of the declaration in `folder`.

    Raises MailprovError for one that is empty or too large, and as `recipients` does.
    """
    if not secret.strip():
        raise MailprovError("the secret is empty", fix="give it by standard input, or at the prompt")
    if len(secret) > limit:
        fix = "keep it in a file of its own: -o FILE" if limit < LARGEST else "split it"
        raise MailprovError(f"the secret is larger than {local_files.size(limit)}", fix=fix)
    return age.encrypted(secret, recipients(folder))


def put(folder: Path, there: Held, secret: bytes) -> None:
    """Keep another secret there, for the recipients of the declaration in `folder`.

    Raises MailprovError where it cannot be, and where the file was changed meanwhile: it is as it was then.
    """
    data = encrypted(folder, secret, MAX_SECRET if there.value else LARGEST)
    with alone(folder):
        if there.content:
            exchange([Exchange(Path(os.path.realpath(there.path)), there.content, there.with_(data))])
            return
        try:
            there.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise local_files.unwritable(there.path, error) from None
        local_files.replace(there.path, there.with_(data), 0o644)


def at_file(path: Path) -> Held:
    """The age file `path`, which need not be there yet. Raises FileError where something else is."""
    return Held(path, _age_file_if_any(path))


def _age_file_if_any(path: Path) -> bytes:
    try:
        return _age_file(path)
    except FileError as error:
        if not error.absent:
            raise
        return b""


def _age_file(path: Path) -> bytes:
    """The contents of a file that looks like an age file. Raises FileError for any other."""
    content = local_files.contents(path, 2 * LARGEST)
    if not content.startswith(armour.MAGIC) and not content.lstrip().startswith(armour.HEADER.encode()):
        raise FileError("this is no age file", where=str(path), fix=f"name another; in a declaration, {_LINE}")
    return content
