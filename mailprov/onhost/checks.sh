# How a host looks at itself: at the staged tree with its own programs, at a canary that runs it, and at what it serves.
# POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2013,SC2015,SC2154

certificate_matches() { # CERTIFICATE KEY
    public=$(openssl pkey -in "$2" -pubout)
    [ -n "$public" ] && [ "$public" = "$(openssl x509 -in "$1" -noout -pubkey)" ] ||
        { echo "the key in $2 does not belong to the certificate in $1"; return 1; }
    openssl x509 -in "$1" -noout -checkend 0 || { echo "the certificate in $1 has expired"; return 1; }
}

dovecot_check() { doveconf -n >/dev/null; }

postfix_check() {
    # 3.5 and 3.7 print nothing without a terminal, and an unknown setting is a warning only.
    postfix check || { echo "postfix check: exit $?"; return 1; }
    unused=$(postconf -n 2>&1 >/dev/null | grep -v smtpd_forbid_)
    [ -z "$unused" ] || { echo "$unused"; return 1; }
}

# The commit is rehearsed in a mount namespace where /etc is a copy in memory: the host's own programs see the whole
# staged tree at its final paths. Then a canary runs it: both daemons, in namespaces of their own, since the checkers
# alone miss more than half of what breaks. One that will be reloaded starts as it is now and is reloaded here, too: a
# reload does not take up everything that a start does. They end with the namespace of their processes.
rehearse() {
    REHEARSAL=yes
    mkdir -p "$T/etc" && mount -t tmpfs -o mode=755 tmpfs "$T/etc" && cp -a /etc/. "$T/etc/" && mount --bind "$T/etc" /etc ||
        { echo 'no private copy of /etc can be made'; return 1; }
    ip link set lo up
    [ -z "$CANARY" ] || secluded || return 1
    as_it_is
    # shellcheck disable=SC2086
    each do_step $REHEARSED && all_checks validator && { [ -z "$CANARY" ] || canary; }
}

# Mail store, spool and sockets that are empty and seen by nobody else.
secluded() {
    mkdir -p /run/dovecot && mount -t tmpfs -o mode=755 tmpfs /run/dovecot &&
        mount -t tmpfs -o mode=755 tmpfs /var/spool/postfix && mount -t tmpfs -o mode=755 tmpfs /var/lib/postfix &&
        mkdir -p /var/vmail && mount -t tmpfs -o mode=750 tmpfs /var/vmail && chown vmail /var/vmail &&
        chown postfix:postfix /var/lib/postfix && { postfix check || :; } # it makes the folders of its spool
}

# Where the configuration of now cannot run here, the new one is started at once.
as_it_is() {
    OLD_DOVECOT='' OLD_POSTFIX=''
    for name in $CANARY; do
        case $name in
            dovecot=reload) own_log /etc/dovecot/dovecot.conf && start_dovecot && answers "$OLD_DOVECOT" || no_dovecot ;;
            postfix=reload) own_log /etc/postfix/main.cf && start_postfix && OLD_POSTFIX=yes ;;
        esac
    done 2>/dev/null
}

own_log() { # FILE
    case $1 in
        */dovecot.conf) echo 'log_path = /run/dovecot/canary.log' ;;
        *) echo 'maillog_file = /var/spool/postfix/canary.log' ;;
    esac >>"$1" && touch -d '-3 seconds' "$1"
}

start_dovecot() {
    dovecot -F >/run/dovecot/out 2>&1 &
    OLD_DOVECOT=$!
}

answers() { # PID: until it has made its sockets
    for _ in $(seq 50); do
        [ ! -S /run/dovecot/anvil ] || return 0
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

no_dovecot() {
    [ -z "$OLD_DOVECOT" ] || kill -9 "$OLD_DOVECOT"
    OLD_DOVECOT=''
}

start_postfix() { /usr/lib/postfix/sbin/master -w; }

canary() {
    chown vmail:vmail /var/vmail || return 1
    [ ! -f /etc/dovecot/mailprov/verify ] || echo 'canary@canary.invalid:{PLAIN}canary:::managed:::' >/etc/dovecot/mailprov/verify
    own_log /etc/dovecot/dovecot.conf && own_log /etc/postfix/main.cf &&
        { if [ -n "$OLD_DOVECOT" ]; then service_folders; kill -HUP "$OLD_DOVECOT"; else start_dovecot; fi; } &&
        { if [ -n "$OLD_POSTFIX" ]; then kill -HUP "$(tr -d ' ' </var/spool/postfix/pid/master.pid)"; else start_postfix; fi; } &&
        all_checks health && canary_login || { canary_log; return 1; }
}

canary_login() { # through the first listener that knows logins, where the configuration is ours
    grep -q /etc/dovecot/mailprov/verify /etc/dovecot/dovecot.conf || return 0
    for port in 995 993; do
        ss -Hltn "sport = :$port" | grep -q . || continue
        [ $port = 995 ] && words='USER canary@canary.invalid\r\nPASS canary\r\nSTAT\r\nQUIT\r\n' ||
            words='a LOGIN canary@canary.invalid canary\r\nb SELECT INBOX\r\nc LOGOUT\r\n'
        # shellcheck disable=SC2059 # the words are ours
        said=$(printf "$words" | timeout 10 openssl s_client -quiet -connect "127.0.0.1:$port" 2>/dev/null | tr -d '\r')
        case $said in *'+OK 0 0'* | *'b OK'*) return 0 ;; esac
        echo "a login on port $port fails: $(echo "$said" | tail -n 1)"
        return 1
    done
}

canary_log() {
    cat /run/dovecot/out /run/dovecot/canary.log /var/spool/postfix/canary.log 2>/dev/null |
        grep -E 'Error|Fatal|fatal|error|warning' | sort -u | tail -n 5
}

fingerprint() { # CERTIFICATE: SHA-256 of its DER in lower-case hex; nothing where there is none
    fingerprint_of "$(leaf "$1")"
}

fingerprint_of() { # AS OPENSSL WRITES IT
    echo "${1##*=}" | tr -d : | tr A-F a-f
}

leaf() { # CERTIFICATE
    openssl x509 -in "$1" -noout -fingerprint -sha256 2>/dev/null
}

shown() { # PORT STARTTLS (or "tls"): the fingerprint of the certificate that is served
    [ "$2" != tls ] || set -- "$1" ''
    timeout 5 openssl s_client ${2:+-starttls "$2"} -connect "127.0.0.1:$1" </dev/null 2>/dev/null |
        openssl x509 -noout -fingerprint -sha256 2>/dev/null
}

served() { # each of LISTENERS, and what it serves
    now=$(ports)
    for listener in $LISTENERS; do
        case $listener in 25:*) ;; *) knows_logins || { echo "$listener "; continue; } ;; esac
        # Where systemd listens in a service's place, to ask would start that.
        case "$now
" in *":${listener%:*}
"*) echo "$listener $(shown "${listener%:*}" "${listener#*:}")" ;; *) echo "$listener " ;; esac
    done
}

# Where Postfix cannot ask Dovecot, submission dies of each session, and rests for a minute then (master(8)).
knows_logins() {
    running dovecot && { [ -S /var/spool/postfix/private/auth ] || ! grep -qs '^smtpd_sasl_path = private/auth' /etc/postfix/main.cf; }
}

serves() { # PORT STARTTLS CERTIFICATE
    [ "$3" = "${known-}" ] || { known=$3 want=$(leaf "$3"); }
    tries=0
    while :; do
        got=$(shown "$1" "$2")
        [ "$want" != "$got" ] || return 0
        tries=$((tries + 1))
        [ $tries -lt 20 ] || break
        sleep 0.2
    done
    [ -n "$got" ] && echo "port $1 serves another certificate: $got" || echo "port $1 gives no TLS session"
    return 1
}

accepts() { # PORT ADDRESS: mail from another server, up to RCPT
    tries=0
    until said=$(perl -MIO::Socket::INET -e "$SMTP" "$1" "$2" 2>&1); do
        tries=$((tries + 1))
        [ $tries -lt 5 ] || { echo "port $1 refuses mail for $2: $said"; return 1; }
        sleep 0.5
    done
}

# shellcheck disable=SC2016 # perl's own variables
SMTP='
    alarm 10;
    my $server = IO::Socket::INET->new("127.0.0.1:$ARGV[0]") or die "$!\n";
    for my $words ("", "EHLO canary.invalid", "MAIL FROM:<>", "RCPT TO:<$ARGV[1]>", "QUIT") {
        print $server "$words\r\n" if $words;
        my $said = "-";
        $said = <$server> // die "it hangs up\n" while $said =~ /^(...)?-/;
        die $said if $said !~ /^[23]/;
    }
'

# A listener that was taken away and still listens has not seen its new configuration.
listens_on() { # PORT...
    tries=0
    while :; do
        more=$(ports | sed 's/.*://' | grep -vxF "$(printf '%s\n' "$@")" | sort -u)
        [ -n "$more" ] || return 0
        tries=$((tries + 1))
        [ $tries -lt 20 ] || break
        sleep 0.2
    done
    echo "still open, and not declared: $(echo "$more" | tr '\n' ' ')"
    return 1
}

# By the service that a process belongs to: any name that it gives itself proves nothing.
ports() {
    ss -Hltnp | awk 'match($0, /"(dovecot|master)",pid=[0-9]+/) { split(substr($0, RSTART, RLENGTH), told, "="); print told[2], $4 }' |
        while read -r pid place; do
            [ -z "$REHEARSAL" ] || { echo "$place"; continue; }
            while read -r group; do
                case $group in */dovecot.service | */postfix.service | */postfix@-.service) echo "$place" ;; esac
            done <"/proc/$pid/cgroup"
        done 2>/dev/null | sort -u
}

# What somebody else has opened meanwhile is not looked at.
listens_as() { # PLACE... - PORT...: there, and on none of these ports
    tries=0
    until as_listed "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 20 ] || { echo "the ports that are open are not those of before: $(ports | tr '\n' ' ')"; return 1; }
        sleep 0.2
    done
}

as_listed() {
    now=$(ports) wanted=yes
    for entry in "$@"; do
        case $wanted$entry in
            yes-) wanted='' ;;
            yes*) printf '%s\n' "$now" | grep -qxF -- "$entry" || return 1 ;;
            *) ! printf '%s\n' "$now" | grep -q ":$entry\$" || return 1 ;;
        esac
    done
}

listens_nowhere() {
    tries=0
    while [ -n "$(ports)" ]; do
        tries=$((tries + 1))
        [ $tries -lt 20 ] || { echo "still open: $(ports | tr '\n' ' ')"; return 1; }
        sleep 0.2
    done
}

# A certificate that was served before is served again; or the one that has come into its place since.
serves_as() { # PORT STARTTLS FINGERPRINT
    tries=0
    while :; do
        got=$(fingerprint_of "$(shown "$1" "$2")")
        [ "$got" != "$3" ] && { [ -z "$got" ] || [ "$got" != "$(fingerprint "$CERTIFICATE")" ]; } || return 0
        tries=$((tries + 1))
        [ $tries -lt 20 ] || { echo "port $1 does not serve the certificate of before"; return 1; }
        sleep 0.2
    done
}
