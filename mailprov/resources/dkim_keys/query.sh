# Which keys for signing there are, and what is noted of them. POSIX sh; a part of the probe's script, with what is in
# engine/probe.sh. Their public halves stand in the notes: no private one is opened but for its digest.

dkim_keys() { # FOLDER
    set -- "$1"/*/*.txt
    [ -e "$1" ] || return 0
    for note in "$@"; do set -- "$@" "${note%.txt}.rsa" "${note%.txt}.ed25519"; done
    stat -c '%F|%a|%U|%G|%n' -- "$@"
    digests "$@"
    for path in "$@"; do
        case $path in *.txt) [ ! -f "$path" ] || while read -r line; do echo "$path: $line"; done <"$path" ;; esac
    done
}
