#!/bin/sh
# One apply, carried out by the host itself: transaction.sh FOLDER apply|rehearse
# POSIX sh. FOLDER holds what travelled in the bundle: steps.sh, ask.sh, validate.sh, desired, managed, new/N.
# Everything is written to FOLDER/journal before it is done, one event a line: SECONDS EVENT [WORD...].
set -u
umask 077
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
export LC_ALL PATH DEBIAN_FRONTEND
T=$1
STATE=/var/lib/mailprov
REHEARSAL=

journal() {
    echo "$(date +%s) $*" >>"$T/journal"
    sync "$T/journal"
}

# Run a command; when it fails, what it said goes to the journal.
run() {
    "$@" >"$T/out" 2>&1 </dev/null 9>&- && return 0
    tail -n 20 "$T/out" | tr -cd '\11\12\40-\176' | cut -c 1-400 | while IFS= read -r line; do
        [ -z "$line" ] || journal "says $line"
    done
    return 1
}

# --- steps: what they do, and how that is taken back

keep() { :; }

install_packages() { # NAME...
    # Debian starts a daemon as soon as it is unpacked, with a configuration that nobody declared. This policy forbids
    # that for as long as the transaction's lock is held, and forbids nothing once its holder is gone.
    policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || mv "$policy" "$policy.mailprov-saved"
    cat >"$policy" <<-'POLICY'
	#!/bin/sh
	# Left by mailprov while it installs packages; it does nothing once that is over.
	if flock -n /var/lib/mailprov/lock true; then exit 0; fi
	case $1 in dovecot* | postfix*) exit 101 ;; esac
	[ ! -x "$0.mailprov-saved" ] || exec "$0.mailprov-saved" "$@"
	POLICY
    chmod 755 "$policy"
    apt_install "$@"
    status=$?
    rm -f "$policy"
    [ ! -e "$policy.mailprov-saved" ] || mv "$policy.mailprov-saved" "$policy"
    return $status
}

apt_install() {
    set -- -y -q --no-install-recommends --no-remove -o DPkg::Lock::Timeout="${APT_LOCK_TIMEOUT:-60}" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install "$@"
    # The lists may be missing or old: they are fetched when installing from them has failed.
    apt-get "$@" || { apt-get -q -o DPkg::Lock::Timeout="${APT_LOCK_TIMEOUT:-60}" update && apt-get "$@"; }
}

folder() { # N PATH MODE OWNER GROUP
    if [ -d "$2" ] && [ ! -L "$2" ]; then
        stat -c '%a %u:%g' -- "$2" >"$T/old/$1.folder"
    else
        [ ! -e "$2" ] && [ ! -L "$2" ] || { echo "$2 is in the way: not a folder"; return 1; }
        mkdir -p -- "$2"
    fi && chown "$4:$5" -- "$2" && chmod "$3" -- "$2"
}

unfolder() { # N PATH
    if [ -f "$T/old/$1.folder" ]; then
        read -r mode owner <"$T/old/$1.folder"
        chown "$owner" -- "$2" && chmod "$mode" -- "$2"
    else
        rmdir -- "$2" 2>/dev/null || :
    fi
}

save() { # N PATH
    [ -z "$REHEARSAL" ] || return 0
    if [ -e "$2" ] || [ -L "$2" ]; then
        [ -f "$2" ] && [ ! -L "$2" ] || { echo "$2 is in the way: not a plain file"; return 1; }
        cp -a -- "$2" "$T/old/$1"
    else
        : >"$T/old/$1.absent"
    fi
}

# A rename is what makes a change whole: readers see the old file or the new one.
place() { # NEW PATH MODE OWNER GROUP
    new=${2%/*}/.${2##*/}.mailprov
    cp -- "$1" "$new" && chown "$4:$5" -- "$new" && chmod "$3" -- "$new" && age "$new" "$2" &&
        sync -- "$new" && mv -fT -- "$new" "$2" && sync -- "${2%/*}" && return 0
    rm -f -- "$new"
    return 1
}

# Postfix waits while main.cf is younger than two seconds; Dovecot sees a passwd-file as changed by size and whole seconds.
age() { # NEW OLD
    touch -d '-3 seconds' -- "$1"
    [ ! -e "$2" ] || [ "$(stat -c %Y -- "$1")" -gt "$(stat -c %Y -- "$2")" ] ||
        touch -d "@$(($(stat -c %Y -- "$2") + 1))" -- "$1"
}

put() { # N PATH MODE OWNER GROUP
    save "$1" "$2" && place "$T/new/$1" "$2" "$3" "$4" "$5"
}

drop() { # N PATH
    save "$1" "$2" && rm -f -- "$2"
}

restore() { # N PATH
    if [ -f "$T/old/$1.absent" ]; then
        rm -f -- "$2"
    elif [ -f "$T/old/$1" ]; then
        new=${2%/*}/.${2##*/}.mailprov
        cp -a -- "$T/old/$1" "$new" && mv -fT -- "$new" "$2" && sync -- "$2"
    fi
}

put_map() { # N PATH MODE OWNER GROUP
    save "$1" "$2" && save "$1.db" "$2.db" &&
        place "$T/new/$1" "$2" "$3" "$4" "$5" && place "$T/new/$1.db" "$2.db" "$3" "$4" "$5" &&
        touch -r "$2" -- "$2.db"
}

restore_map() { # N PATH
    restore "$1" "$2" && restore "$1.db" "$2.db"
}

# --- steps on services

# On Debian 11 and 12 postfix.service is a oneshot around postfix@-.service, and "active" whatever happens there.
wrapped() { [ "$1" = postfix ] && [ "$(systemctl show -p Type --value postfix.service)" = oneshot ]; }

unit() { # NAME: the unit that really runs
    if wrapped "$1"; then echo postfix@-.service; else echo "$1.service"; fi
}

owe() { # NAME
    grep -qxF "$1" "$STATE/owed" 2>/dev/null || echo "$1" >>"$STATE/owed"
    sync "$STATE/owed"
}

paid() { # NAME
    [ -f "$STATE/owed" ] || return 0
    grep -vxF "$1" "$STATE/owed" >"$STATE/owed.new"
    mv "$STATE/owed.new" "$STATE/owed"
}

activate() { # NAME start|reload|restart
    if [ "$1" = systemd ]; then
        systemctl daemon-reload
    else
        [ "$2" != start ] || ! wrapped "$1" || systemctl stop "$1.service"
        systemctl "$2" "$1.service" && systemctl -q is-active "$(unit "$1")"
    fi && paid "$1"
}

stop() { systemctl stop "$1.service"; }

stand_down() { systemctl disable -q --now "$1.service"; }

stand_up() { systemctl enable -q --now "$1.service"; }

unload() { # N
    nft list table inet mailprov >"$T/old/$1" && nft delete table inet mailprov
}

reload_table() { # N
    [ ! -s "$T/old/$1" ] || nft -f "$T/old/$1"
}

# --- staging

copy() { :; } # the payload is the thing

self_signed() { # N NAME...
    n=$1
    shift
    names=$(printf ',DNS:%s' "$@")
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 397 -subj "/CN=$1" \
        -addext "subjectAltName=${names#,}" -addext keyUsage=critical,digitalSignature \
        -addext extendedKeyUsage=serverAuth -keyout "$T/new/$n.key" -out "$T/new/$n.crt" &&
        cat "$T/new/$n.key" "$T/new/$n.crt" >"$T/new/$n" && rm -f "$T/new/$n.key" "$T/new/$n.crt"
}

# new/N holds "S<row>" and "D<key>" lines: make the whole table of them and of the live one. A row whose password
# belongs to its user keeps the one that it has.
merged() { # N PATH SEPARATOR
    old=/dev/null
    [ ! -f "$2" ] || old=$2
    # shellcheck disable=SC2016
    awk -v "FS=$3" -v "DELTA=$T/new/$1" '
        FILENAME == DELTA {
            row = substr($0, 2)
            split(row, field, FS)
            if ($0 ~ /^D/) gone[field[1] == "" ? row : field[1]] = 1
            else new[field[1]] = row
            next
        }
        $1 in seen { next }
        { seen[$1] = 1 }
        $1 in gone { next }
        $1 in new {
            row = new[$1]
            delete new[$1]
            n = split(row, field, FS)
            if (FS == ":" && field[5] == "initial" && field[2] == "" && $5 == "initial")
                row = $1 ":" $2 substr(row, length($1) + 2)
            print row
            next
        }
        { print }
        END { for (key in new) print new[key] }
    ' "$T/new/$1" "$old" | sort >"$T/new/$1.merged" && mv "$T/new/$1.merged" "$T/new/$1"
}

merge() { # N PATH SEPARATOR DIGEST
    merged "$1" "$2" "$3" || return 1
    found=$(awk -F: -v OFS=: '$5 == "initial" { $2 = "" } { print }' "$T/new/$1" | sha256sum)
    [ "${found%% *}" = "$4" ] || { echo "merging into $2 gave other rows than planned"; return 1; }
}

merge_map() { # N PATH DIGEST
    merged "$1" "$2" ' ' || return 1
    found=$(sha256sum <"$T/new/$1")
    [ "${found%% *}" = "$3" ] || { echo "merging into $2 gave other rows than planned"; return 1; }
    postmap "hash:$T/new/$1"
}

# --- validators, run where the staged tree is /etc

certificate_matches() { # CERTIFICATE KEY
    public=$(openssl pkey -in "$2" -pubout)
    [ -n "$public" ] && [ "$public" = "$(openssl x509 -in "$1" -noout -pubkey)" ] ||
        { echo "the key in $2 does not belong to the certificate in $1"; return 1; }
    openssl x509 -in "$1" -noout -checkend 0 || { echo "the certificate in $1 has expired"; return 1; }
}

postfix_check() {
    # 3.5 and 3.7 print nothing without a terminal, and an unknown setting is a warning only.
    postfix check || { echo "postfix check: exit $?"; return 1; }
    unused=$(postconf -n 2>&1 >/dev/null | grep -v smtpd_forbid_)
    [ -z "$unused" ] || { echo "$unused"; return 1; }
}

# --- health, seen on the host; what clients see is the controller's to judge

serves() { # PORT STARTTLS CERTIFICATE
    want=$(openssl x509 -in "$3" -noout -fingerprint -sha256)
    tries=0
    while :; do
        got=$(timeout 5 openssl s_client ${2:+-starttls "$2"} -connect "127.0.0.1:$1" </dev/null 2>/dev/null |
            openssl x509 -noout -fingerprint -sha256 2>/dev/null)
        [ "$want" != "$got" ] || return 0
        tries=$((tries + 1))
        [ $tries -lt 20 ] || break
        sleep 0.2
    done
    [ -n "$got" ] && echo "port $1 serves another certificate: $got" || echo "port $1 gives no TLS session"
    return 1
}

# --- the transaction

# shellcheck source=/dev/null
. "$T/steps.sh"

verdict() { # WORD
    journal "verdict $1"
}

unchanged() {
    sh "$T/ask.sh" >"$T/live"
    found=$(grep -E "^($STABLE) " "$T/live" | sha256sum)
    [ "${found%% *}" = "$EXPECTED" ]
}

act() { # N
    journal "do $1"
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

# The commit is rehearsed in a mount namespace where /etc is a copy in memory; the validators then see the whole tree at
# its final paths.
rehearse() {
    REHEARSAL=yes
    mkdir -p "$T/etc" && mount -t tmpfs -o mode=755 tmpfs "$T/etc" && cp -a /etc/. "$T/etc/" && mount --bind "$T/etc" /etc ||
        { echo 'no private copy of /etc can be made'; return 1; }
    # shellcheck disable=SC2086
    each rehearse_one $COMMIT && validators
}

revert() { # the done steps, backwards; then every reload that is owed
    journal revert
    back=
    # shellcheck disable=SC2013
    for n in $(awk '$2 == "do" { print $3 }' "$T/journal"); do back="$n $back"; done
    whole=yes
    for n in $back; do
        run "undo_$n" && journal "undone $n" || { journal "stuck $n"; whole=; }
    done
    for name in $(cat "$STATE/owed" 2>/dev/null); do
        # shellcheck disable=SC2154
        run activate "$name" reload || { journal "owes $name"; whole=; }
    done
    [ -n "$whole" ] && verdict reverted || verdict mixed
}

seal() { # the manifest: what was asked for, and what is there now
    cp "$T/managed" "$STATE/managed" && sh "$T/ask.sh" >"$T/after" &&
        { cat "$T/desired" && grep -E "^($STABLE) " "$T/after"; } >"$STATE/manifest.new" &&
        sync "$STATE/manifest.new" && mv -fT "$STATE/manifest.new" "$STATE/manifest"
}

apply() {
    journal begin
    unchanged || { cat "$T/live" >"$T/moved"; verdict stale; return; }
    # shellcheck disable=SC2086
    {
        each act $PREPARE || { verdict failed; return; }
        each stage $STAGED || { verdict failed; return; }
        if [ -n "$VALIDATE" ]; then
            journal validate
            run unshare --mount --propagation private sh "$T/run" "$T" rehearse || { verdict failed; return; }
        fi
        journal commit
        each act $RETIRE && each act $COMMIT && each act $ACTIVATE || { revert; return; }
    }
    journal health
    health || { journal 'failed health'; revert; return; }
    run seal || { journal 'failed seal'; revert; return; }
    verdict applied
}

mkdir -p "$T/old"
case $2 in
    rehearse) rehearse ;;
    apply)
        exec 9>>"$STATE/lock"
        if flock -n 9; then
            cp "$T/holder" "$STATE/holder"
            apply
            # Staged copies may hold secrets that are in place by now.
            rm -rf "$T/new"
        else
            journal "says $(tr -cd '\40-\176' <"$STATE/holder")"
            verdict locked
        fi
        ;;
esac
