# Which files and folders there are. POSIX sh; a part of the probe's script, with what is in engine/probe.sh.

files() { # PATH...; also every path that an earlier apply managed
    [ ! -f "$STATE/managed" ] || while read -r path; do set -- "$@" "$path"; done <"$STATE/managed"
    stat -c '%F|%a|%U|%G|%n' -- "$@"
    digests "$@"
}

content() { # PATH: in base64, since a file may hold anything
    [ -f "$1" ] && head -c 1048576 -- "$1" | base64 -w 0
}
