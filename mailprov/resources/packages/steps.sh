# What a step can do with packages, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

# Debian starts a daemon as soon as it is unpacked, with a configuration that nobody declared, and restarts one that
# runs, which cuts its sessions. A masked unit is not started: not by apt, not at the next boot. A new one stays masked
# until a later step enables it, configured; one that runs is masked only while apt works. The masks outlive whoever is
# at work here; so does apt, which is waited for before one is lifted.
install_packages() { # N NAME...
    n=$1
    shift
    half_installed >"$T/old/$n.torn" && versions >"$T/old/$n.versions" && sync -- "$T/old/$n.torn" "$T/old/$n.versions" || return 1
    for name in $DAEMONS; do
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
        new_lists
        whole_packages
        brought "$@"
    }
}

# apt waits for dpkg's lock, but for that of its lists it does not. It takes none to tell what its lists are to be.
new_lists() {
    for _ in $(seq "$APT_PATIENCE"); do
        ! apt_get update || return 0
        apt-get indextargets >/dev/null || return 1
        sleep 1
    done
    return 1
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

# One in which dpkg was killed while it unpacked has to be installed again by name: no --fix-broken does that; nor does
# apt take names while what they need is not whole.
whole_packages() {
    dpkg --configure -a
    unpacked_again || { apt_get --fix-broken install; dpkg --configure -a; unpacked_again; }
}

unpacked_again() {
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
    [ -n "$BOOT" ] || [ -z "$(torn_packages "$1")" ] || whole_packages || { new_lists && whole_packages; }
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
    for name in $DAEMONS; do
        [ ! -L "/run/systemd/system/$name.service" ] || systemctl unmask -q --runtime "$name.service"
        [ -e "/lib/systemd/system/$name.service" ] || systemctl unmask -q "$name.service"
    done
}

versions() { # a daemon's name, and the versions of its packages; what only others speak of has none
    for name in $DAEMONS; do
        # shellcheck disable=SC2016,SC2046 # dpkg's own words, a word for each package
        echo "$name" $(dpkg-query -W -f '${db:Status-Status} ${Package}=${Version}\n' "$name" "$name-*" 2>/dev/null | sed -n 's/^installed //p')
    done
}

# A daemon that ran and whose programs are others by now runs them, with the configuration that it had.
refresh() { # N
    versions >"$T/old/$1.versions.now"
    while read -r name; do
        case " $DAEMONS " in *" $name "*) ;; *) continue ;; esac
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
