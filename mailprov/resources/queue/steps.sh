# What a step can do with messages that wait in Postfix's queue, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2015,SC2154

QUEUE=/var/spool/postfix

# Whatever somebody else has put on hold is theirs: only those are let go that were not there.
hold_queue() { # N
    noted "$1" in_queue incoming active deferred && postsuper -h ALL
}

release_queue() { # N
    let_go "$T/old/$1"
}

let_go_queue() { # N FILE: where a former step has noted them
    noted "$1" in_queue hold && let_go "$2"
}

let_go() { # FILE
    [ -f "$1" ] || return 0 # it died before it was noted: nothing was touched
    in_queue hold | grep -xF -f "$1" | postsuper -H -
}

hold_again() { # N: what the step has let go, where it has not been sent yet
    [ -f "$T/old/$1" ] || return 0
    in_queue incoming active deferred | grep -xF -f "$T/old/$1" | postsuper -h -
}

in_queue() { # QUEUE...: the names of its messages
    for name in "$@"; do find "$QUEUE/$name" -type f; done | sed 's:.*/::' | sort
}
