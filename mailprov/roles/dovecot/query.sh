# What is asked of a host's Dovecot beside the things that are managed. POSIX sh, read-only; a part of the probe.

# A Dovecot that somebody else has set up: its settings, and who can log in. Of the system's own users, those who have
# a password; where Dovecot does not run, nobody can.
dovecot_setup() {
    command -v doveconf >/dev/null || return
    doveconf -n | sed 's/^/set /'
    systemctl -q is-active dovecot.service || { echo down; return; }
    users=$(doveadm user '*') || echo unlisted
    {
        getent shadow | awk -F: '$2 == "" || $2 ~ /^[!*]/ { print "locked " $1 }'
        printf '%s\n' "$users"
    } | awk '$1 == "locked" { locked[$2]; next } NF && !($0 in locked) { print "login " $0 }'
}
