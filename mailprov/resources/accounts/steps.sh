# What a step can do with a passwd-file and whoever is logged in by it, and how that is taken back.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

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

merge() { # N PATH SEPARATOR DIGEST
    merged "$1" "$2" "$3" || return 1
    found=$(awk -F: -v OFS=: '$5 == "initial" { $2 = "" } { print }' "$T/new/$1" | sha256sum)
    [ "${found%% *}" = "$4" ] || { echo "merging into $2 gave other rows than planned"; return 1; }
}

take_accounts() { # N KEPT DIGEST PATH
    take "$1" "$2" "$3" && { [ ! -f "$4" ] || own_passwords "$4" "$T/new/$1"; }
}

# Their names are in a file: thousands of them are more than a program takes as words.
dismiss() { # N: end the sessions of the closed accounts that new/N names
    names=$(doveadm who -1 2>/dev/null | awk -v "CLOSED=$T/new/$1" '
        BEGIN { while ((getline name <CLOSED) > 0) closed[name] = 1 }
        NR > 1 && $1 in closed { print $1 }
    ' | sort -u)
    [ -n "$names" ] || return 0
    outlast "$(date +%s)" # until then they would be let in again
    for name in $names; do doveadm kick "$name"; done
    return 0
}
