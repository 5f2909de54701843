# rspamd as a daemon: its own checker, its part in a canary, and a start that has ended when it answers.
# POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2013,SC2015

RSPAMD=/etc/mailprov/rspamd.conf
RSPAMD_UNIT=/etc/systemd/system/rspamd.service.d/mailprov.conf
RSPAMD_SOCKET=/run/rspamd/milter.sock

# On the way back to somebody else's configuration, that is theirs to judge.
rspamd_ours() { [ -f "$RSPAMD" ]; }

# systemd calls it active as soon as its process is there; until it has made its socket, Postfix puts mail off.
rspamd_start() { systemctl start rspamd.service && rspamd_answers; }

rspamd_restart() { systemctl restart rspamd.service && rspamd_answers; }

# A reload comes back before it has happened, and where the new file cannot be read, it goes on with the old one. It has
# happened when another process looks at mail.
rspamd_reload() {
    main=$(systemctl show -p MainPID --value rspamd.service)
    before=$(rspamd_workers)
    systemctl reload rspamd.service || return 1
    for _ in $(seq 600); do
        now=$(rspamd_workers)
        [ -z "$now" ] || [ "$now" = "$before" ] || return 0
        sleep 0.1
    done
    echo 'rspamd has taken up nothing new for a minute'
    return 1
}

rspamd_workers() { # the youngest of those that are asked
    tr ' ' '\n' <"/proc/$main/task/$main/children" | sed -n 's#.*[0-9]$#/proc/&/cmdline#p' |
        xargs -r grep -lz rspamd_proxy 2>/dev/null | cut -d/ -f3 | tail -n 1
}

# Its unit may name another file now: at a takeover, and on the way back from one. No reload takes it to that.
rspamd_unit_read() {
    ! running rspamd || ends rspamd || { [ -S "$RSPAMD_SOCKET" ] && [ -f "$RSPAMD_UNIT" ]; } ||
        { [ ! -S "$RSPAMD_SOCKET" ] && [ ! -f "$RSPAMD_UNIT" ]; } || rspamd_restart
}

# The first time it compiles what it looks for, which takes half a minute on a small host.
rspamd_answers() { # PID: of one that has to live meanwhile; of the service, systemd tells
    rspamd_ours || return 0 # somebody else's has its socket elsewhere
    for _ in $(seq 1200); do
        [ ! -S "$RSPAMD_SOCKET" ] || return 0
        if [ -n "${1-}" ]; then kill -0 "$1"; else running rspamd; fi || { echo 'rspamd ends as soon as it has started'; return 1; }
        sleep 0.1
    done
    echo 'rspamd makes no socket for two minutes'
    return 1
}

# Postfix has been told by then; whoever was sending before that asks to the end, for which there is some time.
rspamd_unasked() {
    for _ in $(seq 200); do
        ss -Hx state established | grep -qF " $RSPAMD_SOCKET " || return 0
        sleep 0.1
    done
}

# A module that could not be loaded is none of the mistakes for which it ends with another code.
rspamd_check() {
    rspamd_ours || return 0
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
    rspamd_ours || return 0
    setpriv --reuid=_rspamd --regid=_rspamd --groups=postfix rspamd -c "$RSPAMD" -f >/run/rspamd/out 2>&1 &
    rspamd_answers $!
}

rspamd_log() { cat /run/rspamd/out; }
