# What a step can do on a host, and how that is taken back. N is the step's number: what it makes is staged in new/N,
# what it replaces is kept in old/N. POSIX sh; a part of the transaction's script, where T, STATE and BOOT are set.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

keep() { :; }

# What a command says is kept whole, or not at all: half a note would be taken for what was there.
noted() { # NAME COMMAND...
    note=$T/old/$1
    shift
    said=$("$@" 2>/dev/null)
    printf '%s\n' "$said" >"$note.part" && sync -- "$note.part" && mv -- "$note.part" "$note" && sync -- "$T/old"
}

# --- packages and system users

# Debian starts a daemon as soon as it is unpacked, with a configuration that nobody declared, and restarts one that
# runs, which cuts its sessions. A masked unit is not started: not by apt, not at the next boot. A new one stays masked
# until a later step enables it, configured; one that runs is masked only while apt works.
install_packages() { # NAME...
    for name in dovecot postfix; do
        if ! systemctl cat "$name.service" >/dev/null 2>&1; then
            systemctl mask -q "$name.service"
        elif running "$name"; then
            systemctl mask -q --runtime "$name.service"
        fi
    done
    apt_install "$@"
    status=$?
    unmask
    return $status
}

# The mask of one that ran has served its time; what apt did not bring needs none.
unmask() {
    for name in dovecot postfix; do
        [ ! -L "/run/systemd/system/$name.service" ] || systemctl unmask -q --runtime "$name.service"
        [ -e "/lib/systemd/system/$name.service" ] || systemctl unmask -q "$name.service"
    done
}

apt_install() {
    set -- -y -q --no-install-recommends --no-remove -o DPkg::Lock::Timeout="$APT_PATIENCE" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install "$@"
    # What may be in the way: missing or old lists, and a dpkg that was cut off.
    apt-get "$@" || {
        dpkg --configure -a
        apt-get -q -o DPkg::Lock::Timeout="$APT_PATIENCE" update && apt-get "$@"
    }
}

system_user() { # N NAME HOME SHELL; in a rehearsal, only what others need: a new group would be given to files at home
    [ -z "$REHEARSAL" ] || { own_group "$2" "$(getent passwd "$2" | cut -d: -f4)"; return; }
    getent group "$2" >"$T/old/$1.own"
    getent group "$(getent passwd "$2" | cut -d: -f4)" >"$T/old/$1.group"
    sync -- "$T/old/$1.own" "$T/old/$1.group" "$T/old"
    if getent passwd "$2" >"$T/old/$1"; then
        own_group "$2" "$(cut -d: -f4 "$T/old/$1")" && usermod --gid "$2" --home "$3" --shell "$4" "$2"
    else
        # Mail that is there belongs to a number: the new user gets it, where nobody else has it.
        owner=$(stat -c %u -- "$3" 2>/dev/null)
        [ -z "$owner" ] || ! getent passwd "$owner" >/dev/null || owner=
        own_group "$2" "$(stat -c %g -- "$3" 2>/dev/null)" &&
            useradd --system --gid "$2" ${owner:+--uid "$owner"} --no-create-home --home-dir "$3" --shell "$4" "$2"
    fi
}

own_group() { # NAME NUMBER: a user's own group, by that number where nobody else has it
    ! getent group "$1" >/dev/null || return 0
    if [ -z "$2" ] || getent group "$2" >/dev/null; then groupadd --system "$1"; else groupadd --system --gid "$2" "$1"; fi
}

former_user() { # N NAME; one that was made stays: it may own mail by now
    [ -s "$T/old/$1" ] || return 0
    n=$1 name=$2
    set -- --home "$(cut -d: -f6 "$T/old/$n")" --shell "$(cut -d: -f7 "$T/old/$n")"
    [ ! -s "$T/old/$n.group" ] || set -- "$@" --gid "$(cut -d: -f4 "$T/old/$n")"
    usermod "$@" "$name" || return 1
    [ -s "$T/old/$n.own" ] || ! getent group "$name" >/dev/null || groupdel -f "$name"
}

# --- files and folders

folder() { # N PATH MODE OWNER GROUP
    if [ -d "$2" ] && [ ! -L "$2" ]; then
        [ -n "$REHEARSAL" ] || noted "$1.folder" stat -c '%a %u:%g' -- "$2"
    else
        [ ! -e "$2" ] && [ ! -L "$2" ] || { echo "$2 is in the way: not a folder"; return 1; }
        mkdir -p -- "$2"
    fi && chown "$4:$5" -- "$2" && chmod "$3" -- "$2"
}

former_folder() { # N PATH; one that has got content since is left, unless it is what could not be taken back yet
    if [ -f "$T/old/$1.folder" ]; then
        read -r mode owner <"$T/old/$1.folder"
        chown "$owner" -- "$2" && chmod "$mode" -- "$2"
    elif [ -d "$2" ]; then
        rmdir -- "$2" || { [ -n "${whole-yes}" ] && [ -n "$(ls -A -- "$2")" ]; }
    fi
}

save() { # N PATH
    [ -z "$REHEARSAL" ] || return 0
    if [ -e "$2" ] || [ -L "$2" ]; then
        [ -f "$2" ] && [ ! -L "$2" ] || { echo "$2 is in the way: not a plain file"; return 1; }
        cp -a -- "$2" "$T/old/$1.part" && sync -- "$T/old/$1.part" && mv -- "$T/old/$1.part" "$T/old/$1"
    else
        : >"$T/old/$1.absent"
    fi && sync -- "$T/old"
}

# A rename is what makes a change whole: readers see the old file or the new one.
place() { # NEW PATH MODE OWNER GROUP
    new=${2%/*}/.${2##*/}.mailprov
    (umask 077 && cat -- "$1" >"$new") && chown "$4:$5" -- "$new" && chmod "$3" -- "$new" && age "$new" "$2" &&
        sync -- "$new" && mv -fT -- "$new" "$2" && sync -- "${2%/*}" && return 0
    rm -f -- "$new"
    return 1
}

# Postfix waits while main.cf is younger than two seconds; Dovecot tells passwd-files apart by size and whole seconds.
age() { # NEW OLD
    touch -d '-3 seconds' -- "$1"
    [ ! -e "$2" ] || [ "$(stat -c %Y -- "$1")" -gt "$(stat -c %Y -- "$2")" ] ||
        touch -d "@$(($(stat -c %Y -- "$2") + 1))" -- "$1"
}

put() { # N PATH MODE OWNER GROUP
    save "$1" "$2" && place "$T/new/$1" "$2" "$3" "$4" "$5"
}

drop() { # N PATH
    save "$1" "$2" && rm -f -- "$2" && sync -- "${2%/*}"
}

restore() { # N PATH
    rm -f -- "${2%/*}/.${2##*/}.mailprov"
    if [ -f "$T/old/$1.absent" ]; then
        rm -f -- "$2"
    elif [ -f "$T/old/$1" ]; then
        new=${2%/*}/.${2##*/}.mailprov
        cp -a -- "$T/old/$1" "$new" && sync -- "$new" && mv -fT -- "$new" "$2"
    else
        return 0 # it died before it was saved: nothing was touched
    fi && sync -- "${2%/*}"
}

put_map() { # N PATH MODE OWNER GROUP
    save "$1" "$2" && save_database "$1.db" "$2.db" &&
        place "$T/new/$1" "$2" "$3" "$4" "$5" && place "$T/new/$1.db" "$2.db" "$3" "$4" "$5" &&
        touch -r "$2" -- "$2.db"
}

former_map() { # N PATH
    restore "$1" "$2" && restore "$1.db" "$2.db" && { [ ! -L "$T/old/$1.db.link" ] || cp -aT -- "$T/old/$1.db.link" "$2.db"; }
}

save_database() { # N PATH: a link in its place is kept as the link that it is
    if [ -L "$2" ] && [ -z "$REHEARSAL" ]; then
        cp -aT -- "$2" "$T/old/$1.link" && : >"$T/old/$1.absent" && sync -- "$T/old"
    else
        [ -L "$2" ] || save "$1" "$2"
    fi
}

# A passwd-file as it was, but for the passwords that users have changed since: those are theirs.
own_passwords() { # LIVE FORMER
    awk -F: -v OFS=: '
        FILENAME == ARGV[1] { if ($5 == "initial") own[$1] = $2; next }
        $5 == "initial" && $1 in own { $2 = own[$1] }
        { print }
    ' "$1" "$2" >"$2.now" && cat -- "$2.now" >"$2" && rm -f -- "$2.now"
}

former_accounts() { # N PATH
    if [ -f "$T/old/$1" ] && [ -f "$2" ]; then
        cp -a -- "$T/old/$1" "$T/old/$1.back" && own_passwords "$2" "$T/old/$1.back" && place_as_kept "$T/old/$1.back" "$2"
    else
        restore "$1" "$2"
    fi
}

# --- services

# On Debian 11 and 12 postfix.service is a oneshot around postfix@-.service, and "active" whatever happens there.
wrapped() { [ "$1" = postfix ] && [ "$(systemctl show -p Type --value postfix.service)" = oneshot ]; }

unit() { # NAME: the unit that really runs
    if wrapped "$1"; then echo postfix@-.service; else echo "$1.service"; fi
}

running() { # NAME
    systemctl -q is-active "$(unit "$1")"
}

# What is owed is written down before the files change and struck out when it has happened, so that no reload is
# ever forgotten: not by a failure, a kill or a power cut.
owe() { # NAME reload|restart
    [ -n "$BOOT" ] || [ "$1" = systemd ] || echo "$1 $2" >>"$STATE/owed"
    [ ! -f "$STATE/owed" ] || sync -- "$STATE/owed"
}

paid() { # NAME
    [ -f "$STATE/owed" ] || return 0
    grep -v "^$1 " "$STATE/owed" >"$STATE/owed.new"
    # 1: no line is left; 2: they could not be written
    [ $? -lt 2 ] && sync -- "$STATE/owed.new" && mv -f -- "$STATE/owed.new" "$STATE/owed"
}

pay() { # every debt, restarts first
    for name in $(cut -d' ' -f1 "$STATE/owed" 2>/dev/null | sort -u); do
        action=reload
        ! grep -qx "$name restart" "$STATE/owed" || action=restart
        # One that is down has nothing to reload: it reads everything when it starts.
        running "$name" || { paid "$name"; continue; }
        activate "$name" $action || return 1
    done
}

activate() { # NAME start|reload|restart
    if [ "$1" = systemd ]; then
        systemctl daemon-reload
    else
        [ "$2" != start ] || ! wrapped "$1" || systemctl stop "$1.service"
        # Dovecot has sockets in Postfix's folders, which a Postfix that never ran may not have made yet.
        [ "$1" != dovecot ] || [ ! -x /usr/sbin/postfix ] || [ -d /var/spool/postfix/private ] || postfix check
        case "$1 $2" in 'dovecot reload') reload_dovecot ;; *) systemctl "$2" "$1.service" ;; esac && running "$1"
    fi && paid "$1"
}

stop() { # NAME
    systemctl stop ${BOOT:+--no-block} "$1.service"
    systemctl reset-failed "$1.service" "$(unit "$1")" 2>/dev/null
    [ -n "$BOOT" ] || ! running "$1"
}

enable() { # N NAME
    noted "$1" systemctl is-enabled "$2.service" && systemctl unmask -q "$2.service" &&
        systemctl unmask -q --runtime "$2.service" && noted "$1.below" systemctl is-enabled "$2.service" &&
        systemctl enable -q "$2.service"
}

former_enabling() { # N NAME
    [ -f "$T/old/$1" ] || return 0 # it died before it was noted: nothing was touched
    was=$(cat "$T/old/$1") below=$(cat "$T/old/$1.below" 2>/dev/null) # "": nothing was enabled yet
    [ "$was" != enabled ] || return 0
    case $below in enabled | '') ;; *) systemctl disable -q "$2.service" ;; esac || return 1
    case $was in
        masked) systemctl mask -q "$2.service" ;;
        masked-runtime) [ -n "$BOOT" ] || systemctl mask -q --runtime "$2.service" ;;
    esac || return 1
    # A boot has it among what it is about to start by now, and has forgotten a mask that was to end with the last one.
    [ -z "$BOOT" ] || [ "$was $below" = 'masked-runtime enabled' ] || stop "$2"
}

stand_down() { systemctl disable -q --now "$1.service"; }

stand_up() { systemctl enable -q "$1.service" && systemctl start ${BOOT:+--no-block} "$1.service"; }

# Dovecot looks at a passwd-file once in each second of the clock. Where the clock stands still, time passes anyway.
outlast() { # SECOND
    for _ in $(seq 22); do
        [ "$(date +%s)" = "$1" ] || return 0
        sleep 0.05
    done
}

# Their names are in a file: thousands of them are more than a program takes as words.
dismiss() { # N: end the sessions of the closed accounts that new/N names
    names=$(doveadm who -1 2>/dev/null | awk -v "CLOSED=$T/new/$1" '
        BEGIN { while ((getline name <CLOSED) > 0) closed[name] = 1 }
        NR > 1 && $1 in closed { print $1 }
    ' | sort -u)
    [ -n "$names" ] || return 0
    outlast "$(date +%s)" # until then they would be let in again
    for name in $names; do doveadm kick "$name"; done
    return 0
}

# The kernel's table is kept as a script that puts it back, or that removes ours where there was none.
keep_table() { # N
    noted "$1" table_script
}

table_script() {
    printf 'table inet mailprov\ndelete table inet mailprov\n'
    nft list table inet mailprov
}

load_firewall() { # N start|reload
    keep_table "$1" && activate mailprov-firewall "$2"
}

unload_firewall() { # N
    keep_table "$1" && nft delete table inet mailprov
}

former_firewall() { # N
    [ -s "$T/old/$1" ] || return 0 # it died before it was kept: nothing was touched
    grep -q '{' "$T/old/$1" || stop mailprov-firewall || return 1 # there was none; a boot may be about to load one
    [ -n "$BOOT" ] || nft -f "$T/old/$1"
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

# new/N holds "S<row>" and "D<key>" lines: make the whole table of them and of the live one. Lines that are no rows
# (comments, blank or broken ones) go; rows.py knows them by the same signs. A row whose password belongs to its user
# keeps the one that it has, whoever owned it before.
merged() { # N PATH SEPARATOR
    old=/dev/null
    [ ! -f "$2" ] || old=$2
    awk -v "FS=$3" -v "DELTA=$T/new/$1" '
        FILENAME == DELTA {
            row = substr($0, 2)
            split(row, field, FS)
            if ($0 ~ /^D/) gone[field[1] == "" ? row : field[1]] = 1
            else new[field[1]] = row
            next
        }
        { sub(/[ \t\r]+$/, "") }
        NF < 2 || $1 !~ /^[^# ]+$/ || $0 !~ /^[!-~][ -~]*$/ || $1 in seen { next }
        { seen[$1] = 1 }
        $1 in gone { next }
        $1 in new {
            row = new[$1]
            delete new[$1]
            n = split(row, field, FS)
            if (FS == ":" && field[5] == "initial" && field[2] == "")
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

adopt() { # TRANSACTION: what was asked for before it is what is asked for now
    former=$STATE/txn/$1/former
    : >"$T/managed"
    head -n 2 "$T/desired" >"$T/desired.new"
    if [ -f "$former/manifest" ]; then
        grep '^desired ' "$former/manifest" >>"$T/desired.new"
        cp -- "$former/managed" "$T/managed"
    fi
    mv -- "$T/desired.new" "$T/desired"
}

# --- going back: staged is what an earlier transaction replaced, with its mode and owner, or the mark of its absence

take() { # N KEPT
    if [ -f "$2" ]; then cp -a -- "$2" "$T/new/$1"; else [ -f "$2.absent" ] && : >"$T/new/$1.absent"; fi
}

take_map() { # N KEPT
    take "$1" "$2" && take "$1.db" "$2.db"
}

take_accounts() { # N KEPT PATH
    take "$1" "$2" && { [ ! -f "$T/new/$1" ] || [ ! -f "$3" ] || own_passwords "$3" "$T/new/$1"; }
}

put_back() { # N PATH
    if [ -f "$T/new/$1.absent" ]; then drop "$1" "$2"; else save "$1" "$2" && place_as_kept "$T/new/$1" "$2"; fi
}

put_back_map() { # N PATH
    put_back "$1" "$2" && put_back "$1.db" "$2.db" && { [ ! -f "$2.db" ] || touch -r "$2" -- "$2.db"; }
}

place_as_kept() { # KEPT PATH
    new=${2%/*}/.${2##*/}.mailprov
    mkdir -p -- "${2%/*}" && cp -a -- "$1" "$new" && age "$new" "$2" && sync -- "$new" && mv -fT -- "$new" "$2" &&
        sync -- "${2%/*}"
}
