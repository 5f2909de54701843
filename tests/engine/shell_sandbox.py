"""The host's functions, run by dash in a folder of their own, as whoever runs the tests."""

from __future__ import annotations

import getpass
import grp
import os
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

PACKAGE = Path(str(files("mailprov")))
LIBRARIES = (
    *sorted(PACKAGE.rglob("store.sh")),
    *sorted(PACKAGE.rglob("steps.sh")),
    *sorted(PACKAGE.rglob("daemon.sh")),
    PACKAGE / "engine/acts.sh",
    PACKAGE / "engine/undo.sh",
)


def me() -> tuple[str, str]:
    """The owner and group that the tests can give files to."""
    return getpass.getuser(), grp.getgrgid(os.getgid()).gr_name


@dataclass
class Sandbox:
    """A transaction's folder, the host's state, and a place for its files."""

    root: Path

    def __post_init__(self) -> None:
        for folder in (self.transaction / "old", self.transaction / "new", self.state, self.etc):
            folder.mkdir(parents=True)

    @property
    def transaction(self) -> Path:
        return self.root / "txn"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    def call(
        self, *command: str, before: str = ":", libraries: tuple[Path, ...] = LIBRARIES
    ) -> subprocess.CompletedProcess[str]:
        """Run one function of the libraries, after `before`."""
        loaded = "; ".join(f'. "{library}"' for library in libraries)
        script = f'set -u; umask 077; LC_ALL=C; export LC_ALL; {loaded}; {before}; "$@"'
        variables = {
            "T": str(self.transaction),
            "STATE": str(self.state),
            "BOOT": "",
            "REHEARSAL": "",
            "DAEMONS": "dovecot postfix",
            "AROUND": "mailprov-recover",
        }
        return subprocess.run(
            ["dash", "-c", script, "sandbox", *command],
            env={"PATH": os.environ["PATH"], **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def leftovers(self) -> list[str]:
        """What lies in etc/ under a name that is not meant to stay."""
        return [path.name for path in self.etc.iterdir() if ".mailprov" in path.name]
