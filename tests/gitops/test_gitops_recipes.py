"""The recipes' own steps, run for forges in files and a mailprov that only notes what it is asked: what is for whom."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from forge_runners import BOT, GitHub, GitLab, Run

from mailprov.workflows import new_repository

SECRETS = {
    name: {"MAILPROV_AGE_IDENTITY": "age-canary", "MAILPROV_SSH_KEY": "ssh-canary line 1\r\nline 2"}
    for name in ("mail-plan", "mail", "mail-nightly")
}
NOTING = r"""#!/bin/sh
# notes what it is asked, and writes what it is told to
set -eu
home=none
[ ! -f "$HOME/.ssh/id_ed25519" ] || home="$(stat -c %a "$HOME/.ssh" "$HOME/.ssh/id_ed25519" | tr '\n' ' ')$HOME"
echo "$* [$home] [${MAILPROV_SSH_KEY-gone}] [${MAILPROV_AGE_IDENTITY-none}]" >>"$FORGE/asked"
verb=$1 asked=$*
while [ $# -gt 0 ]; do
    case $1 in
        --out) cp "$FORGE/plan" "$2" ;;
        --markdown) printf '### mailprov: %s\n' "$verb" >"$2" ;;
        --json) printf '{"changed": %s}\n' "$(cat "$FORGE/changed")" >"$2" ;;
        --sarif) cp "$FORGE/sarif" "$2" ;;
        --junit) echo '<?xml ' >"$2" ;;
        --handout) [ "$verb" != apply ] || { mkdir -p "$2"; cp "$FORGE/passwords" "$2/passwords.csv" || :; } ;;
        -o) { echo encrypted; wc -c; } >"$2" ;;
        encrypt) [ ! -e "$FORGE/nobody" ] || exit 1 ;;
    esac
    shift
done 2>/dev/null
[ "$verb" != show ] || cat "$FORGE/plan"
[ ! -e "$FORGE/$verb.exit" ] || exit "$(cat "$FORGE/$verb.exit")"
"""
SARIF = """{"runs": [{"results": [{"level": "error", "message": {"text": "100% wrong\\n::warning::line two"},
"locations": [{"physicalLocation": {"artifactLocation": {"uri": "people/a,b:c.yaml"},
"region": {"startLine": 3, "startColumn": 7}}}]}, {"level": "warning", "message": {"text": "doubtful"},
"locations": [{"physicalLocation": {"artifactLocation": {"uri": "mail.yaml"}}}]}]}]}"""


def begun(forge: GitHub | GitLab) -> None:
    new_repository.write(forge.work)
    for name, text in {"plan": "a plan", "changed": "true", "sarif": '{"runs": []}'}.items():
        (forge.store / name).write_text(text)
    forge.commit("Begin")
    forge.commit("A change", "change")


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    forge = GitHub(tmp_path, SECRETS, NOTING)
    begun(forge)
    return forge


@pytest.fixture
def gitlab(tmp_path: Path) -> GitLab:
    key = tmp_path / "key-file"
    key.write_text("ssh-canary line 1\r\nline 2\n")
    given = {"MAILPROV_AGE_IDENTITY": "age-canary", "MAILPROV_SSH_KEY_FILE": str(key)}
    forge = GitLab(tmp_path, dict.fromkeys(SECRETS, given), NOTING)
    begun(forge)
    return forge


def asked(forge: GitHub | GitLab, verb: str = "") -> list[str]:
    path = forge.store / "asked"
    found = path.read_text().splitlines() if path.exists() else []
    return [line for line in found if line.startswith(verb)]


def well(run: Run, *jobs: str) -> Run:
    assert run.ran == dict.fromkeys(jobs, "success"), run.log
    return run


# --- GitHub


def test_a_pull_request_is_checked_and_planned_with_one_comment(github: GitHub) -> None:
    others = {"id": 1, "user": {"login": "mallory"}, "body": "<!-- mailprov plan -->"}
    github.know(comments=[others])
    for _ in range(2):
        well(github.pull("change"), "check", "plan")
    (theirs, ours) = github.known["comments"]
    assert theirs == others
    assert ours["user"]["login"] == BOT
    assert ours["body"] == "### mailprov: plan\n### mailprov: test\n\n<!-- mailprov plan -->\n"
    (validate, *_), (plan, *_) = asked(github, "validate"), asked(github, "plan")
    assert validate.startswith("validate --confined --sarif") and validate.endswith("[none] [gone] [none]")
    assert "[700 600 " in plan and plan.endswith("[gone] [age-canary]")
    assert asked(github, "test --plan out/plan.json")


def test_a_fork_is_checked_and_gets_nothing(github: GitHub) -> None:
    run = well(github.pull("change", "mallory/mail"), "check")
    assert run["check"].environment == ""
    assert asked(github, "plan") == [] and github.known["artifacts"] == github.known["comments"] == []
    assert "canary" not in "".join(asked(github))


def test_what_is_wrong_is_said_on_its_line(github: GitHub) -> None:
    (github.store / "sarif").write_text(SARIF)
    (github.store / "validate.exit").write_text("3")
    run = github.pull("change")
    assert run.ran == {"check": "failure"} and run["check"].status == 3
    lines = [line for line in run.log.splitlines() if line.startswith("::")]
    assert lines == [
        "::error file=people/a%2Cb%3Ac.yaml,line=3,col=7::100%25 wrong%0A::warning::line two",
        "::warning file=mail.yaml,line=1,col=1::doubtful",
    ]


def test_a_plan_that_the_tests_refuse_is_told_and_not_kept(github: GitHub) -> None:
    # as `test --confined` is content, and `test --plan` is not
    (github.folder / "bin/real/mailprov").write_text(f'{NOTING}\ncase $asked in "test --plan"*) exit 9 ;; esac\n')
    assert github.pull("change").ran == {"check": "success", "plan": "failure"}
    assert github.known["artifacts"] == []
    assert github.known["comments"][0]["body"].startswith("### mailprov: test\n### mailprov: plan\n")
    (github.store / "plan.exit").write_text("1")
    assert github.pull("change").ran == {"check": "success", "plan": "failure"}
    assert github.known["artifacts"] == []
    assert "### mailprov: plan" in github.known["comments"][0]["body"]
    run = github.merged("change")
    assert run.ran == {"merged": "failure"} and "no plan is kept for" in run.log


def test_what_was_reviewed_is_applied_with_the_consents_of_the_merge(github: GitHub) -> None:
    well(github.pull("change"), "check", "plan")
    (github.store / "passwords").write_text("hand-out-canary\n")
    github.before_apply = lambda: github.know(pulls=[])  # nothing is asked of the request once somebody has approved
    run = github.merged(
        "change", ("allow-removals", "allow-list of ports", "allow-merge", "bug", "allow-closing", "allow-$(id)")
    )
    well(run, "merged", "apply")
    assert run["apply"].environment == "mail"
    assert "Consents that an approval gives: `allow-removals allow-closing`" in run["merged"].log
    (apply,) = asked(github, "apply")
    assert apply.startswith("apply ") and "/kept/plan.json --yes --handout " in apply
    assert apply.split(" [")[0].endswith("--json out/apply.json --allow-removals --allow-closing")
    assert apply.endswith("[gone] [age-canary]")
    kept = next((github.store / "artifacts").glob("*/mail-apply-*"))
    assert {path.name for path in kept.iterdir()} == {"apply.md", "apply.json", "handout.age"}
    assert (kept / "handout.age").read_text() == "encrypted\n16\n"
    left = [path for path in github.files() if "canary" in path.read_text() and path.name not in ("asked", "passwords")]
    assert left == [], "the key, the identity and passwords are on no runner and in no artifact"
    assert "canary" not in (github.store / "calls").read_text()


def test_no_fork_keeps_a_plan_for_somebody_else(github: GitHub) -> None:
    well(github.pull("change"), "check", "plan")
    (ours,) = github.known["artifacts"]
    of = ours["workflow_run"]
    forged = {**ours, "created_at": "9", "workflow_run": {**of, "id": 77, "head_repository_id": 2}}
    other = {**ours, "created_at": "9", "workflow_run": {**of, "id": 78, "head_sha": "0" * 40}}
    gone = {**ours, "created_at": "9", "expired": True, "workflow_run": {**of, "id": 79}}
    github.know(artifacts=[forged, ours, other, gone])
    assert well(github.merged("change"), "merged", "apply")["merged"].outputs["run"] == "1"


def test_nobody_is_asked_where_nothing_changes(github: GitHub) -> None:
    (github.store / "changed").write_text("false")
    well(github.pull("change"), "check", "plan")
    well(github.merged("change"), "merged")


def test_a_commit_without_a_pull_request_is_not_applied(github: GitHub) -> None:
    run = github.push(github.commit("Straight to main"))
    assert run.ran == {"merged": "failure"} and "came by no pull request" in run.log


def test_by_hand_main_is_planned_and_applied(github: GitHub) -> None:
    run = well(github.dispatch("allow-many"), "plan", "merged", "apply")
    assert [run[name].environment for name in ("plan", "apply")] == ["mail-plan", "mail"]
    assert asked(github, "apply")[0].split(" [")[0].endswith(" --allow-many")
    assert github.known["comments"] == []


@pytest.mark.parametrize("words", ["removals", "allow-removals;id", "--yes", "allow-Removals", "*", "$(id)", "a\nb=c"])
def test_what_is_no_consent_is_refused(words: str, github: GitHub) -> None:
    run = github.dispatch(words)
    assert "failure" in run.ran.values() and asked(github, "apply") == []


def test_nothing_is_applied_where_new_passwords_could_not_be_kept(github: GitHub) -> None:
    (github.store / "nobody").touch()
    run = github.dispatch()
    assert run["apply"].result == "failure" and asked(github, "apply") == []
    assert "generated passwords could not be kept" in run.log


def test_the_night_opens_one_issue_and_closes_it(github: GitHub) -> None:
    well(github.night(), "drift")
    assert github.known["issues"] == []
    (github.store / "drift.exit").write_text("2")
    for _ in range(2):
        run = github.night()
        assert (run.ran, run["drift"].status, run["drift"].environment) == ({"drift": "failure"}, 2, "mail-nightly")
    (issue,) = github.known["issues"]
    assert issue["body"] == "### mailprov: drift\n" and issue["state"] == "open"
    (github.store / "drift.exit").unlink()
    (github.store / "check-certs.exit").write_text("9")
    assert github.night()["drift"].status == 9
    assert "Certificates: exit code 9." in github.known["issues"][0]["body"]
    (github.store / "check-certs.exit").unlink()
    well(github.night(), "drift")
    assert [each["state"] for each in github.known["issues"]] == ["closed"]


def test_a_rehearsal_is_for_a_runner_that_can_do_it(tmp_path: Path) -> None:
    forge = GitHub(tmp_path, SECRETS, NOTING, MAILPROV_REHEARSE_RUNNER="nspawn")
    begun(forge)
    well(forge.pull("change"), "check", "rehearse", "plan")
    assert asked(forge, "rehearse")[0].startswith("rehearse --junit out/rehearse.xml --test")
    well(forge.pull("change", "mallory/mail"), "check")


# --- GitLab


def test_a_merge_request_is_checked_and_planned_with_one_note(gitlab: GitLab) -> None:
    (gitlab.store / "sarif").write_text(SARIF)
    others = {"id": 1, "author": {"id": 8}, "body": "<!-- mailprov plan -->"}
    gitlab.know(notes=[others])
    for _ in range(2):
        well(gitlab.request("change"), "check", "plan")
    (theirs, ours) = gitlab.known["notes"]
    assert theirs == others and ours["body"].startswith("### mailprov: plan\n### mailprov: test\n")
    quality = next((gitlab.store / "artifacts").rglob("codequality.json")).read_text()
    assert '"path": "people/a,b:c.yaml"' in quality and '"begin": 3' in quality
    assert "[700 600 " in asked(gitlab, "plan")[0] and "canary" not in (gitlab.store / "calls").read_text()


def test_a_fork_of_gitlab_gets_nothing(gitlab: GitLab) -> None:
    well(gitlab.request("change", "6"), "check")
    assert asked(gitlab, "plan") == [] and "canary" not in "".join(asked(gitlab))


def test_gitlab_applies_what_was_reviewed(gitlab: GitLab) -> None:
    (gitlab.store / "plan").write_text("an older plan")
    well(gitlab.request("change"), "check", "plan")
    gitlab.commit("Another change", "change")
    (gitlab.store / "plan").write_text("the plan of the head")
    well(gitlab.request("change"), "check", "plan")
    well(gitlab.request("change", "6"), "check")
    (gitlab.store / "passwords").write_text("hand-out-canary\n")
    run = well(gitlab.merged("change", ("allow-removals", "allow me", "bug")), "merged", "apply")
    assert "the plan of the head" in run["merged"].log
    assert "Consents that an approval gives: allow-removals\n" in run["merged"].log
    (apply,) = asked(gitlab, "apply")
    assert apply.startswith("apply out/plan.json --yes") and apply.split(" [")[0].endswith(" --allow-removals")
    left = {path.name for path in gitlab.files() if "canary" in path.read_text()} - {"asked", "passwords"}
    assert left == set()


def test_gitlab_says_where_no_plan_is(gitlab: GitLab) -> None:
    run = gitlab.merged("change")
    assert run.ran == {"merged": "failure"} and "no plan is kept for" in run.log
    run = gitlab.push(gitlab.commit("Straight to main"))
    assert run.ran == {"merged": "failure"} and "came by no merge request" in run.log


def test_gitlab_by_hand_and_at_night(gitlab: GitLab) -> None:
    well(gitlab.by_hand("allow-many allow-closing"), "plan", "apply")
    assert asked(gitlab, "apply")[0].split(" [")[0].endswith(" --allow-many --allow-closing")
    (gitlab.store / "drift.exit").write_text("2")
    run = gitlab.night()
    assert (run.ran, run["drift"].status) == ({"drift": "failure"}, 2) and "### mailprov: drift" in run.log


# --- the script alone


def typed(forge: GitHub, words: str, **more: str) -> tuple[int, str]:
    """Somebody types `./pipeline.sh WORDS` on a machine of their own: the exit code, and what is said."""
    own = {"PATH": f"{forge.folder}/bin/real:/usr/bin:/bin", "HOME": str(forge.folder), "FORGE": str(forge.store)}
    return forge._shell(f"./pipeline.sh {words}", forge.work, own | more)


def handed_out(forge: GitHub, **more: str) -> Path:
    """The folder that an apply names which can encrypt its passwords at first, and not in the end."""
    (forge.store / "passwords").write_text("hers\n")
    failing = forge.program.replace("-o) {", "-o) exit 1; {").replace("2>/dev/null", "")
    (forge.folder / "bin/real/mailprov").write_text(failing)
    (forge.work / "kept.json").write_text("")
    status, said = typed(forge, "apply kept.json", TMPDIR=str(forge.folder), **more)
    assert status == 1
    return Path(said.strip().rpartition("on this runner, in ")[2])


def test_the_script_is_in_nobodys_way(github: GitHub) -> None:
    """On a laptop: whatever SSH finds there, and the folder for hand-outs that is named."""
    passwords = github.folder / "kept for long"
    (github.store / "passwords").write_text("hers\n")
    status, said = typed(github, "plan", MAILPROV_HANDOUT=str(passwords))
    assert status == 0, said
    status, said = typed(github, "apply out/plan.json", MAILPROV_HANDOUT=str(passwords))
    assert status == 0, said
    assert (passwords / "passwords.csv").read_text() == "hers\n" and asked(github, "secret") == []
    assert not (github.work / "out/handout.age").exists()
    assert stat.S_IMODE((github.work / "out").stat().st_mode) == 0o700
    assert all("[none]" in line for line in asked(github))
    for words in ("", "aply x", "apply", "plan now", "fresh"):
        status, said = typed(github, words)
        assert (status, "one of: check" in said) == (1, True)


def test_passwords_that_cannot_be_encrypted_in_the_end_are_not_thrown_away(github: GitHub) -> None:
    kept = handed_out(github)
    assert (kept / "passwords.csv").read_text() == "hers\n" and kept.is_relative_to(github.folder)
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("value", ["-----BEGIN OPENSSH PRIVATE KEY-----\nkey-canary\n", "/nowhere"])
def test_a_key_in_the_place_of_its_files_name_is_not_shown_and_is_no_drift(value: str, github: GitHub) -> None:
    for verb in ("drift", "plan", "apply out/plan.json"):
        status, said = typed(github, verb, MAILPROV_SSH_KEY_FILE=value)
        assert (status, "canary" in said, "names no file that can be read" in said) == (1, False, True), said
    assert asked(github) == []


def test_the_key_goes_where_the_hand_out_stays(github: GitHub) -> None:
    kept = handed_out(github, MAILPROV_SSH_KEY="key-canary")
    assert [path.name for path in kept.parent.iterdir()] == ["handout"]


def test_another_plan_than_the_one_that_was_shown_is_not_applied(github: GitHub) -> None:
    well(github.pull("change"), "check", "plan")

    def exchange() -> None:
        for kept in (github.store / "artifacts").glob("*/mail-plan-*/plan.json"):
            kept.write_text(kept.read_text() + " ")

    github.before_apply = exchange
    run = github.merged("change")
    assert run.ran == {"merged": "success", "apply": "failure"}
    assert "this is not the plan that was shown" in run.log and asked(github, "apply") == []


def test_where_no_policy_is_judged_that_is_said(github: GitHub) -> None:
    (github.work / "tests").rename(github.folder / "tests gone")
    for verb in ("check", "plan"):
        status, said = typed(github, verb)
        assert status == 0, said
    assert "there is no folder tests/: no policy is judged" in (github.work / "out/comment.md").read_text()
