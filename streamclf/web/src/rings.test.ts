import { describe, expect, it } from "vitest";

import type { PackEntry, PictureBlock, ScoreBlock } from "./protocol";
import { PictureRing, Samples, Track } from "./rings";

const KEEP = 8;
const PACK = { name: "big", labels: ["dog", "bird", "rain"].map((id) => ({ id })) } as unknown as PackEntry;

function rows(firstFrame: number, ...values: number[][]): ScoreBlock {
  const classes = values[0]!.length;
  return { firstFrame, count: values.length, classes, values: Uint8Array.from(values.flat()), columns: null } as ScoreBlock;
}

function columns(firstFrame: number, count: number, bands = 2): PictureBlock {
  const level = (offset: number): Uint8Array => Uint8Array.from({ length: count }, (_, at) => firstFrame + at + offset);
  const all = Uint8Array.from({ length: count * bands }, (_, at) => firstFrame + Math.floor(at / bands));
  return { stream: 0, firstFrame, count, bands, highHz: 8000, rms: level(0), peak: level(100), columns: all };
}

describe("a track", () => {
  it("holds nothing at first", () => {
    const track = new Track(PACK, KEEP);

    expect(track.newest).toBe(-1);
    expect(track.oldest).toBeGreaterThan(track.newest);
    expect(track.has(0)).toBe(false);
    expect(track.value(0, 0)).toBeNaN();
    expect(track.row(0)).toBeNull();
    expect(track.slot(0)).toBe(-1);
  });

  it("keeps what it holds of labels that stay when it has others", () => {
    const track = new Track(PACK, KEEP);
    for (let frame = 5; frame < 15; frame++) track.put(rows(frame, [frame, 100 + frame, 0]));
    const other = { name: "big", labels: ["cat", "bird", "dog"].map((id) => ({ id })) } as unknown as PackEntry;
    const next = track.relabelled(other);

    expect([next.oldest, next.newest]).toEqual([track.oldest, track.newest]);
    expect(next.value(12, 0)).toBeNaN();
    expect([...next.row(12)!].slice(1)).toEqual([112, 12]);
    expect(next.has(4)).toBe(false);
  });

  it("keeps the newest frames and forgets the oldest", () => {
    const track = new Track(PACK, KEEP);
    for (let frame = 100; frame < 112; frame++) track.put(rows(frame, [frame, 0, 0]));

    expect([track.oldest, track.newest]).toEqual([104, 111]);
    expect(track.has(103)).toBe(false);
    expect(track.value(104, 0)).toBeCloseTo(104 / 255);
    expect([...track.row(111)!]).toEqual([111, 0, 0]);
    expect(track.has(119)).toBe(false);
  });

  it("has holes where no frame came, also where older ones lie in their place", () => {
    const track = new Track(PACK, KEEP);
    track.put(rows(0, [1, 1, 1], [2, 2, 2]));
    track.put(rows(10, [9, 9, 9]));

    expect(track.has(9)).toBe(false);
    expect(track.has(10)).toBe(true);
    expect(track.row(9)).toBeNull();
    expect(track.has(2)).toBe(false);
  });

  it("knows nothing of labels that a block leaves out, or that they are next to nothing", () => {
    const track = new Track(PACK, KEEP);
    const sparse = (frame: number): ScoreBlock => ({ ...rows(frame, [50]), columns: Uint16Array.of(1) });
    track.put(sparse(0));
    track.missing = 0;
    track.put(sparse(1));

    expect([track.value(0, 0), track.value(0, 1)]).toEqual([NaN, 50 / 255]);
    expect([track.value(1, 0), track.value(1, 1)]).toEqual([0, 50 / 255]);
  });

  it("takes late frames into their place and too late ones not at all", () => {
    const track = new Track(PACK, KEEP);
    track.put(rows(20, [20, 0, 0]));
    track.put(rows(18, [18, 0, 0]));
    track.put(rows(12, [12, 0, 0]));

    expect([...track.row(18)!]).toEqual([18, 0, 0]);
    expect(track.has(12)).toBe(false);
    expect([...track.row(20)!]).toEqual([20, 0, 0]);
    expect(track.newest).toBe(20);
  });

  it("knows only the columns that came, and never confuses the highest value with none", () => {
    const track = new Track(PACK, KEEP);
    track.put(rows(1, [10, 20, 30]));
    track.put({ ...rows(1, [255, 40]), columns: Uint16Array.from([2, 0]) });

    expect(track.value(1, 0)).toBeCloseTo(40 / 255);
    expect(track.value(1, 1)).toBeNaN();
    expect(track.value(1, 2)).toBeCloseTo(1, 2);
  });
});

describe("a picture", () => {
  it("keeps levels and bands by frame", () => {
    const ring = new PictureRing(KEEP);
    ring.put(columns(10, 12));

    expect([ring.oldest, ring.newest]).toEqual([14, 21]);
    expect([...ring.column(15)!]).toEqual([15, 15]);
    expect([ring.rms(15), ring.peak(15)]).toEqual([15, 115]);
    expect([ring.rms(13), ring.column(13)]).toEqual([-1, null]);
  });

  it("tells when columns came behind newer ones", () => {
    const ring = new PictureRing(KEEP);
    ring.put(columns(10, 2));
    ring.put(columns(15, 2));
    expect(ring.late).toBe(0);
    ring.put(columns(12, 3));

    expect(ring.late).toBe(1);
    expect([...ring.column(13)!]).toEqual([13, 13]);
  });

  it("begins anew when the number of bands changes", () => {
    const ring = new PictureRing(KEEP);
    ring.put(columns(10, 2));
    ring.put(columns(12, 1, 3));

    expect(ring.has(10)).toBe(false);
    expect([...ring.column(12)!]).toEqual([12, 12, 12]);
  });
});

describe("samples", () => {
  it("give quantiles of the last ones", () => {
    const samples = new Samples(4);
    expect(samples.quantile(0.5)).toBeNaN();
    for (const value of [900, 1, 2, 3, 4]) samples.add(value);

    expect(samples.quantile(0.5)).toBe(3);
    expect(samples.quantile(0.99)).toBe(4);
    samples.clear();
    expect(samples.quantile(0.5)).toBeNaN();
  });
});
