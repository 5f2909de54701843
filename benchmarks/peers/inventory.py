"""The hosts of pyinfra, and what all of them share: the same files that Ansible reads."""

import json
from pathlib import Path

_hosts = json.loads(Path("hosts.json").read_text())["mail"]["hosts"]
_shared = {}
for _file in sorted(Path("group_vars/all").glob("*.json")):
    _shared |= json.loads(_file.read_text())

mail = (
    [
        (
            _name,
            {
                "ssh_hostname": _host["ansible_host"],
                "ssh_port": _host["ansible_port"],
                "ssh_key": _host["ansible_ssh_private_key_file"],
                "hostname": _host["hostname"],
            },
        )
        for _name, _host in _hosts.items()
    ],
    _shared
    | {
        "ssh_user": "root",
        "ssh_known_hosts_file": "known_hosts",
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
    },
)
