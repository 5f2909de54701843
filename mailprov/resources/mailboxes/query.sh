# Where mailboxes are whose address changes. POSIX sh; a part of the probe's script, with what is in engine/probe.sh.

mailboxes() { # OLD NEW...
    while [ $# -gt 1 ]; do
        old=/var/vmail/${1##*@}/${1%@*} new=/var/vmail/${2##*@}/${2%@*} place=new
        if [ -d "$old" ] && [ ! -L "$old" ]; then
            place=old
            [ ! -e "$new" ] || place=both
        fi
        echo "$place $1 $2"
        shift 2
    done | awk '
        BEGIN {
            while ((getline row <"/etc/dovecot/mailprov/accounts") > 0) { split(row, field, ":"); account[field[1]] = 1 }
        }
        $1 == "new" && $2 in account { $1 = "old" } # there is none yet, and may be one at any moment
        { print }
    '
}
