# What is asked of a host's rspamd beside the things that are managed. POSIX sh, read-only; a part of the probe.

# One that somebody else has set up: the files that are theirs, for the package brings none into these folders.
rspamd_setup() {
    for file in /etc/rspamd/local.d/* /etc/rspamd/override.d/* /etc/rspamd/rspamd.conf.local /etc/rspamd/rspamd.conf.override; do
        [ ! -s "$file" ] || echo "own $file"
    done
}
