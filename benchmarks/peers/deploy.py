"""The mail servers that mailprov makes, as an experienced user of pyinfra writes them.

What the files hold, where they go and who may read them is in group_vars/all/ and templates/ (see _peers.py).
"""

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd
from pyinfra.operations.util import any_changed

data = host.data
known = {name: data.get(name) for name in ("users", "domain", "catch_all", "hostname")}


def templates(group):
    """A template operation for each file of a group."""
    return [
        files.template(
            name=item["path"],
            src=f"templates/{item['src']}",
            dest=item["path"],
            user=item["owner"],
            group=item["group"],
            mode=item["mode"],
            create_remote_dir=False,
            **known,
        )
        for item in data.get(f"files_{group}")
    ]


apt.packages(name="Packages", packages=data.packages, no_recommends=True, update=True, cache_time=86400)

server.user(
    name="Owner of the mail",
    user="vmail",
    home="/var/vmail",
    shell="/usr/sbin/nologin",
    system=True,
    ensure_home=False,
)

for folder in data.folders:
    files.directory(
        name=folder["path"], path=folder["path"], user=folder["owner"], group=folder["group"], mode=folder["mode"]
    )

certificate = files.put(
    name="Certificate and key",
    src=f"files/{data.certificate['src']}",
    dest=data.certificate["path"],
    user="root",
    group="root",
    mode="600",
    create_remote_dir=False,
)
dovecot = templates("dovecot")
postfix = templates("postfix")
templates("accounts")
maps = templates("maps")
firewall = templates("firewall")
units = templates("systemd")

systemd.daemon_reload(name="Reload systemd", _if=any_changed(*units))
server.shell(
    name="Compile maps",
    commands=["postmap " + " ".join(item["path"] for item in data.files_maps)],
    _if=any_changed(*maps),
)

for service in data.services:
    systemd.service(name=f"Service {service}", service=service, running=True, enabled=True)

for service, changed in (
    ("mailprov-firewall", firewall),
    ("dovecot", [certificate, *dovecot]),
    ("postfix", [certificate, *postfix]),
):
    systemd.service(name=f"Reload {service}", service=service, running=True, reloaded=True, _if=any_changed(*changed))
