# What a doctor asks of a host, beside what probe.sh does. POSIX sh, read-only, and it shows no hash of a password.

circumstances() { # FOLDER...: clock, who asks, disks
    echo "clock $(date +%s)"
    echo "synchronised $(synchronised)"
    echo "asker ${SSH_CONNECTION%% *}"
    echo "addresses $(hostname -I)"
    for folder in "$@"; do
        [ -d "$folder" ] || continue
        echo "disk $folder $(df -Pk -- "$folder" | awk 'END { print $2, $4 }') $(df -Pi -- "$folder" | awk 'END { print $2, $4 }')"
    done
}

synchronised() { # timedatectl would start a service for this
    if [ -e /run/systemd/timesync/synchronized ]; then
        echo yes
    elif command -v chronyc >/dev/null; then
        chronyc -n tracking | sed -n 's/^Leap status *: Normal.*/yes/p; s/^Leap status *: Not synch.*/no/p'
    elif systemctl -q is-active systemd-timesyncd; then
        echo no
    fi
}

account() { # ADDRESS
    account_limits "$1"
    awk -F/ -v address="$1" '$1 == address { print "denied", $2 }' /etc/dovecot/mailprov/denied
    # Dovecot counts what a message is on the wire, and keeps that in the file's name; to ask it could write an index.
    find "/var/vmail/${1##*@}/${1%@*}" -type f \( -path '*/cur/*' -o -path '*/new/*' \) -printf '%s %f\n' | awk '
        { sum += match($2, /,W=[0-9]+/) ? substr($2, RSTART + 3, RLENGTH - 3) : $1 }
        END { printf "used %.0f\n", sum }'
    doveadm -f tab who "$1" | sed 's/^/who /'
    for protocol in pop3 imap; do
        echo "most $protocol $(setting "$protocol" mail_max_userip_connections 10)"
    done
    echo "lock $(setting pop3 pop3_lock_session no)"
}

setting() { # PROTOCOL NAME DEFAULT: as dovecot.conf has it; doveconf would write into /tmp
    awk -v protocol="$1" -v name="$2" -v value="$3" '
        { gsub(/=/, " = ") }
        $1 == "protocol" { inside = $2 }
        /^}/ { inside = "" }
        $1 == name && $2 == "=" && (inside == "" || inside == protocol) { value = $3 }
        END { print value }' /etc/dovecot/dovecot.conf
}

ruleset() {
    nft -j list ruleset
}

log() { # MINUTES TEXT...: what the mail services said lately about one of these, or about a failed handshake
    since=$1
    shift
    [ $# -eq 0 ] || lines "$@"
    lines 'SSL routines' # apart: strangers who scan ports fill a log with these
    lines ' an hour: try again in ' # so does a stolen password
}

lines() { # TEXT...
    for said; do
        shift
        set -- "$@" -e "$said"
    done
    journalctl -q --no-pager -o short-unix -n 20000 --since "-${since}min" -u dovecot.service -u 'postfix*.service' |
        grep -F "$@" | tail -n 200 | cut -c 1-600
}
