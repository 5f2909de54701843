# How a host looks at itself: at the staged tree with its own programs, at a canary that runs it, and at what it serves.
# POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2013,SC2015,SC2154

# Where openssl has nothing to verify, it is spared the reading of each CA that the host trusts: that takes it four times
# as long as all the rest.
trusting_nobody() { # COMMAND...
    SSL_CERT_FILE=/dev/null "$@"
}

certificate_matches() { # CERTIFICATE KEY
    public=$(openssl pkey -in "$2" -pubout)
    [ -n "$public" ] && [ "$public" = "$(trusting_nobody openssl x509 -in "$1" -noout -pubkey)" ] ||
        { echo "the key in $2 does not belong to the certificate in $1"; return 1; }
    trusting_nobody openssl x509 -in "$1" -noout -checkend 0 || { echo "the certificate in $1 has expired"; return 1; }
}

# The commit is rehearsed in a mount namespace where /etc is a copy in memory: the host's own programs see the whole
# staged tree at its final paths. Then a canary runs it: all daemons, in namespaces of their own, since the checkers
# alone miss more than half of what breaks. One that will be reloaded starts as it is now and is reloaded here, too: a
# reload does not take up everything that a start does. They end with the namespace of their processes.
rehearse() {
    # shellcheck disable=SC2034 # others ask
    REHEARSAL=yes
    mkdir -p "$T/etc" && mount -t tmpfs -o mode=755 tmpfs "$T/etc" && cp -a /etc/. "$T/etc/" && mount --bind "$T/etc" /etc ||
        { echo 'no private copy of /etc can be made'; return 1; }
    ip link set lo up
    for each_daemon in $CANARY; do part "${each_daemon%=*}" seclude || return 1; done
    # Where the configuration of now cannot run here, the new one is started at once.
    for each_daemon in $CANARY; do [ "${each_daemon#*=}" != reload ] || part "${each_daemon%=*}" as_it_is; done 2>/dev/null
    # shellcheck disable=SC2086
    each do_step $REHEARSED && all_checks validator && { [ -z "$CANARY" ] || canary || { canary_log; return 1; }; }
}

canary() {
    for each_daemon in $CANARY; do part "${each_daemon%=*}" canary || return 1; done
    all_checks health || return 1
    for each_daemon in $CANARY; do ! has "${each_daemon%=*}" login || part "${each_daemon%=*}" login || return 1; done
}

canary_log() {
    for each_daemon in $CANARY; do part "${each_daemon%=*}" log; done 2>/dev/null |
        grep -E 'Error|Fatal|fatal|error|warning' | sort -u | tail -n 5
}

fingerprint() { # CERTIFICATE: SHA-256 of its DER in lower-case hex; nothing where there is none
    fingerprint_of "$(leaf "$1")"
}

fingerprint_of() { # AS OPENSSL WRITES IT
    echo "${1##*=}" | tr -d : | tr A-F a-f
}

leaf() { # CERTIFICATE
    trusting_nobody openssl x509 -in "$1" -noout -fingerprint -sha256 2>/dev/null
}

shown() { # PORT STARTTLS (or "tls"): the fingerprint of the certificate that is served
    [ "$2" != tls ] || set -- "$1" ''
    trusting_nobody timeout 5 openssl s_client ${2:+-starttls "$2"} -connect "127.0.0.1:$1" </dev/null 2>/dev/null |
        trusting_nobody openssl x509 -noout -fingerprint -sha256 2>/dev/null
}

served() { # each of LISTENERS, and what it serves, where the ports `now` are open
    for listener in $LISTENERS; do
        may_be_asked "${listener%:*}" || { echo "$listener "; continue; }
        # Where systemd listens in a service's place, to ask would start that.
        case "$now
" in *":${listener%:*}
"*) echo "$listener $(shown "${listener%:*}" "${listener#*:}")" ;; *) echo "$listener " ;; esac
    done
}

may_be_asked() { # PORT: whether no daemon would die of it
    for each_daemon in $DAEMONS; do
        ! has "$each_daemon" may_be_asked || part "$each_daemon" may_be_asked "$1" || return 1
    done
}

# To whoever takes a connection and then says nothing, twenty tries would be two minutes in which nothing is served.
give_time() {
    tries=0
    uptime_seconds
    late=$((uptime + 15))
}

time_left() {
    tries=$((tries + 1))
    uptime_seconds
    [ $tries -lt 20 ] && [ "$uptime" -lt "$late" ] && sleep 0.2
}

serves() { # PORT STARTTLS CERTIFICATE
    [ "$3" = "${known-}" ] || { known=$3 want=$(leaf "$3"); }
    give_time
    while :; do
        got=$(shown "$1" "$2")
        [ "$want" != "$got" ] || return 0
        time_left || break
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
    give_time
    while :; do
        more=$(ports | sed 's/.*://' | grep -vxF "$(printf '%s\n' "$@")" | sort -u)
        [ -n "$more" ] || return 0
        time_left || break
    done
    echo "still open, and not declared: $(echo "$more" | tr '\n' ' ')"
    return 1
}

# By the service that a process belongs to: any name that it gives itself proves nothing, nor does any unit that is
# inside another, as a user's own are.
ports() {
    ss -Hltnp | awk -v "names=$PROCESSES" 'match($0, "\"(" names ")\",pid=[0-9]+") { split(substr($0, RSTART, RLENGTH), told, "="); print told[2], $4 }' |
        while read -r pid place; do
            [ -z "$REHEARSAL" ] || { echo "$place"; continue; }
            while read -r group; do
                outermost=${group%%.service*}.service
                case " $UNITS_SERVED " in *" ${outermost##*/} "*) echo "$place" ;; esac
            done <"/proc/$pid/cgroup"
        done 2>/dev/null | sort -u
}

# What somebody else has opened meanwhile is not looked at.
listens_as() { # PLACE... - PORT...: there, and on none of these ports
    give_time
    until as_listed "$@"; do
        time_left || { echo "the ports that are open are not those of before: $(ports | tr '\n' ' ')"; return 1; }
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
    give_time
    while [ -n "$(ports)" ]; do
        time_left || { echo "still open: $(ports | tr '\n' ' ')"; return 1; }
    done
}

# A certificate that was served before is served again; or the one that has come into its place since.
serves_as() { # PORT STARTTLS FINGERPRINT
    give_time
    while :; do
        got=$(fingerprint_of "$(shown "$1" "$2")")
        [ "$got" != "$3" ] && { [ -z "$got" ] || [ "$got" != "$(fingerprint "$CERTIFICATE")" ]; } || return 0
        time_left || { echo "port $1 does not serve the certificate of before"; return 1; }
    done
}
