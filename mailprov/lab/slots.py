"""A slot: the share of machine-wide names and addresses that one running lab owns.

The owner holds the lock of its slot's file; the kernel releases it when the owner dies, however it dies.
Whatever a slot without owner left behind may be removed by anybody.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from mailprov.lab import cgroups
from mailprov.lab.errors import LabError
from mailprov.lab.process import call, try_lock

_REGISTRY = Path("/run/mailprov-lab")
# RFC 2544 sets 198.18.0.0/15 aside for tests between devices: no real host may have such an address.
_FIRST_ADDRESS = IPv4Address("198.18.0.0")
_SLOTS = 512
_MACHINES = range(2, 255)


@dataclass(frozen=True, slots=True)
class Place:
    """The names and addresses of one machine: machine-wide unique, at most 15 characters long."""

    slot: int
    number: int

    @property
    def name(self) -> str:
        """The name of the machine and of its network link on this side."""
        return f"mplab{self.slot:03d}n{self.number:03d}"

    @property
    def cgroup(self) -> str:
        """The name of the machine's control group."""
        return f"{_group(self.slot)}/{self.number:03d}"

    @property
    def address(self) -> str:
        """The machine's address."""
        return str(_FIRST_ADDRESS + self.slot * 256 + self.number)

    @property
    def gateway(self) -> str:
        """The address of this side of the link; all machines of a slot share it."""
        return str(_FIRST_ADDRESS + self.slot * 256 + 1)

    @property
    def mac(self) -> str:
        """The machine's hardware address (locally administered)."""
        return f"02:c6:12:{self.slot >> 8:02x}:{self.slot & 255:02x}:{self.number:02x}"


class Slot:
    """One running lab's slot, with a `directory` for its disks."""

    def __init__(self, number: int, directory: Path, descriptor: int) -> None:
        self.number = number
        self.directory = directory
        self._descriptor = descriptor
        self._free = list(reversed(_MACHINES))

    @property
    def cgroup(self) -> str:
        """The name of the control group above those of the slot's machines."""
        return _group(self.number)

    def place(self) -> Place:
        """Return a free place; LabError if there is none. Not thread-safe."""
        if not self._free:
            raise LabError(f"a lab holds at most {len(_MACHINES)} machines", fix="discard() those no longer needed")
        return Place(self.number, self._free.pop())

    def vacate(self, place: Place) -> None:
        """Take a place back. Not thread-safe."""
        self._free.append(place.number)

    def release(self) -> None:
        """Remove everything of the slot and give it up."""
        _clean(self.number, self.directory)
        _registered(self.number).unlink(missing_ok=True)
        os.close(self._descriptor)


def claim(disks: Path, progress: Callable[[str], None]) -> Slot:
    """Sweep what dead labs left, then return a slot of our own whose directory is below `disks`."""
    _REGISTRY.mkdir(mode=0o755, exist_ok=True)
    disks.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(disks, progress)
    # Each process begins elsewhere, so that a slot just given up is not at once somebody else's.
    first = os.getpid()
    for number in ((first + offset) % _SLOTS for offset in range(_SLOTS)):
        descriptor = try_lock(_registered(number))
        if descriptor is None:
            continue
        directory = disks / f"{number:03d}"
        _clean(number, *_recorded(descriptor), directory)
        os.pwrite(descriptor, os.fsencode(directory), 0)
        directory.mkdir(mode=0o700)
        return Slot(number, directory, descriptor)
    raise LabError(f"{_SLOTS} labs run on this machine already")


def sweep(disks: Path, progress: Callable[[str], None]) -> None:
    """Remove what labs whose process is dead left: processes, control groups, links, disks."""
    known = {int(path.stem) for path in _REGISTRY.glob("[0-9][0-9][0-9].lock")}
    known |= {int(path.name) for path in disks.glob("[0-9][0-9][0-9]")}
    for number in sorted(known):
        descriptor = try_lock(_registered(number))
        if descriptor is None:
            continue
        progress(f"lab: removing what a dead lab left (slot {number})")
        _clean(number, *_recorded(descriptor), disks / f"{number:03d}")
        _registered(number).unlink(missing_ok=True)
        os.close(descriptor)


def remove_link(place: Place) -> None:
    """Remove the machine's network link if it is still there."""
    call(("ip", "link", "delete", "dev", place.name))


def _group(slot: int) -> str:
    return f"mailprov-lab-{slot:03d}"


def _registered(slot: int) -> Path:
    return _REGISTRY / f"{slot:03d}.lock"


def _recorded(descriptor: int) -> list[Path]:
    # A dead lab may have kept its disks in another cache than ours; its lock file says where.
    recorded = os.pread(descriptor, 4096, 0)
    os.ftruncate(descriptor, 0)
    return [Path(os.fsdecode(recorded))] if recorded else []


def _clean(slot: int, *directories: Path) -> None:
    cgroups.clear(_group(slot))
    for link in Path("/sys/class/net").glob(f"mplab{slot:03d}n*"):
        call(("ip", "link", "delete", "dev", link.name))
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
