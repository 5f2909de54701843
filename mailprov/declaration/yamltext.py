"""YAML text → plain values that know their places.

The input is hostile until proven otherwise, so this reads libyaml's event stream itself instead of letting a
constructor build objects: no tags, no merge keys, no second document, no recursion, and bounded depth and growth.
Plain scalars follow the core schema of YAML 1.2 (§10.3.2) minus its surprises: `true`, `false`, `null`, `~`, nothing,
decimal integers and simple decimals; `yes`, `0123`, `1e3`, `0x10`, dates and `22:30` stay text.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from mailprov.declaration.diagnostics import brief
from mailprov.declaration.positions import BITS, MASK, Document, Frame, Map, Seq, Value, take_in
from mailprov.declaration.unseen import unseen, without_unseen
from mailprov.declaration.yamlfaults import (
    MAX_COMPLAINTS,
    MAX_DEPTH,
    STAND_IN,
    TOO_DEEP,
    syntax,
    unwanted,
    without_unwanted,
)
from mailprov.errors import Diagnostic, Origin, SpecError

MAX_ALIASED: Final = 100_000
"""values that aliases may add in all: enough for shared settings, too few for a bomb"""
MAX_TEXT: Final = 8192
"""characters of one text: twice the longest path"""
MAX_VALUES: Final = 1_500_000
"""values in one file: some 180,000 users"""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's; PyYAML's own, ten times slower, where PyYAML was built without it"""
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_NUMERIC: Final = frozenset("-0123456789")


def read(text: str, file: str) -> Document:
    """The one document in `text`, without a fault; `file` is what its places are called. Raises SpecError."""
    found = read_on(text, file)
    if found.faults:
        raise SpecError(found.faults)
    return found


def read_on(text: str, file: str) -> Document:
    """The one document in `text`, as far as it can be told; `file` is what its places are called.

    Its `faults` are the complaints about the text as text (what it means is for others to judge); raises SpecError with
    them where it cannot be read to its end.
    """
    text = text.removeprefix("\ufeff")
    faults = list(unwanted(text, file))
    return _Reader(file, without_unwanted(text) if faults else text, faults).document()


class _Reader:
    """Turns events into values. Complaints that do not derail the reading are gathered."""

    def __init__(self, file: str, text: str, faults: list[Diagnostic]) -> None:
        self.file = file
        self.text = text
        self.errors = faults
        self.replaced = bool(faults)
        self.tainted: list[Origin] = []
        self.stack: list[Frame] = []
        self.anchors: dict[str, tuple[Value, int, int] | None] = {}
        """name → value, size, levels; None while it is being read"""
        self.count = 0
        self.aliased = 0
        self.partial = False
        self.latest: list[int] = []
        """where the last text stands, and whatever has ended since"""
        self.doubtful: Origin | None = None
        self.root: Value = None
        self.root_mark = 0

    def document(self) -> Document:
        documents = 0
        try:
            for event in yaml.parse(self.text, Loader=_LOADER):
                kind = type(event)
                if kind is ScalarEvent:
                    self._scalar(event)
                elif kind is MappingStartEvent or kind is SequenceStartEvent:
                    self._open(event, Map() if kind is MappingStartEvent else Seq())
                elif kind is MappingEndEvent or kind is SequenceEndEvent:
                    self._close()
                elif kind is AliasEvent:
                    self._alias(event)
                elif kind is DocumentStartEvent:
                    documents += 1
                    if documents > 1:
                        what = "a second document (`---`) begins here"
                        self._complain(event, what, "keep one document in each file", lost=True)
                        break
        except yaml.YAMLError as error:
            self._break_off(syntax(error, self.text, self.file))
        told = self.errors, self.tainted
        return Document(self.file, self.root, self.root_mark, *told, partial=self.partial, doubtful=self.doubtful)

    def _break_off(self, fault: Diagnostic) -> None:
        """From here on the text is no YAML: what stood before is told, but for what has no end, or had it just now.

        Raises SpecError where nothing did.
        """
        brackets = (self._origin(frame.mark) for frame in self.stack if frame.flow)
        self.doubtful = min(next(brackets, fault.origin), Origin(self.file, fault.origin.line, 1))
        self.errors[:] = [*(error for error in self.errors if error.origin < self.doubtful), fault]
        self.partial, self.root = True, None
        while self.stack:
            self._close()
        if not (isinstance(self.root, Map) and self.root):
            raise SpecError(self.errors)
        self.tainted += map(self._origin, self.latest)

    def _origin(self, mark: int) -> Origin:
        return Origin(self.file, (mark >> BITS) + 1, (mark & MASK) + 1)

    # Each of the four below runs once a node; anything that is not needed there is elsewhere.

    def _scalar(self, event: Any) -> None:
        text: str = event.value
        start = event.start_mark
        mark = start.line << BITS | start.column
        self.latest = [mark]
        if not (text.isascii() and text.isprintable()) and (found := unseen(text)):
            self._invisible(event, found)
        if self.replaced and STAND_IN in text:
            self.tainted.append(Origin(self.file, start.line + 1, start.column + 1))
        if len(text) > MAX_TEXT:
            self._complain(event, f"a text of {len(text):,} characters", "is a quotation mark missing?", lost=True)
            text = STAND_IN
        if event.tag is not None:
            self._complain(event, *_TAG)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is None and type(frame.node) is Map:
            self._key(frame, event, text, mark)
            return
        value: Value = text
        if event.implicit[0] and event.style in _PLAIN:
            if text in _WORDS:
                value = _WORDS[text]
            elif text[0] in _NUMERIC and (number := _NUMBER.fullmatch(text)):
                value = float(text) if number[1] else int(text)
        self.count += 1
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1, 0)
        self._put(frame, value, mark)

    def _open(self, event: Any, node: Map | Seq) -> None:
        start = event.start_mark
        mark = start.line << BITS | start.column
        if event.tag is not None:
            self._complain(event, *_TAG)
        is_key = bool(self.stack) and (self._refused_as_key(event) or self.stack[-1].is_key)
        if len(self.stack) >= MAX_DEPTH:
            raise self._fatal(event, *TOO_DEEP)
        self.count += 1
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.stack.append(Frame(node, mark, event.anchor, self.count, is_key=is_key, flow=event.flow_style))

    def _close(self) -> None:
        frame = self.stack.pop()
        self.latest.append(frame.mark)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (frame.node, 1 + self.count - frame.before, 1 + frame.deepest)
        above = self.stack[-1] if self.stack else None
        if above is not None:
            self.latest.append(above.key_mark)
        if above is not None and above.key is None and type(above.node) is Map:
            self._pass_over(above)
        else:
            self._put(above, frame.node, frame.mark, 1 + frame.deepest)

    def _alias(self, event: Any) -> None:
        above = self.stack[-1] if self.stack else None
        if above is not None and self._refused_as_key(event):
            self._pass_over(above)
            return
        name, nothing = event.anchor, (STAND_IN, 1, 0)
        known = self.anchors.get(name, nothing)
        if name not in self.anchors:
            what, fix = f"`*{brief(name)}` refers to nothing", f"mark a value with `&{brief(name)}` before"
            self._complain(event, what, fix, lost=self._declares())
        elif known is None:
            self._complain(event, f"`*{brief(name)}` contains itself", "write the value out", lost=self._declares())
        value, size, levels = known or nothing
        self.count += size
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            raise self._fatal(event, f"aliases grow this file by more than {MAX_ALIASED:,} values", "write them out")
        if len(self.stack) + levels > MAX_DEPTH:
            raise self._fatal(event, *TOO_DEEP)
        self._put(above, value, self._position(event), levels)

    def _put(self, frame: Frame | None, value: Value, mark: int, levels: int = 0) -> None:
        if self.count > MAX_VALUES:
            place = Origin(self.file, (mark >> BITS) + 1, 1)
            raise SpecError([Diagnostic(place, f"more than {MAX_VALUES:,} values in this file", "split it")])
        if frame is None:
            self.root, self.root_mark = value, mark
            return
        if levels > frame.deepest:
            frame.deepest = levels
        node = frame.node
        if isinstance(node, Seq):
            node.append(value)
            node.marks.append(mark)
            return
        if frame.rejected:
            take_in(node, frame.key, value)
        elif frame.key is not None:
            node[frame.key] = value
            node.marks.append(frame.key_mark << 2 * BITS | mark)
        frame.key = None
        frame.rejected = False

    def _key(self, frame: Frame, event: Any, text: str, mark: int) -> None:
        if not text.isascii():
            text = without_unseen(text)  # complained about already
        frame.key, frame.key_mark = text, mark
        if text in frame.node:
            assert isinstance(frame.node, Map)  # noqa: S101 - for the type checker
            line, _ = frame.node.place(text, of_key=True)
            frame.rejected = True
            self._complain(
                event,
                f"`{brief(text)}` stands twice: here and in line {line}",
                "keep one of them; YAML would silently drop the other",
            )
        elif text == "<<" and event.style in _PLAIN:
            frame.rejected = True
            self._complain(
                event, "merge keys (`<<`) are not supported", "write the shared settings out, or use `include`"
            )

    # --- complaints

    def _refused_as_key(self, event: Any) -> bool:
        """Whether no text, but something else, stands in the place of a key: told once, and passed over."""
        frame = self.stack[-1]
        if type(frame.node) is not Map or frame.key is not None:
            return False
        if not frame.is_key:
            fix = "if `{{ }}` was meant as text, put it in quotes"
            self._complain(event, "a key must be plain text", fix, lost=self._declares())
            if self._position(event) == frame.mark + 1:  # {{ x }}: one slip, seen in two places
                self.tainted.append(Origin(self.file, (frame.mark >> BITS) + 1, event.start_mark.column))
        return True

    def _pass_over(self, frame: Frame) -> None:
        """What stood in the place of a key has ended: its value belongs to nothing."""
        frame.key, frame.rejected = _NO_KEY, True

    def _declares(self) -> bool:
        """Whether what stands here may be a host, a domain or a person, or several of them."""
        return len(self.stack) <= 2

    def _position(self, event: Any) -> int:
        return int(event.start_mark.line << BITS | event.start_mark.column)

    def _invisible(self, event: Any, found: str) -> None:
        if found in "\r\n":
            self._complain(event, "no text in a declaration may hold a line break", "keep it on one line (or use `>-`)")
        else:
            self._complain(event, f"the invisible character U+{ord(found):04X} is not allowed in a text", "delete it")

    def _complain(self, event: Any, what: str, fix: str, *, lost: bool = False) -> None:
        """`lost`: what is wrong is not told any further, and others may refer to it."""
        self.partial = self.partial or lost
        start = event.start_mark
        self.errors.append(Diagnostic(Origin(self.file, start.line + 1, start.column + 1), what, fix))
        if len(self.errors) >= MAX_COMPLAINTS:
            raise SpecError(self.errors)

    def _fatal(self, event: Any, what: str, fix: str) -> SpecError:
        start = event.start_mark
        return SpecError([*self.errors, Diagnostic(Origin(self.file, start.line + 1, start.column + 1), what, fix)])


_PLAIN: Final = (None, "")
_NO_KEY: Final = "\0"
"""no key: a text that holds this character is never one"""
_TAG: Final = ("tags (`!…`) are not allowed", "write the value alone, in quotes if it is meant as text")
