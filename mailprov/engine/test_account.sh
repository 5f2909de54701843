# Accounts that exist while mailprov logs in as a client: sh -c THIS mailprov open|begin|close [ADDRESS] [THIS] [ROW]
# The account's row is on stdin, or in the file ROW; "begin" does not wait until Dovecot sees it; "open"
# lets an apply that is at work end first. Each has a row of its own, so that verifications do not meet; "close" without
# an address ends all. With the last one, what was there before comes back byte for byte: until then a probe tells of
# these files what they were (probe.sh).
# shellcheck disable=SC2015
set -u
umask 077
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
unset POSIXLY_CORRECT
STATE=/var/lib/mailprov
KEPT=$STATE/testaccount
MAP=/etc/postfix/mailprov/verify

open() { # ADDRESS SCRIPT [ROW]
    [ -f "$TEST_ACCOUNTS" ] && [ -f "$MAP.db" ] || { echo 'mailprov has not been applied to this host' >&2; return 1; }
    proper "$1" || { echo "$1 is no test account's address" >&2; return 1; }
    # If nobody closes it, it closes itself.
    mkdir -p "$KEPT" && printf '%s' "$2" >"$KEPT/run.new" && mv -f -- "$KEPT/run.new" "$KEPT/run" && keep &&
        systemd-run -q --collect --unit="mailprov-${1%@*}" --on-active=600 /bin/sh "$KEPT/run" close "$1" &&
        cat ${3:+"$3"} >"$KEPT/row.$1" && renew || { close "$1"; return 1; }
}

# The files as they are without any of these accounts.
keep() {
    [ ! -f "$KEPT/map.db" ] || return 0
    cp -p -- "$TEST_ACCOUNTS" "$KEPT/accounts" && cp -p -- "$MAP" "$KEPT/map" && cp -p -- "$MAP.db" "$KEPT/db.new" &&
        mv -- "$KEPT/db.new" "$KEPT/map.db"
}

renew() { # both tables hold just the rows that are kept
    true >"$KEPT/new.accounts" && true >"$KEPT/new.map" || return 1
    for row in "$KEPT"/row.*; do
        [ -f "$row" ] || continue
        cat "$row" >>"$KEPT/new.accounts" && echo "${row#"$KEPT/row."} ${row#"$KEPT/row."}" >>"$KEPT/new.map" || return 1
    done
    postmap "hash:$KEPT/new.map" && put accounts "$TEST_ACCOUNTS" && put map "$MAP" && put map.db "$MAP.db" &&
        touch -r "$MAP" -- "$MAP.db"
}

# "was" is what it is about to be: a probe knows these files by it. Dovecot looks at size and whole seconds only.
put() { # NAME FILE
    cp -p -- "$KEPT/$1" "$2.new" && cat "$KEPT/new.$1" >"$2.new" && cp -- "$KEPT/new.$1" "$KEPT/was.$1" || { rm -f -- "$2.new"; return 1; }
    [ "$(stat -c %Y -- "$2.new")" -gt "$(stat -c %Y -- "$2")" ] || touch -d "@$(($(stat -c %Y -- "$2") + 1))" -- "$2.new"
    mv -f -- "$2.new" "$2"
}

close() { # [ADDRESS]
    for row in "$KEPT"/row.*; do
        address=${row#"$KEPT/row."}
        [ -f "$row" ] && { [ $# = 0 ] || [ "$1" = "$address" ]; } || continue
        systemctl --no-block stop "mailprov-${address%@*}.timer" 2>/dev/null
        remove_mail "$address" && rm -f -- "$row"
    done
    for row in "$KEPT"/row.*; do
        [ ! -f "$row" ] || { renew; return; }
    done
    rm -f -- "$TEST_ACCOUNTS.new" "$MAP.new" "$MAP.db.new"
    [ ! -f "$KEPT/address" ] || remove_mail "$(cat "$KEPT/address")" # as it was kept when there was one at a time
    put_back accounts "$TEST_ACCOUNTS" && put_back map "$MAP" && put_back map.db "$MAP.db" && rm -rf -- "$KEPT"
}

# What somebody has replaced since is theirs. On a full disk it may take another time: what is kept goes at the end.
put_back() { # NAME FILE
    [ -f "$KEPT/$1" ] && [ -f "$2" ] || return 0
    [ ! -f "$KEPT/was.$1" ] || cmp -s -- "$KEPT/was.$1" "$2" || return 0
    cp -p -- "$KEPT/$1" "$2.new" && mv -f -- "$2.new" "$2" || { rm -f -- "$2.new"; return 1; }
}

proper() { # ADDRESS
    case ${1%@*} in mailprov-test-*[!0-9a-f-]*) return 1 ;; mailprov-test-?*) ;; *) return 1 ;; esac
    case ${1##*@} in */* | '' | .* | *' '*) return 1 ;; esac
}

remove_mail() { # only ever a test account's
    proper "$1" || return 0
    rm -rf -- "/var/vmail/${1##*@}/${1%@*}"
    rmdir -- "/var/vmail/${1##*@}" 2>/dev/null || :
}

# One at a time changes the tables; the lock goes with whoever holds it.
in_turn() { # COMMAND...
    exec 8>>"$STATE/testaccount.lock"
    flock -w 30 8 || { echo 'another verification is changing its test account' >&2; return 1; }
    "$@" 8>&-
}

# An apply holds the lock of all transactions until its end. Whoever asked hears of it as long as it lasts; where nobody
# listens any more, no account is made that nobody would close.
after_others() {
    [ -e "$STATE/open" ] && [ -s "$STATE/holder" ] || return 0
    exec 9>>"$STATE/lock"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do
        ! flock -w 5 9 || break
        echo 'an apply is at work' || exit 1
    done
    exec 9>&-
}

case $1 in
    begin) in_turn open "$2" "$3" "$4" ;;
    # Dovecot looks at a passwd-file once in each second of the clock.
    open) after_others; in_turn open "$2" "$3" && sleep 1.1 ;;
    close)
        shift
        [ ! -d "$KEPT" ] || in_turn close "$@"
        ;;
esac
