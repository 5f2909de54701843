# What a step can do with packages, system users, services and the kernel's firewall, and how that is taken back.
# POSIX sh; a part of the transaction's script, as acts.sh is.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

# --- packages

# Debian starts a daemon as soon as it is unpacked, with a configuration that nobody declared, and restarts one that
# runs, which cuts its sessions. A masked unit is not started: not by apt, not at the next boot. A new one stays masked
# until a later step enables it, configured; one that runs is masked only while apt works. The masks outlive whoever is
# at work here; so does apt, which is waited for before one is lifted.
install_packages() { # N NAME...
    n=$1
    shift
    half_installed >"$T/old/$n.torn" && versions >"$T/old/$n.versions" && sync -- "$T/old/$n.torn" "$T/old/$n.versions" || return 1
    for name in dovecot postfix; do
        # One may run whose unit was taken away.
        if running "$name"; then
            systemctl mask -q --runtime "$name.service"
        elif ! systemctl cat "$name.service" >/dev/null 2>&1; then
            systemctl mask -q "$name.service"
        fi
    done
    exec 8>>"$T/apt"
    flock 8
    apt_install "$@"
    status=$?
    exec 8>&-
    unmask
    refresh "$n" && return $status
}

apt_install() { # NAME...
    # What may be in the way: missing or old lists, and a dpkg that was cut off.
    brought "$@" || {
        apt_get update
        whole_packages
        brought "$@"
    }
}

# Of one that was half unpacked, apt says that there is nothing to do.
brought() { # NAME...
    # shellcheck disable=SC2016 # dpkg's own words
    apt_get install "$@" && ! dpkg-query -W -f '${db:Status-Abbrev}\n' "$@" | grep -qv '^.i '
}

apt_get() { # WORD...
    apt-get -y -q --no-install-recommends --no-remove -o DPkg::Lock::Timeout="$APT_PATIENCE" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# One in which dpkg was killed while it unpacked has to be installed again by name: no --fix-broken does that.
whole_packages() {
    dpkg --configure -a
    # shellcheck disable=SC2016,SC2046 # dpkg's own words, and names of packages
    apt_get --fix-broken --reinstall install $(dpkg-query -W -f '${db:Status-Eflag} ${binary:Package}\n' | sed -n 's/^reinstreq //p')
}

# Packages stay, whole: what apt was killed in is finished, behind the masks. What was half installed before is not its
# business. A boot does not wait for apt: the watch comes back to it.
former_packages() { # N
    [ -f "$T/old/$1.versions" ] || return 0 # it died before that: nothing was touched
    if [ -f "$T/apt" ]; then
        exec 8<"$T/apt"
        flock -w 600 8 || { echo 'apt is still at work'; return 1; }
        exec 8>&-
    fi
    [ -n "$BOOT" ] || [ -z "$(torn_packages "$1")" ] || whole_packages || { apt_get update && whole_packages; }
    torn=$(torn_packages "$1")
    [ -z "$torn" ] || { echo "half installed:" $torn; return 1; }
    unmask
    [ -n "$BOOT" ] || refresh "$1"
}

torn_packages() { # N: those that are half installed by now, and were not before
    half_installed | grep -vxF -f "$T/old/$1.torn"
}

half_installed() {
    # shellcheck disable=SC2016 # dpkg's own words
    dpkg-query -W -f '${db:Status-Eflag} ${db:Status-Status} ${binary:Package}\n' |
        sed -nE '/^ok (installed|config-files|not-installed) /!s/.* //p'
}

# The mask of one that ran has served its time; what apt did not bring needs none.
unmask() {
    for name in dovecot postfix; do
        [ ! -L "/run/systemd/system/$name.service" ] || systemctl unmask -q --runtime "$name.service"
        [ -e "/lib/systemd/system/$name.service" ] || systemctl unmask -q "$name.service"
    done
}

versions() { # a daemon's name, and the versions of its packages
    for name in dovecot postfix; do
        # shellcheck disable=SC2016 # dpkg's own words
        echo "$name $(dpkg-query -W -f '${Package}=${Version} ' "$name" "$name-core" "$name-imapd" "$name-pop3d" "$name-lmtpd" 2>/dev/null)"
    done
}

# A daemon that ran and whose programs are others by now runs them, with the configuration that it had.
refresh() { # N
    versions >"$T/old/$1.versions.now"
    while read -r name; do
        [ "$name" != mailprov-firewall ] || continue
        old=$(grep "^$name " "$T/old/$1.versions") new=$(grep "^$name " "$T/old/$1.versions.now")
        running "$name" && ! upgraded "$old" "$new" || again "$name" || { echo "$name does not start again"; return 1; }
    done <"$T/up"
    cp -- "$T/old/$1.versions.now" "$T/old/$1.versions"
}

upgraded() { # OLD NEW: whether a package that was there has another version
    for package in $1; do
        case " $2 " in *" $package "*) ;; *) return 0 ;; esac
    done
    return 1
}

again() { # NAME
    systemctl reset-failed "$(unit "$1")" 2>/dev/null
    if running "$1"; then activate "$1" restart; else activate "$1" start; fi
}

# --- system users

system_user() { # N NAME HOME SHELL; in a rehearsal, only what others need: a new group would be given to files at home
    [ -z "$REHEARSAL" ] || { own_group "$2" "$(getent passwd "$2" | cut -d: -f4)"; return; }
    note_user "$1" "$2" || return 1
    if [ -s "$T/old/$1" ]; then
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

former_user() { # N NAME; one that was made goes again
    [ -f "$T/old/$1" ] || return 0 # it died before that: nothing was touched
    if [ -s "$T/old/$1" ]; then user_as_kept "$T/old/$1" "$2"; else unmake_user "$2"; fi
}

user_as_kept() { # KEPT NAME
    kept=$1 name=$2
    set -- --home "$(cut -d: -f6 "$kept")" --shell "$(cut -d: -f7 "$kept")"
    [ ! -s "$kept.group" ] || set -- "$@" --gid "$(cut -d: -f4 "$kept")"
    usermod "$@" "$name" || return 1
    [ -s "$kept.own" ] || ! getent group "$name" >/dev/null || groupdel -f "$name"
}

user_again_as() { # N NAME KEPT: in a roll-back, as it was
    note_user "$1" "$2" && user_as_kept "$3" "$2"
}

note_user() { # N NAME
    getent group "$2" >"$T/old/$1.own"
    getent group "$(getent passwd "$2" | cut -d: -f4)" >"$T/old/$1.group"
    getent passwd "$2" >"$T/old/$1"
    sync -- "$T/old/$1.own" "$T/old/$1.group" "$T/old/$1" "$T/old"
}

unmake_user() { # NAME; one that owns mail by now stays
    home=$(getent passwd "$1" | cut -d: -f6)
    [ -n "$home" ] && [ -z "$(ls -A -- "$home" 2>/dev/null)" ] || return 0
    userdel -- "$1" && { ! getent group "$1" >/dev/null || groupdel -- "$1"; }
}

no_user() { # N NAME: in a roll-back, one that the apply had made
    note_user "$1" "$2" && unmake_user "$2"
}

user_again() { # N NAME
    ! [ -s "$T/old/$1" ] || getent passwd "$2" >/dev/null || {
        IFS=: read -r _ _ uid gid _ home shell <"$T/old/$1"
        { getent group "$2" >/dev/null || groupadd --system --gid "$gid" "$2"; } &&
            useradd --system --uid "$uid" --gid "$gid" --no-create-home --home-dir "$home" --shell "$shell" "$2"
    }
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

# Those that run before anything is touched, packages included: what is taken back has them run again.
note_running() {
    for name in mailprov-recover mailprov-firewall dovecot postfix; do ! running "$name" || echo "$name"; done >"$T/up" && sync -- "$T/up"
}

# Before packages, and before files: a service that somebody stops in between is started again with what runs.
note_ports() {
    touch "$T/ports"
    ports | sort -u - "$T/ports" >"$T/ports.new" && sync -- "$T/ports.new" && mv -- "$T/ports.new" "$T/ports"
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
        systemctl daemon-reload
    else
        # Something else may have started it since it was looked at: with the configuration of before.
        [ "$2" != start ] || ! running "$1" || set -- "$1" restart
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

# Stopped, and enabled or masked as the words have it; what ran before runs again at an undo's end.
stand_down() { # N NAME WORD BELOW SOCKET STATE
    note_enabling "$1" "$2" && noted "$1.below" systemctl is-enabled "$2.service" &&
        systemctl stop "$2.service" && set_enabling "$2" "$3" "$4" && set_socket "$1" "$2" "$5" "$6" &&
        { systemctl reset-failed "$2.service" "$(unit "$2")" 2>/dev/null; :; }
}

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

# --- the kernel's firewall: its table is kept as a script that puts it back, or that removes ours where there was none

keep_table() { # N
    noted "$1" table_script
}

table_script() {
    printf 'table inet mailprov\ndelete table inet mailprov\n'
    nft list table inet mailprov
}

load_firewall() { # N start|reload
    keep_table "$1" && meant_table && activate mailprov-firewall "$2"
}

# What is meant is told by the kernel itself, in a network of its own where nobody else adds a rule.
meant_table() {
    made firewall "$(unshare --net sh -c 'nft -f /etc/mailprov/mailprov.nft && nft -s list table inet mailprov | sha256sum' | cut -c 1-64)" 'inet mailprov'
}

unload_firewall() { # N
    keep_table "$1" && { ! nft list table inet mailprov >/dev/null 2>&1 || nft delete table inet mailprov; }
}

put_table() { # N KEPT: in a roll-back, the table as it was
    keep_table "$1" && nft -f "$2"
}

former_firewall() { # N
    [ -s "$T/old/$1" ] || return 0 # it died before it was kept: nothing was touched
    grep -q '{' "$T/old/$1" || stop mailprov-firewall || return 1 # there was none; a boot may be about to load one
    [ -n "$BOOT" ] || nft -f "$T/old/$1"
}
