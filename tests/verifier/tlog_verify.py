#!/usr/bin/python3
"""Checks a copy of an audit log with nothing but Python's standard library.

Written from c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-proof, RFC 6962
and RFC 8032, not from Masugata's code, so that the two can disagree.

    tlog_verify.py log   DIR VKEY-FILE [--checkpoint FILE] [--witness VKEY-FILE]
    tlog_verify.py proof PROOF-FILE LEAF-FILE VKEY-FILE

Prints one line a problem and exits 1; or `sound: N entries` and 0.
"""

import argparse
import base64
import binascii
import hashlib
import os
import re
import struct
import sys


class Problem(Exception):
    """Something that a sound log does not have."""


# ---- RFC 8032: Ed25519, the plain arithmetic of section 5.1 -----------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    """Extended coordinates (X, Y, Z, T), section 5.1.4."""
    first = (a[1] - a[0]) * (b[1] - b[0]) % P
    second = (a[1] + a[0]) * (b[1] + b[0]) % P
    third = 2 * a[3] * b[3] * D % P
    fourth = 2 * a[2] * b[2] % P
    e, f, g, h = second - first, fourth - third, fourth + third, second + first
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point_read(encoded):
    """Section 5.1.3; None unless it is a point."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = point_read(BASE_Y.to_bytes(32, "little"))


def ed25519_verify(public_key, message, signature):
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, commitment = point_read(public_key), point_read(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    return point_equal(point_multiply(scalar, BASE), point_add(commitment, point_multiply(challenge, key)))


# ---- c2sp.org/signed-note ----------------------------------------------------------------------------


def base64_read(text):
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem("bad base64") from error
    if base64.b64encode(decoded).decode() != text:
        raise Problem("base64 with stray bits")
    return decoded


def name_allowed(name):
    return bool(name) and "+" not in name and not any(c.isspace() for c in name)


class VerifierKey:
    """<name>+<hex id>+base64(type || public key)"""

    def __init__(self, text):
        name, identifier, material = text.rstrip("\n").split("+", 2)
        material = base64_read(material)
        if not name_allowed(name) or not re.fullmatch("[0-9a-f]{8}", identifier) or len(material) != 33:
            raise Problem("bad verifier key")
        self.name, self.type, self.public_key = name, material[0], material[1:]
        self.identifier = bytes.fromhex(identifier)
        if hashlib.sha256(name.encode() + b"\n" + material).digest()[:4] != self.identifier:
            raise Problem("the verifier key's id is not its own")

    def message(self, text, signature):
        """What was signed, and the bare signature."""
        if self.type == 0x01:
            return text, signature
        if self.type == 0x04:  # c2sp.org/tlog-cosignature
            (time,) = struct.unpack(">Q", signature[:8])
            return b"cosignature/v1\ntime %d\n" % time + text, signature[8:]
        raise Problem("unknown key type")


def note_read(raw):
    """The text (bytes) and the signatures [(name, id, signature)]."""
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("note is not UTF-8") from error
    if any(ord(c) < 0x20 and c != "\n" for c in decoded):
        raise Problem("note with a control character")
    at = decoded.rfind("\n\n")
    if at < 0 or not decoded.endswith("\n"):
        raise Problem("note without signatures")
    text, lines = decoded[: at + 1], decoded[at + 2 :].split("\n")[:-1]
    signatures = []
    for line in lines:
        match = re.fullmatch("\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)", line)
        if match is None or not name_allowed(match[1]):
            raise Problem("bad signature line")
        value = base64_read(match[2])
        if len(value) < 5:
            raise Problem("signature too short")
        signatures.append((match[1], value[:4], value[4:]))
    if not signatures:
        raise Problem("note without signatures")
    return text.encode(), signatures


def note_signed_by(raw, key):
    """True, or False if this key did not sign; a wrong signature is a Problem."""
    text, signatures = note_read(raw)
    signed = False
    for name, identifier, signature in signatures:
        if name == key.name and identifier == key.identifier:
            message, bare = key.message(text, signature)
            if not ed25519_verify(key.public_key, message, bare):
                raise Problem("checkpoint_signature: the signature is wrong")
            signed = True
    return signed


# ---- c2sp.org/tlog-checkpoint -------------------------------------------------------------------------


def checkpoint_read(raw):
    text, _ = note_read(raw)
    lines = text.decode().split("\n")
    if lines[-1] != "" or len(lines) < 4 or any(line == "" for line in lines[:-1]):
        raise Problem("checkpoint_malformed")
    if not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
        raise Problem("checkpoint_malformed: size")
    root = base64_read(lines[2])
    if len(root) != 32:
        raise Problem("checkpoint_malformed: root")
    return lines[0], int(lines[1]), root


# ---- RFC 6962 section 2.1 ---------------------------------------------------------------------------


def leaf_hash(leaf):
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_hash(hashes):
    """MTH by the recursion of the RFC, over leaf or subtree hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(tree_hash(hashes[:split]), tree_hash(hashes[split:]))


def inclusion_root(leaf, index, size, path):
    """Folds a proof from the leaf up, by the recursion of PATH(m, D[n]); None if it has the wrong length."""
    if size == 1:
        return leaf if not path else None
    if not path:
        return None
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        below = inclusion_root(leaf, index, split, path[:-1])
        return None if below is None else node_hash(below, path[-1])
    below = inclusion_root(leaf, index - split, size - split, path[:-1])
    return None if below is None else node_hash(path[-1], below)


# ---- c2sp.org/tlog-tiles ------------------------------------------------------------------------------


def tile_path(level, index, width):
    elements = ["%03d" % (index % 1000)]
    while index >= 1000:
        index //= 1000
        elements.insert(0, "x%03d" % (index % 1000))
    path = os.path.join("tile", str(level), *elements)
    return path if width == 256 else path + ".p/%d" % width


class Log:
    def __init__(self, directory):
        self.directory = directory

    def read(self, level, index, width):
        for candidate in (width, 256):
            path = os.path.join(self.directory, tile_path(level, index, candidate))
            if os.path.exists(path):
                self.holds_more = candidate != width  # the full tile, where the partial one is gone
                with open(path, "rb") as file:
                    return file.read()
        raise Problem("%s: %s" % ("truncated" if level == "entries" else "tile_missing", tile_path(level, index, width)))

    def leaves(self, index, width):
        raw, at = self.read("entries", index, width), 0
        holds_more = self.holds_more
        for position in range(width):
            entry = index * 256 + position
            if at == len(raw):
                raise Problem("truncated: entry %d is missing" % entry)
            (length,) = struct.unpack_from(">H", raw.ljust(at + 2, b"\0"), at)
            if at + 2 + length > len(raw):
                raise Problem("entry_changed: entry %d has a damaged length" % entry)
            yield raw[at + 2 : at + 2 + length]
            at += 2 + length
        if at < len(raw) and not holds_more:
            raise Problem("entry_changed: bytes behind entry %d that belong to none" % (index * 256 + width - 1))

    def tile(self, level, index, width):
        raw = self.read(level, index, width)
        if len(raw) < 32 * width:
            raise Problem("tile_missing: %s is too short" % tile_path(level, index, width))
        if len(raw) > 32 * width and not self.holds_more:
            raise Problem("tile_changed: %s is too long" % tile_path(level, index, width))
        return [raw[32 * i : 32 * i + 32] for i in range(width)]


def row_check(log, level, hashes, problems):
    """Compares a level's hashes with its tiles; returns the hashes of the level above."""
    above = []
    for start in range(0, len(hashes), 256):
        part = hashes[start : start + 256]
        try:
            tile = log.tile(level, start // 256, len(part))
            for i, (ours, theirs) in enumerate(zip(part, tile)):
                if ours == theirs:
                    continue
                if level == 0:
                    kind = "entries_reordered" if ours in tile else "entry_changed"
                    problems.append("%s: entry %d" % (kind, start + i))
                else:
                    problems.append("tile_changed: %s hash %d" % (tile_path(level, start // 256, len(part)), i))
        except Problem as problem:
            problems.append(str(problem))
        if len(part) == 256:
            above.append(tree_hash(part))
    return above


def log_check(directory, key, remembered=None, witness=None):
    """The problems of a log, and its size."""
    problems, log = [], Log(directory)
    with open(os.path.join(directory, "checkpoint"), "rb") as file:
        raw = file.read()
    try:
        origin, size, root = checkpoint_read(raw)
        if origin != key.name or not note_signed_by(raw, key):
            problems.append("checkpoint_unsigned")
    except Problem as problem:
        return ["checkpoint: %s" % problem], 0
    hashes = []
    try:
        for index in range((size + 255) // 256):
            for leaf in log.leaves(index, min(256, size - 256 * index)):
                hashes.append(leaf_hash(leaf))
    except Problem as problem:
        return problems + [str(problem)], size
    row, level = hashes, 0
    while row:
        row, level = row_check(log, level, row, problems), level + 1
    if tree_hash(hashes) != root and not problems:
        problems.append("root_differs")
    if remembered is not None:
        _, earlier_size, earlier_root = checkpoint_read(remembered)
        if not note_signed_by(remembered, key) and not (witness and note_signed_by(remembered, witness)):
            problems.append("remembered_signature")
        elif earlier_size > size:
            problems.append("rolled_back: %d entries, %d were remembered" % (size, earlier_size))
        elif tree_hash(hashes[:earlier_size]) != earlier_root:
            problems.append("history_rewritten: before entry %d" % earlier_size)
    return problems, size


# ---- c2sp.org/tlog-proof ------------------------------------------------------------------------------


def proof_check(raw, leaf, key):
    head, _, note = raw.partition(b"\n\n")
    lines = head.decode().split("\n")
    if lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Problem("not a tlog-proof")
    if lines and lines[0].startswith("extra "):
        lines.pop(0)
    match = re.fullmatch("index (0|[1-9][0-9]*)", lines.pop(0))
    if match is None:
        raise Problem("tlog-proof without index")
    path = [base64_read(line) for line in lines]
    origin, size, root = checkpoint_read(note)
    if origin != key.name or not note_signed_by(note, key):
        raise Problem("checkpoint_unsigned")
    index = int(match[1])
    if index >= size or inclusion_root(leaf_hash(leaf), index, size, path) != root:
        raise Problem("the entry is not in the tree")
    return index, size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = parser.add_subparsers(dest="word", required=True)
    log = words.add_parser("log")
    log.add_argument("directory")
    log.add_argument("key")
    log.add_argument("--checkpoint")
    log.add_argument("--witness")
    proof = words.add_parser("proof")
    proof.add_argument("proof")
    proof.add_argument("leaf")
    proof.add_argument("key")
    given = parser.parse_args()

    def read(path):
        with open(path, "rb") as file:
            return file.read()

    key = VerifierKey(read(given.key).decode())
    try:
        if given.word == "proof":
            index, size = proof_check(read(given.proof), read(given.leaf), key)
            print("sound: entry %d is in the tree of %d" % (index, size))
            return 0
        problems, size = log_check(
            given.directory,
            key,
            read(given.checkpoint) if given.checkpoint else None,
            VerifierKey(read(given.witness).decode()) if given.witness else None,
        )
    except Problem as problem:
        problems = [str(problem)]
    for problem in problems:
        print(problem)
    if not problems:
        print("sound: %d entries" % size)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
