# Which Sieve scripts there are. POSIX sh; a part of the probe's script, with what is in engine/probe.sh.

scripts() { # PATH...; also every one that an earlier apply managed
    [ ! -f "$STATE/managed" ] || while read -r path; do
        case $path in *.sieve) set -- "$@" "$path" ;; esac
    done <"$STATE/managed"
    for script in "$@"; do set -- "$@" "${script%.sieve}.svbin"; done
    stat -c '%F|%a|%U|%G|%n' -- "$@"
    for path in "$@"; do
        shift
        # Whoever delivers takes the binary only where it is newer than the text.
        # shellcheck disable=SC2015,SC3013 # dash and busybox know -nt
        [ "$path" = "${path%.svbin}" ] || [ "$path" -nt "${path%.svbin}.sieve" ] && set -- "$@" "$path"
    done
    digests "$@"
}
