"""An independent implementation of protocol/secure-aggregation.md, for test vectors only.

Written from the specification, not from the Swift code, with the standard library and `cryptography`. It is slow and
takes no care of secrets. Bytes in, bytes out; names follow the specification (ctx, rho, h2, h3, pk_c, pk_s, cb).
"""

import hashlib
import hmac
import math
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PREFIX = b"consilium/secagg/v1/"
P = 2**61 - 1
LIMBS = (7, 7, 7, 7, 4)
NOBODY = 2**32 - 1


# --- §2: encodings, hashes, signatures ---------------------------------------------------------------------------

def u8(x): return struct.pack(">B", x)
def u16(x): return struct.pack(">H", x)
def u32(x): return struct.pack(">I", x)
def u64(x): return struct.pack(">Q", x)
def f64(x): return struct.pack(">d", x)
def lp(x): return u32(len(x)) + x
def text(x): return lp(x.encode())


def framed(label, fields):
    return lp(PREFIX + label.encode()) + b"".join(lp(f) for f in fields)


def H(label, *fields):
    return hashlib.sha256(framed(label, fields)).digest()


def extract(salt, ikm):
    return hmac.new(salt, ikm, hashlib.sha256).digest()


def expand(prk, label, *fields):
    return hmac.new(prk, framed(label, fields) + b"\x01", hashlib.sha256).digest()


def sign(key, label, *fields):
    return key.sign(H("sig/" + label, *fields))


def raw_public(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def signing_key(seed): return Ed25519PrivateKey.from_private_bytes(seed)
def agreement_key(raw): return X25519PrivateKey.from_private_bytes(raw)
def agree(key, public): return key.exchange(X25519PublicKey.from_public_bytes(public))


def keystream(key, count):
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return encryptor.update(bytes(count))


def words(data): return list(struct.unpack("<%dI" % (len(data) // 4), data))
def word_bytes(values): return struct.pack("<%dI" % len(values), *values)


class Draws:
    """SHA-256(seed ‖ u64 counter) blocks; every draw starts a new block."""

    def __init__(self, seed):
        self.seed, self.counter = seed.encode(), 0

    def bytes(self, count):
        out = b""
        while len(out) < count:
            out += hashlib.sha256(self.seed + u64(self.counter)).digest()
            self.counter += 1
        return out[:count]


# --- §4: fixed point ---------------------------------------------------------------------------------------------

def encode(values, tensors, weight, maximum, loss=0.0):
    """Words of the header and of the payload."""
    omega = weight / maximum
    payload, clipped, position = [], 0, 0
    for _, count, clip, bits in tensors:
        for value in values[position:position + count]:
            clamped = min(max(value, -clip), clip)
            clipped += clamped != value
            payload.append(round(clamped * omega * 2.0**bits) % 2**32)
        position += count
    header = [1, 1, 1, 1] + [(weight >> (16 * i)) & 0xFFFF for i in range(3)]
    header.append(round(clipped / len(values) * 65536) if values else 0)
    scaled = round(min(max(loss, 0.0), 255.0) * omega * 2.0**24)
    return header + [scaled & 0xFFFF, scaled >> 16] + [0] * 6, payload


def fraction_bits(clip, cohort):
    """The largest f with n·⌈B·2^f⌉ ≤ 2^31 − 1."""
    f = 62
    while f > -31 and cohort * math.ceil(clip * 2.0**f) > 2**31 - 1:
        f -= 1
    return f


# --- §5: secret sharing ------------------------------------------------------------------------------------------

def limbs(secret):
    out, start = [], 0
    for length in LIMBS:
        out.append(int.from_bytes(secret[start:start + length], "little"))
        start += length
    return out


def share(coefficients, x):
    """coefficients: per limb, constant term first."""
    return b"".join(
        struct.pack("<Q", sum(c * pow(x, k, P) for k, c in enumerate(row)) % P) for row in coefficients)


def draw_polynomials(secret, threshold, draws):
    drawn = draws.bytes(8 * 5 * (threshold - 1))
    rows = []
    for limb, constant in enumerate(limbs(secret)):
        row = [constant]
        for k in range(threshold - 1):
            at = 8 * (limb * (threshold - 1) + k)
            candidate = int.from_bytes(drawn[at:at + 8], "little") & P
            while candidate == P:
                candidate = int.from_bytes(draws.bytes(8), "little") & P
            row.append(candidate)
        rows.append(row)
    return rows


def reconstruct(shares):
    """shares: {x: 40 bytes}."""
    out = b""
    for limb, length in enumerate(LIMBS):
        total = 0
        for x, data in shares.items():
            weight = 1
            for other in shares:
                if other != x:
                    weight = weight * other * pow(other - x, -1, P) % P
            total += int.from_bytes(data[8 * limb:8 * limb + 8], "little") * weight
        out += (total % P).to_bytes(8, "little")[:length]
    return out


# --- §7: manifest, §3: descriptor --------------------------------------------------------------------------------

def manifest_bytes(federation, sequence, members):
    out = text("consilium/manifest/v1") + text(federation) + u64(sequence) + u32(len(members))
    for index, name, key, start, end in sorted(members):
        out += u32(index) + text(name) + key + u64(start) + u64(end)
    return out


def vector_bytes(tensors, maximum, segment_log2):
    out = u8(32) + u8(1) + u8(segment_log2) + u64(maximum) + u32(len(tensors))
    for name, count, clip, bits in tensors:
        out += text(name) + u64(count) + f64(clip) + struct.pack(">b", bits)
    return out


def descriptor_bytes(d):
    privacy = d["privacy"]
    return (
        u16(d.get("suite", 1)) + text(d["task"]) + u64(d["round"]) + u32(d["attempt"]) + d["manifest"] + d["model"]
        + d["previous"] + d["architecture"] + d["configuration"]
        + vector_bytes(d["tensors"], d["maximum_weight"], d["segment_log2"])
        + u8(privacy["mode"]) + f64(privacy["sigma"]) + f64(privacy["q"]) + f64(privacy["norm"]) + f64(privacy["grid"])
        + u32(privacy["h_min"]) + f64(privacy["delta"])
        + u32(d["n_min"]) + u32(d["n_max"]) + u8(d["rule"]) + u32(d["colluders"]) + u8(d.get("graph", 0))
        + u32(d.get("group", 0)) + b"".join(u32(x) for x in d["deadlines"]) + d["nonce"])


def threshold(rule, colluders, n):
    return min(n, {1: 2 * n // 3 + 1, 2: (n + colluders) // 2 + 1, 3: n}[rule])


def bitmap(ordinals, n):
    out = bytearray((n + 7) // 8)
    for o in ordinals:
        out[o // 8] |= 1 << (o % 8)
    return bytes(out)


# --- the messages ------------------------------------------------------------------------------------------------

def m0(coordinator, rd):
    return b"\x00" + lp(rd) + sign(coordinator, "round", H("ctx", rd))


def roster_message(entries):
    return b"\x02" + u32(len(entries)) + b"".join(entries)


def boxes_bytes(boxes): return b"".join(u32(peer) + sealed for peer, sealed in boxes)


def m4(u2, n, boxes):
    return b"\x04" + lp(bitmap(u2, n)) + u32(len(boxes)) + boxes_bytes(boxes)


def m6(u3, n): return b"\x06" + lp(bitmap(u3, n))


def m8(confirmations):
    return b"\x08" + u32(len(confirmations)) + b"".join(u32(i) + s for i, s in confirmations)


def abort(key, ctx, sender, code, site=NOBODY):
    body = u32(sender) + u16(code) + u32(site)
    return b"\x0e" + body + sign(key, "abort", ctx, body)


def digests_root(header, segments):
    return H("root", hashlib.sha256(header).digest() + b"".join(hashlib.sha256(s).digest() for s in segments))


def segment_list(payload, segment_log2):
    size = 1 << segment_log2
    return [word_bytes(payload[i:i + size]) for i in range(0, len(payload), size)]


def mask(seed, part, segment, count):
    return words(keystream(expand(seed, "seg", part, u32(segment)), 4 * count))


class Site:
    """One site's secrets and its messages; the caller gives it what the coordinator would send."""

    def __init__(self, index, identity, ctx, draws=None, g=None, b=None, sk_c=None, ledger=bytes(32)):
        self.index, self.identity, self.ctx, self.ledger, self.draws = index, identity, ctx, ledger, draws
        self.g = g or draws.bytes(32)
        self.b = b or draws.bytes(32)
        self.sk_c = agreement_key(sk_c or draws.bytes(32))
        self.sk_s_raw = expand(extract(ctx, self.g), "mask-x25519", u32(index))
        self.sk_s = agreement_key(self.sk_s_raw)
        self.pk_c, self.pk_s = raw_public(self.sk_c), raw_public(self.sk_s)
        self.cb = H("b-commit", ctx, u32(index), self.b)
        self.body = u32(index) + self.pk_c + self.pk_s + self.cb + ledger
        self.entry = self.body + sign(identity, "advert", ctx, self.body)

    def m1(self): return b"\x01" + self.entry

    def join(self, entries):
        """entries: all of U1, ascending."""
        self.entries = entries
        self.sites = [struct.unpack(">I", e[:4])[0] for e in entries]
        self.rho = H("roster", self.ctx, b"".join(entries))

    def peer(self, index):
        entry = self.entries[self.sites.index(index)]
        return entry[4:36], entry[36:68]

    def channel(self, sender, receiver):
        other = receiver if sender == self.index else sender
        prk = extract(self.ctx, agree(self.sk_c, self.peer(other)[0]))
        key = expand(prk, "chan", self.rho, u32(sender), u32(receiver), self.peer(sender)[0], self.peer(receiver)[0])
        return key, H("chan-aad", self.ctx, self.rho, u32(sender), u32(receiver))

    def pair(self, other):
        prk = extract(self.ctx, agree(self.sk_s, self.peer(other)[1]))
        lo, hi = sorted((self.index, other))
        return expand(prk, "pair", self.rho, u32(lo), u32(hi), self.peer(lo)[1], self.peer(hi)[1])

    def self_seed(self):
        return expand(extract(self.ctx, self.b), "self", self.rho, u32(self.index))

    def m3(self, t):
        b_rows, g_rows = draw_polynomials(self.b, t, self.draws), draw_polynomials(self.g, t, self.draws)
        boxes = []
        for ordinal, site in enumerate(self.sites):
            plain = share(b_rows, ordinal + 1) + share(g_rows, ordinal + 1)
            if site == self.index:
                self.held = {site: plain}
            else:
                key, aad = self.channel(self.index, site)
                boxes.append((site, AESGCM(key).encrypt(bytes(12), plain, aad)))
        self.boxes = dict(boxes)
        data = boxes_bytes(boxes)
        return (b"\x03" + u32(self.index) + u32(len(boxes)) + data
                + sign(self.identity, "shares", self.ctx, self.rho, u32(self.index), data))

    def receive(self, u2, boxes):
        self.u2 = [self.sites[o] for o in u2]
        self.h2 = H("u2", self.ctx, self.rho, bitmap(u2, len(self.sites)))
        for sender, sealed in boxes:
            key, aad = self.channel(sender, self.index)
            self.held[sender] = AESGCM(key).decrypt(bytes(12), sealed, aad)

    def masked(self, values, part, segment):
        total = list(values)
        streams = [(mask(self.self_seed(), part, segment, len(values)), 1)]
        for other in self.u2:
            if other != self.index:
                streams.append((mask(self.pair(other), part, segment, len(values)), 1 if self.index < other else -1))
        for stream, factor in streams:
            total = [(a + factor * m) % 2**32 for a, m in zip(total, stream)]
        return total

    def m5(self, header, payload, segment_log2):
        """The header message and the segment messages."""
        size = 1 << segment_log2
        masked_header = word_bytes(self.masked(header, b"hdr", 0))
        segments = [word_bytes(self.masked(payload[i:i + size], b"pay", i // size))
                    for i in range(0, len(payload), size)]
        self.y = words(masked_header), [w for s in segments for w in words(s)]
        message = (b"\x05" + u32(self.index) + self.ctx + self.rho + self.h2 + masked_header + u32(len(segments))
                   + b"".join(hashlib.sha256(s).digest() for s in segments)
                   + sign(self.identity, "masked", self.ctx, self.rho, self.h2, digests_root(masked_header, segments)))
        return message, [b"\x15" + u32(self.index) + u32(i) + s for i, s in enumerate(segments)]

    def m7(self, u3):
        self.u3 = [self.sites[o] for o in u3]
        self.h3 = H("u3", self.ctx, self.rho, self.h2, bitmap(u3, len(self.sites)))
        self.confirmation = sign(self.identity, "consist", self.ctx, self.rho, self.h2, self.h3)
        return b"\x07" + u32(self.index) + self.confirmation

    def m9(self):
        entries = b""
        for site in self.u2:
            kind = 0 if site in self.u3 else 1
            entries += u32(site) + u8(kind) + self.held[site][40 * kind:40 * kind + 40]
        return (b"\x09" + u32(self.index) + u32(len(self.u2)) + entries
                + sign(self.identity, "unmask", self.ctx, self.rho, self.h3, u32(self.index), entries))


def m10(coordinator, ctx, rho, h3, u3, n, header, payload, segment_log2, next_model):
    """The result message, its segments and its hash."""
    header_data, segments = word_bytes(header), segment_list(payload, segment_log2)
    result = H("result", ctx, rho, h3, digests_root(header_data, segments), next_model)
    message = (b"\x0a" + lp(bitmap(u3, n)) + header_data + next_model + u32(len(segments))
               + b"".join(hashlib.sha256(s).digest() for s in segments) + sign(coordinator, "result", ctx, result))
    return message, [b"\x1a" + u32(i) + s for i, s in enumerate(segments)], result


def permutation(seed, n):
    stream, position = b"", 0
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        limit = 2**32 // (i + 1) * (i + 1)
        while True:
            if position + 4 > len(stream):
                stream = keystream(seed, 2 * len(stream) + 4096)
            r = int.from_bytes(stream[position:position + 4], "little")
            position += 4
            if r < limit:
                break
        j = r % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order
