# Postfix as a daemon: the unit that runs it, its own checker, and its part in a canary.
# POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2015

# On Debian 11 and 12 its service is a oneshot around another.
postfix_unit() {
    if [ "$(systemctl show -p Type --value postfix.service)" = oneshot ]; then echo postfix@-.service; else echo postfix.service; fi
}

postfix_check() {
    # 3.5 and 3.7 print nothing without a terminal, and an unknown setting is a warning only.
    postfix check || { echo "postfix check: exit $?"; return 1; }
    unused=$(postconf -n 2>&1 >/dev/null | grep -v smtpd_forbid_)
    [ -z "$unused" ] || { echo "$unused"; return 1; }
}

# --- a canary

# A spool of its own, with the folders of the one that it hides; `postfix check` makes them, too, with a hundred processes.
postfix_seclude() {
    (
        cd /var/spool/postfix && mount -t tmpfs -o mode=755 tmpfs /var/spool/postfix &&
            mount -t tmpfs -o mode=755 tmpfs /var/lib/postfix && chown postfix:postfix /var/lib/postfix &&
            find . -mindepth 1 -maxdepth 1 -type d -print0 | tar -c --no-recursion --null -T - | tar -x -C /var/spool/postfix
    ) || return 1
    for folder in active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace; do
        [ -d "/var/spool/postfix/$folder" ] || { postfix check || :; return 0; }
    done
}

postfix_as_it_is() {
    postfix_log_here && postfix_begin && OLD_POSTFIX=yes
}
OLD_POSTFIX=''

postfix_log_here() {
    echo 'maillog_file = /var/spool/postfix/canary.log' >>/etc/postfix/main.cf && touch -d '-3 seconds' /etc/postfix/main.cf
}

postfix_begin() { /usr/lib/postfix/sbin/master -w; }

postfix_canary() {
    postfix_log_here && if [ -n "$OLD_POSTFIX" ]; then kill -HUP "$(tr -d ' ' </var/spool/postfix/pid/master.pid)"; else postfix_begin; fi
}

postfix_log() { cat /var/spool/postfix/canary.log; }
