# Where mailboxes are whose address changes.
# POSIX sh; a part of the probe's script, with what is in engine/probe.sh and resources/accounts/store.sh.

# Somebody who has an account and no mailbox yet may get one at any moment.
mailboxes() { # OLD NEW...
    {
        account_names | sed 's/^/= /'
        mailbox_places "$@"
    } | awk '
        $1 == "=" { account[substr($0, 3)] = 1; next }
        $1 != "other" && $2 in account { $1 = $3 in account ? "accounts" : $1 == "there" ? "both" : $1 == "new" ? "old" : $1 }
        { print }
    '
}

mailbox_places() { # OLD NEW...
    while [ $# -gt 1 ]; do
        old=/var/vmail/${1##*@}/${1%@*} new=/var/vmail/${2##*@}/${2%@*} place=new
        if { [ -L "$old" ] && [ "$(readlink "$old")" != "$new" ]; } || [ -L "$new" ]; then
            place=other # a link of somebody else's
        elif [ -d "$old" ] && [ ! -L "$old" ]; then
            place=old
            [ ! -e "$new" ] || place=both
        elif [ -e "$new" ]; then
            place=there
        fi
        echo "$place $1 $2"
        shift 2
    done
}
