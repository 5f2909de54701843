# What is asked of a host's Postfix beside the things that are managed. POSIX sh, read-only; a part of the probe.

root_alias() { # who gets root's mail: the entry in aliases(5)
    grep -i '^root[[:space:]]*:' /etc/aliases
}

# A Postfix that somebody else has set up: its settings, its services, whom it delivers to.
postfix_setup() {
    command -v postconf >/dev/null || return
    postconf -n -x | sed 's/^/set /'
    postconf -M | sed 's/^/service /'
    sed -n 's/^\([^#:[:space:]][^:[:space:]]*\)[[:space:]]*:.*/local \1/p' /etc/aliases
    getent passwd | awk -F: '$3 >= 1000 && $3 < 60000 { print "local " $1 }'
}
