# Which Postfix maps there are. POSIX sh; a part of the probe's script, with what is in engine/probe.sh.

maps() { # PATH...
    for map in "$@"; do set -- "$@" "$map.db"; done
    stat -c '%F|%a|%U|%G|%n' -- "$@"
    for path in "$@"; do
        shift
        # shellcheck disable=SC2015,SC3013 # dash and busybox know -nt
        [ "$path" = "${path%.db}" ] || [ ! "${path%.db}" -nt "$path" ] && set -- "$@" "$path"
    done
    digests "$@"
}
