# Dovecot as a daemon: its own checker, its part in a canary, and how it is reloaded so that no mail client notices.
# POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2013,SC2015,SC2046

# A reload gives Dovecot a new auth process, and whoever is between greeting and login then fails at the old one. So new
# connections are held back for a moment until nobody is in between: their SYN is dropped, and sent again a second later.
dovecot_reload() {
    master=$(systemctl show -p MainPID --value dovecot.service)
    old=$(dovecot_processes 'auth( \[.*)?' | cut -d/ -f3)
    before=$(stat -c %i%Z /run/dovecot/login/login)
    hold_back 4
    tries=0 quiet=0
    while [ $quiet -lt 3 ] && [ $tries -lt 60 ]; do
        tries=$((tries + 1)) quiet=$((quiet + 1))
        [ -z "$(dovecot_processes '(imap|pop3|managesieve)-login( \[.*pre-login.*\])? *|(imap|pop3|managesieve) *')" ] || quiet=0
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

# Nobody can be let in meanwhile, nor be asked about: those who have come just now have asked by then who can log in.
# systemd may have to wait for sessions that do not end.
dovecot_restart() {
    hold_back 100
    sleep 0.3
    systemctl restart dovecot.service
    status=$?
    let_in
    hand_over_again
    return $status
}

# Dovecot 2.4 makes a folder for each process that others speak to, at its start only; at a reload, one of a protocol
# that is new dies for want of it.
service_folders() {
    [ -d /run/dovecot/srv.indexer-worker ] || return 0
    for protocol in $(doveconf -h protocols 2>/dev/null); do
        [ "$protocol" != sieve ] || protocol=managesieve
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

# The kernel itself lets them in again after so many seconds, whatever becomes of this process. Postfix's clients wait
# too: where its smtpd finds no auth to ask as it starts, it gives up, and Postfix leaves that port alone for a minute.
hold_back() { # SECONDS
    command -v nft >/dev/null || return 0
    ports=$(ss -Hltnp | awk -v "seconds=$1" '/"(dovecot|master)"/ { sub(/.*:/, "", $4); print $4 " timeout " seconds "s" }' |
        sort -u | paste -s -d, -)
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

# What a reload that was cut off has held back is let in.
dovecot_settle() { let_in; }

# Its sockets are in Postfix's folders, which a Postfix that never ran may not have made yet.
dovecot_before() {
    [ ! -x /usr/sbin/postfix ] || [ -d /var/spool/postfix/private ] || postfix check
}

# Where Postfix cannot ask Dovecot, submission dies of each session, and rests for a minute then (master(8)).
dovecot_may_be_asked() { # PORT
    [ "$1" = 25 ] || { running dovecot && { [ -S /var/spool/postfix/private/auth ] || ! grep -qs '^smtpd_sasl_path = private/auth' /etc/postfix/main.cf; }; }
}

# --- a canary

dovecot_check() { doveconf -n >/dev/null; }

# A mail store and sockets that are empty and seen by nobody else.
dovecot_seclude() {
    mkdir -p /run/dovecot /var/vmail && mount -t tmpfs -o mode=755 tmpfs /run/dovecot &&
        mount -t tmpfs -o mode=750 tmpfs /var/vmail && chown vmail /var/vmail
}

dovecot_as_it_is() {
    dovecot_log_here && dovecot_begin && dovecot_answers "$OLD_DOVECOT" || dovecot_end
}

dovecot_log_here() {
    echo 'log_path = /run/dovecot/canary.log' >>/etc/dovecot/dovecot.conf && touch -d '-3 seconds' /etc/dovecot/dovecot.conf
}

dovecot_begin() {
    dovecot -F >/run/dovecot/out 2>&1 &
    OLD_DOVECOT=$!
}

dovecot_answers() { # PID: until it has made its sockets
    for _ in $(seq 50); do
        [ ! -S /run/dovecot/anvil ] || return 0
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

dovecot_end() {
    [ -z "$OLD_DOVECOT" ] || kill -9 "$OLD_DOVECOT"
    OLD_DOVECOT=''
}
OLD_DOVECOT=''

dovecot_canary() {
    chown vmail:vmail /var/vmail || return 1
    [ ! -f "$TEST_ACCOUNTS" ] || canary_account >"$TEST_ACCOUNTS"
    dovecot_log_here && if [ -n "$OLD_DOVECOT" ]; then service_folders; kill -HUP "$OLD_DOVECOT"; else dovecot_begin; fi
}

dovecot_log() { cat /run/dovecot/out /run/dovecot/canary.log; }

dovecot_login() { # through the first listener that knows logins, where the configuration is ours
    grep -qF "$TEST_ACCOUNTS" /etc/dovecot/dovecot.conf || return 0
    for port in 995 993; do
        ss -Hltn "sport = :$port" | grep -q . || continue
        [ $port = 995 ] && words='USER canary@canary.invalid\r\nPASS canary\r\nSTAT\r\nQUIT\r\n' ||
            words='a LOGIN canary@canary.invalid canary\r\nb SELECT INBOX\r\nc LOGOUT\r\n'
        # shellcheck disable=SC2059 # the words are ours
        said=$(printf "$words" | trusting_nobody timeout 10 openssl s_client -quiet -connect "127.0.0.1:$port" 2>/dev/null | tr -d '\r')
        case $said in *'+OK 0 0'* | *'b OK'*) return 0 ;; esac
        echo "a login on port $port fails: $(echo "$said" | tail -n 1)"
        return 1
    done
}
