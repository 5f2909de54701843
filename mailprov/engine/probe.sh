# What mailprov asks of a host. POSIX sh, read-only: it writes nothing, not even a temporary file.
# Each line of an answer begins with its section's name and a space, so that no text can pass for another section's.
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
unset POSIXLY_CORRECT
STATE=/var/lib/mailprov

told() { # FUNCTION: all that it asks, with one program for all sections
    read -r mark </proc/sys/kernel/random/uuid || return # nobody on the host can know it, and print a section's beginning
    "$1" </dev/null 2>/dev/null | awk -v mark="$mark " '
        index($0, mark) == 1 { print section = substr($0, length(mark) + 1); blank = 0; next }
        blank { print section " " }
        { blank = $0 == "" }
        !blank { print section " " $0 }'
}

section() { # NAME: what was said before it may lack its last newline
    printf '\n%s %s\n' "$mark" "$1"
}

answer() { # SECTION FUNCTION [WORD...]
    section "$1"
    shift
    "$@"
}

# What the shell reads by itself costs next to nothing; each program that it starts costs a millisecond or two.
facts() {
    while read -r label _ effective _; do
        [ "$label" != Uid: ] || break
    done </proc/self/status
    echo "uid $effective"
    read -r machine </etc/machine-id
    echo "machine $machine"
    date '+clock %s'
    echo "ssh ${SSH_CONNECTION-}"
    echo "shell ${SHELL-}"
    # shellcheck disable=SC2046 # two numbers: blocks that are free, and their size
    set -- $(stat -f -c '%a %S' /var/lib)
    echo "free $((${1:-0} * ${2:-0} / 1024))"
    while IFS='=' read -r label value; do
        value=${value#\"} value=${value%\"}
        case $label in
            ID) echo "os $value" ;;
            VERSION_ID) echo "release $value" ;;
        esac
    done </etc/os-release
    [ -d /run/systemd/system ] && echo 'init systemd'
    command -v dovecot >/dev/null || apt-cache policy dovecot-core | sed -n 's/^ *Candidate: /candidate /p'
    [ ! -f "$STATE/owed" ] || while read -r debt; do echo "owed $debt"; done <"$STATE/owed"
}

digests() { # PATH...: of plain files only, since reading a FIFO would wait for ever
    for path in "$@"; do
        shift
        [ ! -f "$path" ] || set -- "$@" "$path"
    done
    [ $# -gt 0 ] || return 0
    if [ -d "$STATE/testaccount" ]; then sha256sum -- "$@" | without_test_accounts; else sha256sum -- "$@"; fi
}

# An account that is there while somebody is logged in as a client is no change of the file: testaccount.sh keeps what
# the file was, and what it made of it.
without_test_accounts() {
    while read -r sum path; do
        case $path in
            "$TEST_ACCOUNTS") name=accounts ;;
            /etc/postfix/mailprov/verify) name=map ;;
            /etc/postfix/mailprov/verify.db) name=map.db ;;
            *) name= ;;
        esac
        kept=$STATE/testaccount
        [ -z "$name" ] || [ ! -f "$kept/was.$name" ] || ! cmp -s -- "$kept/was.$name" "$path" ||
            { sum=$(sha256sum <"$kept/$name") && sum=${sum%% *}; }
        echo "$sum  $path"
    done
}

# Whose sockets are: what ss(8) says, then of each process what it cannot make up: its owner, the process above it, its
# control group and its executable. Of the latter the first mapping tells: to read the link would take one more program.
sockets() { # OPTION of ss(8)...
    ss -Hlnp "$@" | awk '
        { print; asked[1] }
        { while (match($0, /,pid=[0-9]+/)) { asked[substr($0, RSTART + 5, RLENGTH - 5)]; $0 = substr($0, RSTART + RLENGTH) } }
        END {
            for (pid in asked) {
                uid = parent = group = program = ""
                while ((getline < (path = "/proc/" pid "/status")) > 0) {
                    if ($1 == "PPid:") parent = $2
                    if ($1 == "Uid:") uid = $2 ? $2 : $3 # who runs a program that is set to run as root is not root
                }
                close(path)
                while ((getline < (path = "/proc/" pid "/cgroup")) > 0)
                    if (/^0::/ && group == "" || /^[0-9]+:name=systemd:/) { sub(/^[^:]*:[^:]*:/, ""); group = $0 }
                close(path)
                if (uid == "0" && (getline < (path = "/proc/" pid "/maps")) > 0 && match($0, /\/.*/)) program = substr($0, RSTART)
                close(path)
                print "process\t" pid "\t" uid "\t" parent "\t" group "\t" program
            }
        }'
}

# What systemd holds for a service, it is asked for; where no IPv6 socket listens, it is tried whether there can be one.
listeners() {
    said=$(sockets -t)
    echo "$said"
    case $said in *',pid=1,'*) socket_units ;; esac
    case $said in *'[::'* | *' *:'*) return ;; esac
    perl -MSocket -e 'exit !socket(my $try, AF_INET6, SOCK_STREAM, 0)' || echo 'ipv6 none'
}

socket_units() {
    echo
    systemctl show -p Id,Listen '*.socket'
}

# What transactions have left: one that is open, who holds the lock for it, the last verdict.
transactions() {
    if read -r open <"$STATE/open"; then
        echo "open $open"
        # The units are asked: to try the lock would hold it for a moment, and in a container /proc/locks hides it. A later
        # transaction's is at work on this one when it settles it.
        # shellcheck disable=SC2046 # a word each
        case " $(echo $(systemctl show -p ActiveState --value 'mailprov-2*.service')) " in
            *' active '* | *activating*) sed 's/^/locked /' "$STATE/holder" ;;
        esac
        # The last event of each name tells where it is, and what it waits for or fails at.
        awk '{ line[NR] = $0; name[NR] = $2; last[$2] = NR }
            END { for (n = 1; n <= NR; n++) if (last[name[n]] == n) print "event " line[n] }' "$STATE/txn/$open/journal"
    fi
    last=$(tail -n 1 "$STATE/history")
    [ -z "$last" ] || printf 'last %s\n' "$last"
}

history() {
    cat "$STATE/history"
}

past() { # what was applied last
    awk '$4 == "applied" { last = $3 } END { print last }' "$STATE/history"
}

kept() { # the transactions that can be gone back past: what each did, what it replaced, and what ran and listened then
    for folder in "$STATE"/txn/*/; do
        name=${folder%/}
        echo "transaction ${name##*/}"
        cd "$folder" || continue
        [ ! -f steps ] || sed 's/^/step /' steps
        [ ! -f plan.sh ] || grep -E '^(un)?do_' plan.sh | sed 's/^/function /'
        grep ' done ' journal | cut -d' ' -f2- | sed 's/^/event /'
        [ ! -f settings ] || sed -n 's/^LISTENERS /listeners /p' settings
        for list in up ports served; do [ ! -f $list ] || sed "s/^/$list /" $list; done
        [ ! -f steps ] || [ -f kept.sums ] || echo 'damaged kept.sums'
        [ ! -f kept.sums ] || LC_ALL=C sha256sum --quiet --check kept.sums 2>/dev/null | sed -n 's/^\.\///; s/: FAILED.*//; s/^/damaged /p'
        [ ! -f former/manifest ] || sed 's/^/manifest /' former/manifest
        [ ! -f former/managed ] || sed 's/^/managed /' former/managed
        cd old || continue
        stat -c 'kept %F|%a|%U|%G|%n' -- *
        digests * | sed 's/^/kept /'
        for note in $(notes); do [ ! -f "$note" ] || sed "s/^/note $note /" "$note"; done
        for table in $(tables); do ! grep -qs '{' "$table" || echo "note $table {"; done
    done
}

notes() { # what was noted in words, and not as a copy of a file; before 0.1 no step said so
    awk -F '\t' '$2 == "noted" || $2 == "do" && $3 ~ /^(enable|stand_down|with_socket|system_user|user_again_as|no_user)$/ { print $1, $1 ".below", $1 ".group", $1 ".socket" }' ../steps
    sed -n 's/^do_\([0-9]*\)() { \(enable\|system_user\) .*/\1/p' ../plan.sh
    for note in *.folder; do echo "$note"; done
}

tables() { # a script that loads the firewall, or only removes it
    awk -F '\t' '$2 == "do" && $3 ~ /_(firewall|table)$/ { print $1 }' ../steps
    sed -n 's/^do_\([0-9]*\)() { \(un\)\{0,1\}load_firewall .*/\1/p' ../plan.sh
}

manifest() {
    cat "$STATE/manifest"
}

# Of a table, those parts that have not the digests told: their numbers, then their rows, each after its line's number.
# READER prints what of the file may be told.
rows() { # READER PATH SEPARATOR DIGEST...
    [ -f "$2" ] || return 0
    reader=$1 path=$2 separator=$3
    shift 3
    apart=0
    [ $# = 1 ] || apart=$(
        "$reader" "$path" | parted "$separator" $# '' |
            awk -v told="$*" 'BEGIN { split(told, digest, " ") } $2 != digest[$1 + 1] { print $1 }'
    )
    apart=$(echo $apart)
    echo "$apart"
    "$reader" "$path" | parted "$separator" $# "$apart"
}

# A row's part is told by the Adler-32 of its key (RFC 1950, section 8.2): the rows of these parts, or every part's digest.
parted() { # SEPARATOR HOW_MANY PARTS
    awk -v separator="$1" -v many="$2" -v parts="$3" '
        BEGIN {
            for (byte = 1; byte < 256; byte++) value[sprintf("%c", byte)] = byte
            for (part = 0; part < many; part++) digest[part] = "echo " part " $(sha256sum)"
            if (parts == "") for (part in digest) printf "" | digest[part]
        }
        {
            end = index($0, separator)
            end = end ? end - 1 : length($0)
            low = 1
            high = 0
            for (at = 1; many > 1 && at <= end; at++) {
                low = (low + value[substr($0, at, 1)]) % 65521
                high = (high + low) % 65521
            }
            part = (low + high) % many
            if (parts == "") print | digest[part]
            else if (index(" " parts " ", " " part " ")) print NR " " $0
        }'
}
