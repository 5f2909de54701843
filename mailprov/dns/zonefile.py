"""Records as a zone file has them (RFC 1035 §5.1; pure)."""

from __future__ import annotations

from collections.abc import Iterator

from mailprov.dns.records import Record, Zone

TTL = 3600
"""seconds that others may keep a record"""


def zonefile(zone: Zone) -> str:
    """The records of a domain, to be put into its zone: without SOA and NS, which are its server's affair."""
    return "".join(f"{line}\n" for line in _lines(zone))


def _lines(zone: Zone) -> Iterator[str]:
    yield f"; {zone.name}, {comment(zone.title)}"
    yield f"$ORIGIN {zone.name}."
    yield f"$TTL {TTL}"
    for record in zone.records:
        yield from (f"{_relative(record.name, zone.name)} IN {record.kind} {value}" for value in texts(record))
    for record in zone.elsewhere:
        yield from (f"; in another zone: {record.name}. IN {record.kind} {value}" for value in texts(record))
    yield from (f"; {comment(note)}" for note in zone.notes)


def _relative(name: str, origin: str) -> str:
    return "@" if name == origin else name.removesuffix(f".{origin}")


def texts(record: Record) -> tuple[str, ...]:
    """The record's values in a zone file's syntax."""
    return tuple(map(quoted, record.values)) if record.kind == "TXT" else record.values


def quoted(text: str) -> str:
    """A TXT record's text as character strings of up to 255 bytes each (RFC 1035 §3.3.14, §5.1)."""
    data = text.encode()
    parts = [data[begin : begin + 255] for begin in range(0, len(data), 255)] or [b""]
    return " ".join(f'"{"".join(map(_escaped, part))}"' for part in parts)


def _escaped(byte: int) -> str:
    if byte in b'"\\':
        return f"\\{chr(byte)}"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03d}"


def comment(text: str) -> str:
    """`text` on one line: nothing in it can end the comment."""
    return "".join(char if char.isprintable() else " " for char in text)
