# toyd as a daemon: its own checker, and its part in a canary. POSIX sh; a part of the transaction's script.

toyd_check() { [ -e /etc/toy/greeting ]; }

toyd_seclude() { mkdir -p /run/toyd; }

toyd_as_it_is() { :; }

toyd_canary() {
    cat /etc/toy/greeting >/run/toyd/canary && [ -s /run/toyd/canary ]
}

toyd_log() { echo 'error: it has nothing to say'; }
