# What a step can do with a certificate that is made on the host, or is there.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

note_certificate() { # N PATH: the one that the daemons are about to load
    made certificate "$(fingerprint "$2")" "$2"
}

self_signed() { # N PATH NAME...
    n=$1 path=$2
    shift 2
    names=$(printf ',DNS:%s' "$@")
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 397 -subj "/CN=$1" \
        -addext "subjectAltName=${names#,}" -addext keyUsage=critical,digitalSignature \
        -addext extendedKeyUsage=serverAuth -keyout "$T/new/$n.key" -out "$T/new/$n.crt" &&
        cat "$T/new/$n.key" "$T/new/$n.crt" >"$T/new/$n" && made certificate "$(fingerprint "$T/new/$n.crt")" "$path" &&
        rm -f "$T/new/$n.key" "$T/new/$n.crt"
}
