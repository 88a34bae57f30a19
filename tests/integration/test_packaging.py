"""The systemd unit: what systemd itself says of it, offline."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

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


def test_the_example_configuration_holds_only_presets():
    lines = (BUILD / "packaging/masugata.conf").read_text().splitlines()
    assert len(lines) > 50
    assert all(line == "" or line.startswith("#") for line in lines)
