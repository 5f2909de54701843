"""An archive with newer versions of the packages that a lab host has: the same content under another version."""

from __future__ import annotations

from mailprov.lab import LabHost
from mailprov.lab.nspawn import REPOSITORY

FOLDER = "/srv/newer"
SOURCE = "/etc/apt/sources.list.d/newer.list"

# In DEBIAN/control a package names its own version, and those of its source that must have just the same.
_REPACK = r"""
set -e
repository=$1 folder=$2 source=$3 pattern=$4 version=$5
mkdir -p "$folder/work"
for package in "$repository"/$pattern; do
    name=${package##*/}
    work=$folder/work/$name
    dpkg-deb -R "$package" "$work"
    old=$(sed -n 's/^Version: //p' "$work/DEBIAN/control")
    new=${version:-$old+newer1}
    awk -v old="$old" -v new="$new" '{
        for (done = ""; (at = index($0, old)); $0 = substr($0, at + length(old))) done = done substr($0, 1, at - 1) new
        print done $0
    }' "$work/DEBIAN/control" >"$folder/control"
    cat "$folder/control" >"$work/DEBIAN/control"
    dpkg-deb -Znone -b "$work" "$folder/$name" >/dev/null
    set -- $(sha256sum "$folder/$name")
    cat "$folder/control"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$name" "$(stat -c %s "$folder/$name")" "$1"
done >"$folder/Packages.new"
mv "$folder/Packages.new" "$folder/Packages"
rm -rf "$folder/work" "$folder/control"
echo "deb [trusted=yes] file:$folder ./" >"$source"
apt-get -q update
"""


def newer_archive(host: LabHost, pattern: str = "dovecot-*.deb", version: str = "") -> None:
    """Offer `host` the packages of its repository that fit `pattern` anew, as `version`, or as theirs with "+newer1".

    The host's lists know of them afterwards; nothing is installed.
    """
    words = (REPOSITORY, FOLDER, SOURCE, pattern, version)
    host.run(("sh", "-c", _REPACK, "sh", *words), timeout=300)
