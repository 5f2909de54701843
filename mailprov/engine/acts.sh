# What a step can do on a host, and how that is taken back. N is the step's number: what it makes is staged in new/N,
# what it replaces is kept in old/N. POSIX sh; a part of the transaction's script, where T, STATE and BOOT are set.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

keep() { :; }

# What a daemon has of its own, in daemon.sh of its role: functions NAME_PART.
has() { # NAME PART
    command -v "$1_$2" >/dev/null
}

part() { # NAME PART [WORD...]
    daemon=$1_$2
    shift 2
    "$daemon" "$@"
}

digest() { # FILE
    sum=$(sha256sum <"$1")
    echo "${sum%% *}"
}

# What is made here, and what is meant by it: the manifest tells it to the next plan.
made() { # KIND VALUE NAME
    [ -n "$2" ] || { echo "it cannot be told what $3 is"; return 1; }
    [ -n "$REHEARSAL" ] || printf 'made %s %s %s\n' "$1" "$2" "$3" >>"$T/made"
}

# What a command says is kept whole, or not at all: half a note would be taken for what was there.
noted() { # NAME COMMAND...
    note=$T/old/$1
    shift
    said=$("$@" 2>/dev/null)
    printf '%s\n' "$said" >"$note.part" && sync -- "$note.part" && mv -- "$note.part" "$note" && sync -- "$T/old"
}

save() { # N PATH
    [ -z "$REHEARSAL" ] || return 0
    if [ -e "$2" ] || [ -L "$2" ]; then
        [ -f "$2" ] && [ ! -L "$2" ] || { echo "$2 is in the way: not a plain file"; return 1; }
        cp -a -- "$2" "$T/old/$1.part" && sync -- "$T/old/$1.part" && mv -- "$T/old/$1.part" "$T/old/$1"
    else
        true >"$T/old/$1.absent"
    fi && sync -- "$T/old"
}

# A rename is what makes a change whole: readers see the old file or the new one.
place() { # NEW PATH MODE OWNER GROUP
    new=${2%/*}/.${2##*/}.mailprov
    install -m "$3" -o "$4" -g "$5" -T -- "$1" "$new" && age "$new" "$2" &&
        sync -- "$new" && mv -fT -- "$new" "$2" && sync -- "${2%/*}" && return 0
    rm -f -- "$new"
    return 1
}

# Postfix waits while main.cf is younger than two seconds; Dovecot tells passwd-files apart by size and whole seconds.
age() { # NEW OLD
    touch -d '-3 seconds' -- "$1"
    [ -e "$2" ] || return 0
    times=$(stat -c %Y -- "$1" "$2") || return 1
    # shellcheck disable=SC2086 # two numbers
    set -- "$1" $times
    [ "$2" -gt "$3" ] || touch -d "@$(($3 + 1))" -- "$1"
}

# Dovecot looks at a passwd-file once in each second of the clock. Where the clock stands still, time passes anyway.
outlast() { # SECOND
    for _ in $(seq 22); do
        [ "$(date +%s)" = "$1" ] || return 0
        sleep 0.05
    done
}

next_second() { outlast "$(date +%s)"; } # N

put() { # N PATH MODE OWNER GROUP
    save "$1" "$2" && place "$T/new/$1" "$2" "$3" "$4" "$5"
}

drop() { # N PATH
    save "$1" "$2" && rm -f -- "$2" && sync -- "${2%/*}"
}

restore() { # N PATH
    rm -f -- "${2%/*}/.${2##*/}.mailprov"
    if [ -f "$T/old/$1.absent" ]; then
        rm -f -- "$2"
    elif [ -f "$T/old/$1" ]; then
        # Nothing is owed where it is as it was: what kept the step from being done may still be in the way.
        alike "$T/old/$1" "$2" && return 0
        new=${2%/*}/.${2##*/}.mailprov
        { cp -a -- "$T/old/$1" "$new" && sync -- "$new" && mv -fT -- "$new" "$2"; } || { rm -f -- "$new"; return 1; }
    else
        return 0 # it died before it was saved: nothing was touched
    fi && sync -- "${2%/*}"
}

alike() { # KEPT PATH
    [ -f "$2" ] && [ ! -L "$2" ] && cmp -s -- "$1" "$2" && [ "$(stat -c '%a %u %g' -- "$1")" = "$(stat -c '%a %u %g' -- "$2")" ]
}

copy() { :; } # the payload is the thing

# The rows of a table: lines that are none (comments, blank or broken ones, a key for the second time) go. rows.py knows
# them by the same signs.
table_rows() { # PATH SEPARATOR
    [ ! -f "$1" ] || awk -v "FS=$2" '
        { sub(/[ \t\r]+$/, "") }
        NF < 2 || $1 !~ /^[^# ]+$/ || $0 !~ /^[!-~][ -~]*$/ || $1 in seen { next }
        { seen[$1] = 1; print }
    ' "$1"
}

# new/N holds "S<row>" and "D<key>" lines: make the whole table of them and of the live one.
merged() { # N PATH SEPARATOR
    table_rows "$2" "$3" | awk -v "FS=$3" -v "DELTA=$T/new/$1" '
        FILENAME == DELTA {
            row = substr($0, 2)
            split(row, field, FS)
            if ($0 ~ /^D/) gone[field[1] == "" ? row : field[1]] = 1
            else new[field[1]] = row
            next
        }
        $1 in gone { next }
        $1 in new { print new[$1]; delete new[$1]; next }
        { print }
        END { for (key in new) print new[key] }
    ' "$T/new/$1" - | sort >"$T/new/$1.merged" && mv "$T/new/$1.merged" "$T/new/$1"
}

take() { # N KEPT DIGEST
    cp -a -- "$2" "$T/new/$1" && [ "$(digest "$T/new/$1")" = "$3" ] || { echo "$2 is not what it was"; return 1; }
}

put_back() { # N PATH
    save "$1" "$2" && place_as_kept "$T/new/$1" "$2"
}

place_as_kept() { # KEPT PATH
    new=${2%/*}/.${2##*/}.mailprov
    cp -a -- "$1" "$new" && age "$new" "$2" && sync -- "$new" && mv -fT -- "$new" "$2" && sync -- "${2%/*}" && return 0
    rm -f -- "$new"
    return 1
}
