"""A receiver elsewhere, not set up by mailprov: Postfix, with OpenDKIM and OpenDMARC as they come from Debian."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mail_machine import Converged, Machine, eventually

from mailprov.lab import LabHost, connect

NAME = "mx.receiver.test"
READER = "reader@receiver.test"
_SET_UP = """
export DEBIAN_FRONTEND=noninteractive
echo 'postfix postfix/main_mailer_type string Internet Site' | debconf-set-selections
apt-get update -q && apt-get install -y -q --no-install-recommends postfix || exit
postconf -e myhostname=mx.receiver.test mydestination=receiver.test,localhost inet_protocols=ipv4 \
    "smtpd_milters=inet:$1:$2, inet:$1:$3" milter_default_action=tempfail
useradd -m reader 2>/dev/null
systemctl restart postfix
"""
_OPENDKIM = """Mode v
Socket inet:{port}@{address}
AuthservID mx.receiver.test
AlwaysAddARHeader yes
UserID root
Background no
PidFile {folder}/opendkim.pid
InternalHosts 127.0.0.1
ResolverConfiguration {folder}/unbound.conf
"""
_UNBOUND = """server:
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "test." nodefault
stub-zone:
  name: "test"
  stub-addr: {address}
"""
_OPENDMARC = """AuthservID mx.receiver.test
Socket inet:{port}@{address}
SPFIgnoreResults true
SPFSelfValidate true
RejectFailures true
Background false
PidFile {folder}/opendmarc.pid
UserID root
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
"""


class Receiver:
    """What came to it."""

    def __init__(self, host: LabHost) -> None:
        self.host = host

    def messages(self) -> list[str]:
        """All of them, whole, the oldest first."""
        done = self.host.run(("sh", "-c", "cat /var/mail/reader 2>/dev/null; :"))
        text = done.stdout.decode("utf-8", "replace")
        return [part for part in re.split(r"(?m)^From \S+ .*\n", text) if part]

    def message(self, subject: str) -> str:
        """The one with this subject, once it has come."""
        assert eventually(lambda: any(f"Subject: {subject}\n" in each for each in self.messages()), 30), self.log()
        return next(each for each in self.messages() if f"Subject: {subject}\n" in each)

    def log(self) -> str:
        return self.host.run(("journalctl", "-q", "-o", "cat", "-u", "postfix*")).stdout.decode()


@contextmanager
def receiver(converged: Converged, resolver: str, *senders: Machine, folder: Path) -> Iterator[Receiver]:
    """A receiver to which the senders have a cable; everybody there asks this resolver."""
    folder.mkdir(exist_ok=True)
    (folder / "resolv.conf").write_text(f"nameserver {resolver}\n")
    (folder / "unbound.conf").write_text(_UNBOUND.format(address=resolver))
    host = converged.lab.boot("receiver", converged.mail.host.release)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        ports = []
        for name, conf in (("opendkim", _OPENDKIM), ("opendmarc", _OPENDMARC)):
            ports.append(_free(resolver))
            text = conf.format(port=ports[-1], address=resolver, folder=folder)
            (folder / f"{name}.conf").write_text(text)
            argv = f"mount --bind {folder}/resolv.conf /etc/resolv.conf && exec {name} -f "
            argv += f"{'-x' if name == 'opendkim' else '-c'} {folder}/{name}.conf"
            processes.append(subprocess.Popen(["unshare", "--mount", "sh", "-c", argv]))
        for port in ports:
            assert eventually(lambda port=port: _answers(resolver, port), 10)
        for sender in senders:
            connect(sender.host, host)
        host.write("/etc/resolv.conf", f"nameserver {resolver}\n".encode())
        host.run(("sh", "-c", _SET_UP, "sh", resolver, *map(str, ports)))
        yield Receiver(host)
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)
        converged.lab.discard(host)


def _free(address: str) -> int:
    with closing(socket.socket()) as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        time.sleep(0.1)
        return False
    return True
