"""The `{age: …}` values of a declaration file: found in its text, and put there anew. Pure: texts in, texts out.

Only the characters of a value are exchanged: comments, layout and line ends stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent, MappingStartEvent, NodeEvent, ScalarEvent

from mailprov.declaration.positions import Map, Seq, Value
from mailprov.declaration.yamltext import LOADER, read
from mailprov.encrypted import armour
from mailprov.errors import FileError, Origin, SpecError

_KEY: Final = "age"
_ARMOUR: Final = re.compile(rf"{armour.HEADER}((?:\\n|\\(?=\r?\n)|\s)+).*?{armour.FOOTER}", re.S)
"""an age text in any of YAML's styles; the group is what stands there for a line break"""


@dataclass(frozen=True, slots=True)
class AgeValue:
    """An `age` key of a declaration file, and what it has: a `text`, or the name of a `file`."""

    origin: Origin
    """the place of its source, {age: …}"""
    text: str
    file: str
    last: int
    """the last line of the value"""
    start: int
    """where the value begins in the text of the file"""
    end: int
    indent: int
    """the column of the key"""
    flow: bool
    """whether it stands in braces"""


@dataclass(slots=True)
class _Frame:
    """A container that is still open: what it began with, the key whose value it is, the key that waits for a value."""

    event: Any
    key: Any
    pending: Any = None


def age_values(text: str, file: str) -> tuple[AgeValue, ...]:
    """The age values in the text of a declaration file, in their order. The text is valid: it has been `read`."""
    bare = text.removeprefix("\ufeff")
    return tuple(_found(bare, file, len(text) - len(bare)))


def _found(text: str, file: str, before: int) -> Iterator[AgeValue]:
    stack: list[_Frame] = []
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, CollectionEndEvent):
            stack.pop()
        elif isinstance(event, NodeEvent):
            key = _key_of(event, stack)
            if isinstance(event, ScalarEvent) and isinstance(key, ScalarEvent):
                yield from _value(event, key, stack, text, Origin(file, before, 0))
            elif isinstance(event, CollectionStartEvent):
                stack.append(_Frame(event, key))


def _key_of(event: Any, stack: list[_Frame]) -> Any:
    """The key whose value begins here; None where a key, an item of a list, or the document does."""
    if not stack or not isinstance(stack[-1].event, MappingStartEvent):
        return None
    frame = stack[-1]
    key, frame.pending = frame.pending, event if frame.pending is None else None
    return key


def _value(event: Any, key: Any, stack: list[_Frame], text: str, base: Origin) -> Iterator[AgeValue]:
    """The age value that `event` is, if it is one. `base`: the file, and how many characters stand before the text."""
    if key.value == _KEY:
        source, inner, named = stack[-1].event, event.value, ""
    elif key.value == "file" and getattr(stack[-1].key, "value", "") == _KEY:
        source, inner, named = stack[-2].event, "", event.value
    else:
        return
    start, end = event.start_mark, event.end_mark
    begun = source.start_mark
    yield AgeValue(
        Origin(base.file, begun.line + 1, begun.column + 1),
        inner,
        named,
        start.line + 1 + text[start.index : end.index].rstrip().count("\n"),
        start.index + base.line,
        end.index + base.line,
        key.start_mark.column,
        bool(stack[-1].event.flow_style),
    )


def exchanged(text: str, file: str, new: Mapping[AgeValue, bytes]) -> str:
    """`text` with these age values exchanged for the texts of other age files; nothing else of it changes.

    A value that is no age text yet (`age: TODO`) must stand on one line. Raises FileError where it does not.
    """
    made = text
    for value in sorted(new, key=lambda each: each.start, reverse=True):
        end, put = _put(text, value, armour.armoured(new[value]).splitlines())
        made = made[: value.start] + put + made[end:]
    _require_same(text, made, file, new)
    return made


def _put(text: str, value: AgeValue, lines: list[str]) -> tuple[int, str]:
    """What comes from the value's start on, and where what it replaces ends."""
    raw = text[value.start : value.end]
    if found := _ARMOUR.search(raw):
        return value.end, raw[: found.start()] + found[1].join(lines) + raw[found.end() :]
    if "\n" in raw:
        raise FileError("this value is no age text", where=str(value.origin), fix="write `age: TODO`, and run it again")
    ending = "\r\n" if "\r\n" in text else "\n"
    begin = "" if text[value.start - 1] in " \t\n" else " "
    if value.flow:
        line = text[text.rfind("\n", 0, value.start) + 1 : value.start].removeprefix("\ufeff")
        deeper = " " * (len(line) - len(line.lstrip()) + 4)
        return value.end, f'{begin}"{(ending + deeper).join(lines)}"'
    between = ending + " " * (value.indent + 2)
    until = next((at for at in range(value.end, len(text)) if text[at] in "\r\n"), len(text))
    return until, f"{begin}|{text[value.end : until]}{between}{between.join(lines)}"


def _require_same(text: str, made: str, file: str, new: Mapping[AgeValue, bytes]) -> None:
    """The new text is read again: a layout that nobody has thought of is refused, and not damaged."""
    try:
        same = _without(read(made, file).root) == _without(read(text, file).root)
        values = age_values(made, file) if same else ()
        wanted = [new.get(value) for value in age_values(text, file)]
        same = len(values) == len(wanted) and all(
            data is None or armour.unarmoured(value.text) == data for value, data in zip(values, wanted, strict=True)
        )
    except (SpecError, FileError):
        same = False
    if not same:
        fix = "write it as a block: `age: |`, and the lines of the age text below, indented"
        where = str(min(value.origin for value in new))
        raise FileError("a value stands here in a way that cannot be exchanged", where=where, fix=fix)


def _without(node: Value) -> Value:
    """The same values without age texts."""
    if isinstance(node, Map):
        return {
            key: "" if key == _KEY and not isinstance(value, Map) else _without(value) for key, value in node.items()
        }
    return [_without(item) for item in node] if isinstance(node, Seq) else node
