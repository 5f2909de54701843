# Which keys for signing there are, and what is noted of them. POSIX sh; a part of the probe's script, with what is in
# engine/probe.sh. Their public halves stand in the notes: no private one is opened but for its digest.

dkim_keys() { # FOLDER
    set -- "$1"/*/*.txt
    [ -e "$1" ] || [ -L "$1" ] || return 0
    for note in "$@"; do set -- "$@" "${note%.txt}.rsa" "${note%.txt}.ed25519"; done
    stat -c '%F|%a|%U|%G|%n' -- "$@"
    digests "$@"
    for path in "$@"; do
        shift
        case $path in *.txt) [ ! -f "$path" ] || set -- "$@" "$path" ;; esac
    done
    [ $# -eq 0 ] || awk 'FNR <= 8 { $1 = $1; print FILENAME ": " substr($0, 1, 900) }' "$@"
}
