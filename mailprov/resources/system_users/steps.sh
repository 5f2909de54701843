# What a step can do with a system user, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

system_user() { # N NAME HOME SHELL; in a rehearsal, only what others need: a new group would be given to files at home
    [ -z "$REHEARSAL" ] || { own_group "$2" "$(getent passwd "$2" | cut -d: -f4)"; return; }
    note_user "$1" "$2" || return 1
    if [ -s "$T/old/$1" ]; then
        own_group "$2" "$(cut -d: -f4 "$T/old/$1")" && usermod --gid "$2" --home "$3" --shell "$4" "$2"
    else
        # Mail that is there belongs to a number: the new user gets it, where nobody else has it.
        owner=$(stat -c %u -- "$3" 2>/dev/null)
        [ -z "$owner" ] || ! getent passwd "$owner" >/dev/null || owner=
        own_group "$2" "$(stat -c %g -- "$3" 2>/dev/null)" &&
            useradd --system --gid "$2" ${owner:+--uid "$owner"} --no-create-home --home-dir "$3" --shell "$4" "$2"
    fi
}

own_group() { # NAME NUMBER: a user's own group, by that number where nobody else has it
    ! getent group "$1" >/dev/null || return 0
    if [ -z "$2" ] || getent group "$2" >/dev/null; then groupadd --system "$1"; else groupadd --system --gid "$2" "$1"; fi
}

former_user() { # N NAME; one that was made goes again
    [ -f "$T/old/$1" ] || return 0 # it died before that: nothing was touched
    if [ -s "$T/old/$1" ]; then user_as_kept "$T/old/$1" "$2"; else unmake_user "$2"; fi
}

user_as_kept() { # KEPT NAME
    kept=$1 name=$2
    set -- --home "$(cut -d: -f6 "$kept")" --shell "$(cut -d: -f7 "$kept")"
    [ ! -s "$kept.group" ] || set -- "$@" --gid "$(cut -d: -f4 "$kept")"
    usermod "$@" "$name" || return 1
    [ -s "$kept.own" ] || ! getent group "$name" >/dev/null || groupdel -f "$name"
}

user_again_as() { # N NAME KEPT: in a roll-back, as it was
    note_user "$1" "$2" && user_as_kept "$3" "$2"
}

note_user() { # N NAME
    getent group "$2" >"$T/old/$1.own"
    getent group "$(getent passwd "$2" | cut -d: -f4)" >"$T/old/$1.group"
    getent passwd "$2" >"$T/old/$1"
    sync -- "$T/old/$1.own" "$T/old/$1.group" "$T/old/$1" "$T/old"
}

unmake_user() { # NAME; one that owns mail by now stays
    home=$(getent passwd "$1" | cut -d: -f6)
    [ -n "$home" ] && [ -z "$(ls -A -- "$home" 2>/dev/null)" ] || return 0
    userdel -- "$1" && { ! getent group "$1" >/dev/null || groupdel -- "$1"; }
}

no_user() { # N NAME: in a roll-back, one that the apply had made
    note_user "$1" "$2" && unmake_user "$2"
}

user_again() { # N NAME
    ! [ -s "$T/old/$1" ] || getent passwd "$2" >/dev/null || {
        IFS=: read -r _ _ uid gid _ home shell <"$T/old/$1"
        { getent group "$2" >/dev/null || groupadd --system --gid "$gid" "$2"; } &&
            useradd --system --uid "$uid" --gid "$gid" --no-create-home --home-dir "$home" --shell "$shell" "$2"
    }
}
