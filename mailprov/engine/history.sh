# What a host remembers of its transactions: a line each, with the hash of the line before it, so that a gap shows.
# POSIX sh; a part of the scripts that write it, where STATE is set.

chain() { # WORDS...: one more line
    last=$(tail -n 1 "$STATE/history" | sha256sum)
    { cat "$STATE/history" && printf '%s %s %s\n' "${last%% *}" "$(date +%s)" "$*"; } >"$STATE/history.new" && sync -- "$STATE/history.new" &&
        mv -f -- "$STATE/history.new" "$STATE/history"
}
