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

postfix_seclude() {
    mount -t tmpfs -o mode=755 tmpfs /var/spool/postfix && mount -t tmpfs -o mode=755 tmpfs /var/lib/postfix &&
        chown postfix:postfix /var/lib/postfix && { postfix check || :; } # it makes the folders of its spool
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
