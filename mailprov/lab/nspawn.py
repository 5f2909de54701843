"""The command line that runs a container on a disk, leaving no mount behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mailprov.lab.disk import Disk
from mailprov.lab.process import doomed

# Where every machine finds the package repository of its release.
REPOSITORY = "/srv/lab-repo"

# All mounts are made in the mount namespace that doomed() opens, so they vanish with the container.
# "echo 0" moves the shell itself; its number in the process namespace would mean another process outside.
# nspawn keeps notes in /run/systemd/nspawn that it does not remove when it is killed: give it a private one.
_LAUNCH = """\
set -e
options=$1 merged=$2
shift 2
while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs"; shift; done
shift
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
mount -t overlay -o "$options" overlay "$merged"
exec "$@"
"""


def container(
    disk: Disk, name: str, options: Sequence[str], command: Sequence[str] = (), cgroups: Sequence[Path] = ()
) -> tuple[str, ...]:
    """Return the argument vector that runs `command` (default: nspawn's) on `disk` in the given control groups.

    It dies with the thread that starts it. Its exit status is nspawn's.
    """
    return doomed(
        (
            *("sh", "-c", _LAUNCH, "sh", disk.options(), str(disk.merged)),
            *map(str, cgroups),
            "--",
            *("systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
            f"--machine={name}",
            f"--directory={disk.merged}",
            *options,
            *command,
        )
    )
