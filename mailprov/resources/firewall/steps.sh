# The kernel's firewall: its table is kept as a script that puts it back, or that removes ours where there was none.
# POSIX sh; a part of the transaction's script, with what is in engine/acts.sh.
# shellcheck disable=SC2013,SC2015,SC2034,SC2154

keep_table() { # N
    noted "$1" table_script
}

table_script() {
    printf 'table inet mailprov\ndelete table inet mailprov\n'
    nft list table inet mailprov
}

load_firewall() { # N start|reload
    keep_table "$1" && meant_table && activate mailprov-firewall "$2"
}

# What is meant is told by the kernel itself, in a network of its own where nobody else adds a rule.
meant_table() {
    made firewall "$(unshare --net sh -c 'nft -f /etc/mailprov/mailprov.nft && nft -s list table inet mailprov | sha256sum' | cut -c 1-64)" 'inet mailprov'
}

unload_firewall() { # N
    keep_table "$1" && { ! nft list table inet mailprov >/dev/null 2>&1 || nft delete table inet mailprov; }
}

put_table() { # N KEPT: in a roll-back, the table as it was
    keep_table "$1" && nft -f "$2"
}

former_firewall() { # N
    [ -s "$T/old/$1" ] || return 0 # it died before it was kept: nothing was touched
    grep -q '{' "$T/old/$1" || stop mailprov-firewall || return 1 # there was none; a boot may be about to load one
    [ -n "$BOOT" ] || nft -f "$T/old/$1"
}
