"""Password sign-in against one argon2id hash with the same parameters, alternating in one run.

Sign-in is measured where the portal asks for it (the row sign_in): both counters in one statement, the
account, unsealing, the hash, a durable audit record, a durable session, the shared table. The peer
is a plain libargon2 call. Budget: 1.10 x (DESIGN.md section 11)."""

import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from identity_system import BUILD, IdentitySystem  # noqa: E402

PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
PASSWORD = "lanterns drift upstream"


def main():
    program = BUILD / "tests/bench/bench-hash-once"
    with IdentitySystem() as system, subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        tenant = system.tenant_add("acme")
        system.user_add("acme", "aiko@acme.example", PASSWORD)
        hashes, sign_ins = [], []
        for pair in range(-10, PAIRS):  # the first ten warm up
            peer.stdin.write("\n")
            peer.stdin.flush()
            hash_ms = float(peer.stdout.readline())
            started = time.monotonic()
            answer = system.sign_in(tenant, "aiko@acme.example", PASSWORD)
            sign_in_ms = (time.monotonic() - started) * 1000
            assert answer["outcome"] == "GRANTED", answer
            if pair >= 0:
                hashes.append(hash_ms)
                sign_ins.append(sign_in_ms)
        peer.stdin.close()
    ratios = [sign_in / hash_ms for sign_in, hash_ms in zip(sign_ins, hashes)]
    print(f"{PAIRS} pairs, alternating; medians (quartiles)")
    for name, values, unit in (("one argon2id hash", hashes, "ms"), ("sign-in", sign_ins, "ms"), ("ratio of pairs", ratios, "x")):
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:18} {middle:7.3f} {unit}  ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
