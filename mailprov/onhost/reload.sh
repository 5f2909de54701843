# How Dovecot is reloaded so that no mail client notices. POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2013,SC2015,SC2046

# A reload gives Dovecot a new auth process, and whoever is between greeting and login then fails at the old one. So new
# connections are held back for a moment until nobody is in between: their SYN is dropped, and sent again a second later.
reload_dovecot() {
    master=$(systemctl show -p MainPID --value dovecot.service)
    old=$(dovecot_processes 'auth( \[.*)?' | cut -d/ -f3)
    before=$(stat -c %i%Z /run/dovecot/login/login)
    hold_back
    tries=0 quiet=0
    while [ $quiet -lt 3 ] && [ $tries -lt 60 ]; do
        tries=$((tries + 1)) quiet=$((quiet + 1))
        [ -z "$(dovecot_processes '(imap|pop3)-login( \[.*pre-login.*\])? *|(imap|pop3) *')" ] || quiet=0
        sleep 0.02
    done
    service_folders
    systemctl reload dovecot.service
    status=$?
    tries=0 # it comes back before it has happened
    until [ "$(stat -c %i%Z /run/dovecot/login/login)" != "$before" ] || [ $tries -ge 200 ]; do
        tries=$((tries + 1))
        sleep 0.01
    done
    # Those who would neither log in nor leave are led to the new one by the end of the old.
    # shellcheck disable=SC2086 # numbers
    [ $quiet -ge 3 ] || kill $old 2>/dev/null
    let_in
    hand_over_again
    return $status
}

# Dovecot 2.4 makes a folder for each process that others speak to, at its start only; at a reload, one of a protocol
# that is new dies for want of it.
service_folders() {
    [ -d /run/dovecot/srv.indexer-worker ] || return 0
    for protocol in $(doveconf -h protocols 2>/dev/null); do
        for name in "$protocol" "$protocol-login"; do
            [ -d "/run/dovecot/srv.$name" ] || install -d -m 700 "/run/dovecot/srv.$name"
        done
    done
}

# A message that Postfix was just handing over is put off by it, for five minutes at least (postconf(5),
# minimal_backoff_time): it is offered again now.
hand_over_again() {
    sleep 0.2
    postqueue -j 2>/dev/null | grep -F 'private/dovecot-lmtp' | sed 's/.*"queue_id": "\([^"]*\)".*/\1/' | head -n 1000 |
        while read -r id; do postqueue -i "$id"; done
}

dovecot_processes() { # PATTERN: the /proc/PID/cmdline of its own whose name (as verbose_proctitle has it) fits
    tr ' ' '\n' <"/proc/$master/task/$master/children" | sed -n 's#.*[0-9]$#/proc/&/cmdline#p' |
        xargs -r grep -lzE "^dovecot/($1)\$" 2>/dev/null
}

# The kernel itself lets them in again after four seconds, whatever becomes of this process. Postfix's clients wait too:
# where its smtpd finds no auth to ask as it starts, it gives up, and Postfix leaves that port alone for a minute.
hold_back() {
    command -v nft >/dev/null || return 0
    ports=$(ss -Hltnp | awk '/"(dovecot|master)"/ { sub(/.*:/, "", $4); print $4 " timeout 4s" }' | sort -u | paste -s -d, -)
    nft -f - <<EOF
table inet mailprov_hold {
    set ports {
        type inet_service
        flags timeout
    }
    chain input {
        type filter hook input priority -20
        tcp dport @ports tcp flags & (syn | ack) == syn drop
    }
}
add element inet mailprov_hold ports { $ports }
EOF
}

let_in() {
    nft list table inet mailprov_hold >/dev/null 2>&1 || return 0
    nft delete table inet mailprov_hold
}
