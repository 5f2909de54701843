# Which accounts there are, and what mail they have.
# POSIX sh; a part of the probe's script, with what is in engine/probe.sh and store.sh.

# A table's digest, less the passwords that belong to their users.
accounts() { # PATH
    [ -f "$1" ] && without_own_passwords "$1" | sha256sum
    stat -c '%F|%a|%U|%G|%n' -- "$1"
}

# What Dovecot makes of an account's home: other things may lie beside them, and are nobody's mail.
a_mailbox() { # FOLDER
    [ ! -L "$1" ] && [ ! -L "$1/Maildir" ] && [ -d "$1/Maildir/cur" ] &&
        [ "$(stat -c %U -- "$1" "$1/Maildir" | sort -u)" = vmail ]
}

leftovers() { # mail whose account is closed: its bytes, its messages, its address
    [ -f "$ACCOUNTS" ] || return 0
    {
        account_names
        printf '%s\n' /var/vmail/*/*/
    } | awk -F/ '
        !/^\// { account[$0] = 1; next }
        NF == 6 && !($5 "@" $4 in account) && $5 != "*" && $5 !~ /^mailprov-test-/
    ' | while IFS= read -r home; do
        a_mailbox "${home%/}" || continue
        address=${home#/var/vmail/} address=${address%/}
        size=$(du -sb -- "$home")
        messages=$(find "$home" -type f \( -path '*/cur/*' -o -path '*/new/*' \) | wc -l)
        echo "${size%%[!0-9]*} $messages ${address#*/}@${address%%/*}"
    done
}

usage() { # ADDRESS...: the bytes that its mail takes
    for address in "$@"; do
        size=$(du -sb -- "/var/vmail/${address##*@}/${address%@*}") && echo "${size%%[!0-9]*} $address"
    done
}
