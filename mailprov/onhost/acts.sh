# What a step can do on a host, and how that is taken back. N is the step's number: what it makes is staged in new/N,
# what it replaces is kept in old/N. POSIX sh; a part of the transaction's script, where T, STATE and BOOT are set.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

keep() { :; }

digest() { # FILE
    sum=$(sha256sum <"$1")
    echo "${sum%% *}"
}

# What is made here, and what is meant by it: the manifest tells it to the next plan.
made() { # KIND VALUE NAME
    [ -n "$2" ] || { echo "it cannot be told what $3 is"; return 1; }
    [ -n "$REHEARSAL" ] || printf 'made %s %s %s\n' "$1" "$2" "$3" >>"$T/made"
}

note_certificate() { # N PATH: the one that the daemons are about to load
    made certificate "$(fingerprint "$2")" "$2"
}

# What a command says is kept whole, or not at all: half a note would be taken for what was there.
noted() { # NAME COMMAND...
    note=$T/old/$1
    shift
    said=$("$@" 2>/dev/null)
    printf '%s\n' "$said" >"$note.part" && sync -- "$note.part" && mv -- "$note.part" "$note" && sync -- "$T/old"
}

# --- files and folders

note_folder() { # N PATH
    noted "$1.folder" stat -c '%a %u:%g %U %G' -- "$2"
}

folder_as_noted() { # N PATH
    read -r mode owner _ <"$T/old/$1.folder"
    chown "$owner" -- "$2" && chmod "$mode" -- "$2"
}

folder() { # N PATH MODE OWNER GROUP
    if [ -d "$2" ] && [ ! -L "$2" ]; then
        [ -n "$REHEARSAL" ] || note_folder "$1" "$2"
    else
        [ ! -e "$2" ] && [ ! -L "$2" ] || { echo "$2 is in the way: not a folder"; return 1; }
        mkdir -p -- "$2"
    fi && chown "$4:$5" -- "$2" && chmod "$3" -- "$2"
}

# A folder that is no longer wanted, and again.
drop_folder() { # N PATH
    [ ! -d "$2" ] || [ -L "$2" ] || { note_folder "$1" "$2" && { rmdir -- "$2" || [ -n "$(ls -A -- "$2")" ]; }; }
}

folder_again() { # N PATH
    [ -f "$T/old/$1.folder" ] || return 0
    mkdir -p -- "$2" && folder_as_noted "$1" "$2"
}

former_folder() { # N PATH; one that has got content since is left, unless it is what could not be taken back yet
    if [ -f "$T/old/$1.folder" ]; then
        folder_as_noted "$1" "$2"
    elif [ -d "$2" ]; then
        rmdir -- "$2" || { [ -n "${whole-yes}" ] && [ -n "$(ls -A -- "$2")" ]; }
    fi
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
    (umask 077 && cat -- "$1" >"$new") && chown "$4:$5" -- "$new" && chmod "$3" -- "$new" && age "$new" "$2" &&
        sync -- "$new" && mv -fT -- "$new" "$2" && sync -- "${2%/*}" && return 0
    rm -f -- "$new"
    return 1
}

# Postfix waits while main.cf is younger than two seconds; Dovecot tells passwd-files apart by size and whole seconds.
age() { # NEW OLD
    touch -d '-3 seconds' -- "$1"
    [ ! -e "$2" ] || [ "$(stat -c %Y -- "$1")" -gt "$(stat -c %Y -- "$2")" ] ||
        touch -d "@$(($(stat -c %Y -- "$2") + 1))" -- "$1"
}

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

# A passwd-file as it was, but for the passwords that users have changed since: those are theirs.
own_passwords() { # LIVE FORMER
    awk -F: -v OFS=: '
        FILENAME == ARGV[1] { if ($5 == "initial") own[$1] = $2; next }
        $5 == "initial" && $1 in own { $2 = own[$1] }
        { print }
    ' "$1" "$2" >"$2.now" && cat -- "$2.now" >"$2" && rm -f -- "$2.now"
}

former_accounts() { # N PATH
    back=${OUT-$T/old/$1}.back
    if [ -f "$T/old/$1" ] && [ -f "$2" ]; then
        cp -a -- "$T/old/$1" "$back" && own_passwords "$2" "$back" && place_as_kept "$back" "$2"
        said=$?
        rm -f -- "$back"
        return $said
    else
        restore "$1" "$2"
    fi
}

# --- staging

copy() { :; } # the payload is the thing

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

# new/N holds "S<row>" and "D<key>" lines: make the whole table of them and of the live one. Lines that are no rows
# (comments, blank or broken ones) go; rows.py knows them by the same signs. A row whose password belongs to its user
# keeps the one that it has, whoever owned it before.
merged() { # N PATH SEPARATOR
    old=/dev/null
    [ ! -f "$2" ] || old=$2
    awk -v "FS=$3" -v "DELTA=$T/new/$1" '
        FILENAME == DELTA {
            row = substr($0, 2)
            split(row, field, FS)
            if ($0 ~ /^D/) gone[field[1] == "" ? row : field[1]] = 1
            else new[field[1]] = row
            next
        }
        { sub(/[ \t\r]+$/, "") }
        NF < 2 || $1 !~ /^[^# ]+$/ || $0 !~ /^[!-~][ -~]*$/ || $1 in seen { next }
        { seen[$1] = 1 }
        $1 in gone { next }
        $1 in new {
            row = new[$1]
            delete new[$1]
            n = split(row, field, FS)
            if (FS == ":" && field[5] == "initial" && field[2] == "")
                row = $1 ":" $2 substr(row, length($1) + 2)
            print row
            next
        }
        { print }
        END { for (key in new) print new[key] }
    ' "$T/new/$1" "$old" | sort >"$T/new/$1.merged" && mv "$T/new/$1.merged" "$T/new/$1"
}

merge() { # N PATH SEPARATOR DIGEST
    merged "$1" "$2" "$3" || return 1
    found=$(awk -F: -v OFS=: '$5 == "initial" { $2 = "" } { print }' "$T/new/$1" | sha256sum)
    [ "${found%% *}" = "$4" ] || { echo "merging into $2 gave other rows than planned"; return 1; }
}

merge_map() { # N PATH DIGEST
    merged "$1" "$2" ' ' || return 1
    found=$(sha256sum <"$T/new/$1")
    [ "${found%% *}" = "$3" ] || { echo "merging into $2 gave other rows than planned"; return 1; }
    postmap "hash:$T/new/$1" && made map "$(digest "$T/new/$1.db")" "$2"
}

# --- going back: staged is what an earlier transaction replaced, with its mode and owner

take() { # N KEPT DIGEST
    cp -a -- "$2" "$T/new/$1" && [ "$(digest "$T/new/$1")" = "$3" ] || { echo "$2 is not what it was"; return 1; }
}

take_map() { # N KEPT DIGEST PATH
    # Where its database was missing, it is made.
    take "$1" "$2" "$3" && { if [ -f "$2.db" ]; then cp -a -- "$2.db" "$T/new/$1.db"; else map_as_kept "$T/new/$1"; fi; } &&
        made map "$(digest "$T/new/$1.db")" "$4"
}

map_as_kept() { # MAP: its database, with its mode and owner
    postmap "hash:$1" && chown --reference="$1" -- "$1.db" && chmod --reference="$1" -- "$1.db"
}

take_accounts() { # N KEPT DIGEST PATH
    take "$1" "$2" "$3" && { [ ! -f "$4" ] || own_passwords "$4" "$T/new/$1"; }
}

put_back() { # N PATH
    save "$1" "$2" && place_as_kept "$T/new/$1" "$2"
}

put_back_map() { # N PATH
    put_back "$1" "$2" && put_back "$1.db" "$2.db" && touch -r "$2" -- "$2.db"
}

drop_map() { # N PATH
    drop "$1" "$2" && drop "$1.db" "$2.db"
}

place_as_kept() { # KEPT PATH
    new=${2%/*}/.${2##*/}.mailprov
    cp -a -- "$1" "$new" && age "$new" "$2" && sync -- "$new" && mv -fT -- "$new" "$2" && sync -- "${2%/*}" && return 0
    rm -f -- "$new"
    return 1
}
