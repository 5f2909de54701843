# What a step can do with a Postfix map and its database, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

put_map() { # N PATH MODE OWNER GROUP
    save "$1" "$2" && save_database "$1.db" "$2.db" &&
        place "$T/new/$1" "$2" "$3" "$4" "$5" && place "$T/new/$1.db" "$2.db" "$3" "$4" "$5" &&
        touch -r "$2" -- "$2.db"
}

former_map() { # N PATH
    restore "$1" "$2" && restore "$1.db" "$2.db" && { [ ! -L "$T/old/$1.db.link" ] || cp -aT -- "$T/old/$1.db.link" "$2.db"; }
}

save_database() { # N PATH: a link in its place is kept as the link that it is
    if [ -L "$2" ] && [ -z "$REHEARSAL" ]; then
        cp -aT -- "$2" "$T/old/$1.link" && true >"$T/old/$1.absent" && sync -- "$T/old"
    else
        [ -L "$2" ] || save "$1" "$2"
    fi
}

merge_map() { # N PATH DIGEST
    merged "$1" "$2" ' ' || return 1
    found=$(sha256sum <"$T/new/$1")
    [ "${found%% *}" = "$3" ] || { echo "merging into $2 gave other rows than planned"; return 1; }
    postmap "hash:$T/new/$1" && made map "$(digest "$T/new/$1.db")" "$2"
}

take_map() { # N KEPT DIGEST PATH
    # Where its database was missing, it is made.
    take "$1" "$2" "$3" && { if [ -f "$2.db" ]; then cp -a -- "$2.db" "$T/new/$1.db"; else map_as_kept "$T/new/$1"; fi; } &&
        made map "$(digest "$T/new/$1.db")" "$4"
}

map_as_kept() { # MAP: its database, with its mode and owner
    postmap "hash:$1" && chown --reference="$1" -- "$1.db" && chmod --reference="$1" -- "$1.db"
}

put_back_map() { # N PATH
    put_back "$1" "$2" && put_back "$1.db" "$2.db" && touch -r "$2" -- "$2.db"
}

drop_map() { # N PATH
    drop "$1" "$2" && drop "$1.db" "$2.db"
}
