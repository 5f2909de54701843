# rspamd as a daemon: its own checker, its part in a canary, and a start that has ended when it answers.
# POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2013,SC2015

RSPAMD=/etc/mailprov/rspamd.conf
RSPAMD_UNIT=/etc/systemd/system/rspamd.service.d/mailprov.conf
RSPAMD_SOCKET=/run/rspamd/milter.sock

# systemd calls it active as soon as its process is there; until it has made its socket, Postfix puts mail off.
rspamd_start() { systemctl start rspamd.service && rspamd_answers; }

rspamd_restart() { systemctl restart rspamd.service && rspamd_answers; }

# Its unit may name another file now: at a takeover, and on the way back from one. No reload takes it to that.
rspamd_unit_read() {
    ! running rspamd || { [ -S "$RSPAMD_SOCKET" ] && [ -f "$RSPAMD_UNIT" ]; } ||
        { [ ! -S "$RSPAMD_SOCKET" ] && [ ! -f "$RSPAMD_UNIT" ]; } || rspamd_restart
}

rspamd_answers() {
    # One that is somebody else's has its socket elsewhere.
    [ -f "$RSPAMD" ] || return 0
    for _ in $(seq 300); do
        [ ! -S "$RSPAMD_SOCKET" ] || return 0
        sleep 0.1
    done
    echo 'rspamd makes no socket for 30 seconds'
    return 1
}

# A module that could not be loaded is none of the mistakes for which it ends with another code.
rspamd_check() {
    rspamadm configtest -q -c "$RSPAMD" 2>&1 || return 1
    failed=$(rspamadm configdump -c "$RSPAMD" -m 2>&1 | sed -n '/[Ff]ailed/,/^$/p' | grep -E 'dkim|spf|dmarc|arc|milter_headers')
    [ -z "$failed" ] || { echo "modules that cannot be loaded: $failed"; return 1; }
}

# --- a canary

# What it has compiled is looked up by what it was made of, and stays in its place: to compile it again takes it ten
# seconds and more, here and then once more when it starts.
rspamd_seclude() {
    mkdir -p /run/rspamd && mount -t tmpfs -o mode=755 tmpfs /run/rspamd && chown _rspamd:_rspamd /run/rspamd
}

# It takes its whole configuration anew at a reload: one that starts with it tells the same.
rspamd_as_it_is() { :; }

rspamd_canary() {
    setpriv --reuid=_rspamd --regid=_rspamd --groups=postfix rspamd -c "$RSPAMD" -f >/run/rspamd/out 2>&1 &
    rspamd_answers
}

rspamd_log() { cat /run/rspamd/out; }
