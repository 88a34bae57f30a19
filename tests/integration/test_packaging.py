"""The systemd unit: what systemd itself says of it, offline."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from harness import can_change_mounts

BUILD = pathlib.Path(os.environ.get("MASUGATA_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
UNIT = BUILD / "packaging/masugata.service"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")


@needs_systemd
def test_the_exposure_stays_low():
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=30", str(UNIT)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    assert "ignoring" not in done.stderr and "Unknown" not in done.stderr, done.stderr


def test_the_unit_says_why_something_stays_open():
    text = UNIT.read_text()
    assert "@state@" not in text and "@bindir@" not in text
    assert re.search(r"^# Left open, and why", text, re.M)
    assert "NoNewPrivileges=yes" in text and "ProtectSystem=strict" in text


@needs_systemd
def test_the_mount_of_the_runtime_directory_is_one(tmp_path):
    """systemd accepts it, and the kernel makes huge pages of what it asks for, where it has them."""
    unit = pathlib.Path(__file__).resolve().parents[2] / "packaging/systemd/run-masugata.mount"
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert "run-masugata.mount" not in done.stderr, done.stderr
    options = re.search(r"^Options=(.*)$", unit.read_text(), re.M)[1]
    assert "nosuid" in options and "nodev" in options
    if can_change_mounts():
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "masugata-test", tmp_path], check=True)
        subprocess.run(["umount", tmp_path], check=True)


def test_the_example_configuration_holds_only_presets():
    lines = (BUILD / "packaging/masugata.conf").read_text().splitlines()
    assert len(lines) > 50
    assert all(line == "" or line.startswith("#") for line in lines)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs a mount namespace")
def test_what_make_install_installs_runs(tmp_path):
    """The installed tree, seen under its real prefix in a mount namespace of our own."""
    from harness import free_port
    options = json.loads((BUILD / "meson-info/intro-buildoptions.json").read_text())
    prefix = next(row["value"] for row in options if row["name"] == "prefix")
    subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild"], check=True, capture_output=True,
                   env=os.environ | {"DESTDIR": str(tmp_path)})
    directory = tempfile.mkdtemp(prefix="mgi", dir="/tmp")
    os.chmod(directory, 0o711)
    https_port = free_port()
    pathlib.Path(directory, "masugata.conf").write_text(
        f'gate.https_port = "{https_port}"\ngate.http_port = "{free_port()}"\n')
    script = f"""set -e
        mount --bind {tmp_path}{prefix} {prefix}
        trap '{prefix}/bin/masugata down --dir {directory} >/dev/null' EXIT
        {prefix}/bin/masugata up --dir {directory} --detach --lang en
        curl -sk -o /dev/null -w 'answer %{{http_code}}' --resolve console.localhost:{https_port}:127.0.0.1 \\
            https://console.localhost:{https_port}/"""
    try:
        done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, timeout=200, cwd="/")
        assert "answer 303" in done.stdout, done.stdout + done.stderr
    finally:
        shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root's capabilities to give up")
def test_the_units_capabilities_are_enough():
    """Databases, the gate and an application come up with what the unit leaves root, and somebody signs in."""
    from browser import Browser
    from harness import Deployment, PROGRAM
    names = re.search(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M).group(1).split()
    kept = ",".join("+" + name.removeprefix("CAP_").lower() for name in names)

    class Confined(Deployment):
        def up(self):
            done = subprocess.run(["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all,{kept}", "sh", "-c",
                                   'umask 0077; exec "$0" "$@"', PROGRAM, "up", "--detach", "--dir", str(self.directory)],
                                  capture_output=True, text=True, timeout=150)
            assert done.returncode == 0, done.stdout + done.stderr + self.logs()

    with Confined() as deployment:
        deployment.tenant_add("acme", "example:notes")
        deployment.masugata("user", "add", "--tenant", "acme", "aiko@acme.example", "--roles", "user", "--password-stdin",
                            input="a correct horse of seventeen staples\n")
        page = Browser(deployment).sign_in(f"https://acme.localhost:{deployment.https_port}/", "aiko@acme.example",
                                           "a correct horse of seventeen staples")
        assert page.status == 200, page.text[:500]
