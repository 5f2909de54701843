#!/bin/sh
# One apply, carried out by the host itself: run FOLDER apply|rehearse|settle [boot]
# POSIX sh. FOLDER holds what travelled in the bundle: steps (records of what is done, and how it is taken back),
# settings (NAME value), checks, ask.sh (what the plan depends on), desired, managed, meta, sums, new/N.
# Nothing of that is edited here. Every act is written to FOLDER/journal before it is done, one event a line:
# SECONDS EVENT [WORD...]. From "confirmed" on the new state is final and is finished; before it, what was begun is
# taken back. What cannot be finished or taken back now is tried again, and stays open until it is done. Whoever is at
# work here may be killed: systemd starts this again, a timer looks after it, and so does the next boot.
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
DAMAGED=3 # the exit code after which systemd does not start this again

uptime_seconds() { # into `uptime`: a clock that nobody sets, and that costs no process
    read -r uptime _ </proc/uptime
    uptime=${uptime%.*}
}
uptime_seconds
EPOCH=$(($(date +%s) - uptime))

# Where the disk is full, the room that was set aside before anything began is used.
journal() {
    uptime_seconds
    event="$((EPOCH + uptime)) $*"
    note "$event" || { rm -f "$T/spare"; note "$event"; }
}

# A line may have been torn by a full disk or a power cut: by whoever wrote here before, or just now.
note() { # LINE
    [ -n "$WHOLE" ] || [ -z "$(tail -c 1 "$T/journal")" ] || echo ' torn' >>"$T/journal"
    WHOLE=
    printf '%s\n' "$1" >>"$T/journal" && sync -- "$T/journal" && WHOLE=yes
}
WHOLE=

happened() { # EVENT: whether the journal tells of it
    grep -aqxE "[0-9]+ $*" "$T/journal"
}

# Run a command; when it fails, what it said goes to the journal. An undo must not fail where nothing can be written here.
OUT=/run/mailprov-${T##*/}.out
run() {
    "$@" >"$OUT" 2>&1 </dev/null 9>&- && return 0
    tail -n 20 "$OUT" | tr -cd '\11\12\40-\176' | cut -c 1-400 | while IFS= read -r line; do
        [ -z "$line" ] || journal "says $line"
    done
    WHOLE= # that was a process of its own
    return 1
}

: @LIBRARY@

# What was damaged is not run.
sound() {
    (cd "$T" && sha256sum --status --check sums) || { echo "$T is not as it came here"; return 1; }
    wrong=$([ ! -s "$T/journal" ] || grep -anvEm 1 '^[0-9]+ [a-z]+( .*)?$| torn$' "$T/journal")
    [ -z "$wrong" ] || { echo "line ${wrong%%:*} of $T/journal means nothing"; return 1; }
}

sound || exit $DAMAGED
while read -r name value; do readonly "$name=$value"; done <"$T/settings"

# --- the steps: records of words that are run as they are; no word is empty or holds a tab

perform() { # FILE KEY PART
    # Once for each of what may be thousands of steps: awk takes five times as long.
    record=$(grep -am 1 "^$2$TAB$3$TAB" "$T/$1")
    [ -n "$record" ] || return 0
    set -f
    IFS=$TAB
    # shellcheck disable=SC2086
    set -- $record
    unset IFS
    set +f
    shift 2
    "$@"
}
TAB=$(printf '\t')

# shellcheck disable=SC1010
do_step() { perform steps "$1" do; }
undo_step() { perform steps "$1" undo; }
stage_step() { perform steps "$1" stage; }

act() { # N
    journal "do $1" || return 1
    run do_step "$1" || { journal "failed $1"; return 1; }
    journal "done $1"
}

stage() { run stage_step "$1" || { journal "failed $1"; return 1; }; }

each() { # FUNCTION N...
    function=$1
    shift
    for n in "$@"; do "$function" "$n" || return 1; done
}

all_checks() { # validator|health
    for n in $(awk -F '\t' -v part="$1" '$2 == part { print $1 }' "$T/checks"); do
        perform checks "$n" "$1" || return 1
    done
}

# --- the parts of a transaction

ask() { # FILE: the stable part of what the host is now
    sh "$T/ask.sh" 9>&- | grep -aE "^($STABLE) " >"$1"
}

# Room for the journal, the manifest and the undo of everything, so that a disk that fills up stops nothing halfway.
reserve() {
    size=$(du -sk "$T/new")
    room=$((4096 + 2 * ${size%%[!0-9]*}))
    fallocate -l "${room}KiB" "$T/spare" 2>/dev/null || head -c "${room}KiB" /dev/zero >"$T/spare" ||
        { rm -f "$T/spare"; echo "less than $room KiB are free in $STATE"; return 1; }
}

# What came here is on the disk before anything is changed: after a power cut it is what takes the change back.
landed() {
    find "$T" \( -type f -o -type d \) -exec sync -- "$STATE/txn" {} +
}

UNITS=/etc/systemd/system
OWN=mailprov-open.service
WATCH=mailprov-watch-${T##*/}

# A power cut is settled at the next boot by mailprov-recover.service. Where that is not there yet, or comes or goes in
# this very transaction, a unit of the transaction's own does it. Until then a timer looks whether somebody is at work.
arm() {
    watch || return 1
    [ ! -e "$UNITS/multi-user.target.wants/mailprov-recover.service" ] || grep -q mailprov-recover "$T/steps" || return 0
    mkdir -p "$UNITS/multi-user.target.wants" && own_unit >"$UNITS/$OWN.new" && sync -- "$UNITS/$OWN.new" &&
        mv -f -- "$UNITS/$OWN.new" "$UNITS/$OWN" && ln -sf "../$OWN" "$UNITS/multi-user.target.wants/$OWN" &&
        sync -- "$UNITS" "$UNITS/multi-user.target.wants"
}

watch() {
    systemd-run --quiet --collect --no-block --unit="$WATCH" --on-active=60 --on-unit-inactive=60 \
        --property=KillMode=process --timer-property=AccuracySec=1s /bin/sh "$T/run" "$T" settle ||
        systemctl -q is-active "$WATCH.timer"
}

own_unit() {
    cat <<END
[Unit]
Description=Finish or take back an interrupted mailprov apply
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service
Before=mailprov-recover.service mailprov-firewall.service nftables.service network-pre.target
Before=$UNITS_SERVED

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh $T/run $T settle boot
END
}

disarm() {
    [ ! -e "$UNITS/$OWN" ] || ! grep -qsF " $T settle " "$UNITS/$OWN" || rm -f "$UNITS/multi-user.target.wants/$OWN" "$UNITS/$OWN"
    systemctl --no-block stop "$WATCH.timer" 2>/dev/null
    :
}

begin() {
    run landed && run reserve && note_running && note_ports && run arm && run opened && journal begin
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
    note_ports && served >"$T/served" && sync -- "$T/served" && journal commit
}

# The controller confirms over a new connection, having looked at the host as a client; otherwise it is taken back.
await() {
    outlast "$COMMITTED"
    [ "$CONFIRM" -gt 0 ] || return 0
    journal "await $CONFIRM $(fingerprint "$CERTIFICATE")" || return 1
    uptime_seconds
    end=$((uptime + CONFIRM))
    while [ ! -e "$T/confirmed" ]; do
        [ ! -e "$T/refused" ] || { journal "says refused: $(tr -cd '\40-\176' <"$T/refused" | cut -c 1-300)"; return 1; }
        uptime_seconds
        [ "$uptime" -lt "$end" ] || { journal "says no confirmation came within $CONFIRM seconds"; return 1; }
        sleep 0.05
    done
}

# For the controller, an account of its own: no other login need be known to it.
welcome() {
    [ -z "$TESTER" ] || [ "$CONFIRM" = 0 ] || run begin_test_account || { journal 'failed welcome'; return 1; }
    COMMITTED=$(date +%s)
}

begin_test_account() { sh "$T/testaccount" begin "$TESTER" "$(cat "$T/testaccount")" "$T/new/tester"; }

# The controller may have died before it was done with it. Other verifications have accounts of their own.
no_test_account() {
    [ -z "$TESTER" ] || sh "$T/testaccount" close "$TESTER"
}

# --- its end

# The manifest holds what was meant: what was asked for, and what was made of it here. What somebody else has changed
# meanwhile is told, and is drift from then on.
seal() {
    no_test_account && keep_former && replace "$T/managed" "$STATE/managed" &&
        { cat "$T/desired" && { [ ! -f "$T/made" ] || cat "$T/made"; }; } >"$T/manifest" &&
        replace "$T/manifest" "$STATE/manifest" && ask "$T/after"
}

finish() {
    rm -f "$T/spare"
    patiently unsealed run seal && verdict applied
}

verdict() { # applied|reverted|failed
    # Staged copies may hold secrets; they are in place by now, or not wanted.
    rm -rf "${T:?}/new" "${T:?}/etc" "${T:?}/spare"
    journal "verdict $1" && patiently unsealed close "$1"
}

# May be cut off at any place, and is done again then.
close() { # VERDICT
    [ "$1" != applied ] || keep_sums || return 1
    remember "$1" && disarm || return 1
    ! is_open || rm -f "$STATE/open"
    rm -f "$OUT" "$OUT.done" "$OUT.ports"
    prune
}

# The transaction that is open, into `open`, if there is one.
opened_last() {
    open=
    [ ! -s "$STATE/open" ] || read -r open <"$STATE/open"
}

is_open() { opened_last; [ "$open" = "${T##*/}" ]; }

final() {
    [ ! -s "$T/journal" ] ||
        awk 'NF == 3 && $2 == "verdict" && $3 ~ /^(applied|reverted|failed)$/ { last = $3 } END { print last }' "$T/journal"
}

unbegun() { # stranger|stale|blocked|locked|failed
    rm -rf "${T:?}/new"
    journal "verdict $1"
}

apply() {
    [ ! -s "$T/journal" ] || { journal 'says it was cut off before it began'; unbegun failed; return; }
    read -r machine </etc/machine-id
    [ "$machine" = "$MACHINE" ] || { unbegun stranger; return; }
    settle_other || { unbegun blocked; return; }
    ask "$T/live" || { journal 'failed begin'; unbegun failed; return; }
    [ "$(digest "$T/live")" = "$EXPECTED" ] || { unbegun stale; return; }
    begin || { journal 'failed begin'; abandon; return; }
    prepare || { abandon; return; }
    # shellcheck disable=SC2086
    each act $RETIRE && each act $COMMIT && welcome && each act $ACTIVATE || { revert; return; }
    journal health && run all_checks health || { journal 'failed health'; revert; return; }
    await && { [ ! -f "$T/made" ] || sync -- "$T/made"; } && journal confirmed || { journal 'failed confirm'; revert; return; }
    finish
}

# What a transaction left open that died: by a kill (systemd starts it again), or by a power cut.
settle() {
    ! shutting_down || return 0 # the next boot does it
    ended_as=$(final)
    [ -z "$ended_as" ] || { patiently unsealed close "$ended_as"; return; }
    begun || { disarm; return; }
    happened begin || [ -z "$(ls -A "$T/old")" ] || { echo "$T/journal is not whole"; exit $DAMAGED; }
    journal "settle${BOOT:+ $BOOT}"
    # Nobody is verifying now, and the timers that end such accounts have ended with the last boot.
    [ -z "$BOOT" ] || run sh "$T/testaccount" close
    for each_daemon in $DAEMONS; do ! has "$each_daemon" settle || run part "$each_daemon" settle; done
    if happened confirmed && ! happened revert; then
        finish
    elif happened commit; then
        revert
    else
        abandon
    fi
}

begun() { is_open || happened begin; }

# --- whose turn it is

locked() { # FUNCTION
    [ -z "${MAILPROV_LOCKED-}" ] || { "$1"; return; }
    # Not to be opened for writing is no reason to end: an undo goes on where nothing can be written.
    [ -e "$STATE/lock" ] || true >>"$STATE/lock"
    exec 9<"$STATE/lock"
    # At boot nothing holds it, and the unit for that may be started by a transaction that is at work.
    if [ -n "$BOOT" ]; then
        flock -n 9 || return 0
    elif [ "$1" = settle ]; then
        flock 9
    else
        # A verification or a purge holds it for a moment only.
        tries=0
        until flock -w 0.5 9; do
            tries=$((tries + 1))
            [ $tries -lt 60 ] && ends_soon || { turned_away; return; }
        done
    fi
    hold
    "$1"
    ended=$?
    true >"$STATE/holder"
    return $ended
}

hold() { # for whoever finds the lock held
    IFS= read -r meta <"$T/meta"
    printf '%s\n' "$meta" >"$STATE/holder"
}

# Whether nobody is in the middle of an apply: what is open has its verdict, and is being closed or tried once more.
ends_soon() {
    opened_last
    [ -z "$open" ] || grep -qsE '^[0-9]+ verdict ' "$STATE/txn/$open/journal"
}

turned_away() {
    # Who took the lock a moment ago may not have said yet who it is.
    for _ in 1 2 3 4 5 6 7 8 9 10; do [ ! -s "$STATE/holder" ] || break; sleep 0.1; done
    journal "says $(tr -cd '\40-\176' <"$STATE/holder")"
    unbegun locked
}

settle_other() { # the transaction that was left open, if there is one
    opened_last
    other=$open
    [ -n "$other" ] || return 0
    journal "settling $other"
    folder=$STATE/txn/$other
    # The lock stays held until the other's end, whatever becomes of this process.
    if (cd "$folder" && sha256sum --status --check sums); then
        said=$(MAILPROV_LOCKED=yes sh "$folder/run" "$folder" settle 2>&1)
    else
        said="$folder is not as it came there"
    fi
    [ -e "$STATE/open" ] || return 0
    [ -n "$said" ] || said=$(sed -n 's/^[0-9]* says //p' "$STATE/txn/$other/journal" | tail -n 1)
    journal "says $other cannot be settled: $(printf %s "$said" | tr -cd '\40-\176' | cut -c 1-300)"
    return 1
}

mkdir -p "$T/old"
case $2 in
    rehearse) rehearse ;;
    # Systemd starts it again where it was killed.
    apply) if begun || [ -n "$(final)" ]; then locked settle; else locked apply; fi ;;
    settle) if begun || [ -n "$(final)" ]; then locked settle; else disarm; fi ;;
esac
