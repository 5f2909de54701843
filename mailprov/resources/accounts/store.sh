# The account store, which is a Dovecot passwd-file: no other shell knows where it lies, or what its fields are.
# POSIX sh; a part of each script that asks about accounts or changes them.
# shellcheck disable=SC2034

ACCOUNTS=/etc/dovecot/mailprov/accounts
# Of the same form: accounts that are there only while a client looks.
TEST_ACCOUNTS=/etc/dovecot/mailprov/verify

account_names() {
    [ ! -f "$ACCOUNTS" ] || awk -F: '{ print $1 }' "$ACCOUNTS"
}

has_account() { # ADDRESS
    account_names | grep -qxF -- "$1"
}

account_limits() { # ADDRESS: that it exists, where it may log in from, and what its mailbox may hold
    awk -F: -v address="$1" '$1 == address {
        print "exists"
        $2 = ""
        if (match($0, /allow_nets=[^ ]*/)) print "allow", substr($0, RSTART + 11, RLENGTH - 11)
        if (match($0, /quota_storage_size=[0-9]+B/)) print "limit", substr($0, RSTART + 19, RLENGTH - 20)
        if (match($0, /bytes=[0-9]+/)) print "limit", substr($0, RSTART + 6, RLENGTH - 6)
    }' "$ACCOUNTS" "$TEST_ACCOUNTS"
}

canary_account() {
    echo 'canary@canary.invalid:{PLAIN}canary:::managed:::'
}

# The rows of a table, less the passwords that belong to their users.
without_own_passwords() { # FILE
    awk -F: -v OFS=: '$5 == "initial" { $2 = "" } { print }' "$1"
}

# A table as it was, but for the passwords that users have changed since: those are theirs, whatever they are called.
own_passwords() { # LIVE FORMER [NAME_IN_LIVE=NAME_IN_FORMER...]
    live=$1 former=$2
    shift 2
    printf '%s\n' "$@" >"$former.names" && awk -F: -v OFS=: -v "NAMES=$former.names" '
        BEGIN { while ((getline pair <NAMES) > 0) if (split(pair, name, "=") == 2) called[name[2]] = name[1] }
        FILENAME == ARGV[1] { if ($5 == "initial") own[$1] = $2; next }
        { now = $1 in called ? called[$1] : $1 }
        $5 == "initial" && now in own { $2 = own[now] }
        $5 == "initial" && !(now in own) && $1 in own { $2 = own[$1] } # it has been put back before
        { print }
    ' "$live" "$former" >"$former.now" && cat -- "$former.now" >"$former" && rm -f -- "$former.now" "$former.names"
}

# What is to be merged into a table, as "S<row>", "D<name>" and "R<former name> <row>": a row without a password, which
# belongs to its user, gets the one that is there, whoever owned it before, and under whichever name; then it is an "S".
with_own_passwords() { # LIVE DELTA
    table_rows "$1" : | awk -F: -v OFS=: -v "DELTA=$2" '
        FILENAME != DELTA { own[$1] = $2; next }
        /^D/ { print; next }
        {
            former = ""
            row = substr($0, 2)
            if (/^R/) { former = row; sub(/ .*/, "", former); row = substr(row, length(former) + 2) }
            $0 = row
            if ($5 == "initial" && $2 == "") $2 = former in own ? own[former] : own[$1]
            print "S" $0
        }
    ' - "$2" >"$2.own" && mv -- "$2.own" "$2"
}
