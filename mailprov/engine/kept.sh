# What a transaction leaves: the manifest of before, what can be gone back to, a line in the record; and what is thrown
# away. POSIX sh; a part of the transaction's script.
# shellcheck disable=SC2154

replace() { # NEW PATH
    cp -- "$1" "$2.new" && sync -- "$2.new" && mv -fT -- "$2.new" "$2" && sync -- "${2%/*}"
}

keep_former() { # once: a seal that was cut off is begun again
    [ ! -d "$T/former" ] || return 0
    rm -rf "$T/former.new" && mkdir "$T/former.new" || return 1
    set -- "$T/former.new"
    for name in manifest managed; do
        [ -f "$STATE/$name" ] || continue
        cp -a -- "$STATE/$name" "$T/former.new/" || return 1
        set -- "$@" "$T/former.new/$name"
    done
    sync -- "$@" && mv -- "$T/former.new" "$T/former" && sync -- "$T"
}

# What is kept to go back to is believed only while it is what it was.
keep_sums() {
    [ ! -f "$T/kept.sums" ] || return 0
    (cd "$T" && find . -type f ! -name 'kept.sums*' -exec sha256sum -- {} +) >"$T/kept.sums.new" &&
        sync -- "$T/kept.sums.new" && mv -- "$T/kept.sums.new" "$T/kept.sums" && sync -- "$T"
}

remember() { # VERDICT
    true >>"$STATE/history"
    ! grep -q "^[0-9a-f]* [0-9]* ${T##*/} " "$STATE/history" || return 0
    IFS= read -r meta <"$T/meta"
    chain "${T##*/}" "$1" "$meta"
}

prune() { # those that never began (but for one that is still coming in), and the oldest
    for name in $(grep -lsE '^[0-9]+ verdict (stale|locked|stranger|blocked)$' "$STATE"/txn/*/journal); do
        rm -rf "${name%/journal}" # names are ours
    done
    for folder in "$STATE"/txn/*/; do
        # One that was given up by hand may have left secrets.
        [ ! -d "$folder/new" ] || [ ! -e "$folder/journal" ] || ! ended "$folder" || rm -rf "${folder:?}/new"
    done
    find "$STATE/txn" -mindepth 1 -maxdepth 1 -mmin +60 ! -exec test -e '{}/journal' \; -exec rm -rf {} +
    lasting=$(grep -ls ' verdict applied$' "$STATE"/txn/*/journal)
    applied=0 others=0
    # shellcheck disable=SC2012 # names are ours
    ls -1r "$STATE/txn" | while IFS= read -r name; do
        # What was taken back again takes no room from what can be gone back to.
        case $lasting in
            *"/$name/journal"*) applied=$((applied + 1)) nth=$applied ;;
            *) others=$((others + 1)) nth=$others ;;
        esac
        [ "$nth" -le "$KEPT" ] || [ "$name" = "${T##*/}" ] || rm -rf "$STATE/txn/${name:?}"
    done
}

ended() { # FOLDER
    name=${1%/}
    [ "${name##*/}" != "${T##*/}" ] && ! systemctl -q is-active "mailprov-${name##*/}.service"
}
