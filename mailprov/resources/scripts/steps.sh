# What a step can do with a Sieve script and its binary, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

# A binary knows the place of its text, so it is made there: in a mount namespace that nobody else sees, by a
# configuration that says nothing, since the live one may be another version's.
compile_script() { # N PATH
    unshare --mount sh -c "$COMPILE" sh "$T/new/$1" "$2" "$T/new/$1.svbin" &&
        made script "$(digest "$T/new/$1.svbin")" "$2"
}

# shellcheck disable=SC2016 # the inner shell's own variables
COMPILE='
    mount -t tmpfs -o mode=755 tmpfs /etc/dovecot && mkdir -p "${2%/*}" && cp -- "$1" "$2" || exit 1
    case $(dovecot --version) in
        2.[0-3].*) : ;;
        *) printf "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n" ;;
    esac >/etc/dovecot/dovecot.conf
    sievec "$2" && cp -- "${2%.sieve}.svbin" "$3"
'

put_script() { # N PATH MODE OWNER GROUP
    binary=${2%.sieve}.svbin
    save "$1" "$2" && save "$1.svbin" "$binary" && place "$T/new/$1" "$2" "$3" "$4" "$5" &&
        place "$T/new/$1.svbin" "$binary" "$3" "$4" "$5" && newer "$binary" "$2"
}

newer() { # BINARY TEXT: else each delivery would compile it anew
    touch -d "@$(($(stat -c %Y -- "$2") + 1))" -- "$1"
}

former_script() { # N PATH
    restore "$1" "$2" && restore "$1.svbin" "${2%.sieve}.svbin"
}

take_script() { # N KEPT DIGEST PATH
    # Where its binary was missing, it is made.
    take "$1" "$2" "$3" && if [ -f "$2.svbin" ]; then
        cp -a -- "$2.svbin" "$T/new/$1.svbin" && made script "$(digest "$T/new/$1.svbin")" "$4"
    else
        compile_script "$1" "$4" && chown --reference="$T/new/$1" -- "$T/new/$1.svbin" &&
            chmod --reference="$T/new/$1" -- "$T/new/$1.svbin"
    fi
}

put_back_script() { # N PATH
    binary=${2%.sieve}.svbin
    put_back "$1" "$2" && put_back "$1.svbin" "$binary" && newer "$binary" "$2"
}

drop_script() { # N PATH
    drop "$1" "$2" && drop "$1.svbin" "${2%.sieve}.svbin"
}
