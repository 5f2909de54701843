"""Faults that are no event's: before a transaction begins, in what it finds, and in what it is asked to do."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator

import pytest
from faults_host import Patient
from faults_kinds import ROOM
from faults_scenarios import SCENARIOS, Scenario, base, changed
from faults_trial import Known, Ward

from mailprov.engine import transaction
from mailprov.lab.layers import Layer

pytestmark = [pytest.mark.host, pytest.mark.timeout(1800), pytest.mark.xdist_group("faults-others")]


@pytest.fixture
def patient(ward: Ward, layers: Callable[[Scenario], Layer]) -> Iterator[Patient]:
    """A converged host."""
    admitted = ward.admit(layers(SCENARIOS["change"]))
    yield admitted
    ward.lab.discard(admitted.host)


@pytest.fixture
def known(knowledge: Callable[[str], Known]) -> Known:
    """What the change leads from and to."""
    return knowledge("change")


def is_old(patient: Patient, known: Known) -> None:
    """The host is as it was, serves, and holds nothing."""
    assert patient.rests() == ""
    assert patient.state(base(), changed()).unlike(known.old) == []
    assert patient.serves(base()) == []


def converges(patient: Patient, known: Known) -> None:
    """The next apply does what was asked for."""
    status, said = patient.here(changed(), "apply", "--yes", canary=False)
    assert status == 0, said
    assert patient.state(base(), changed()).unlike(known.new) == []
    assert patient.here(changed(), "plan", "--detailed-exitcode")[0] == 0


def folders(patient: Patient) -> list[str]:
    return patient.sh("ls /var/lib/mailprov/txn").split()


def test_no_room_to_begin_with(patient: Patient, known: Known) -> None:
    patient.sh(ROOM, "6m", "/var/lib/mailprov")
    before = folders(patient)
    patient.sh("cat /dev/zero >/var/lib/mailprov/.full 2>/dev/null; :")
    status, said = patient.here(changed(), "apply", "--yes")
    assert status == 1
    assert "starting the transaction failed; nothing was changed" in said and "No space left" in said
    assert folders(patient) == before
    # A little is enough for the bundle, and not for an undo that is sure to have room.
    patient.sh("truncate -s -2M /var/lib/mailprov/.full")
    status, said = patient.here(changed(), "apply", "--yes")
    assert status == 1
    assert "nothing that is served was touched" in said and "KiB are free" in said
    patient.sh("rm /var/lib/mailprov/.full")
    is_old(patient, known)
    patient.sh("umount /var/lib/mailprov")
    converges(patient, known)


def test_half_a_bundle_leaves_nothing(patient: Patient) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("run", "plan.sh"):
            tar.addfile(tarfile.TarInfo(name))
    before = folders(patient)
    # tar takes an archive that ends between two of its members for a whole one.
    for cut in (0, 100, 512, 1024):
        argv = ("sh", "-c", transaction.START, "mailprov", "20200101T000000Z-abcdef", "60")
        done = patient.host.run(argv, stdin=data.getvalue()[:cut], check=False)
        assert done.returncode != 0
        assert folders(patient) == before


@pytest.mark.parametrize(
    "damage",
    [
        "echo 'what is this' >>journal",
        "sed -i '2d;$s/.*/1/' journal",
        ": >journal",
        ": >run",
        "echo 'rm -rf /etc' >>$steps",
        "rm $steps",
        "rm sums",
    ],
)
def test_what_was_damaged_is_not_settled(patient: Patient, known: Known, damage: str) -> None:
    patient.stop_at("do 6")
    controller = patient.start(changed(), "apply", "--yes")
    stopped = patient.stopped(controller)
    assert stopped is not None
    _, name = stopped
    patient.sh(
        'cd "/var/lib/mailprov/txn/$1" && steps=$(ls -d steps plan.sh 2>/dev/null | tail -n 1) && eval "$2"',
        name,
        damage,
    )
    patient.sh('systemctl kill --kill-who=all --signal=KILL "mailprov-$1"', name)
    controller.wait(60)
    assert controller.returncode == 1
    between = patient.state(base(), changed())
    status, said = patient.here(changed(), "status")
    assert status == 0 and f"cut off: {name}" in said
    status, said = patient.here(changed(), "apply", "--yes", canary=False)
    assert status == 1
    assert "an earlier apply was cut off and cannot be settled; nothing was touched" in said and name in said
    assert patient.state(base(), changed()).unlike(between) == []
    # As the message says.
    patient.sh("rm /var/lib/mailprov/open")
    converges(patient, known)


def test_where_nothing_can_be_written_down_it_is_put_back_all_the_same(patient: Patient, known: Known) -> None:
    patient.stop_at("await")
    controller = patient.start(changed(), "apply", "--yes", confirm=3)
    stopped = patient.stopped(controller)
    assert stopped is not None
    _, name = stopped
    controller.kill()
    controller.wait()
    at = "/var/lib/mailprov"
    patient.sh(f"mount --bind {at} {at} && mount -o remount,bind,ro {at}")
    patient.go_on()
    deadline = time.monotonic() + 90
    while patient.host.run(("test", "-e", f"/run/mailprov-{name}.out.done"), check=False).returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(1)
    left = patient.state(base(), changed()).unlike(known.old)
    # The test account goes when what is kept of it can be written again.
    assert not [line for line in left if "/var/lib/mailprov/" not in line and "/verify" not in line], left
    time.sleep(12)
    assert "writable?" in patient.here(changed(), "status")[1]
    patient.sh(f"umount {at}")
    is_old(patient, known)
    converges(patient, known)


@pytest.mark.parametrize("manifest", ["", "something else\n", "mailprov-manifest 9\ntransaction x\n"])
def test_a_manifest_that_is_not_ours(patient: Patient, known: Known, manifest: str) -> None:
    if manifest:
        patient.host.write("/var/lib/mailprov/manifest", manifest.encode(), 0o600)
    else:
        patient.sh("rm /var/lib/mailprov/manifest")
    converges(patient, known)


def test_a_gap_in_the_history_shows(patient: Patient, known: Known) -> None:
    converges(patient, known)
    assert patient.here(changed(), "history")[0] == 0
    patient.sh("sed -i 's/applied/failed/' /var/lib/mailprov/history")
    status, said = patient.here(changed(), "history")
    assert status == 1 and "the record has a gap at line" in said


def test_a_firewall_that_cuts_ssh_off_is_taken_back(patient: Patient, known: Known) -> None:
    begun = time.monotonic()
    status, said = patient.mailprov(changed(), "apply", "--yes", "--allow-closing", cut_ssh=True, confirm=5)
    took = time.monotonic() - begun
    assert status == 6, said
    assert "put back as it was" in said and "no confirmation came within 5 seconds" in said
    assert took < 60
    is_old(patient, known)
    converges(patient, known)


_HOLD_APT = r"""
use Fcntl;
open(my $file, '>>', '/var/lib/dpkg/lock-frontend') or die $!;
my $lock = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0);
fcntl($file, F_SETLKW, $lock) or die $!;
open(my $held, '>', '/run/apt-held') or die $!;
sleep shift;
"""


@pytest.mark.parametrize(("seconds", "status"), [(600, 1), (5, 0)])
def test_apt_is_busy(ward: Ward, layers: Callable[[Scenario], Layer], seconds: int, status: int) -> None:
    """For ever: a clear error in time, and nothing is there. For a while: it is waited for."""
    bare = SCENARIOS["bare"]
    patient = ward.admit(layers(bare))
    try:
        old = patient.state(bare.after)
        patient.sh(
            'printf %s "$1" >/run/hold-apt; systemd-run -q --unit=busy perl /run/hold-apt "$2"; '
            "until [ -e /run/apt-held ]; do sleep 0.1; done",
            _HOLD_APT,
            str(seconds),
        )
        ended, said = patient.here(bare.after, "apply", "--yes", apt=3 if status else 60)
        assert ended == status, said
        assert patient.rests() == ""
        if status:
            assert "nothing that is served was touched" in said and "lock" in said
            assert patient.state(bare.after).items == old.items
            patient.sh("systemctl stop busy")
            assert patient.here(bare.after, "apply", "--yes")[0] == 0
        assert patient.serves(bare.after) == []
        assert patient.here(bare.after, "plan", "--detailed-exitcode")[0] == 0
    finally:
        ward.lab.discard(patient.host)
