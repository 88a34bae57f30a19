"""Every probe of a built control has been seen to hold and to fail: the program's own proof of that, run whole.

About ten minutes; MASUGATA_SABOTAGE may name controls to try only those.
"""
import os
import pathlib
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("MASUGATA", ROOT / "build" / "masugata"))


def test_every_break_is_noticed_and_nothing_else_turns_red(tmp_path):
    only = shlex.split(os.environ.get("MASUGATA_SABOTAGE", ""))
    command = [PROGRAM, "prove", "--sabotage", *only, "--lang", "en", "--dir", tmp_path / "none"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    print(result.stdout, result.stderr)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
    assert "stayed green" not in result.stdout and "unexpected red" not in result.stdout
