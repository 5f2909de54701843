# What a step can do with the keys that sign mail, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

# RSA as PEM; Ed25519 as rspamd reads it: seed and public half, in base64, without a line's end.
make_key() { # N
    key=$T/new/$1
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$key.rsa" &&
        openssl genpkey -algorithm ED25519 -out "$key.pem" &&
        { openssl pkey -in "$key.pem" -outform DER | tail -c 32 && openssl pkey -in "$key.pem" -pubout -outform DER | tail -c 32; } |
        base64 -w 0 >"$key.ed25519" && rm -f "$key.pem" &&
        rsa=$(openssl pkey -in "$key.rsa" -pubout -outform DER | base64 -w 0) &&
        ed25519=$(base64 -d "$key.ed25519" | tail -c 32 | base64 -w 0) && [ ${#rsa} -gt 300 ] && [ ${#ed25519} = 44 ] || return 1
    printf 'use waits %s\nrsa %s %s\ned25519 %s %s\n' "$(date +%s)" "$(digest "$key.rsa")" "$rsa" \
        "$(digest "$key.ed25519")" "$ed25519" >"$key"
}

save_key() { # N PATH
    save "$1.rsa" "$2.rsa" && save "$1.ed25519" "$2.ed25519" && save "$1" "$2.txt"
}

# The note comes last: what has none is no pair.
put_key() { # N PATH
    save_key "$1" "$2" && place "$T/new/$1.rsa" "$2.rsa" 640 root _rspamd &&
        place "$T/new/$1.ed25519" "$2.ed25519" 640 root _rspamd && place "$T/new/$1" "$2.txt" 644 root root
}

# That it goes on as it was is no reason to have the time begin anew.
use_key() { # N PATH USE
    save_key "$1" "$2" || return 1
    { sed -n "/^use $3 /p" "$2.txt" | grep . || echo "use $3 $(date +%s)"; sed '/^use /d' "$2.txt"; } >"$T/new/$1" || return 1
    if [ "$3" = retired ]; then
        place "$T/new/$1" "$2.txt" 644 root root && rm -f -- "$2.rsa" "$2.ed25519" && sync -- "${2%/*}"
    else
        for half in rsa ed25519; do
            [ ! -f "$2.$half" ] || { chown root:_rspamd -- "$2.$half" && chmod 640 -- "$2.$half"; } || return 1
        done
        place "$T/new/$1" "$2.txt" 644 root root
    fi
}

former_key() { # N PATH
    restore "$1" "$2.txt" && restore "$1.rsa" "$2.rsa" && restore "$1.ed25519" "$2.ed25519"
}

drop_key() { # N PATH
    save_key "$1" "$2" && rm -f -- "$2.txt" "$2.rsa" "$2.ed25519" && sync -- "${2%/*}"
}

# Of a half that was not there, none is put back.
take_key() { # N KEPT
    for half in '' .rsa .ed25519; do [ ! -f "$2$half" ] || cp -a -- "$2$half" "$T/new/$1$half" || return 1; done
}

put_back_key() { # N PATH
    save_key "$1" "$2" || return 1
    for half in .rsa .ed25519 .txt; do
        kept=$T/new/$1${half%.txt}
        if [ -f "$kept" ]; then place_as_kept "$kept" "$2$half" || return 1; else rm -f -- "$2$half"; fi
    done
}
