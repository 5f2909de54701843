# What a step can do with a link, and how that is taken back. POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2015,SC2154

note_link() { # N PATH
    [ -n "$REHEARSAL" ] || noted "$1" readlink -- "$2"
}

put_link() { # N PATH TARGET
    note_link "$1" "$2" && ln -sfn -- "$3" "$2.new" && mv -fT -- "$2.new" "$2" && sync -- "${2%/*}"
}

drop_link() { # N PATH
    note_link "$1" "$2" && rm -f -- "$2"
}

former_link() { # N PATH
    [ -f "$T/old/$1" ] || return 0
    was=$(cat "$T/old/$1")
    if [ -n "$was" ]; then ln -sfn -- "$was" "$2"; else rm -f -- "$2"; fi
}
