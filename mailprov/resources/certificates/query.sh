# Which certificates there are. POSIX sh; a part of the probe's script, with what is in engine/probe.sh.

certificates() { # CERTIFICATE KEY [CERTIFICATE KEY...]
    while [ $# -gt 1 ]; do
        echo "certificate $1"
        stat -L -c 'mode %a %U' -- "$2"
        pair=$(SSL_CERT_FILE=/dev/null openssl x509 -in "$1" -pubkey) # its public key, then itself
        public=$(openssl pkey -in "$2" -pubout)
        echo "${pair#*-----END PUBLIC KEY-----?}"
        [ -z "$public" ] || case $pair in "$public"*) echo matches ;; esac
        shift 2
    done
}
