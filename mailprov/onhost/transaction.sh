#!/bin/sh
# One apply, carried out by the host itself: run FOLDER apply|rehearse|settle [boot]
# POSIX sh. FOLDER holds what travelled in the bundle: plan.sh (the steps), ask.sh (the probe that the plan was made
# from), desired, managed, meta, sums, new/N. Every act is written to FOLDER/journal before it is done, one event a
# line: SECONDS EVENT [WORD...]. From "confirmed" on the new state is final and is finished; before it, what was begun
# is taken back. What cannot be finished or taken back now is tried again, and stays open until it is done.
# shellcheck disable=SC2013,SC2015,SC2034,SC2153
set -u
umask 077
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
export LC_ALL PATH DEBIAN_FRONTEND
T=$1
STATE=/var/lib/mailprov
REHEARSAL=
# At boot, what is put right now is read by the services when they start: nothing is reloaded, nothing waited for.
BOOT=${3-}

# Where the disk is full, the room that was set aside before anything began is used.
journal() {
    event="$(date +%s) $*"
    note "$event" || { rm -f "$T/spare"; note "$event"; }
}

note() { # LINE
    [ -z "$(tail -c 1 "$T/journal")" ] || echo ' torn' >>"$T/journal" # by a full disk or a power cut
    printf '%s\n' "$1" >>"$T/journal" && sync -- "$T/journal"
}

happened() { # EVENT...: whether the journal tells of it
    cut -d' ' -f2- "$T/journal" | grep -aqxF "$*"
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

# What was damaged is not run.
sound() {
    (cd "$T" && sha256sum --status --check sums) || { echo "$T is not as it came here"; return 1; }
    wrong=$(grep -anvE '^[0-9]+ [a-z]+( .*)?$| torn$' "$T/journal" | head -n 1)
    [ -z "$wrong" ] || { echo "line ${wrong%%:*} of $T/journal means nothing"; return 1; }
}

sound || exit 1
# shellcheck source=/dev/null
. "$T/plan.sh"

# --- the parts of a transaction

ask() { # FILE: the stable part of what the host is now
    sh "$T/ask.sh" 9>&- | grep -aE "^($STABLE) " >"$1"
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
    each rehearse_one $REHEARSED && secluded && validators && canary
}

# Room for the journal, the manifest and the undo of everything, so that a disk that fills up stops nothing halfway.
reserve() {
    room=$((4096 + 2 * $(du -sk "$T/new" | cut -f1)))
    fallocate -l "${room}KiB" "$T/spare" 2>/dev/null || head -c "${room}KiB" /dev/zero >"$T/spare" ||
        { rm -f "$T/spare"; echo "less than $room KiB are free in $STATE"; return 1; }
}

UNITS=/etc/systemd/system
OWN=mailprov-open.service

# A power cut is settled at the next boot by mailprov-recover.service. Where that is not there yet, or comes or goes in
# this very transaction, a unit of the transaction's own does it.
arm() {
    [ ! -e "$UNITS/multi-user.target.wants/mailprov-recover.service" ] || grep -q mailprov-recover "$T/plan.sh" || return 0
    mkdir -p "$UNITS/multi-user.target.wants" && own_unit >"$UNITS/$OWN.new" && sync -- "$UNITS/$OWN.new" &&
        mv -f -- "$UNITS/$OWN.new" "$UNITS/$OWN" && ln -sf "../$OWN" "$UNITS/multi-user.target.wants/$OWN" &&
        sync -- "$UNITS" "$UNITS/multi-user.target.wants"
}

own_unit() {
    cat <<EOF
[Unit]
Description=Finish or take back an interrupted mailprov apply
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service
Before=mailprov-recover.service mailprov-firewall.service nftables.service network-pre.target
Before=dovecot.service postfix.service postfix@-.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh $T/run $T settle boot
EOF
}

disarm() {
    ! grep -qsF " $T settle " "$UNITS/$OWN" || rm -f "$UNITS/multi-user.target.wants/$OWN" "$UNITS/$OWN"
}

begin() {
    run reserve && run arm && opened && journal begin
}

opened() {
    echo "${T##*/}" >"$STATE/open.new" && sync -- "$STATE/open.new" && mv -f -- "$STATE/open.new" "$STATE/open" &&
        sync -- "$STATE"
}

# Steps until nothing of what is served has changed.
prepare() {
    # shellcheck disable=SC2086
    each act $PREPARE && each stage $STAGED || return 1
    [ -z "$VALIDATE" ] || { journal validate && run unshare --mount --net --pid --fork --kill-child --mount-proc sh "$T/run" "$T" rehearse; } ||
        { journal 'failed validate'; return 1; }
    ask "$T/base" && ports >"$T/ports" && served >"$T/served" && services_up >"$T/up" &&
        sync -- "$T/base" "$T/ports" "$T/served" "$T/up" && journal commit
}

# Those that run now; what is taken back has them run again.
services_up() {
    for name in mailprov-firewall dovecot postfix; do ! running "$name" || echo "$name"; done
}

wake() {
    while read -r name; do
        running "$name" || { systemctl reset-failed "$(unit "$name")" 2>/dev/null; activate "$name" start; } || return 1
    done <"$T/up"
}

# Again and again, until COMMAND succeeds: what is in the way now (a full disk, a service that does not start) may go.
# The controller is told soon, by VERDICT, and a boot or another apply is not kept waiting.
patiently() { # VERDICT COMMAND...
    word=$1 attempts=0 pause=1 limit=$(($(uptime_seconds) + PATIENCE)) # names that no COMMAND uses
    [ -z "$BOOT${MAILPROV_LOCKED-}" ] || limit=0
    shift
    until "$@"; do
        attempts=$((attempts + 1))
        [ $attempts != 2 ] || journal "verdict $word"
        [ $attempts -lt 3 ] || [ "$(uptime_seconds)" -lt $limit ] && ! shutting_down || return 1
        sleep $pause
        [ $pause -ge 60 ] || pause=$((2 * pause))
    done
}
PATIENCE=1800

shutting_down() { [ "$(systemctl is-system-running)" = stopping ]; }

# What was begun is taken back: the steps in reverse order, then every reload that is owed. A revert is believed only
# when the host answers again as it did before, and serves what it did.
revert() {
    journal revert
    rm -f "$T/spare"
    patiently mixed taken_back && verdict reverted
}

abandon() { # before anything that is served was touched
    rm -f "$T/spare"
    patiently mixed undone && verdict failed
}

undone() {
    whole=yes
    for n in $(awk 'NF == 3 && $2 == "do" { n = $3 " " n } END { print n }' "$T/journal"); do
        happened "undone $n" && continue
        run "undo_$n" && journal "undone $n" || { journal "stuck $n"; whole=; }
    done
    [ -n "$whole" ]
}

taken_back() {
    run no_test_account || { journal 'says the test account cannot be removed'; return 1; }
    # While something new is still there, a reload would have it served.
    undone || return 1
    ! grep -q '() { activate systemd ' "$T/plan.sh" || systemctl daemon-reload
    run pay || { journal 'says a reload is still owed'; return 1; }
    [ -n "$BOOT" ] || run wake || { journal 'says a service does not start again'; return 1; }
    restored || { owe_again; return 1; }
}

no_test_account() { # the controller may have died before it was done with it
    [ ! -f "$STATE/testaccount/run" ] || sh "$STATE/testaccount/run" close
}

# A reload that was given may have done nothing.
owe_again() {
    for n in $(sed -n 's/^do_\([0-9]*\)() { owe .*/\1/p' "$T/plan.sh"); do "do_$n"; done
}

restored() {
    tries=0
    until ask "$T/after" && as_before "$T/after" "$T/base" && serves_again; do
        tries=$((tries + 1))
        [ $tries -lt 15 ] || { journal 'says the host is not as it was'; return 1; }
        sleep 0.2
    done
}

as_before() { # NOW THEN
    if [ -n "$BOOT" ]; then
        [ "$(grep -aEv '^(services|firewall) ' "$1")" = "$(grep -aEv '^(services|firewall) ' "$2")" ]
    else
        cmp -s "$1" "$2"
    fi
}

serves_again() {
    [ -n "$BOOT" ] || { ports | cmp -s - "$T/ports" && served | cmp -s - "$T/served"; }
}

seal() { # the manifest: what was asked for, and what is there now
    no_test_account && keep_former && cp -- "$T/managed" "$STATE/managed.new" && sync -- "$STATE/managed.new" &&
        mv -f -- "$STATE/managed.new" "$STATE/managed" &&
        ask "$T/after" && cat "$T/desired" "$T/after" >"$STATE/manifest.new" &&
        sync -- "$STATE/manifest.new" && mv -fT -- "$STATE/manifest.new" "$STATE/manifest" && sync -- "$STATE"
}

keep_former() { # once: a seal that was cut off is begun again
    [ ! -d "$T/former" ] || return 0
    rm -rf "$T/former.new" && mkdir "$T/former.new" || return 1
    for name in manifest managed; do
        [ ! -f "$STATE/$name" ] || cp -a -- "$STATE/$name" "$T/former.new/" || return 1
    done
    mv -- "$T/former.new" "$T/former"
}

# The controller confirms over a new connection, having looked at the host as a client; otherwise it is taken back.
await() {
    [ "$CONFIRM" -gt 0 ] || return 0
    [ -z "$TESTER" ] || outlast "$WELCOMED"
    journal "await $CONFIRM $(fingerprint "$CERTIFICATE")" || return 1
    end=$(($(uptime_seconds) + CONFIRM))
    while [ ! -e "$T/confirmed" ]; do
        [ ! -e "$T/refused" ] || { journal "says refused: $(tr -cd '\40-\176' <"$T/refused" | cut -c 1-300)"; return 1; }
        [ "$(uptime_seconds)" -lt "$end" ] || { journal "says no confirmation came within $CONFIRM seconds"; return 1; }
        sleep 0.05
    done
}

# For the controller, an account of its own: no other login need be known to it.
welcome() {
    [ -n "$TESTER" ] && [ "$CONFIRM" -gt 0 ] || return 0
    run begin_test_account || { journal 'failed welcome'; return 1; }
    WELCOMED=$(date +%s)
}

begin_test_account() { sh "$T/testaccount" begin "$TESTER" "$(cat "$T/testaccount")" "$T/new/tester"; }

uptime_seconds() { # a clock that nobody sets
    read -r up _ </proc/uptime
    echo "${up%.*}"
}

# --- its end

verdict() { # applied|reverted|failed
    # Staged copies may hold secrets; they are in place by now, or not wanted.
    rm -rf "${T:?}/new" "${T:?}/etc" "${T:?}/spare"
    journal "verdict $1" && patiently unsealed close "$1"
}

# May be cut off at any place, and is done again then.
close() { # VERDICT
    remember "$1" && disarm || return 1
    ! is_open || rm -f "$STATE/open"
    prune
}

is_open() { [ "$(cat "$STATE/open" 2>/dev/null)" = "${T##*/}" ]; }

remember() { # VERDICT
    touch "$STATE/history"
    ! grep -q "^[0-9a-f]* [0-9]* ${T##*/} " "$STATE/history" || return 0
    chain "${T##*/}" "$1" "$(cat "$T/meta")"
}

prune() { # those that never began (but for one that is still coming in), and the oldest
    for folder in "$STATE"/txn/*/; do
        ! grep -qsE '^[0-9]+ verdict (stale|locked|stranger|blocked)$' "$folder/journal" || rm -rf "${folder:?}"
        # One that was given up by hand may have left secrets.
        [ ! -d "$folder/new" ] || [ ! -e "$folder/journal" ] || ! ended "$folder" || rm -rf "${folder:?}/new"
    done
    find "$STATE/txn" -mindepth 1 -maxdepth 1 -mmin +60 ! -exec test -e '{}/journal' \; -exec rm -rf {} +
    # shellcheck disable=SC2012 # names are ours
    ls -1 "$STATE/txn" | sort -r | tail -n +"$((KEPT + 1))" | while IFS= read -r name; do
        [ "$name" = "${T##*/}" ] || rm -rf "$STATE/txn/${name:?}"
    done
}

ended() { # FOLDER
    name=${1%/}
    [ "${name##*/}" != "${T##*/}" ] && ! systemctl -q is-active "mailprov-${name##*/}.service"
}

unbegun() { # stranger|stale|blocked|locked|failed
    rm -rf "${T:?}/new"
    journal "verdict $1"
}

apply() {
    [ "$(cat /etc/machine-id)" = "$MACHINE" ] || { unbegun stranger; return; }
    settle_other || { unbegun blocked; return; }
    ask "$T/live" || { journal 'failed begin'; unbegun failed; return; }
    [ "$(digest "$T/live")" = "$EXPECTED" ] || { unbegun stale; return; }
    begin || { journal 'failed begin'; abandon; return; }
    prepare || { abandon; return; }
    # shellcheck disable=SC2086
    each act $RETIRE && each act $COMMIT && welcome && each act $ACTIVATE || { revert; return; }
    journal health && run health || { journal 'failed health'; revert; return; }
    await && journal confirmed || { journal 'failed confirm'; revert; return; }
    finish
}

finish() {
    rm -f "$T/spare"
    patiently unsealed run seal && verdict applied
}

# What a transaction left open that died: by a kill (systemd calls this when its process ends), or by a power cut.
settle() {
    ! shutting_down || return 0 # the next boot does it
    final=$(sed -nE 's/^[0-9]+ verdict (applied|reverted|failed)$/\1/p' "$T/journal" | tail -n 1)
    [ -z "$final" ] || { patiently unsealed close "$final"; return; }
    happened begin || [ -z "$(ls -A "$T/old")" ] || { echo "$T/journal is not whole"; return 1; }
    journal "settle${BOOT:+ $BOOT}"
    run unmask
    run let_in
    if happened confirmed && ! happened revert; then
        finish
    elif happened commit; then
        revert
    else
        abandon
    fi
}

locked() { # FUNCTION
    [ -z "${MAILPROV_LOCKED-}" ] || { "$1"; return; }
    exec 9>>"$STATE/lock"
    # What a killed transaction was just running may hold the lock for a moment longer. At boot nothing does, and the
    # unit for that may be started by a transaction that is at work.
    if [ "$1$BOOT" = settle ]; then flock -w 60 9; else flock -n 9; fi || { [ "$1" = settle ] || turned_away; return; }
    cat "$T/meta" >"$STATE/holder"
    "$1"
    ended=$?
    : >"$STATE/holder"
    return $ended
}

turned_away() {
    # Who took the lock a moment ago may not have said yet who it is.
    for _ in 1 2 3 4 5 6 7 8 9 10; do [ ! -s "$STATE/holder" ] || break; sleep 0.1; done
    journal "says $(tr -cd '\40-\176' <"$STATE/holder")"
    unbegun locked
}

settle_other() { # the transaction that was left open, if there is one
    other=$(cat "$STATE/open" 2>/dev/null)
    [ -n "$other" ] || return 0
    journal "settling $other"
    # The lock stays held until the other's end, whatever becomes of this process.
    said=$(MAILPROV_LOCKED=yes sh "$STATE/txn/$other/run" "$STATE/txn/$other" settle 2>&1) && [ ! -e "$STATE/open" ] && return 0
    journal "says $other cannot be settled: $(printf %s "$said" | tr -cd '\40-\176' | cut -c 1-300)"
    return 1
}

mkdir -p "$T/old"
case $2 in
    rehearse) rehearse ;;
    apply) locked apply ;;
    # One that was never opened has nothing to settle, but for a unit that it may have left.
    settle) if happened begin || is_open; then locked settle; else disarm; fi ;;
esac
