# What a step can do with services, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

unit() { # NAME: the unit that really runs
    if has "$1" unit; then part "$1" unit; else echo "$1.service"; fi
}

running() { # NAME
    systemctl -q is-active "$(unit "$1")"
}

# Those that run before anything is touched, packages included: what is taken back has them run again.
note_running() {
    set --
    for name in $AROUND $DAEMONS; do set -- "$@" "$(unit "$name")"; done
    # shellcheck disable=SC2046 # a word each
    set -- $(systemctl is-active "$@")
    for name in $AROUND $DAEMONS; do
        case ${1-} in active | reloading | refreshing) echo "$name" ;; esac
        [ $# = 0 ] || shift
    done >"$T/up" && sync -- "$T/up"
}

# Before packages, and before files: a service that somebody stops in between is started again with what runs.
note_ports() { # into `now`, too
    now=$(ports)
    true >>"$T/ports"
    { [ -z "$now" ] || printf '%s\n' "$now"; } | sort -u - "$T/ports" >"$T/ports.new" && sync -- "$T/ports.new" && mv -- "$T/ports.new" "$T/ports"
}

wake() {
    [ -f "$T/up" ] || return 0
    while read -r name; do
        running "$name" || again "$name" || { echo "$name does not start again"; return 1; }
    done <"$T/up"
}

# What is owed is written down before the files change and struck out when it has happened, so that no reload is
# ever forgotten: not by a failure, a kill or a power cut.
owe() { # NAME reload|restart
    [ -n "$BOOT" ] || [ "$1" = systemd ] || echo "$1 $2" >>"$STATE/owed" || unwritten="${unwritten-} $1:$2"
    [ ! -f "$STATE/owed" ] || sync -- "$STATE/owed"
}

paid() { # NAME
    [ -f "$STATE/owed" ] || return 0
    grep -v "^$1 " "$STATE/owed" >"$STATE/owed.new"
    # 1: no line is left; 2: they could not be written
    [ $? -lt 2 ] && sync -- "$STATE/owed.new" && mv -f -- "$STATE/owed.new" "$STATE/owed" || ! writable
}

pay() { # every debt, restarts first
    for name in $(cut -d' ' -f1 "$STATE/owed" 2>/dev/null | sort -u); do
        action=reload
        ! grep -qx "$name restart" "$STATE/owed" || action=restart
        # One that is down has nothing to reload: it reads everything when it starts.
        running "$name" || { paid "$name"; continue; }
        activate "$name" $action || return 1
    done
    for debt in ${unwritten-}; do ! running "${debt%:*}" || activate "${debt%:*}" "${debt#*:}" || return 1; done
    unwritten=
}

activate() { # NAME start|reload|restart
    if [ "$1" = systemd ]; then
        units_again
    else
        # Something else may have started it since it was looked at: with the configuration of before.
        [ "$2" != start ] || ! running "$1" || set -- "$1" restart
        # A oneshot around the unit that runs is "active" whatever happens there.
        [ "$2" != start ] || [ "$(unit "$1")" = "$1.service" ] || systemctl stop "$1.service"
        ! has "$1" before || part "$1" before
        if has "$1" "$2"; then part "$1" "$2"; else systemctl "$2" "$1.service"; fi && running "$1"
    fi && paid "$1"
}

units_again() {
    systemctl daemon-reload || return 1
    for each_daemon in $DAEMONS; do ! has "$each_daemon" unit_read || part "$each_daemon" unit_read || return 1; done
}

stop() { # NAME
    let_finish "$1"
    systemctl stop ${BOOT:+--no-block} "$1.service"
    systemctl reset-failed "$1.service" "$(unit "$1")" 2>/dev/null
    [ -n "$BOOT" ] || ! running "$1"
}

let_finish() { [ -n "$BOOT" ] || ! has "$1" unasked || part "$1" unasked; } # NAME

# What others ask is stopped when they have been told to ask it no more.
stop_last() { # NAME
    echo "$1" >>"$T/last"
}

stop_rest() {
    [ -f "$T/last" ] || return 0
    for name in $(sort -u "$T/last"); do stop "$name" || return 1; done
}

ends() { # NAME: whether it is stopped before this transaction is over
    grep -qsx "$1" "$T/last" || { ! happened revert && grep -q "${TAB}do${TAB}stand_down${TAB}[0-9]*${TAB}$1${TAB}" "$T/steps"; }
}

# What is under a mask, too: a unit may be enabled there.
enable() { # N NAME
    note_enabling "$1" "$2" && systemctl unmask -q "$2.service" && systemctl unmask -q --runtime "$2.service" &&
        noted "$1.below" systemctl is-enabled "$2.service" && set_socket "$1" "$2" disabled inactive &&
        systemctl enable -q "$2.service"
}

# A socket unit listens in a service's place, on what is not declared, and starts it whenever somebody comes.
set_socket() { # N NAME WORD STATE
    [ -e "/lib/systemd/system/$2.socket" ] || return 0
    [ -z "$1" ] || noted "$1.socket" socket_of "$2" || return 1
    case "$(socket_of "$2")" in "$3 $4") return 0 ;; esac
    case $3 in enabled*) systemctl enable -q "$2.socket" ;; *) systemctl disable -q "$2.socket" ;; esac || return 1
    if [ "$4" = active ]; then
        # It can take its place only while the service does not run; that runs again at an undo's end, if it did.
        systemctl stop ${BOOT:+--no-block} "$2.service" && systemctl start ${BOOT:+--no-block} "$2.socket"
    else
        systemctl stop ${BOOT:+--no-block} "$2.socket"
    fi
}

socket_of() { # NAME
    echo "$(systemctl is-enabled "$1.socket") $(systemctl is-active "$1.socket")"
}

with_socket() { # N NAME WORD STATE: in a roll-back, as it was
    note_enabling "$1" "$2" && noted "$1.below" systemctl is-enabled "$2.service" && set_socket "$@"
}

note_enabling() { # N NAME
    noted "$1" systemctl is-enabled "$2.service"
}

former_enabling() { # N NAME
    [ -f "$T/old/$1" ] || return 0 # it died before it was noted: nothing was touched
    was=$(cat "$T/old/$1") below=$(cat "$T/old/$1.below" 2>/dev/null) # "": nothing was enabled yet
    [ "$(systemctl is-enabled "$2.service" 2>/dev/null)" = "$was" ] || set_enabling "$2" "$was" "$below" || return 1
    ! read -r word state 2>/dev/null <"$T/old/$1.socket" || set_socket '' "$2" "$word" "$state" || return 1
    # A boot has among its jobs by now what was enabled when it began, and has forgotten a mask that was to end with the
    # last one.
    case "$BOOT $was $below" in
        ' '* | 'boot masked-runtime enabled') : ;;
        'boot enabled'*) ! grep -qsx "$2" "$T/up" || systemctl start --no-block "$2.service" ;;
        *) stop "$2" ;;
    esac
}

set_enabling() { # NAME WORD BELOW: as systemctl is-enabled has it, of itself and of what is under its mask
    case "$2" in
        enabled*) systemctl unmask -q "$1.service" && systemctl enable -q "$1.service" ;;
        masked*)
            case $3 in enabled | '') ;; *) systemctl disable -q "$1.service" ;; esac || return 1
            if [ "$2" = masked ]; then systemctl mask -q "$1.service"; elif [ -z "$BOOT" ]; then systemctl mask -q --runtime "$1.service"; fi
            ;;
        '' | not-found) : ;;
        *) systemctl disable -q "$1.service" ;;
    esac
}

# Others are about to be told to ask it again. Without its files it would do something else.
stand_up() { # NAME
    [ -n "$BOOT" ] || ! grep -qsx "$1" "$T/up" || running "$1" ||
        { [ -n "${whole-yes}" ] && systemctl daemon-reload && again "$1"; }
}

# Stopped, and enabled or masked as the words have it; what ran before runs again at an undo's end.
stand_down() { # N NAME WORD BELOW SOCKET STATE
    note_enabling "$1" "$2" && noted "$1.below" systemctl is-enabled "$2.service" &&
        let_finish "$2" && systemctl stop "$2.service" &&
        set_enabling "$2" "$3" "$4" && set_socket "$1" "$2" "$5" "$6" &&
        { systemctl reset-failed "$2.service" "$(unit "$2")" 2>/dev/null; :; }
}
