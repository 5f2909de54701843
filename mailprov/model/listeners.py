"""Who listens where, as the probe's function `sockets` tells it: what ss(8) and /proc say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address

# A process gives itself any name of 15 bytes: one that could be read as the end of an entry, and so as another process,
# makes the whole entry unreadable.
_ENTRY = r'\("([^"(),]*)",pid=([0-9]{1,9}),fd=[0-9]+\)'
_ENTRIES = re.compile(rf"users:\({_ENTRY}(?:,{_ENTRY})*\)")


@dataclass(frozen=True, slots=True)
class Process:
    """One that listens. `name` is what it calls itself and proves nothing.

    `uid` is that of its owner and None where it is not known, `parent` the number of the process above it, `unit` the
    systemd unit that it was started in, `program` the path of its executable; "" where the host does not tell.
    """

    pid: int
    name: str
    uid: int | None = None
    parent: int = 0
    unit: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class OpenPort:
    """A TCP or UDP port, whose it is, and which unit of systemd.socket(5) holds it for a service, if one does.

    Of the `protocol` "ip" the `port` is a protocol's number: something reads that which has no ports.
    """

    protocol: str
    address: str
    port: int
    processes: tuple[Process, ...] = ()
    socket: str = ""
    readable: bool = True

    @property
    def public(self) -> bool:
        """Whether other machines can reach it, as far as its address goes."""
        try:
            address = ip_address(self.address.strip("[]").partition("%")[0])
        except ValueError:
            return True
        inside = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return not (inside or address).is_loopback

    def of(self, units: Collection[str]) -> bool:
        """Whether root listens there in one of these units, or systemd for one of them."""
        if self.socket:
            return f"{self.socket.removesuffix('.socket')}.service" in units
        return any(process.uid == 0 and process.unit in units for process in self.processes)

    @property
    def owner(self) -> str:
        """For people: "nginx"; with its unit where that has another name."""
        if self.socket or not self.processes:
            return self.socket or ("the kernel" if self.readable else "a program whose name cannot be read")
        first = min(self.processes, key=lambda process: (process.uid != 0, process.pid))
        unit = first.unit.removesuffix(".service")
        found = first.name if unit in ("", first.name) else f"{first.name}, {first.unit}"
        return "".join(c if c.isprintable() else "?" for c in found)


def open_ports(text: str) -> tuple[OpenPort, ...]:
    """Every open port in an answer. What cannot be read belongs to nobody."""
    known, sockets = _processes(text), _sockets(text)
    return tuple(port for line in text.splitlines() if (port := _open_port(line, known, sockets)))


def listening(text: str, units: Collection[str]) -> frozenset[tuple[str, int]]:
    """The addresses and TCP ports on which `units` listen."""
    ports = open_ports(text)
    return frozenset((port.address, port.port) for port in ports if port.protocol == "tcp" and port.of(units))


def _open_port(line: str, known: Mapping[int, Process], sockets: Mapping[tuple[str, int], str]) -> OpenPort | None:
    words = line.split(maxsplit=5)
    if len(words) < 5 or words[0] not in _PROTOCOLS:
        return None
    address, _, number = words[3].rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", number) or not 0 < int(number) < 65536:
        return None
    users = words[5].strip() if len(words) > 5 and words[5].startswith("users:") else ""
    found = _ENTRIES.fullmatch(users)
    processes = tuple(_of(users, known)) if found else ()
    held = next(
        (sockets.get((form, int(number)), "") for form in _forms(address) if (form, int(number)) in sockets), ""
    )
    socket = held if any(process.pid == 1 for process in processes) else ""
    return OpenPort(_PROTOCOLS[words[0]], address, int(number), processes, socket, not users or found is not None)


_PROTOCOLS: Mapping[str, str] = {"LISTEN": "tcp", "UNCONN": "udp", "RAW": "ip"}


def _of(users: str, known: Mapping[int, Process]) -> Iterator[Process]:
    for entry in re.finditer(_ENTRY, users):
        pid = int(entry[2])
        yield replace(known.get(pid, Process(pid, "")), name=entry[1])


def _processes(text: str) -> Mapping[int, Process]:
    """By number, from the lines "process": number, owner, parent, control group and executable, separated by tabs."""
    rows = [line.split("\t", 5) for line in text.splitlines() if line.startswith("process\t")]
    whole = [row for row in rows if len(row) == 6 and all(re.fullmatch("[0-9]{1,10}", word) for word in row[1:4])]
    inside = next((row[4].removesuffix(_INIT) for row in whole if row[1] == "1" and row[4].endswith(_INIT)), "")
    return {
        int(pid): Process(int(pid), "", int(uid), int(parent), _unit(group.removeprefix(inside)), _program(program))
        for _, pid, uid, parent, group, program in whole
    }


_INIT = "/init.scope"
"""where systemd itself is: what stands before it, in a container, is not the host's to tell"""


def _unit(group: str) -> str:
    """The unit that systemd runs: the outermost one, since what is below it may be somebody else's to make."""
    return next((part for part in group.split("/") if part.endswith((".service", ".scope"))), "")


def _program(path: str) -> str:
    return path.removesuffix(" (deleted)")  # an upgrade has replaced it


def _sockets(text: str) -> Mapping[tuple[str, int], str]:
    """The socket units by where they listen, in what `systemctl show -p Id,Listen` says of them."""
    found: dict[tuple[str, int], str] = {}
    for block in re.split(r"\n\n+", text):
        lines = block.splitlines()
        name = next((line[3:] for line in lines if line.startswith("Id=")), "")
        for line in lines:
            listens = re.fullmatch(r"Listen=(\S*):([0-9]{1,5}) \((?:Stream|Datagram)\)", line)
            if name and listens:
                found[listens[1], int(listens[2])] = name
    return found


def _forms(address: str) -> tuple[str, ...]:
    """An address of ss(8) as systemd writes it."""
    plain = address.partition("%")[0]
    return ("[::]", "0.0.0.0") if plain == "*" else (plain,)  # noqa: S104
