"""Making the base root of a release: a plain Debian with sshd, and a package repository that needs no network."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from mailprov.lab.errors import LabError
from mailprov.lab.nspawn import REPOSITORY
from mailprov.lab.process import Running, call, doomed, must, tail

_INCLUDED = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "iproute2",
    "nftables",
    "sudo",
    "ca-certificates",
)
# What apt can install in a machine, with all dependencies; those already in the base so that they can be reinstalled.
_OFFERED = (
    "dovecot-core",
    "dovecot-imapd",
    "dovecot-pop3d",
    "dovecot-lmtpd",
    "dovecot-managesieved",
    "dovecot-sieve",
    "postfix",
    "libsasl2-modules",
    "rspamd",
    "nftables",
    "libnftables1",
    "openssl",
    "ca-certificates",
    "procps",
    "swaks",
    "curl",
    "mpop",
    "fetchmail",
    "python3",
    "python3-venv",
)
RECIPE = hashlib.sha256(" ".join((*_INCLUDED, ":", *_OFFERED)).encode()).hexdigest()[:8]
"""what a base is made of: one that was made of less is made anew"""
_MAKE_DIRECTORY = 'mkdir -p "$1/srv/lab-repo/partial"'
# mmdebstrap's APT_CONFIG names a file outside the root, which apt inside would not find.
_DOWNLOAD = (
    'env --unset=APT_CONFIG chroot "$1" apt-get --yes --no-install-recommends --reinstall --download-only '
    "-o Dir::Cache::Archives=/srv/lab-repo install $MAILPROV_LAB_OFFERED"
)
# A release past its end of life: some mirrors still index its security updates, but have lost the files.
_WITHOUT_UPDATES = """--setup-hook=sed -i -E '/[-/](security|updates)/d' "$1/etc/apt/sources.list\""""
_MIRROR_VARIABLE = "MAILPROV_LAB_MIRROR"
# The daily timers would hold dpkg's lock at some random moment of a test.
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-networkd-wait-online.service")


def bootstrap(codename: str, into: Path, running: Running) -> None:
    """Make `into`/root and `into`/repository for a release; LabError with the log's end if that fails.

    Packages come from mmdebstrap's own choice of mirror, or from the one in $MAILPROV_LAB_MIRROR. If the
    release cannot be had with its security updates, it is built without.
    """
    root = into / "root"
    mirror = os.environ.get(_MIRROR_VARIABLE)
    for hooks in ((), (_WITHOUT_UPDATES,)):
        argv = (
            *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(_INCLUDED)}"),
            *hooks,
            f"--customize-hook={_MAKE_DIRECTORY}",
            f"--customize-hook={_DOWNLOAD}",
            codename,
            str(root),
            *((mirror,) if mirror else ()),
        )
        done = call(doomed(argv), environment={"MAILPROV_LAB_OFFERED": " ".join(_OFFERED)}, running=running)
        if done.returncode == 0:
            break
        shutil.rmtree(root, ignore_errors=True)
    else:
        raise LabError(
            f"the base of {codename} cannot be built",
            why=tail(done.stderr),
            fix=f"check that a Debian mirror can be reached; another one can be named in {_MIRROR_VARIABLE}",
        )
    _index(root / REPOSITORY.lstrip("/"), into / "repository")
    _configure(root)


def _index(downloaded: Path, repository: Path) -> None:
    """Move the packages out of the root and write the index that apt reads."""
    repository.mkdir()
    stanzas = []
    for package in sorted(downloaded.glob("*.deb")):
        # apt writes the colon of an epoch as %3a, which a file: address would turn back into a colon.
        kept = repository / package.name.replace("%3a", "_")
        shutil.move(package, kept)
        kept.chmod(0o644)
        fields = must(("dpkg-deb", "--field", str(kept)), f"{kept.name} is not a package").decode().strip()
        digest = hashlib.sha256(kept.read_bytes()).hexdigest()
        stanzas.append(f"{fields}\nFilename: ./{kept.name}\nSize: {kept.stat().st_size}\nSHA256: {digest}\n")
    (repository / "Packages").write_text("\n".join(stanzas))
    shutil.rmtree(downloaded)
    downloaded.mkdir(mode=0o755)


def _configure(root: Path) -> None:
    etc = root / "etc"
    for key in (etc / "ssh").glob("ssh_host_*"):
        key.unlink()
    for source in (etc / "apt/sources.list.d").iterdir():
        source.unlink()
    (etc / "apt/sources.list").write_text(f"deb [trusted=yes] file:{REPOSITORY} ./\n")
    (etc / "default/locale").write_text("LANG=C.UTF-8\n")
    (etc / "hostname").write_text("debian\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 debian\n")
    wanted = etc / "systemd/system/multi-user.target.wants/systemd-networkd.service"
    wanted.parent.mkdir(parents=True, exist_ok=True)
    wanted.unlink(missing_ok=True)
    wanted.symlink_to("/lib/systemd/system/systemd-networkd.service")
    for unit in _MASKED:
        mask = etc / "systemd/system" / unit
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")
    # Written anew for every machine.
    for name in ("machine-id", "resolv.conf"):
        (etc / name).unlink(missing_ok=True)
        (etc / name).touch(mode=0o644)
