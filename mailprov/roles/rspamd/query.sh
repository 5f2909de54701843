# What is asked of a host's rspamd beside the things that are managed. POSIX sh, read-only; a part of the probe.

# One that somebody else has set up: that it runs, and the files that are theirs, of which the package brings examples.
rspamd_setup() {
    ! systemctl -q is-active rspamd.service || echo running
    for file in /etc/rspamd/local.d/* /etc/rspamd/override.d/* /etc/rspamd/rspamd.conf.local /etc/rspamd/rspamd.conf.override; do
        case $file in *.example) ;; *) [ ! -s "$file" ] || echo "own $file" ;; esac
    done
}
