"""The least that any tool must do: start Python, connect with paramiko, run one command on each host, read its answer.

_floor.py IDENTITY_FILE KNOWN_HOSTS ADDRESS[:PORT]...
"""

from __future__ import annotations

import base64
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko

MOST = 32
"""hosts at the same time"""


def main() -> None:
    """Do that."""
    identity, file, *places = sys.argv[1:]
    # Looked up by name here: paramiko's own table of host keys goes through all of them, each time.
    lines = (line.split() for line in Path(file).read_text().splitlines())
    known = {name: paramiko.PKey.from_type_string(kind, base64.b64decode(data)) for name, kind, data in lines}
    key = paramiko.Ed25519Key.from_private_key_file(identity)

    def touch(place: str) -> None:
        address, _, port = place.partition(":")
        client = paramiko.SSHClient()
        name = f"[{address}]:{port}" if port not in ("", "22") else address
        client.get_host_keys().add(name, known[name].get_name(), known[name])
        client.connect(
            address, int(port or 22), username="root", pkey=key, allow_agent=False, look_for_keys=False, timeout=60
        )
        _, stdout, _ = client.exec_command("true")
        stdout.read()
        client.close()

    with ThreadPoolExecutor(min(MOST, len(places))) as pool:
        list(pool.map(touch, places))


if __name__ == "__main__":
    main()
