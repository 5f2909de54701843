# An account that exists while mailprov logs in as a client: sh -c THIS mailprov open|begin|close ADDRESS [THIS] [ROW]
# The account's passwd-file row is on stdin, or in the file ROW; "begin" does not wait until Dovecot sees it. What was
# there before comes back byte for byte.
# shellcheck disable=SC2015
set -u
umask 077
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
KEPT=/var/lib/mailprov/testaccount
ACCOUNTS=/etc/dovecot/mailprov/verify
MAP=/etc/postfix/mailprov/verify

# KEPT holds the files as they were, and is the lock: two at once would each put back the other's.
open() {
    [ -f "$ACCOUNTS" ] && [ -f "$MAP.db" ] || { echo 'mailprov has not been applied to this host' >&2; return 1; }
    [ -z "$(find "$KEPT" -maxdepth 0 -mmin +10 2>/dev/null)" ] || put_back
    mkdir "$KEPT" || { echo 'another verification has its test account on this host' >&2; return 1; }
    cp -p -- "$ACCOUNTS" "$KEPT/accounts" && cp -p -- "$MAP" "$KEPT/map" && cp -p -- "$MAP.db" "$KEPT/map.db" &&
        cat ${3:+"$3"} >"$KEPT/row" && printf '%s' "$2" >"$KEPT/run" && echo "$1" >"$KEPT/address" || { rm -rf -- "$KEPT"; return 1; }
    # If nobody closes it, it closes itself.
    systemd-run -q --collect --unit=mailprov-testaccount --on-active=600 \
        /bin/sh "$KEPT/run" close "$1" || { rm -rf -- "$KEPT"; return 1; }
    cp -p -- "$KEPT/accounts" "$ACCOUNTS.new" && cat "$KEPT/row" >"$ACCOUNTS.new" && mv -f -- "$ACCOUNTS.new" "$ACCOUNTS" &&
        cp -p -- "$KEPT/map" "$MAP.new" && echo "$1 $1" >"$MAP.new" && postmap "hash:$MAP.new" &&
        chown --reference="$MAP.db" -- "$MAP.new.db" && chmod --reference="$MAP.db" -- "$MAP.new.db" &&
        mv -f -- "$MAP.new" "$MAP" && mv -f -- "$MAP.new.db" "$MAP.db" || { put_back; return 1; }
}

# What is kept goes when all of it is back: on a full disk that may take another time.
put_back() {
    rm -f -- "$ACCOUNTS.new" "$MAP.new" "$MAP.new.db"
    renewed accounts "$ACCOUNTS" && renewed map "$MAP" && renewed map.db "$MAP.db" || return 1
    read -r address <"$KEPT/address" && remove_mail "$address"
    rm -rf -- "$KEPT"
}

renewed() { # NAME FILE
    [ -f "$KEPT/$1" ] || return 0
    cp -p -- "$KEPT/$1" "$2.new" && mv -f -- "$2.new" "$2" || { rm -f -- "$2.new"; return 1; }
}

remove_mail() { # only ever a test account's
    local_part=${1%@*}
    domain=${1##*@}
    case $local_part in mailprov-test-*[!0-9a-f-]*) return ;; mailprov-test-?*) ;; *) return ;; esac
    case $domain in */* | '' | .*) return ;; esac
    rm -rf -- "/var/vmail/$domain/$local_part"
    rmdir -- "/var/vmail/$domain" 2>/dev/null || :
}

case $1 in
    begin) open "$2" "$3" "$4" ;;
    # Dovecot looks at a passwd-file once in each second of the clock.
    open) open "$2" "$3" && sleep 1.1 ;;
    close)
        systemctl stop mailprov-testaccount.timer 2>/dev/null
        [ ! -d "$KEPT" ] || put_back
        ;;
esac
