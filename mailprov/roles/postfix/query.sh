# What is asked of a host's Postfix beside the things that are managed. POSIX sh, read-only; a part of the probe.

root_alias() { # who gets root's mail: the entry in aliases(5)
    grep -i '^root[[:space:]]*:' /etc/aliases
}

# Only root can tell, and it stays: what is mixed with it cannot be guessed from a digest.
salt() {
    cat /etc/ssh/ssh_host_*_key | sha256sum
}

# A Postfix that somebody else has set up: its settings, its services, whom it delivers to.
postfix_setup() {
    command -v postconf >/dev/null || return
    postconf -n -x | sed 's/^/set /'
    postconf -M | sed 's/^/service /'
    sed -n 's/^\([^#:[:space:]][^:[:space:]]*\)[[:space:]]*:.*/local \1/p' /etc/aliases
    getent passwd | awk -F: '$3 >= 1000 && $3 < 60000 { print "local " $1 }'
}

# What could not be sent yet: of the first messages why, for some of their recipients, as JSON has it (postqueue(1)); then
# how many there are, and since when the first of them waits. Queue and arrival stand before all that strangers have
# written, and within what they have written no quote stands bare.
mail_queue() {
    command -v postqueue >/dev/null || return
    postqueue -j 2>/dev/null | awk '
        !/^{"queue_name": "(deferred|hold)"/ { next }
        match($0, /"arrival_time": [0-9]+/) {
            at = substr($0, RSTART + 16, RLENGTH - 16)
            if (!first || at + 0 < first) first = at + 0
        }
        ++count <= 200 {
            for (n = 0; n < 5 && (at = index($0, "\"delay_reason\": \"")); n++) {
                $0 = substr($0, at + 16)
                if (match($0, /^"([^"\\]|\\.)*"/)) print "reason " substr($0, 1, RLENGTH)
            }
        }
        END { printf "total %d %d\n", count, first }'
}
