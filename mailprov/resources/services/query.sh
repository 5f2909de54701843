# What systemd's units and the daemons are in. POSIX sh; a part of the probe's script, with what is in engine/probe.sh.

services() { # UNIT...
    systemctl show -p Id,Type,LoadState,ActiveState,UnitFileState "$@"
}

# What tells whether a daemon runs what its files say: its number, when it read its configuration (a path that changes
# then), when that was last written, and which of the sockets are there.
daemons() { # NAME:PIDFILE... PATH...
    for word in "$@"; do
        case $word in *:*) ;; *) break ;; esac
        read -r pid <"${word#*:}" && echo "pid ${word%%:*} $pid"
        shift
    done
    stat -c '%F|%.9Z|%n' -- "$@"
}
