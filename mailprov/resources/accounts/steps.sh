# What a step can do with a passwd-file and whoever is logged in by it, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh and store.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

former_accounts() { # N PATH [NAME_IN_LIVE=NAME_IN_FORMER...]
    back=${OUT-$T/old/$1}.back number=$1 path=$2
    shift 2
    # As far as it can be: what came for the names that go.
    [ $# = 0 ] || [ -n "$BOOT" ] || { printf '%s\n' "$@" | sed 's/=.*//' >"$back.names" && delivered_to "$back.names"; } || :
    rm -f -- "$back.names"
    if [ -f "$T/old/$number" ] && [ -f "$path" ]; then
        # What kept it from being replaced may still be in the way.
        cp -a -- "$T/old/$number" "$back" && own_passwords "$path" "$back" "$@" &&
            { alike "$back" "$path" || place_as_kept "$back" "$path"; }
        said=$?
        rm -f -- "$back"
        return $said
    else
        restore "$number" "$path"
    fi
}

merge() { # N PATH SEPARATOR DIGEST
    with_own_passwords "$2" "$T/new/$1" && merged "$1" "$2" "$3" && as_planned "$T/new/$1" "$4" "$2"
}

as_planned() { # FILE DIGEST PATH
    found=$(without_own_passwords "$1" | sha256sum)
    [ "${found%% *}" = "$2" ] || { echo "merging into $3 gave other rows than planned"; return 1; }
}

take_accounts() { # N KEPT DIGEST PATH [NAME_IN_LIVE=NAME_IN_FORMER...]
    taken=$T/new/$1 path=$4
    take "$1" "$2" "$3" || return 1
    shift 4
    [ ! -f "$path" ] || own_passwords "$path" "$taken" "$@"
}

# Former names of accounts, which new/N has.
drop_names() { # N PATH DIGEST MODE OWNER GROUP
    save "$1" "$2" || return 1
    awk -F: -v "NAMES=$T/new/$1" '
        BEGIN { while ((getline name <NAMES) > 0) former[name] = 1 }
        !($1 in former) { print }
    ' "$2" >"$T/new/$1.left" && as_planned "$T/new/$1.left" "$3" "$2" && place "$T/new/$1.left" "$2" "$4" "$5" "$6"
}

# Back with the former names, before mail comes for them again.
names_again() { # N PATH
    former_accounts "$1" "$2" && { [ -n "$BOOT" ] || next_second; }
}

# Before nobody knows them all is delivered that was accepted for them.
delivered() { # N
    delivered_to "$T/new/$1"
}

delivered_to() { # FILE of names
    command -v postqueue >/dev/null || return 0
    # What is still being received may be for anybody, and was accepted before the maps changed.
    coming=$(find /var/spool/postfix/incoming -type f ! -perm -100 2>/dev/null)
    for try in $(seq 60); do
        told=$(postqueue -j 2>/dev/null) || { running postfix || return 0; echo "postqueue does not answer"; return 1; }
        waiting=$(printf '%s\n' "$told" | waiting_for "$1")
        still=
        for file in $coming; do [ ! -f "$file" ] || still=yes; done
        [ -n "$waiting$still" ] || return 0
        [ "$try" != 3 ] || for id in $waiting; do postqueue -i "$id"; done
        sleep 0.25
    done
    [ -n "$waiting" ] || return 0
    # shellcheck disable=SC2086 # numbers
    echo "mail for an address that is renamed waits and cannot be delivered, see postqueue -p:" $waiting
    return 1
}

waiting_for() { # FILE of names: the numbers of messages for them in the JSON of postqueue(1)
    awk -v "NAMES=$1" '
        BEGIN { while ((getline name <NAMES) > 0) former[name] = 1 }
        {
            line = tolower($0)
            split($0, word, "\"")
            for (i = 1; i in word; i++) if (word[i] == "queue_id") id = word[i + 2]
            while (match(line, /"address": "[^"]*"/)) {
                address = substr(line, RSTART + 12, RLENGTH - 13)
                sub(/\+[^@]*@/, "@", address)
                if (address in former) { print id; break }
                line = substr(line, RSTART + RLENGTH)
            }
        }
    '
}

# Their names are in a file: thousands of them are more than a program takes as words.
dismiss() { # N: end the sessions of the closed accounts that new/N names
    next_second # until then they are let in
    # Who was let in just before may not be among them yet.
    for _ in 1 2 3 4 5; do
        names=$(sessions_of "$T/new/$1")
        [ -n "$names" ] || return 0
        for name in $names; do doveadm kick "$name"; done
        sleep 0.1
    done
    return 0
}

sessions_of() { # FILE: those who have sessions among the names in it
    doveadm who -1 2>/dev/null | awk -v "CLOSED=$1" '
        BEGIN { while ((getline name <CLOSED) > 0) closed[name] = 1 }
        NR > 1 && $1 in closed { print $1 }
    ' | sort -u
}
