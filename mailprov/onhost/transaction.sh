#!/bin/sh
# One apply, carried out by the host itself: run FOLDER apply|rehearse|settle
# POSIX sh. FOLDER holds what travelled in the bundle: plan.sh (the steps), ask.sh (the probe that the plan was made
# from), desired, managed, meta, new/N. Every act is written to FOLDER/journal before it is done, one event a line:
# SECONDS EVENT [WORD...]. From "confirmed" on the new state is final and is finished; before it, what was begun is
# taken back.
# shellcheck disable=SC2013,SC2015,SC2034,SC2153
set -u
umask 077
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
export LC_ALL PATH DEBIAN_FRONTEND
T=$1
STATE=/var/lib/mailprov
REHEARSAL=
# At boot, what is put right now is read by the services when they start: nothing is reloaded, nothing waited for.
case $(systemctl is-system-running) in initializing | starting) BOOT=boot ;; *) BOOT= ;; esac

journal() {
    printf '%s %s\n' "$(date +%s)" "$*" >>"$T/journal" && sync -- "$T/journal"
}

happened() { # EVENT...: whether the journal tells of it
    cut -d' ' -f2- "$T/journal" | grep -qxF "$*"
}

# Run a command; when it fails, what it said goes to the journal.
run() {
    "$@" >"$T/out" 2>&1 </dev/null 9>&- && return 0
    tail -n 20 "$T/out" | tr -cd '\11\12\40-\176' | cut -c 1-400 | while IFS= read -r line; do
        [ -z "$line" ] || journal "says $line"
    done
    return 1
}

# @LIBRARY@

# shellcheck source=/dev/null
. "$T/plan.sh"

# --- the parts of a transaction

ask() { # FILE: the stable part of what the host is now
    sh "$T/ask.sh" | grep -E "^($STABLE) " >"$1"
}

digest() { # FILE
    sum=$(sha256sum <"$1")
    echo "${sum%% *}"
}

act() { # N
    journal "do $1" || return 1
    run "do_$1" || { journal "failed $1"; return 1; }
    journal "done $1"
}

each() { # FUNCTION N...
    function=$1
    shift
    for n in "$@"; do "$function" "$n" || return 1; done
}

stage() { run "stage_$1" || { journal "failed $1"; return 1; }; }

rehearse_one() { "do_$1"; }

# The commit is rehearsed in a mount namespace where /etc is a copy in memory: the host's own programs see the whole
# staged tree at its final paths. Then a canary runs it.
rehearse() {
    REHEARSAL=yes
    mkdir -p "$T/etc" && mount -t tmpfs -o mode=755 tmpfs "$T/etc" && cp -a /etc/. "$T/etc/" && mount --bind "$T/etc" /etc ||
        { echo 'no private copy of /etc can be made'; return 1; }
    ip link set lo up
    # shellcheck disable=SC2086
    each rehearse_one $REHEARSED && validators && canary
}

# What was begun is taken back: the steps in reverse order, then every reload that is owed. A revert is believed only
# when the host answers again as it did before, and listens where it did.
revert() {
    journal revert
    whole=yes
    for n in $(awk '$2 == "do" { n = $3 " " n } END { print n }' "$T/journal"); do
        happened "undone $n" && continue
        run "undo_$n" && journal "undone $n" || { journal "stuck $n"; whole=; }
    done
    run pay || { journal 'says a reload is still owed'; whole=; }
    restored || whole=
    [ -n "$whole" ] && verdict reverted || verdict mixed
}

restored() {
    tries=0
    until ask "$T/after" && as_before "$T/after" "$T/base" && listens_again; do
        tries=$((tries + 1))
        [ $tries -lt 15 ] || { journal 'says the host is not as it was'; return 1; }
        sleep 0.2
    done
}

as_before() { # NOW THEN
    if [ -n "$BOOT" ]; then
        [ "$(grep -Ev '^(services|firewall) ' "$1")" = "$(grep -Ev '^(services|firewall) ' "$2")" ]
    else
        cmp -s "$1" "$2"
    fi
}

listens_again() { [ -n "$BOOT" ] || ports | cmp -s - "$T/ports"; }

seal() { # the manifest: what was asked for, and what is there now
    mkdir -p "$T/former" && cp -a -- "$STATE/manifest" "$STATE/managed" "$T/former/" 2>/dev/null
    cp -- "$T/managed" "$STATE/managed.new" && sync -- "$STATE/managed.new" && mv -f -- "$STATE/managed.new" "$STATE/managed" &&
        ask "$T/after" && cat "$T/desired" "$T/after" >"$STATE/manifest.new" &&
        sync -- "$STATE/manifest.new" && mv -fT -- "$STATE/manifest.new" "$STATE/manifest" && sync -- "$STATE"
}

# The controller confirms over a new connection, having looked at the host as a client; otherwise it is taken back.
await() {
    [ "$CONFIRM" -gt 0 ] || return 0
    journal "await $CONFIRM"
    end=$(($(uptime_seconds) + CONFIRM))
    while [ ! -e "$T/confirmed" ]; do
        [ ! -e "$T/refused" ] || { journal "says refused: $(tr -cd '\40-\176' <"$T/refused" | cut -c 1-300)"; return 1; }
        [ "$(uptime_seconds)" -lt "$end" ] || { journal "says no confirmation came within $CONFIRM seconds"; return 1; }
        sleep 0.05
    done
}

uptime_seconds() { # a clock that nobody sets
    read -r up _ </proc/uptime
    echo "${up%%.*}"
}

# --- its end

verdict() { # WORD
    # Staged copies may hold secrets; they are in place by now, or not wanted.
    rm -rf "${T:?}/new" "${T:?}/etc"
    journal "verdict $1"
    remember "$1"
    rm -f "$STATE/open"
}

# One line a transaction, each with the hash of the one before it: a gap shows.
remember() { # VERDICT
    last=$(tail -n 1 "$STATE/history" 2>/dev/null | sha256sum)
    echo "${last%% *} $(date +%s) ${T##*/} $1 $(cat "$T/meta")" >>"$STATE/history" && sync -- "$STATE/history"
    # shellcheck disable=SC2012 # names are ours
    ls -1 "$STATE/txn" | sort -r | tail -n +"$((KEPT + 1))" | while IFS= read -r name; do
        [ "$name" = "${T##*/}" ] || rm -rf "$STATE/txn/${name:?}"
    done
}

apply() {
    [ "$(cat /etc/machine-id)" = "$MACHINE" ] || { journal 'verdict stranger'; return; }
    ask "$T/live"
    [ "$(digest "$T/live")" = "$EXPECTED" ] || { journal 'verdict stale'; return; }
    echo "${T##*/}" >"$STATE/open" && sync -- "$STATE/open" && journal begin || { journal 'verdict failed'; return; }
    # shellcheck disable=SC2086
    {
        each act $PREPARE && each stage $STAGED || { verdict failed; return; }
        if [ -n "$VALIDATE" ]; then
            journal validate
            run unshare --mount --net --propagation private sh "$T/run" "$T" rehearse || { journal 'failed validate'; verdict failed; return; }
        fi
        ask "$T/base" && ports >"$T/ports" && sync -- "$T/base" && journal commit || { verdict failed; return; }
        each act $RETIRE && each act $COMMIT && each act $ACTIVATE || { revert; return; }
    }
    journal health
    run health || { journal 'failed health'; revert; return; }
    await || { journal 'failed confirm'; revert; return; }
    journal confirmed
    finish
}

finish() {
    run seal && verdict applied || { journal 'failed seal'; verdict unsealed; }
}

# What a transaction left open that died: by a kill (systemd calls this when its process ends), or by a power cut.
settle() {
    [ -f "$T/journal" ] && ! grep -q '^[0-9]* verdict ' "$T/journal" || return 0
    journal "settle $BOOT"
    run unmask_running
    if happened confirmed; then
        finish
    elif happened commit; then
        revert
    else
        verdict failed
    fi
}

locked() { # FUNCTION
    exec 9>>"$STATE/lock"
    if [ -n "${MAILPROV_LOCKED-}" ] || flock -n 9; then
        cat "$T/meta" >"$STATE/holder"
        [ "$1" = settle ] || settle_other
        "$1"
    elif [ "$1" = apply ]; then
        journal "says $(tr -cd '\40-\176' <"$STATE/holder")"
        journal 'verdict locked'
    fi
}

settle_other() { # the transaction that was left open, if there is one
    other=$(cat "$STATE/open" 2>/dev/null) && [ -f "$STATE/txn/$other/run" ] && [ "$other" != "${T##*/}" ] || return 0
    journal "settling $other"
    MAILPROV_LOCKED=yes sh "$STATE/txn/$other/run" "$STATE/txn/$other" settle
}

mkdir -p "$T/old"
case $2 in
    rehearse) rehearse ;;
    apply | settle) locked "$2" ;;
esac
