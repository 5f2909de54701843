# Which packages there are. POSIX sh; a part of the probe's script, with what is in engine/probe.sh.

packages() { # NAME...
    dpkg-query -W -f '${db:Status-Abbrev}|${Package}|${Version}\n' "$@"
}

# What apt would do, by the lists that it has; its own cache is made in memory. What it would have to remove stands in
# lines of its own.
installation() { # NAME...
    apt-get -s -q --no-install-recommends --no-remove -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        install "$@" 2>&1 | awk '
            /^(Inst|Conf|E:) /
            !/^ / { removes = /will be REMOVED:$/; next }
            removes { print "Remv" $0 }'
}
