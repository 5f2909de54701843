# How many messages wait in Postfix's queue. POSIX sh; a part of the probe's script.

waiting() {
    find /var/spool/postfix/incoming /var/spool/postfix/active /var/spool/postfix/deferred -type f | wc -l
}
