#!/usr/bin/env python3
"""`make demo` builds the target `programs` and nothing else: every program that is installed belongs to it, or a demo that was
built by that alone misses a part, which shows only as a control that is unknown."""
import json
import pathlib
import subprocess
import sys

build = pathlib.Path(sys.argv[1])
targets = json.loads(subprocess.run(["meson", "introspect", str(build), "--targets"], capture_output=True, text=True, check=True).stdout)
installed = {target["name"] for target in targets if target["type"] == "executable" and target["installed"]}
# What is installed as a script or a copy is there when the build directory has been set up.
query = subprocess.run(["ninja", "-C", str(build), "-t", "query", "programs"], capture_output=True, text=True, check=True).stdout
built = {line.strip("| \t\n").rpartition("/")[2] for line in query.splitlines() if line.strip().startswith("|")}
missing = sorted(installed - built)
if len(installed) < 10:
    sys.exit(f"only {len(installed)} programs are installed: this test does not see them")
if missing:
    sys.exit(f"make demo does not build {', '.join(missing)}: add it to `programs` (meson.build)")
print(f"{len(installed)} programs")
