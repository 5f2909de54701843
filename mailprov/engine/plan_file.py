"""A kept plan as a file's text, written and read host by host: a large or hostile one takes little memory (pure)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mailprov import __version__
from mailprov.engine.risks import FLAGS
from mailprov.engine.saved_plan import Claim, SavedPlan, plain
from mailprov.errors import KeptPlanError
from mailprov.model import HOST_NAME, Action, Effect, Key, Reason

FORMAT: Final = "mailprov-plan 4"

LIMIT = 48 << 20
"""bytes of a kept plan: two thousand hosts that are new, three thousand others"""
MARKS = 5 << 18
"""commas and brackets in it, by whose number reading it takes memory: as many hosts"""
HOST_LIMIT = 16 << 20
"""bytes of one host in it, a fourth of that if not all is ASCII: twenty thousand mailboxes that get another address"""
HOST_MARKS = 1 << 19
"""commas and brackets of one host"""
WIDE = 4 << 20
"""bytes of lines in it that are not ASCII: in memory each character may take four"""


def bearable(data: bytes) -> bool:
    """Whether a plan of this size is read."""
    if len(data) > LIMIT or _marks(data) > MARKS:
        return False
    if not data.isascii() and sum(len(line) for line in data.split(b"\n") if not line.isascii()) > WIDE:
        return False
    for at, end in _parts(data):
        width = 1 if end - at <= HOST_LIMIT // 4 or data[at:end].isascii() else 4
        if (end - at) * width > HOST_LIMIT or _marks(data, at, end) > HOST_MARKS:
            return False
    return True


def _marks(data: bytes, at: int = 0, end: int | None = None) -> int:
    return sum(data.count(mark, at, end) for mark in (b",", b"[", b"{"))


def _parts(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each host begins and ends; the first one with what stands before it. And what stands behind them."""
    at = 0
    while (found := data.find(_CLOSES, at)) >= 0:
        yield at, found + len(_CLOSES)
        at = found + len(_CLOSES)
    yield at, len(data)


# --- written


def dump(partial: bool, hosts: Sequence[Claim]) -> str:
    """The plan as JSON text, sealed with the SHA-256 of all of it: against damage, not against whoever may write it."""
    seal, told = _Seal(partial), list[str]()
    for each in sorted(hosts, key=lambda each: each.host):
        document = _dump(each)
        seal.add(document)
        told.append(_OPENS + _written(document, _OPENS))
    return _head(partial) + ",".join(told) + _tail(bool(told), seal.hexdigest())


_OPENS: Final = "\n  "
"""before each host"""
_CLOSES: Final = b"\n  }"
"""at the end of each host, and nowhere else: no JSON string holds a line break"""
_HOSTS: Final = '\n "hosts": ['


def _head(partial: bool) -> str:
    about = {"format": FORMAT, "mailprov": __version__, "partial": partial}
    return _written(about, "\n").removesuffix("\n}") + "," + _HOSTS


def _tail(hosts: bool, seal: str) -> str:
    return ("\n " if hosts else "") + f'],\n "seal": "{seal}"\n}}\n'


class _Seal:
    """The SHA-256 of the document without its seal, as compact JSON with sorted keys."""

    def __init__(self, partial: bool) -> None:
        self._hash, self._any = hashlib.sha256(f'{{"format":{json.dumps(FORMAT)},"hosts":['.encode()), False
        self._end = f'],"mailprov":{json.dumps(__version__)},"partial":{json.dumps(partial)}}}'.encode()

    def add(self, host: Mapping[str, Any]) -> None:
        """Go on with one more host."""
        text = json.dumps(host, sort_keys=True, separators=(",", ":"))
        self._hash.update(f",{text}".encode() if self._any else text.encode())
        self._any = True

    def hexdigest(self) -> str:
        """The seal of all hosts so far."""
        whole = self._hash.copy()
        whole.update(self._end)
        return whole.hexdigest()


def _dump(each: Claim) -> dict[str, Any]:
    return {
        "host": each.host,
        "identity": each.identity,
        "machine": each.machine,
        "digest": each.digest,
        "effects": each.effects,
        "dangers": each.risks,
        "changes": each.changes,
        "opens": each.opens,
        "asked": [(*key, value) for key, value in sorted(each.asked.items())],
        "seen": [(*key, value) for key, value in sorted(each.seen.items())],
    }


_quoted = json.JSONEncoder(ensure_ascii=False).encode


def _written(value: Any, pad: str) -> str:
    """`value` as json.dumps(indent=1, ensure_ascii=False) has it, and sooner; `pad` begins its last line."""
    inner = f"{pad} "
    if isinstance(value, dict | Mapping):
        made = [f"{_quoted(key)}: {_inside(each, inner)}" for key, each in value.items()]
        begin, end = "{}"
    elif isinstance(value, list | tuple):
        made = [_inside(each, inner) for each in value]
        begin, end = "[]"
    else:
        return json.dumps(value)
    return f"{begin}{inner}{f',{inner}'.join(made)}{pad}{end}" if made else begin + end


def _inside(value: Any, pad: str) -> str:
    return _quoted(value) if isinstance(value, str) else _written(value, pad)


# --- read

_PRINTS: Final = [(str, str, str)]
_EFFECTS: Final = {str: frozenset(Effect.__members__)}
_HOST: Final = {
    "host": str,
    "identity": str,
    "machine": str,
    "digest": str,
    "effects": _EFFECTS,
    "dangers": [{"flag": frozenset(FLAGS), "text": str}],
    "changes": [
        {
            "key": (str, str),
            "action": frozenset(Action.__members__),
            "reason": frozenset(Reason.__members__),
            "summary": str,
            "detail": str,
            "effects": _EFFECTS,
            "rows": {str: int},
        },
    ],
    "opens": [str],
    "asked": _PRINTS,
    "seen": _PRINTS,
}
_LONGEST_HEAD: Final = 4096
_MOST_KEYS: Final = 256
"""services that a change or a plan has an effect on"""


def load(data: bytes, name: str) -> SavedPlan:
    """The plan in `data`, read from the file `name`.

    Raises KeptPlanError when it is not a plan of this version, or not to the letter as it was written.
    """
    if not bearable(data):
        fix = "keep it in parts: `mailprov plan --out`, with --shard or --limit"
        raise KeptPlanError("this is too large for a plan", where=name, fix=fix)
    about = _about(data)
    if about.get("format") != FORMAT or not data[-_LONGEST_HEAD:].rstrip().endswith(b'"\n}'):
        fix = "make one with `mailprov plan --out`; a declaration is given with -f: `mailprov apply -f mail.yaml`"
        raise KeptPlanError("this is not a plan, or only a part of one", where=name, fix=fix)
    version = about.get("mailprov")
    if version != __version__ and isinstance(version, str):
        why = f"mailprov {plain(version)} made it, this is {__version__}"
        raise KeptPlanError("the plan is another version's", where=name, why=why, fix="plan again")
    try:
        return _read(data)
    except _Otherwise as wrong:
        raise KeptPlanError("the plan is not as it was written", where=name, why=str(wrong), fix="plan again") from None


class _Otherwise(Exception):
    """The file is not as it was written, and why, where more is known of that."""


def _about(data: bytes) -> Mapping[str, Any]:
    """What stands before the hosts; nothing where there are none."""
    head, hosts, _ = data[:_LONGEST_HEAD].decode("utf-8", "replace").partition(_HOSTS)
    try:
        found = json.loads(f"{head.rstrip().removesuffix(',')}}}") if hosts else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(data: bytes) -> SavedPlan:
    """Nothing stands there that is not read: no second value of one key, no host twice, no other spelling."""
    partial = next((each for each in (True, False) if data.startswith(_head(each).encode())), None)
    if partial is None:
        raise _Otherwise
    at, hosts, shared, seal = len(_head(partial).encode()), list[Claim](), _Shared(), _Seal(partial)
    while data.startswith(_OPENS.encode(), at) and (end := data.find(_CLOSES, at) + len(_CLOSES)) >= len(_CLOSES):
        hosts.append(_host(data[at:end], shared, seal))
        if len(hosts) > 1 and hosts[-2].host >= hosts[-1].host:
            raise _Otherwise
        at = end
        if not data.startswith(b"," + _OPENS.encode(), at):
            break
        at += 1
    tail, wanted = data[at:].rstrip(), _tail(bool(hosts), seal.hexdigest()).rstrip().encode()
    if tail != wanted:
        same = tail.partition(b'": "')[0] == wanted.partition(b'": "')[0] and tail.endswith(b'"\n}')
        why = "its seal is not the SHA-256 of what it holds: somebody changed it, or it is damaged" if same else ""
        raise _Otherwise(why)
    return SavedPlan(partial, tuple(hosts))


def _host(text: bytes, shared: _Shared, seal: _Seal) -> Claim:
    try:
        host = json.loads(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise _Otherwise from None
    # Its name begins lines of a report, in logs in which a line may be a command to the pipeline.
    if not _fits(host, _HOST) or not HOST_NAME.fullmatch(host["host"]):
        raise _Otherwise
    made = _load(host, shared)
    document = _dump(made)
    if (_OPENS + _written(document, _OPENS)).encode("utf-8", "surrogatepass") != text:
        raise _Otherwise
    seal.add(document)
    return made


def _fits(value: object, shape: Any) -> bool:
    """Whether `value` has this shape: a type, one of a set, [of each], (one by one), {its keys}, or {str: of each
    value}."""
    if isinstance(shape, frozenset):
        return type(value) is str and value in shape
    if isinstance(shape, list):
        return type(value) is list and all(_fits(each, shape[0]) for each in value)
    if isinstance(shape, tuple):
        return type(value) is list and len(value) == len(shape) and all(map(_fits, value, shape))
    if isinstance(shape, dict):
        if type(value) is not dict:
            return False
        shapes = dict.fromkeys(value, shape[str]) if str in shape else shape
        if len(value) > _MOST_KEYS or value.keys() != shapes.keys():
            return False
        return all(_fits(value[key], shapes[key]) for key in shapes)
    return type(value) is shape


@dataclass(slots=True)
class _Shared:
    """Keys and fingerprints that hosts have in common, kept once."""

    known: dict[Any, Any] = field(default_factory=dict)

    def prints(self, rows: Iterable[Sequence[str]]) -> Mapping[Key, str]:
        """The fingerprints in these rows."""
        return {self._one(Key(kind, name)): self._one(value) for kind, name, value in rows}

    def _one(self, value: Any) -> Any:
        return self.known.setdefault(value, value) if len(self.known) < _MOST_SHARED else self.known.get(value, value)


_MOST_SHARED: Final = 20_000


def _load(host: Mapping[str, Any], shared: _Shared) -> Claim:
    return Claim(
        host["host"],
        host["identity"],
        host["machine"],
        host["digest"],
        host["effects"],
        tuple(host["dangers"]),
        tuple(host["changes"]),
        shared.prints(host["asked"]),
        shared.prints(host["seen"]),
        tuple(host["opens"]),
    )
