# What a step can do with a folder, and how that is taken back; files are put in place by engine/acts.sh.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

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
