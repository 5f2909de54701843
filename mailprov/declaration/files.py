"""Reading the files that a declaration is made of, and the secrets it points to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from mailprov import local_files
from mailprov.declaration.confined import Root
from mailprov.declaration.diagnostics import InvalidValue, brief
from mailprov.encrypted import armour
from mailprov.encrypted.decryption import Decryption
from mailprov.errors import Diagnostic, FileError, Origin, SpecError
from mailprov.model import Purpose

MAX_DECLARATION: Final = 32 * 1024 * 1024
"""bytes of one declaration file"""
MAX_PEM: Final = 1024 * 1024
"""bytes of a certificate or key file"""
MAX_SECRET: Final = 64 * 1024
"""bytes of a file with a password or hash"""
MAX_TABLE: Final = 64 * 1024 * 1024
"""bytes of a table of users: some 350,000 of them"""


_ABSENT: Final = "name the file with -f, or run `mailprov init`"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Source = Mapping[str, Any]
"""where a text comes from: {env: NAME}, {file: path}, {age: …}, {sops: …}"""


class Unavailable(InvalidValue):
    """A file or variable cannot be had by whoever runs this (as opposed to had, and wrong)."""


class Unread(InvalidValue):
    """A secret is where it should be, and nobody needs it now."""


class Absent(Unavailable):
    """The file or variable is not there at all (as opposed to there, but wrong)."""


@contextmanager
def opened(path: Path, limit: int, root: Root | None = None) -> Iterator[BinaryIO]:
    """The regular file `path`, open for reading. Raises Wrong where it cannot be read or holds more than `limit` bytes.

    A fault that shows only while it is read is Wrong, too, and so is a path that leaves the `root`.
    """
    try:
        with ExitStack() as stack:
            folder, name = stack.enter_context(root.located(path)) if root else (None, "")
            file = local_files.opened(path, limit, follow=root is None, below=folder, name=name)
            yield stack.enter_context(file)
    except FileError as error:
        raise _wrong(error) from None


def contents(path: Path, limit: int, root: Root | None = None) -> bytes:
    """The bytes of the regular file `path`. Raises Wrong where it cannot be read or holds more than `limit` bytes."""
    with opened(path, limit, root) as file:
        return file.read()


def _wrong(error: FileError) -> InvalidValue:
    kind = Absent if error.absent else Unavailable if error.denied else InvalidValue
    return kind(error.what, error.fix)


def declaration(path: Path, root: Root | None = None, limit: int = MAX_DECLARATION, absent: str = _ABSENT) -> str:
    """The text of the declaration file `path`. Raises SpecError where it is no UTF-8 text of at most `limit` bytes;
    where it is `absent`, that is what to do."""
    start = Origin(str(path), 1, 1)
    try:
        data = contents(path, limit, root)
    except Absent as wrong:
        raise SpecError([Diagnostic(start, wrong.what, absent)]) from None
    except InvalidValue as wrong:
        raise SpecError([Diagnostic(start, wrong.what, wrong.fix)]) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise SpecError([Diagnostic(start, "this file is UTF-16", "save it as UTF-8")]) from None
        line_start = data.rfind(b"\n", 0, error.start) + 1
        place = Origin(
            str(path), data.count(b"\n", 0, line_start) + 1, len(data[line_start : error.start].decode("utf-8")) + 1
        )
        what = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        raise SpecError([Diagnostic(place, what, "save the file as UTF-8")]) from None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a declaration file may refer to: its folder, the environment, and what opens encrypted values.

    `secrets`: what is read for its purpose now. `root`: the folder that no path may leave.
    """

    folder: Path
    environ: Mapping[str, str]
    trusted: bool = True
    """whether the file is the operator's: what people write reaches no file and no variable"""
    secrets: frozenset[Purpose] = frozenset(Purpose)
    root: Root | None = None
    decryption: Decryption = field(default_factory=lambda: Decryption({}))

    def path(self, text: str) -> Path:
        """The path that `text` means: relative to the declaring file, `~/` is $HOME. Raises Wrong."""
        self._require_trust()
        path = self._path(text)
        if self.root:
            self.root.check(path)
        return path

    def _path(self, text: str) -> Path:
        if text == "~" or text.startswith("~/"):
            home = self.environ.get("HOME", "")
            if not home.startswith("/"):
                raise InvalidValue("`~` means nothing here: HOME is not set", "write the whole path")
            return Path(home, text[2:])
        if text.startswith("~"):
            raise InvalidValue("only your own home can be abbreviated", "write ~/… or the whole path")
        return self.folder / text

    def ssh_file(self, text: str) -> Path:
        """The path that `text` means, of a file for SSH that may be missing. Raises Wrong for what is no file."""
        path = self.path(text)
        try:
            with self.root.located(path) if self.root else nullcontext((None, "")) as (folder, name):
                local_files.require_readable(path, local_files.MAX_CONFIG, below=folder, name=name)
        except FileError as error:
            if not error.absent:
                raise InvalidValue(error.what, error.fix) from None
        return path

    def text(self, source: Source, limit: int) -> str:
        """The text that a source holds: `{env: NAME}`, `{file: path}`, `{age: …}` or `{sops: …}`.

        Raises Absent where there is no such variable or file, and Wrong where it cannot be used. Neither ever shows
        any of the text.
        """
        self._require_trust()
        if "env" in source:
            return self._variable(source["env"], limit)
        data = self._data(source, limit)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            what = str(self._path(source["file"])) if "file" in source else described(source)
            raise InvalidValue(f"{brief(what, 200)} is not UTF-8 text", "check that it is the file you mean") from None

    def _variable(self, name: str, limit: int) -> str:
        if not _VARIABLE.fullmatch(name):
            # unnamed: somebody may have put the secret itself here
            raise InvalidValue("this is not the name of an environment variable", "for example BOB_INITIAL")
        if name not in self.environ:
            raise Absent(f"the environment variable {name} is not set", f"export {name}")
        text = self.environ[name]
        if len(text) > limit:
            raise InvalidValue(
                f"the environment variable {name} is longer than {local_files.size(limit)}", "check its value"
            )
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise InvalidValue(f"the environment variable {name} is not UTF-8", "check its value")
        return text

    def _data(self, source: Source, limit: int) -> bytes:
        """The bytes that a file holds, or an encrypted value."""
        if "file" in source:
            return contents(self.path(source["file"]), limit, self.root)
        try:
            if "sops" in source:
                data = self.decryption.sops(self.path(source["sops"]["file"]), source["sops"].get("key", ""))
            else:
                data = self._opened(source["age"], limit)
        except FileError as error:
            raise _wrong(error) from None
        if len(data) > limit:
            raise InvalidValue(f"{described(source)} holds more than {local_files.size(limit)}", "check its contents")
        return data

    def _opened(self, node: Any, limit: int) -> bytes:
        data = self.age_file(node, limit)
        self.decryption.identity()  # what is wrong with it is no fault of this file
        try:
            return self.decryption.age(data)
        except FileError as error:
            raise FileError(_naming(node) + error.what, fix=error.fix, denied=error.denied) from None

    def age_file(self, node: Any, limit: int = MAX_SECRET) -> bytes:
        """The age file (binary) that `{age: …}` has or names; it need not be opened for that. Raises Wrong."""
        try:
            if isinstance(node, str):
                return armour.unarmoured(node)
            return armour.of_file(contents(self.path(node["file"]), 2 * limit + armour.LONGEST, self.root))[0]
        except FileError as error:
            raise InvalidValue(_naming(node) + error.what, error.fix) from None

    def secret(self, source: Source, purpose: Purpose, limit: int = MAX_SECRET) -> str:
        """The secret that `source` holds: one line, of a key all of them.

        Raises Unavailable, Unread where nobody needs it now, and Wrong. None ever shows any of the text.
        """
        self._require_trust()
        if purpose in self.secrets:
            return self.text(source, limit) if purpose is Purpose.KEY else self.line(source, limit)
        file = file_of(source)
        path = self.path(file) if file is not None else None
        if "age" in source and path is None:
            self.age_file(source["age"])
        if self.root:
            raise Unread("no secret is read with --confined")
        name = source.get("env", "")
        if name not in self.environ and _VARIABLE.fullmatch(name):
            raise Absent(f"the environment variable {name} is not set", f"export {name}")
        try:
            if path is not None:
                path.stat()
        except (OSError, ValueError) as error:
            raise _wrong(local_files.unusable(path or Path(), error)) from None
        raise Unread("nobody needs it now")

    def public(self, source: Source, limit: int) -> str:
        """The text that `source` holds, which is no secret. Raises as `text` does."""
        if self.root and "env" in source:
            raise Unread("no variable is read with --confined")
        if self.root and "file" not in source:
            raise Unread("nothing is opened with --confined")
        return self.text(source, limit)

    def _require_trust(self) -> None:
        if not self.trusted:
            raise InvalidValue("an included file may name no file and no variable", "move this to the main file")

    def line(self, source: Source, limit: int = MAX_SECRET) -> str:
        """The one line that `source` holds, without the line break at its end. Raises as `text` does."""
        text = self.text(source, limit)
        text = text.removesuffix("\n").removesuffix("\r") if "env" not in source else text
        where = described(source)
        if not text:
            raise InvalidValue(f"{where} is empty", "put the secret there")
        if any(char < " " or "\x7f" <= char <= "\x9f" for char in text):
            raise InvalidValue(f"{where} holds more than one line, or control characters", "keep one line there")
        return text


def _naming(node: Any) -> str:
    """The file that `{age: …}` names, as a message begins with it."""
    return "" if isinstance(node, str) else f"{brief(node['file'], 200)}: "


def file_of(source: Source) -> str | None:
    """The file that a source names; None where it names none."""
    inner = next((source[key] for key in ("age", "sops") if key in source), source)
    return inner.get("file") if isinstance(inner, Mapping) else None


def described(source: Source) -> str:
    """Where a secret comes from, in words: "env BOB_INITIAL", "file secrets/bob", "age file secrets/bob.age"."""
    if "env" in source:
        return f"env {source['env']}"
    file = file_of(source)
    if file is None:
        return "the age text"
    kind = next((f"{kind} " for kind in ("age", "sops") if kind in source), "")
    key = source["sops"].get("key") if "sops" in source else None
    return f"{kind}file {brief(file, 200)}" + (f", key {brief(key)}" if key else "")
