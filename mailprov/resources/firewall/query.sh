# What the kernel's firewall holds of ours, and what it would close. POSIX sh; a part of the probe's script, with what is
# in engine/probe.sh.

firewall() {
    nft -s list table inet mailprov | sha256sum
}

# Where packets are forwarded, a port may lead to a container (DNAT) before our table sees it.
published() {
    for path in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding; do
        forwards=0
        read -r forwards <"$path" # which fails: the kernel gives the number, and then no newline
        [ "$forwards" != 0 ] || continue
        nft -j list ruleset
        # What the older iptables loads, nft does not show; before there is nft, the newer one shows its own.
        for each in iptables ip6tables; do
            ! grep -qsx nat "/proc/net/${each%tables}_tables_names" || "$each-legacy-save" -t nat
            command -v nft >/dev/null || "$each-save" -t nat
        done
        return
    done
}

# What is loaded now, and what shall be where a host has kept that; who listens on UDP, or reads a protocol that has no
# ports; and tunnels, whose sockets are the kernel's.
loading() { # [KEPT]
    nft -s list table inet mailprov | sed 's/^/loaded /'
    [ -z "${1-}" ] || sed 's/^/kept /' "$1"
    sockets -u
    sockets -w | sed 's/^UNCONN /RAW /'
    socket_units
    grep -hsx 'DEVTYPE=wireguard' /sys/class/net/*/uevent | sort -u | sed 's/DEVTYPE=wireguard/tunnel WireGuard/'
}
