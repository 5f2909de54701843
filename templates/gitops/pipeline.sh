#!/bin/sh
# The steps of this repository's pipeline, for any runner: Jenkins, Gitea, Gitee, a laptop. No forge is known here.
#
#   ./pipeline.sh check        what is wrong in a change: needs no secret, asks no host, is for everybody's changes
#   ./pipeline.sh rehearse     disposable hosts with this declaration: needs root, systemd-nspawn and the secrets
#   ./pipeline.sh plan         what would change: out/plan.json is the plan, out/comment.md says it
#   ./pipeline.sh apply PLAN   exactly that plan, or nothing (4: something moved, 8: another apply is at work)
#   ./pipeline.sh drift        what was changed on the hosts by hand (2), and certificates that end soon (9)
#
# Reports go to out/. What comes from the environment, and from nowhere in the repository:
#
#   MAILPROV_AGE_IDENTITY      opens the secrets of the declaration
#   MAILPROV_SSH_KEY           the private key itself, or
#   MAILPROV_SSH_KEY_FILE      the name of its file; with neither, whatever SSH finds: an agent, ~/.ssh
#   MAILPROV_KNOWN_HOSTS       the hosts' keys, where the declaration names no known_hosts; needs a key from here, too
#   MAILPROV_CONSENTS          what may be done although it takes something away: "allow-removals allow-closing"
#   MAILPROV_HANDOUT           a folder that lasts and that nobody else can look into, for generated passwords; without
#                              it they are encrypted for .age-recipients, as out/handout.age
set -efu
umask 077
cd "$(dirname "$0")"

fail() {
    printf 'pipeline.sh: %s\n' "$*" >&2
    exit 1
}

command -v mailprov >/dev/null || fail 'there is no mailprov here: write into requirements.txt where the pipeline gets it'

private=$(mktemp -d "${TMPDIR:-/tmp}/mailprov.XXXXXX") # never in the workspace
trap 'rm -rf "$private"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fresh() { # REPORT...: out/ is ours, and holds none of these of an earlier run
    [ ! -L out ] || fail 'out is a link, and reports would go where it leads: take it out of the repository'
    mkdir -p out
    (cd out && rm -rf -- "$@")
}

connected() { # what opens the hosts, in files that only this run can read
    if [ -n "${MAILPROV_SSH_KEY-}${MAILPROV_SSH_KEY_FILE-}${MAILPROV_KNOWN_HOSTS-}" ]; then
        mkdir "$private/.ssh"
        # HOME is another one from here on.
        age=${HOME-}/.config/mailprov/age.txt
        if [ -z "${MAILPROV_AGE_IDENTITY-}${MAILPROV_AGE_IDENTITY_FILE-}" ] && [ -f "$age" ]; then
            MAILPROV_AGE_IDENTITY_FILE=$age
            export MAILPROV_AGE_IDENTITY_FILE
        fi
        if [ -n "${MAILPROV_SSH_KEY-}" ]; then
            printf '%s\n' "$MAILPROV_SSH_KEY" | tr -d '\r' >"$private/.ssh/id_ed25519"
        elif [ -n "${MAILPROV_SSH_KEY_FILE-}" ]; then
            # What it holds is not shown: it may be the key.
            if [ ! -f "$MAILPROV_SSH_KEY_FILE" ] || [ ! -r "$MAILPROV_SSH_KEY_FILE" ]; then
                fail 'MAILPROV_SSH_KEY_FILE names no file that can be read; the key itself goes into MAILPROV_SSH_KEY'
            fi
            tr -d '\r' <"$MAILPROV_SSH_KEY_FILE" >"$private/.ssh/id_ed25519"
        fi
        [ -z "${MAILPROV_KNOWN_HOSTS-}" ] || printf '%s\n' "$MAILPROV_KNOWN_HOSTS" >"$private/.ssh/known_hosts"
        HOME=$private
        export HOME
        unset MAILPROV_SSH_KEY MAILPROV_SSH_KEY_FILE MAILPROV_KNOWN_HOSTS
    fi
}

tested() { [ -d tests ]; }

untested='there is no folder tests/: no policy is judged'

owned() { # names that no forge knows are passed over without a word
    if [ ! -f CODEOWNERS ] || grep -q '^[^#]*@OPERATORS' CODEOWNERS; then
        echo 'CODEOWNERS names nobody of yours: no forge demands a review of tests/, this file and the recipe'
    fi
}

recipients() { # a line that is none is told here, and not first when passwords are to be encrypted for it
    ! grep -q '^[[:space:]]*[^#[:space:]]' .age-recipients 2>/dev/null ||
        printf 'nothing\n' | mailprov secret encrypt >/dev/null
}

check() {
    fresh validate.sarif test.sarif test.xml
    owned
    recipients
    mailprov validate --confined --sarif out/validate.sarif
    if tested; then mailprov test --confined --sarif out/test.sarif --junit out/test.xml; else echo "$untested"; fi
}

rehearse() {
    fresh rehearse.xml
    if tested; then set -- --test; fi
    mailprov rehearse --junit out/rehearse.xml "$@"
}

plan() {
    fresh plan.json plan.md report.json policy.md policy.xml comment.md
    connected
    status=0
    set -- --out out/plan.json --markdown out/plan.md --json out/report.json
    [ -z "${MAILPROV_HANDOUT-}" ] || set -- "$@" --handout "$MAILPROV_HANDOUT"
    mailprov plan "$@" || status=$?
    if [ "$status" = 0 ] && tested; then
        mailprov test --plan out/plan.json --junit out/policy.xml --markdown out/policy.md || status=$?
    fi
    # A plan that the tests refuse is told, and not kept. A forge takes 65,536 characters.
    [ "$status" = 0 ] || rm -f out/plan.json
    set -- out/plan.md
    if [ -s out/policy.md ] && [ "$(cat out/plan.md out/policy.md | wc -c)" -lt 65000 ]; then
        if [ "$status" = 0 ]; then set -- "$@" out/policy.md; else set -- out/policy.md "$@"; fi
    fi
    [ -s out/plan.md ] || printf '### mailprov plan: exit code %s\n\nWhy is in the log of this run.\n' "$status" >out/plan.md
    cat "$@" >out/comment.md
    tested || printf '\n%s\n' "$untested" >>out/comment.md
    printf '\n<!-- mailprov plan -->\n' >>out/comment.md # by which the next one finds this one
    return "$status"
}

apply() { # PLAN
    plan=$1
    fresh apply.md apply.json handout.age
    connected
    if [ -n "${MAILPROV_HANDOUT-}" ]; then
        handout=$MAILPROV_HANDOUT
    else
        handout=$private/handout
        # Before any host is touched: a password that nobody can open is lost.
        printf 'nothing\n' | mailprov secret encrypt >"$private/tried" ||
            fail 'generated passwords could not be kept: see above, or name a folder for them in MAILPROV_HANDOUT'
    fi
    ! tested || mailprov test --plan "$plan"
    set -- --yes --handout "$handout" --markdown out/apply.md --json out/apply.json
    for consent in ${MAILPROV_CONSENTS-}; do
        case $consent in
            allow-takeover | allow-removals | allow-renames | allow-many | allow-closing | allow-opening | \
                allow-shrinking | allow-expiry | allow-restart) set -- "$@" "--$consent" ;;
            *) fail 'MAILPROV_CONSENTS: there is a word that is no consent, such as allow-removals' ;;
        esac
    done
    status=0
    mailprov apply "$plan" "$@" || status=$?
    [ -n "${MAILPROV_HANDOUT-}" ] || hand_out
    return "$status"
}

hand_out() { # however the apply ended: some hosts may have accounts with these passwords
    [ -s "$handout/passwords.csv" ] || return 0
    if mailprov secret encrypt -o out/handout.age <"$handout/passwords.csv"; then
        echo 'generated passwords: out/handout.age, for those who are in .age-recipients'
    else
        trap 'rm -rf "$private/.ssh" "$private/tried"' EXIT
        fail "generated passwords could not be encrypted: they stay on this runner, in $handout"
    fi
}

drift() {
    fresh drift.md drift.json certificates.json
    connected
    status=0 certificates=0
    mailprov drift --markdown out/drift.md --json out/drift.json || status=$?
    mailprov check-certs --json out/certificates.json || certificates=$?
    [ "$certificates" = 0 ] ||
        printf '\nCertificates: exit code %s. Which, and why, is in the log of this run.\n' "$certificates" >>out/drift.md
    [ "$status" != 0 ] || status=$certificates
    return "$status"
}

case "${1-}:$#" in
    check:1 | rehearse:1 | plan:1 | drift:1 | apply:2) "$@" ;;
    *) fail 'one of: check, rehearse, plan, apply PLAN, drift' ;;
esac
