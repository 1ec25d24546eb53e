#!/usr/bin/env python3
"""Writes protocol/vectors/secure-aggregation/*.json; with --check, compares instead and exits 1 on a difference."""

import json
import math
import pathlib
import struct
import sys

import secure_aggregation as s

TARGET = pathlib.Path(__file__).resolve().parents[2] / "protocol" / "vectors" / "secure-aggregation"


def known_answers():
    """The appendix of the design: three sites with fixed secrets."""
    ctx = s.H("ctx", b"consilium test round descriptor 1")
    sites = [s.Site(i, s.signing_key(bytes([0x40 + i]) * 32), ctx, g=bytes([0x10 + i]) * 32, b=bytes([0x20 + i]) * 32,
                    sk_c=bytes([0x30 + i]) * 32) for i in range(3)]
    for site in sites:
        site.join([x.entry for x in sites])
        site.u2 = [0, 1, 2]
    first = sites[0]
    key, aad = first.channel(0, 1)
    pair = first.pair(1)
    seed = s.H("graph", ctx, first.rho)
    rows = [[limb] + [0x0123456789abcdef * (j + 1) * (c + 1) % s.P for c in (1, 2)]
            for j, limb in enumerate(s.limbs(bytes(range(32))))]
    total = [0] * 4
    for i, site in enumerate(sites):
        y = site.masked([i + 1] * 4, b"pay", 0)
        own = s.mask(site.self_seed(), b"pay", 0, 4)
        total = [(a + b - m) % 2**32 for a, b, m in zip(total, y, own)]
    answers = {
        "ctx": ctx.hex(), "sk_s": first.sk_s_raw.hex(), "pk_s": first.pk_s.hex(), "b_commit": first.cb.hex(),
        "signature": first.entry[132:].hex(), "rho": first.rho.hex(), "pair_seed_01": pair.hex(),
        "segment_key_01": s.expand(pair, "seg", b"pay", s.u32(0)).hex(),
        "mask_01": s.mask(pair, b"pay", 0, 4), "self_seed_0": first.self_seed().hex(),
        "self_mask_0": s.mask(first.self_seed(), b"pay", 0, 4), "masked_0": first.masked([1] * 4, b"pay", 0),
        "sum": total, "channel_key_01": key.hex(),
        "channel_box_01": s.AESGCM(key).encrypt(bytes(12), bytes(80), aad).hex(),
        "share_secret": bytes(range(32)).hex(), "share_coefficients": [[str(c) for c in row[1:]] for row in rows],
        "shares": {str(x): s.share(rows, x).hex() for x in (1, 2, 3, 500)},
        "graph_seed": seed.hex(), "permutation_8": s.permutation(seed, 8),
    }
    design = {
        "ctx": "7889a323461a5eb982d7ecd55c0ffce9c24f483c40b5f90499430699990bca2e",
        "sk_s": "bd6589619e9913033e40c6e8b9eeff0955cf20e4db03161c7100aba226178a53",
        "pk_s": "dcd3f3cc57044f431297ad0998f0ffbb5de306fd1c404c8ae319c424151ba655",
        "b_commit": "e503c495db17ff781030584061f8e1e0c1bbf818c8a1073be626cff4ccf528a6",
        "signature": "a1c876c2fb9eeb0871ddc1d3f3874e0cf7af91b0e851b5700dd5c90d6363cd9e"
                     "e28065dabc810b871f0b4174fad1fb40aee6e7bad9dd87d5fa00dd72e99e7204",
        "rho": "67ac241e3bec95d2b8d17763668178e39955db7e8013dbe3850b39c6b1bbc4a7",
        "pair_seed_01": "07d1908c294d6c45b6f67243db25847abf48b43e0b8013613100edd1e987ffe0",
        "segment_key_01": "fbdc84909cc47f1e4af9c99e371c318821d3cefc533e68b3db6d502953933c4e",
        "mask_01": [0x2b8d132d, 0xca922523, 0x7ccfec06, 0x319651d7],
        "self_seed_0": "53536b74cfb3a50be33188d7a6ddb00616399510291bda273622b2e6f1eb21ca",
        "self_mask_0": [0xd68b306f, 0xf88ad8cd, 0x15201fa6, 0xf765bd0e],
        "masked_0": [0x953eaae9, 0x895801e4, 0x4b90b801, 0xd89e265f], "sum": [6, 6, 6, 6],
        "channel_key_01": "e99c412beea05627af87d0561d5a4b396728a31973e5ed906e1528e58548375a",
        "channel_box_01": "42d38ced82ce8d69d45250573845ca4aa5b802a4d2bbd691afcc0f615e12b47aa4a6de4d210731731e8cd6a083a030a3"
                          "7fc2e9e6c8348c8d616403606a4be67dbd7e592012ced9b170f792878fc7e55ebd7e6c7da53c5ecf9e70a2d5451e41eb",
        "graph_seed": "d2b3860b9f0aecaeeff0623df4083ca7b313bd6c5c316e8e30060e0e7c86a268",
        "permutation_8": [6, 0, 7, 1, 5, 3, 4, 2],
    }
    for name, value in design.items():
        assert answers[name] == value, name
    assert answers["shares"]["500"] == "36ea671fcb76220773dad44299ef450eb0ca416667686915edbaae8935e18c1c2bab1bade3388e03"
    assert answers["shares"]["1"] == "ab065db30960b6055d13bf6a16c26d0b0f20212223242511c12c83d92f86dc167339e5901cc7711c"
    return answers


def fixed_point():
    draws = s.Draws("fixed point vectors")
    cases = []
    for name, tensors, weight, maximum, loss in [
        ("plain", [("w", 6, 1.0, 24)], 300, 1000, 0.6931),
        ("ties go to even", [("w", 8, 8.0, 1)], 1, 1, 0.0),
        ("two tensors", [("kernel", 5, 0.5, 25), ("bias", 3, 16.0, 20)], 917, 65536, 3.25),
        ("counts", [("bins", 6, 100000.0, 0)], 1, 1, 0.0),
        ("large weight", [("w", 3, 1.0, 20)], 2**40 + 12345, 2**47, 400.0),
        ("negative fraction bits", [("w", 4, 1e9, -4)], 7, 9, 1.0),
    ]:
        count = sum(t[1] for t in tensors)
        if name == "ties go to even":
            values = [0.25, 0.75, 1.25, -0.25, -0.75, 9.0, -9.0, 0.0]
        elif name == "counts":
            values = [0.0, 1.0, 99999.0, 100000.0, 100001.0, 17.0]
        else:
            values = []
            for tensor in tensors:
                for _ in range(tensor[1]):
                    unit = int.from_bytes(draws.bytes(8), "big") / 2**63 - 1
                    values.append(unit * tensor[2] * 1.25)
        header, payload = s.encode(values, tensors, weight, maximum, loss)
        cases.append({
            "name": name, "tensors": [list(t) for t in tensors], "weight": weight, "maximumWeight": maximum,
            "lossBits": s.f64(loss).hex(), "valueBits": [s.f64(v).hex() for v in values],
            "header": header, "payload": payload})
    table = [{"clip": clip, "cohort": n, "bits": s.fraction_bits(clip, n)}
             for clip in (1.0, 0.1, 3.0, 1000.0, 2.0**31 - 1) for n in (3, 8, 32, 100, 500, 1024, 2000, 10000)]
    assert [r["bits"] for r in table[:8]] == [29, 27, 25, 24, 22, 20, 20, 17]
    return {"encode": cases, "fractionBits": table}


INDICES = [2, 3, 7, 11, 12]
NAMES = ["basel", "bern", "geneva", "lausanne", "zurich"]
NOW = 1_800_000_000
DROPPED = 7
SEGMENT_LOG2 = 8
ELEMENTS = 300


class Round:
    """A whole round of five sites; site 7 dies after sharing."""

    def __init__(self):
        self.coordinator = s.signing_key(bytes([0x77]) * 32)
        self.identity = {i: s.signing_key(bytes([0x40 + i]) * 32) for i in INDICES}
        members = [(i, name, s.raw_public(self.identity[i]), NOW - 86400, NOW + 86400) for i, name in zip(INDICES, NAMES)]
        # A member that is no longer in force, and is never invited.
        self.expired = s.signing_key(bytes([0x60]) * 32)
        members.append((20, "expired", s.raw_public(self.expired), NOW - 86400, NOW))
        self.manifest = s.manifest_bytes("vectors", 4, members)
        self.tensors = [("kernel", 290, 1.0, 28), ("bias", 10, 4.0, 26)]
        self.d = {
            "task": "vectors/training", "round": 9, "attempt": 1, "manifest": s.H("manifest", self.manifest),
            "model": bytes([1]) * 32, "previous": bytes(32), "architecture": bytes([3]) * 32,
            "configuration": bytes([4]) * 32, "tensors": self.tensors, "maximum_weight": 1000,
            "segment_log2": SEGMENT_LOG2,
            "privacy": {"mode": 0, "sigma": 0.0, "q": 0.0, "norm": 0.0, "grid": 0.0, "h_min": 0, "delta": 0.0},
            "n_min": 3, "n_max": 6, "rule": 1, "colluders": 0, "deadlines": [30000, 30000, 600000, 30000, 30000],
            "nonce": bytes([9]) * 32}
        self.rd = s.descriptor_bytes(self.d)
        self.ctx = s.H("ctx", self.rd)
        self.sites = {i: s.Site(i, self.identity[i], self.ctx, draws=s.Draws("vector site %d" % i)) for i in INDICES}
        self.entries = [self.sites[i].entry for i in INDICES]
        self.t = s.threshold(1, 0, 5)
        self.m3 = {}
        for i in INDICES:
            self.sites[i].join(self.entries)
            self.m3[i] = self.sites[i].m3(self.t)
        self.u2 = list(range(5))
        self.u3 = [INDICES.index(i) for i in INDICES if i != DROPPED]
        self.boxes = {i: [(j, self.sites[j].boxes[i]) for j in INDICES if j != i] for i in INDICES}
        self.inputs = {}
        for i in INDICES:
            self.sites[i].receive(self.u2, self.boxes[i])
            draws = s.Draws("vector input %d" % i)
            values = [(int.from_bytes(draws.bytes(4), "big") / 2**31 - 1) * 1.1 for _ in range(ELEMENTS)]
            self.inputs[i] = (values, 100 + i, 0.5 + i / 16)
        self.alive = [i for i in INDICES if i != DROPPED]
        self.m5, self.plain = {}, {}
        for i in self.alive:
            values, weight, loss = self.inputs[i]
            self.plain[i] = s.encode(values, self.tensors, weight, 1000, loss)
            self.m5[i] = self.sites[i].m5(*self.plain[i], SEGMENT_LOG2)
        self.m7 = {i: self.sites[i].m7(self.u3) for i in self.alive}
        self.evidence = [(i, self.sites[i].confirmation) for i in self.alive][:self.t]
        self.m9 = {i: self.sites[i].m9() for i in self.alive}
        self.header = [sum(self.plain[i][0][k] for i in self.alive) % 2**32 for k in range(16)]
        self.payload = [sum(self.plain[i][1][k] for i in self.alive) % 2**32 for k in range(ELEMENTS)]
        first = self.sites[INDICES[0]]
        self.m10 = s.m10(self.coordinator, self.ctx, first.rho, first.h3, self.u3, 5, self.header, self.payload,
                         SEGMENT_LOG2, bytes([2]) * 32)
        self.check_unmasking()

    def check_unmasking(self):
        """The reference's own proof: shares reconstruct, masks cancel."""
        helpers = self.alive[:self.t]
        xs = [INDICES.index(i) + 1 for i in helpers]
        seeds = []
        for v in INDICES:
            kind = 0 if v in self.alive else 1
            secret = s.reconstruct({x: self.sites[h].held[v][40 * kind:40 * kind + 40] for x, h in zip(xs, helpers)})
            assert secret == (self.sites[v].b if kind == 0 else self.sites[v].g)
            if kind == 0:
                seeds.append((self.sites[v].self_seed(), -1))
            else:
                seeds += [(self.sites[v].pair(u), -1 if u < v else 1) for u in self.alive]
        for which, part, expected in ((0, b"hdr", self.header), (1, b"pay", self.payload)):
            total = [sum(column) % 2**32 for column in zip(*(self.sites[i].y[which] for i in self.alive))]
            size = 1 << SEGMENT_LOG2
            for seed, factor in seeds:
                stream = [w for k in range(0, len(total), size) for w in s.mask(seed, part, k // size, min(size, len(total) - k))]
                total = [(a + factor * m) % 2**32 for a, m in zip(total, stream)]
            assert total == expected

    def json(self):
        return {
            "now": NOW, "threshold": self.t, "coordinatorSeed": (bytes([0x77]) * 32).hex(), "manifest": self.manifest.hex(),
            "manifestHash": self.d["manifest"].hex(), "descriptor": self.rd.hex(), "ctx": self.ctx.hex(),
            "rho": self.sites[2].rho.hex(), "h2": self.sites[2].h2.hex(), "h3": self.sites[2].h3.hex(),
            "resultHash": self.m10[2].hex(), "dropped": DROPPED,
            "M0": s.m0(self.coordinator, self.rd).hex(), "M2": s.roster_message(self.entries).hex(),
            "M6": s.m6(self.u3, 5).hex(), "M8": s.m8(self.evidence).hex(), "M10": self.m10[0].hex(),
            "resultSegments": [m.hex() for m in self.m10[1]],
            "sumHeader": self.header, "sumPayload": self.payload,
            "sites": [{
                "index": i, "identitySeed": (bytes([0x40 + i]) * 32).hex(), "draws": "vector site %d" % i,
                "valueBits": [s.f64(v).hex() for v in self.inputs[i][0]], "weight": self.inputs[i][1],
                "lossBits": s.f64(self.inputs[i][2]).hex(),
                "M1": self.sites[i].m1().hex(), "M3": self.m3[i].hex(), "M4": s.m4(self.u2, 5, self.boxes[i]).hex(),
                **({"M5": self.m5[i][0].hex(), "segments": [m.hex() for m in self.m5[i][1]],
                    "M7": self.m7[i].hex(), "M9": self.m9[i].hex()} if i in self.alive else {}),
            } for i in INDICES]}


def flipped(message, at, bit=1):
    out = bytearray(message)
    out[at] ^= bit
    return bytes(out)


def bad_messages(r):
    """What site 2 of the round above must refuse. `after` names the last good message it got first."""
    cases = []

    def bad(after, name, message, code):
        cases.append({"after": after, "name": name, "message": message.hex(), "code": code})

    m0, m2, m4 = s.m0(r.coordinator, r.rd), s.roster_message(r.entries), s.m4(r.u2, 5, r.boxes[2])
    m6, m8, m10 = s.m6(r.u3, 5), s.m8(r.evidence), r.m10[0]
    first = r.sites[2]

    def opening(**changes):
        return s.m0(r.coordinator, s.descriptor_bytes({**r.d, **changes}))

    # M0
    bad("", "empty message", b"", "malformed-message")
    bad("", "unknown type", b"\x42" + m0[1:], "malformed-message")
    bad("", "roster first", m2, "unexpected-message")
    bad("", "opening cut short", m0[:-1], "malformed-message")
    bad("", "opening with bytes left over", m0 + b"\x00", "malformed-message")
    bad("", "opening signed by a site", s.m0(r.identity[3], r.rd), "coordinator-signature")
    bad("", "opening with a flipped bit", flipped(m0, 40), "coordinator-signature")
    bad("", "descriptor with a byte left over", s.m0(r.coordinator, r.rd + b"\x00"), "malformed-message")
    bad("", "descriptor length beyond the message", b"\x00" + s.u32(2**32 - 1) + r.rd, "malformed-message")
    bad("", "unknown suite", opening(suite=2), "unsupported-suite")
    bad("", "another manifest", opening(manifest=bytes(32)), "manifest-mismatch")
    bad("", "another architecture", opening(architecture=bytes([8]) * 32), "architecture-not-allowed")
    bad("", "another configuration", opening(configuration=bytes([8]) * 32), "configuration-not-allowed")
    bad("", "round zero", opening(round=0), "round-not-increasing")
    bad("", "attempt zero", opening(attempt=0), "round-not-increasing")
    bad("", "previous result never seen", opening(previous=bytes([5]) * 32), "previous-result-unknown")
    bad("", "sum could wrap", opening(tensors=[("w", 10, 1.0, 29)]), "overflow-possible")
    bad("", "clip zero", opening(tensors=[("w", 10, 0.0, 8)]), "clip-not-allowed")
    bad("", "clip not a number", opening(tensors=[("w", 10, float("nan"), 8)]), "clip-not-allowed")
    bad("", "clip infinite", opening(tensors=[("w", 10, math.inf, 8)]), "clip-not-allowed")
    bad("", "fraction bits beyond the policy", opening(tensors=[("w", 10, 1e-12, 40)]), "precision-not-allowed")
    bad("", "tensor without elements", opening(tensors=[("w", 0, 1.0, 8)]), "vector-not-allowed")
    bad("", "vector too large", opening(tensors=[("w", 2**28 + 1, 1.0, 8)]), "vector-not-allowed")
    bad("", "segments too large", opening(segment_log2=21), "vector-not-allowed")
    bad("", "maximum weight zero", opening(maximum_weight=0), "vector-not-allowed")
    bad("", "cohort of two", opening(n_min=2), "cohort-bound-too-small")
    bad("", "cohort maximum below minimum", opening(n_max=2), "roster-too-large")
    bad("", "unknown threshold rule", opening(rule=4), "malformed-message")
    bad("", "grouped graph", opening(graph=1, group=256), "graph-not-supported")
    bad("", "deadline zero", opening(deadlines=[30000, 30000, 0, 30000, 30000]), "deadline-not-allowed")
    bad("", "central privacy mode", opening(privacy={**r.d["privacy"], "mode": 4}), "privacy-mode-not-allowed")
    bad("", "unknown privacy mode", opening(privacy={**r.d["privacy"], "mode": 9}), "privacy-mode-not-allowed")
    bad("", "too little noise",
        opening(privacy={"mode": 1, "sigma": 0.1, "q": 0.1, "norm": 1.0, "grid": 0.0, "h_min": 0, "delta": 1e-6}),
        "privacy-parameters-weaker")
    bad("", "negative noise",
        opening(privacy={"mode": 1, "sigma": -1.0, "q": 0.1, "norm": 1.0, "grid": 0.0, "h_min": 0, "delta": 1e-6}),
        "malformed-message")

    # M2
    def roster(entries): return s.roster_message(entries)

    stranger = s.Site(30, s.signing_key(bytes([0x55]) * 32), r.ctx, draws=s.Draws("stranger"))
    expired = s.Site(20, r.expired, r.ctx, draws=s.Draws("expired"))
    forged = s.Site(3, s.signing_key(bytes([0x55]) * 32), r.ctx, draws=s.Draws("forged"))
    other_ctx = s.Site(3, r.identity[3], s.H("ctx", b"another round"), draws=s.Draws("other context"))
    again = s.Site(2, r.identity[2], r.ctx, draws=s.Draws("own again"))
    e = r.entries
    bad("M0", "roster with bytes left over", m2 + b"\x00", "malformed-message")
    bad("M0", "roster count too large", b"\x02" + s.u32(6) + b"".join(e), "malformed-message")
    bad("M0", "roster of more sites than allowed", b"\x02" + s.u32(1025) + b"".join(e), "roster-too-large")
    bad("M0", "roster out of order", roster([e[1], e[0]] + e[2:]), "roster-order")
    bad("M0", "site twice", roster(e[:2] + [e[1]] + e[2:]), "roster-duplicate")
    bad("M0", "own entry missing", roster(e[1:]), "roster-without-self")
    bad("M0", "own entry replaced, validly signed", roster([again.entry] + e[1:]), "roster-without-self")
    bad("M0", "two sites", roster(e[:2]), "roster-too-small")
    bad("M0", "unlisted site", roster(e + [stranger.entry]), "roster-unlisted-site")
    bad("M0", "expired site", roster(e + [expired.entry]), "roster-expired-site")
    bad("M0", "entry signed by another key", roster([e[0], forged.entry] + e[2:]), "roster-signature")
    bad("M0", "entry of another round", roster([e[0], other_ctx.entry] + e[2:]), "roster-signature")
    for at, part in ((4, "channel key"), (36, "mask key"), (68, "commitment"), (100, "ledger head"), (132, "signature")):
        bad("M0", "flipped bit in a %s" % part, roster([e[0], flipped(e[1], at)] + e[2:]), "roster-signature")
    body = s.u32(3) + r.sites[7].pk_c + r.sites[3].pk_s + r.sites[3].cb + bytes(32)
    bad("M0", "channel key of another site",
        roster([e[0], body + s.sign(r.identity[3], "advert", r.ctx, body)] + e[2:]), "roster-duplicate")
    for point in LOW_ORDER:
        body = s.u32(3) + point + r.sites[3].pk_s + r.sites[3].cb + bytes(32)
        bad("M0", "channel key of low order",
            roster([e[0], body + s.sign(r.identity[3], "advert", r.ctx, body)] + e[2:]), "unusable-key")
    bad("M0", "delivery before the roster", m4, "unexpected-message")
    bad("M0", "a second, different opening", opening(attempt=2), "conflicting-message")

    # M4
    boxes = r.boxes[2]
    bad("M2", "delivery with bytes left over", m4 + b"\x00", "malformed-message")
    bad("M2", "bit beyond the roster", b"\x04" + s.lp(bytes([0b00111111])) + m4[6:], "malformed-message")
    bad("M2", "bitmap too long", b"\x04" + s.lp(bytes([0b00011111, 0])) + m4[6:], "malformed-message")
    bad("M2", "self left out", s.m4([1, 2, 3, 4], 5, boxes), "sharers-without-self")
    bad("M2", "three sharers of five", s.m4([0, 1, 2], 5, boxes[:2]), "sharers-too-few")
    bad("M2", "a box missing", s.m4(r.u2, 5, boxes[:-1]), "delivery-incomplete")
    bad("M2", "a box too many", s.m4([0, 1, 2, 3], 5, boxes), "delivery-incomplete")
    bad("M2", "flipped bit in a box", s.m4(r.u2, 5, [boxes[0], (7, flipped(boxes[1][1], 50))] + boxes[2:]), "share-not-authentic")
    bad("M2", "boxes swapped", s.m4(r.u2, 5, [(3, boxes[1][1]), (7, boxes[0][1])] + boxes[2:]), "share-not-authentic")
    bad("M2", "a box meant for another site", s.m4(r.u2, 5, [(3, r.sites[3].boxes[7])] + boxes[1:]), "share-not-authentic")
    key, aad = r.sites[3].channel(3, 2)
    wide = struct.pack("<Q", s.P) * 10
    bad("M2", "share outside the field", s.m4(r.u2, 5, [(3, s.AESGCM(key).encrypt(bytes(12), wide, aad))] + boxes[1:]), "share-out-of-range")

    # M6
    bad("M4", "survivors before the delivery's input", m8, "unexpected-message")
    bad("M5", "self left out", s.m6([1, 3, 4], 5), "survivors-without-self")
    bad("M5", "three survivors of five", s.m6([0, 1, 3], 5), "survivors-too-few")
    bad("M5", "bit beyond the roster", b"\x06" + s.lp(bytes([0b01111011])), "malformed-message")
    bad("M5", "evidence before the list", m8, "unexpected-message")
    bad("M5", "result before the list", m10, "unexpected-message")

    # M8
    sigs = r.evidence
    other_h3 = s.H("u3", r.ctx, first.rho, first.h2, s.bitmap([0, 1, 2, 3, 4], 5))
    split = [(i, s.sign(r.identity[i], "consist", r.ctx, first.rho, first.h2, other_h3)) for i in INDICES]
    bad("M6", "a second list", s.m6([0, 1, 2, 3, 4], 5), "survivors-conflict")
    bad("M6", "one signature short", s.m8(sigs[:3]), "evidence-too-small")
    bad("M6", "a signature twice", s.m8(sigs[:3] + [sigs[2]]), "evidence-duplicate-signer")
    bad("M6", "a signature for another list", s.m8(sigs[:3] + [split[4]]), "evidence-signature")
    bad("M6", "all signatures for another list", s.m8([x for x in split if x[0] != DROPPED]), "evidence-signature")
    bad("M6", "a signature of a dropped site",
        s.m8(sorted(sigs[:3] + [(7, s.sign(r.identity[7], "consist", r.ctx, first.rho, first.h2, first.h3))])), "evidence-not-survivor")
    bad("M6", "a signature of a stranger", s.m8(sigs[:3] + [(30, sigs[3][1])]), "evidence-not-survivor")
    bad("M6", "flipped bit in a signature", s.m8(sigs[:3] + [(sigs[3][0], flipped(sigs[3][1], 33))]), "evidence-signature")

    # After M8
    bad("M8", "a second list after unmasking", s.m6([0, 1, 2, 3, 4], 5), "survivors-conflict")
    bad("M8", "second, different evidence", s.m8(sigs[:3] + [split[4]]), "already-unmasked")

    # M10
    def result(header=None, payload=None, u3=None, key=None, h3=None):
        return s.m10(key or r.coordinator, r.ctx, first.rho, h3 or first.h3, u3 or r.u3, 5, header or r.header,
                     payload or r.payload, SEGMENT_LOG2, bytes([2]) * 32)[0]

    header = list(r.header)
    header[2] += 1
    bad("M8", "constant slot wrong", result(header=header), "result-slots")
    header = list(r.header)
    header[12] = 1
    bad("M8", "zero slot set", result(header=header), "result-slots")
    bad("M8", "result signed by a site", result(key=r.identity[3]), "result-signature")
    bad("M8", "result for another list", result(h3=other_h3), "result-signature")
    bad("M8", "result with other survivors", result(u3=[0, 1, 2, 3]), "result-mismatch")
    bad("M8", "flipped bit in the next model", flipped(m10, 80), "result-signature")
    bad("M10", "flipped bit in a result segment", flipped(r.m10[1][0], 100), "result-digest")
    bad("M10", "result segment too short", r.m10[1][1][:-4], "malformed-message")
    bad("M10", "segment number beyond the vector", b"\x1a" + s.u32(2) + r.m10[1][1][5:], "segment-unknown")
    return {"site": 2, "cases": cases}


# Encodings of low-order points on Curve25519 (RFC 7748 §6.1 lists the check; values as in most implementations' tests).
LOW_ORDER = [bytes.fromhex(x) for x in (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]


def main():
    check = "--check" in sys.argv[1:]
    r = Round()
    files = {"known-answers": known_answers(), "fixed-point": fixed_point(), "round": r.json(), "bad-messages": bad_messages(r)}
    TARGET.mkdir(parents=True, exist_ok=True)
    differences = []
    for name, value in files.items():
        path = TARGET / (name + ".json")
        data = json.dumps(value, indent=1, sort_keys=True) + "\n"
        if not check:
            path.write_text(data)
        elif not path.exists() or path.read_text() != data:
            differences.append(path.name)
    if differences:
        sys.exit("differs from the reference: " + ", ".join(differences))


if __name__ == "__main__":
    main()
