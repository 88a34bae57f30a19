"""Chromium for the tests with providers that somebody else wrote: see peer_browser.mjs for the steps."""

import json
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
in_chromium = pytest.mark.skipif(not (ROOT / "node_modules/playwright-core").exists() or not pathlib.Path("/usr/bin/chromium").exists(),
                                 reason="npm ci was not run, or there is no Chromium")


def chromium(*steps, why=lambda: ""):
    """What it saw; `why` says more when it did not get through."""
    done = subprocess.run(["node", str(ROOT / "tests/integration/peer_browser.mjs"), json.dumps(steps)], cwd=ROOT, capture_output=True,
                          text=True, timeout=150)
    assert done.returncode == 0, (done.stderr, why())
    return json.loads(done.stdout)
