"""A real name server (NSD) with the zones of a test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

NSD = shutil.which("nsd", path="/usr/sbin:/usr/bin:/sbin")


class NameServer:
    """NSD with a zone for each name; `zones` may be changed before each start. `at` is a port that is free, or 0."""

    def __init__(self, folder: Path, address: str = "127.0.0.1", at: int = 0) -> None:
        self.folder = folder
        self.address = address
        self.at = at
        self.zones: dict[str, str] = {}
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def resolver(self) -> str:
        return f"{self.address}:{self.port}"

    def start(self) -> None:
        """Start it anew, at another port where somebody else was faster."""
        for _ in range(5):
            self.stop()
            with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as free:
                free.bind((self.address, 0))
                self.port = self.at or free.getsockname()[1]
            if self._started():
                return
        raise AssertionError("nsd does not start")

    def _started(self) -> bool:
        settings = [
            "server:",
            f"  ip-address: {self.address}@{self.port}",
            *('  username: ""', "  server-count: 1", '  database: ""', "  do-ip6: no", '  chroot: ""'),
            *(f'  {name}: "{self.folder}/{name}"' for name in ("pidfile", "zonelistfile", "xfrdfile")),
            f'  zonesdir: "{self.folder}"',
            "remote-control:",
            "  control-enable: no",
        ]
        for name, fragment in self.zones.items():
            head = f"$ORIGIN {name}.\n@ 60 IN SOA ns.{name}. root.{name}. 1 3600 600 86400 60\n@ 60 IN NS ns\n"
            (self.folder / name).write_text(f"{head}ns 60 IN A {self.address}\n{fragment}")
            checked = subprocess.run(
                ["/usr/sbin/nsd-checkzone", name, self.folder / name], capture_output=True, text=True
            )
            assert checked.returncode == 0, checked.stdout + checked.stderr
            settings += ["zone:", f'  name: "{name}"', f'  zonefile: "{name}"']
        (self.folder / "nsd.conf").write_text("\n".join(settings) + "\n")
        assert NSD is not None
        self.process = subprocess.Popen(
            [NSD, "-d", "-c", str(self.folder / "nsd.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        return self._answers(self.process)

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        import dns.exception
        import dns.message
        import dns.query

        asked = dns.message.make_query(f"{next(iter(self.zones))}.", "SOA")
        for _ in range(100):
            if process.poll() is not None:
                return False
            try:
                dns.query.udp(asked, self.address, timeout=0.2, port=self.port)
                return True
            except (dns.exception.Timeout, OSError):
                time.sleep(0.05)
        raise AssertionError("nsd does not answer")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            if self.process.stderr is not None:
                self.process.stderr.close()
            self.process = None
