import { describe, expect, it } from "vitest";
import { StreamModel } from "../model";
import type { EventMessage, LabelEntry, PackEntry, ScoreBlock, StreamEntry } from "../protocol";
import { clockText, tickStepMs } from "./axis";
import { colourMap } from "./colours";
import { LaneBook, spanIn } from "./lanes";
import { columnOf, endFrameOf, firstFrameOf, Playhead, Viewport } from "./viewport";

describe("columns", () => {
  it.each([0.04, 0.31, 0.8, 1, 1.3, 7.25])("every frame is in exactly the columns that say so, at scale %f", (scale) => {
    for (let frame = 1000; frame < 1200; frame++) {
      const column = columnOf(frame, scale);
      expect(firstFrameOf(column, scale)).toBeLessThanOrEqual(frame);
      expect(endFrameOf(column, scale)).toBeGreaterThan(frame);
      if (scale >= 1) expect(firstFrameOf(column - 1, scale)).toBe(frame - 1);
    }
  });

  it("stay where they are while the view moves", () => {
    const view = new Viewport();
    view.width = 700;
    view.right = 5000;
    const before = view.xOf(4800);
    view.pan(-100, 0, 5000);
    expect(view.xOf(4800) - before).toBe(70);
    expect(view.following).toBe(false);
  });

  it("keep the frame under the pointer while zooming", () => {
    const view = new Viewport();
    view.width = 1000;
    view.right = 5000;
    view.following = false;
    const frame = view.frameAt(250);
    view.zoom(0.5, 250);
    expect(Math.abs(view.frameAt(250) - frame)).toBeLessThanOrEqual(1);
  });

  it("never show what is not held", () => {
    const view = new Viewport();
    view.right = 5000;
    view.pan(-100_000, 2000, 5000);
    expect(view.right).toBe(2000 + view.span);
    view.pan(100_000, 2000, 5000);
    expect(view.following).toBe(true);
  });
});

describe("playhead", () => {
  it("glides at 50 frames a second under rows that come in batches, and never overtakes them", () => {
    const head = new Playhead();
    let last = Number.NaN;
    let widest = 0;
    for (let ms = 0; ms < 20_000; ms += 10) {
      const newest = 1000 + Math.floor(ms / 100) * 5;
      const now = head.advance(newest, ms);
      expect(now).toBeLessThanOrEqual(newest);
      if (ms > 5000) widest = Math.max(widest, now - last);
      last = now;
    }
    expect(widest).toBeLessThan(1);
  });

  it("leaps after a pause", () => {
    const head = new Playhead();
    head.advance(100, 0);
    expect(head.advance(5000, 20)).toBe(5000);
  });
});

describe("colours", () => {
  it.each([true, false])("run in even steps of lightness (dark: %s)", (dark) => {
    const grey = [...colourMap(dark)].map((pixel) => luminance(pixel));
    const rising = dark ? grey : grey.reverse();
    for (let at = 8; at < 256; at += 8) expect(rising[at]!).toBeGreaterThan(rising[at - 8]!);
  });
});

function luminance(pixel: number): number {
  const linear = [0, 8, 16].map((at) => (((pixel >>> at) & 255) / 255) ** 2.2);
  return 0.2126 * linear[0]! + 0.7152 * linear[1]! + 0.0722 * linear[2]!;
}

describe("axis", () => {
  it("has round steps with room for their texts", () => {
    expect(tickStepMs(20_000, 1000)).toBe(2000);
    expect(tickStepMs(300_000, 1000)).toBe(30_000);
    expect(tickStepMs(2_000, 1000)).toBe(200);
  });

  it("says parts of a second only where the step needs them", () => {
    const at = new Date(2026, 0, 2, 3, 4, 5, 670).getTime();
    expect(clockText(at, 1000)).toBe("03:04:05");
    expect(clockText(at, 200)).toBe("03:04:05.6");
    expect(clockText(at, 1)).toBe("03:04:05.670");
  });
});

const label = (id: string, group = "", enter: number | null = 0.5): LabelEntry => ({ id, name: id, group, hidden: false, enter });

function streamOf(labels: LabelEntry[]): StreamModel {
  const pack = { name: "pack", labels, look_ahead_ms: 0 } as unknown as PackEntry;
  const entry = { name: "mic", rate: 16_000, epoch_ms: 1, packs: ["pack"] } as unknown as StreamEntry;
  return new StreamModel(entry, 0, new Map([["pack", pack]]));
}

function put(stream: StreamModel, firstFrame: number, count: number, row: number[]): void {
  const values = Uint8Array.from({ length: count * row.length }, (_, i) => row[i % row.length]! * 255);
  const block = { firstFrame, count, classes: row.length, values, columns: null } as unknown as ScoreBlock;
  stream.tracks.get("pack")!.put(block);
}

const ids = (book: LaneBook): string[] => book.lanes.map((lane) => lane.entry.id);

describe("lanes", () => {
  it("come with activity, stay in their place, and go after a quiet while", () => {
    const stream = streamOf([label("wren", "bird"), label("rain", "weather"), label("robin", "bird")]);
    const book = new LaneBook();
    put(stream, 0, 50, [0, 0.6, 0]);
    expect(book.choose(stream, 0, 49, 30)).toBe(true);
    put(stream, 50, 50, [0.6, 0.6, 0]);
    book.choose(stream, 0, 99, 30);
    put(stream, 100, 50, [0, 0.6, 0.6]);
    book.choose(stream, 0, 149, 30);
    expect(ids(book)).toEqual(["rain", "wren", "robin"]);
    const colours = book.lanes.map((lane) => lane.colour);
    put(stream, 150, 3000, [0, 0.6, 0]);
    book.choose(stream, 2150, 3149, 30);
    expect(ids(book)).toEqual(["rain"]);
    put(stream, 3150, 50, [0, 0.6, 0.9]);
    book.choose(stream, 2200, 3199, 30);
    expect(book.lanes.map((lane) => lane.colour)).toEqual([colours[0], colours[2]]);
  });

  it("are given to events first where there is not room for all", () => {
    const stream = streamOf([label("a"), label("b"), label("c", "", null)]);
    put(stream, 0, 50, [0.9, 0.8, 0.1]);
    stream.putEvent({ id: "e", pack: "pack", label: "c", stage: "open", onset_frame: 10, offset_frame: null } as unknown as EventMessage);
    const book = new LaneBook();
    book.choose(stream, 0, 49, 2);
    expect(ids(book).sort()).toEqual(["a", "c"]);
    expect(book.left).toBe(1);
    expect(spanIn(book.lanes.find((lane) => lane.entry.id === "c")!.spans, 30, 31)?.event.id).toBe("e");
    expect(spanIn(book.lanes.find((lane) => lane.entry.id === "c")!.spans, 9, 10)).toBeNull();
  });
});
