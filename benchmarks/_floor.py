"""The least that any tool must do: start Python, connect with paramiko, run one command, read its answer."""

from __future__ import annotations

import sys

import paramiko


def main() -> None:
    """_floor.py ADDRESS IDENTITY_FILE KNOWN_HOSTS"""
    address, identity, known_hosts = sys.argv[1:]
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    key = paramiko.Ed25519Key.from_private_key_file(identity)
    client.connect(address, username="root", pkey=key, allow_agent=False, look_for_keys=False)
    _, stdout, _ = client.exec_command("true")
    stdout.read()
    client.close()


if __name__ == "__main__":
    main()
