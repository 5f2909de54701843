# How what was begun is taken back. POSIX sh; a part of the transaction's script.
# An undo owes what the transaction's own steps replaced, and the services that ran before: nothing else is its business.
# What somebody else has changed meanwhile is for the next plan to tell.
# shellcheck disable=SC2013,SC2015,SC2154

# Again and again, until COMMAND succeeds: what is in the way now (a full disk, a service that does not start) may go.
# The controller is told soon, by VERDICT. Others get the lock between two tries, and may settle it themselves; a boot
# and another apply, which holds the lock itself, are not kept waiting.
patiently() { # VERDICT COMMAND...
    word=$1 attempts=0 pause=1 # names that no COMMAND uses
    shift
    until "$@"; do
        attempts=$((attempts + 1))
        [ $attempts != 2 ] || happened "verdict $word" || journal "verdict $word"
        [ $attempts -lt 3 ] || [ -z "$BOOT${MAILPROV_LOCKED-}" ] || { left_to_watch; return 1; }
        ! shutting_down || return 1
        unlock
        sleep $pause
        relock
        [ $pause -ge 15 ] || pause=$((2 * pause))
    done
}

# A boot goes on then, and its unit has not failed: the watch comes back to what is left.
left_to_watch() {
    [ -n "$BOOT" ] && watch || return 0
    true >"$STATE/holder"
    exit 0
}

unlock() {
    [ -n "$BOOT${MAILPROV_LOCKED-}" ] || { true >"$STATE/holder"; flock -u 9; }
}

relock() {
    [ -z "$BOOT${MAILPROV_LOCKED-}" ] || return 0
    flock 9
    # Somebody else has settled it.
    is_open || exit 0
    hold
}

shutting_down() { [ "$(systemctl is-system-running)" = stopping ]; }

# The steps in reverse order, then every reload that is owed.
revert() {
    journal revert
    rm -f "$T/spare"
    patiently mixed taken_back && verdict reverted
}

abandon() { # before anything that is served was touched
    rm -f "$T/spare"
    patiently mixed given_up && verdict failed
}

given_up() {
    undone && { [ -n "$BOOT" ] || run wake || { journal 'says a service does not start again'; return 1; }; }
}

undone() {
    whole=yes
    for n in $(awk 'NF == 3 && $2 == "do" { n = $3 " " n } END { print n }' "$T/journal"); do
        happened "undone $n" && continue
        run undo_step "$n" && { journal "undone $n" || ! writable; } || { journal "stuck $n"; whole=; }
    done
    [ -n "$whole" ]
}

# Where nothing can be written here all is put back, too, once; that it was, is written down when it can be.
writable() { true >>"$T/journal"; } 2>/dev/null

# Believed only when what ran runs again, and serves what it did.
taken_back() {
    [ ! -e "$OUT.done" ] || writable || return 1
    run no_test_account
    left=$?
    # While something new is still there, a reload would have it served.
    undone || return 1
    since=$(date +%s)
    ! grep -q "${TAB}do${TAB}activate${TAB}systemd" "$T/steps" || run units_again || { journal 'says a service does not start again'; return 1; }
    run pay || { journal 'says a reload is still owed'; return 1; }
    [ -n "$BOOT" ] || run wake || { journal 'says a service does not start again'; return 1; }
    run stop_rest || { journal 'says a service does not stop'; return 1; }
    serves_again || { owe_again; return 1; }
    [ -n "$BOOT" ] || outlast "$since"
    writable || { true >"$OUT.done"; return 1; }
    [ $left = 0 ] || { journal 'says the test account cannot be removed'; return 1; }
}

# A reload that was given may have done nothing.
owe_again() {
    for n in $(awk -F '\t' '$2 == "do" && $3 == "owe" { print $1 }' "$T/steps"); do do_step "$n"; done
}

serves_again() {
    [ -z "$BOOT" ] || return 0
    tries=0
    until listens_again && shows_again; do
        tries=$((tries + 1))
        [ $tries -lt 15 ] || { journal "says $missing"; return 1; }
        sleep 0.2
    done
}

# What listened before listens, and of what this transaction opened nothing does.
listens_again() {
    ports >"$OUT.ports"
    while read -r place; do
        grep -qxF "$place" "$OUT.ports" || { missing="nobody listens on $place"; return 1; }
    done <"$T/ports"
    ! others_run || return 0
    for listener in $LISTENERS; do
        port=${listener%:*}
        grep -q ":$port\$" "$T/ports" || ! grep -q ":$port\$" "$OUT.ports" || { missing="$port is still open"; return 1; }
    done
}

# Whether a service runs by now that did not: what it listens on is for whoever started it to know.
others_run() {
    for name in $DAEMONS; do
        ! running "$name" || grep -qsx "$name" "$T/up" || return 0
    done
    return 1
}

# The certificate of before; or the one that is in its place by now, where something else has renewed it.
shows_again() {
    while read -r listener before; do
        [ -n "$before" ] || continue
        now=$(shown "${listener%:*}" "${listener#*:}")
        [ "$now" = "$before" ] || { [ -n "$now" ] && [ "$now" = "$(leaf "$CERTIFICATE")" ]; } ||
            { missing="port ${listener%:*} does not serve what it did"; return 1; }
    done <"$T/served"
}
