# Delete the mail of accounts that are closed: sh -c THIS mailprov NAME META ADDRESS...
# It cannot be taken back. POSIX sh; history.sh, and query.sh and store.sh of resources/accounts, go before it.
# shellcheck disable=SC2015
set -u
umask 077
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
unset POSIXLY_CORRECT
STATE=/var/lib/mailprov

closed() { # ADDRESS: whether it has mail here, and no account
    case $1 in */* | .@* | ..@* | *@. | *@.. | *@*@*) return 1 ;; ?*@?*) ;; *) return 1 ;; esac
    ! has_account "$1" || return 1
    [ ! -L "/var/vmail/${1##*@}" ] && a_mailbox "/var/vmail/${1##*@}/${1%@*}"
}

[ -f "$ACCOUNTS" ] && [ -f "$STATE/history" ] || { echo 'mailprov has not been applied to this host' >&2; exit 1; }
exec 9>>"$STATE/lock"
flock -n 9 && [ ! -e "$STATE/open" ] || { echo "an apply is at work, or cut off: $(cat "$STATE/holder")" >&2; exit 8; }
name=$1 meta=$2
shift 2
for address in "$@"; do
    closed "$address" || { echo "$address is not closed, or has no mail" >&2; exit 1; }
done
printf '%s\n' "$meta" >"$STATE/holder"
# First the record, so that no deletion is without one.
chain "$name" purged "$meta" || exit 1
for address in "$@"; do
    doveadm kick "$address" >/dev/null 2>&1
    rm -rf -- "/var/vmail/${address##*@}/${address%@*}" || exit 1
    echo "$address"
done
true >"$STATE/holder"
