# Which links there are. POSIX sh; a part of the probe's script.

links() {
    find /etc/toy -maxdepth 1 -type l -printf '%p %l\n' | sort
}
