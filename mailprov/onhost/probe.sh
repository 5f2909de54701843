# What mailprov asks of a host. POSIX sh, read-only: it writes nothing, not even a temporary file.
# Each line of an answer begins with its section's name and a space, so that no text can pass for another section's.
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
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

packages() { # NAME...
    dpkg-query -W -f '${db:Status-Abbrev}|${Package}|${Version}\n' "$@"
}

system_users() { # NAME...: each line of passwd(5), then the name of that user's group, if it has one
    getent passwd "$@" | while IFS=: read -r name password uid gid more; do
        printf '%s\n' "$name:$password:$uid:$gid:$more"
        while IFS=: read -r group _ number _; do
            [ "$number" != "$gid" ] || { echo "$name $group"; continue 2; }
        done </etc/group
        group=$(getent group "$gid") && echo "$name ${group%%:*}"
    done
}

files() { # PATH...; also every path that an earlier apply managed
    [ ! -f "$STATE/managed" ] || while read -r path; do set -- "$@" "$path"; done <"$STATE/managed"
    stat -c '%F|%a|%U|%G|%n' -- "$@"
    digests "$@"
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
            /etc/dovecot/mailprov/verify) name=accounts ;;
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

# A passwd-file's digest, less the passwords that belong to their users.
accounts() { # PATH
    [ -f "$1" ] && awk -F: -v OFS=: '$5 == "initial" { $2 = "" } { print }' "$1" | sha256sum
    stat -c '%F|%a|%U|%G|%n' -- "$1"
}

maps() { # PATH...
    for map in "$@"; do set -- "$@" "$map.db"; done
    stat -c '%F|%a|%U|%G|%n' -- "$@"
    for path in "$@"; do
        shift
        # shellcheck disable=SC2015,SC3013 # dash and busybox know -nt
        [ "$path" = "${path%.db}" ] || [ ! "${path%.db}" -nt "$path" ] && set -- "$@" "$path"
    done
    digests "$@"
}

certificates() { # CERTIFICATE KEY [CERTIFICATE KEY...]
    while [ $# -gt 1 ]; do
        echo "certificate $1"
        stat -L -c 'mode %a %U' -- "$2"
        pair=$(openssl x509 -in "$1" -pubkey) # its public key, then itself
        public=$(openssl pkey -in "$2" -pubout)
        echo "${pair#*-----END PUBLIC KEY-----?}"
        [ -z "$public" ] || case $pair in "$public"*) echo matches ;; esac
        shift 2
    done
}

services() { # UNIT...
    systemctl show -p Id,Type,LoadState,ActiveState,UnitFileState "$@"
}

firewall() {
    nft -s list table inet mailprov | sha256sum
}

listeners() { # where no IPv6 socket listens, it is tried whether there can be one
    said=$(ss -Hltnp)
    echo "$said"
    case $said in *'[::'* | *' *:'*) return ;; esac
    perl -MSocket -e 'exit !socket(my $try, AF_INET6, SOCK_STREAM, 0)' || echo 'ipv6 none'
}

# What tells whether a daemon runs what its files say: its number, when Dovecot read its configuration (each start and
# each reload changes that socket), when that was last written, and which of the sockets are there.
daemons() { # SOCKET...
    read -r pid </run/dovecot/master.pid && echo "pid dovecot $pid"
    read -r pid </var/spool/postfix/pid/master.pid && echo "pid postfix $pid"
    stat -c '%F|%.9Z|%n' -- /run/dovecot/login/login /etc/dovecot/dovecot.conf "$@"
}

# A home itself, and those of the folders of mail in it that are not its user's, or do not let their owner in: of each
# domain a few, some hundreds together, however many there are.
mail_tree() { # USER HOME
    [ ! -d "$2" ] || perl -e "$MAIL_TREE" "$1" "$2"
}

# shellcheck disable=SC2016 # perl's own variables
MAIL_TREE='
    my ($user, $home) = @ARGV;
    my $owner = getpwnam($user) // -1;
    sub look {
        my ($path) = @_;
        my ($mode, $uid) = (stat $path)[2, 4];
        return if !-d _;
        printf "%d %s %o %s\n", $uid, getpwuid($uid) // $uid, $mode & 07777, $path
            if $path eq $home || $uid != $owner || !($mode & 0100);
    }
    sub within {
        my ($path, $most) = @_;
        opendir my $folder, $path or return;
        my @names;
        while ($most-- > 0 && defined(my $name = readdir $folder)) { push @names, "$path/$name" if $name !~ /^\.|\n/ }
        return @names;
    }
    my @domains = within($home, 1000);
    look($_) for $home, @domains, map { within($_, 3 + 400 / @domains) } @domains;
'

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

notes() { # what was noted in words, and not as a copy of a file
    awk -F '\t' '$2 == "do" && $3 ~ /^(enable|stand_down|with_socket|system_user|user_again_as|no_user)$/ { print $1, $1 ".below", $1 ".group", $1 ".socket" }' ../steps
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

# --- a closer look, at what differs only

# What apt would do, by the lists that it has; its own cache is made in memory.
installation() { # NAME...
    apt-get -s -q --no-install-recommends --no-remove -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        install "$@" 2>&1 | grep -E '^(Inst|Conf|E:) '
}

content() { # PATH: in base64, since a file may hold anything
    [ -f "$1" ] && head -c 1048576 -- "$1" | base64 -w 0
}

# Of a table, those parts that have not the digests told: their numbers, then their rows, each after its line's number.
# A table is a map, or a passwd-file without the passwords that belong to their users.
rows() { # PATH SEPARATOR DIGEST...
    [ -f "$1" ] || return 0
    path=$1 separator=$2
    shift 2
    apart=0
    [ $# = 1 ] || apart=$(
        parted "$path" "$separator" $# '' |
            awk -v told="$*" 'BEGIN { split(told, digest, " ") } $2 != digest[$1 + 1] { print $1 }'
    )
    apart=$(echo $apart)
    echo "$apart"
    parted "$path" "$separator" $# "$apart"
}

# A row's part is told by the Adler-32 of its key (RFC 1950, section 8.2): the rows of these parts, or every part's digest.
parted() { # PATH SEPARATOR HOW_MANY PARTS
    awk -F: -v OFS=: -v separator="$2" -v many="$3" -v parts="$4" '
        BEGIN {
            for (byte = 1; byte < 256; byte++) value[sprintf("%c", byte)] = byte
            for (part = 0; part < many; part++) digest[part] = "echo " part " $(sha256sum)"
            if (parts == "") for (part in digest) printf "" | digest[part]
        }
        separator == ":" && $5 == "initial" { $2 = "" }
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
        }' "$1"
}

leftovers() { # mail whose account is closed: its bytes, its messages, its address
    [ -f /etc/dovecot/mailprov/accounts ] || return 0
    printf '%s\n' /var/vmail/*/*/ | awk -F/ '
        BEGIN {
            while ((getline row <"/etc/dovecot/mailprov/accounts") > 0) { split(row, field, ":"); account[field[1]] = 1 }
        }
        NF == 6 && !($5 "@" $4 in account) && $5 != "*" && $5 !~ /^mailprov-test-/
    ' | while IFS= read -r home; do
        address=${home#/var/vmail/} address=${address%/}
        size=$(du -sb -- "$home")
        messages=$(find "$home" -type f \( -path '*/cur/*' -o -path '*/new/*' \) | wc -l)
        echo "${size%%[!0-9]*} $messages ${address#*/}@${address%%/*}"
    done
}

usage() { # ADDRESS...: the bytes that its mail takes
    for address in "$@"; do
        size=$(du -sb -- "/var/vmail/${address##*@}/${address%@*}") && echo "${size%%[!0-9]*} $address"
    done
}
