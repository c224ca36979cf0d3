import { describe, expect, it } from "vitest";

import { accepts, boundsOf, everything, formatFilter, nsText, parseFilter, queryOf } from "./filter";
import { type Row, merged } from "./row";

const NOW = new Date(2026, 4, 1, 6, 30).getTime();
const robin: Row = {
  id: "run/mic/birds/robin/100",
  stream: "mic",
  pack: "birds",
  label: "robin",
  group: "bird",
  open: true,
  onsetMs: NOW - 1000,
  endMs: NOW,
  peak: 0.8,
  mean: 0.6,
  levelDb: null,
  clip: "",
  mark: "",
  markLabel: "",
  stored: null,
};

describe("filter", () => {
  it("is the same after a way through the hash", () => {
    const filter = {
      ...everything(),
      labels: ["group:bird", "a&b=c,d"],
      streams: ["garden"],
      span: "range" as const,
      from: "2026-05-01T04:00",
      until: "2026-05-01T05:00",
      minPeak: 0.6,
    };
    expect(parseFilter(formatFilter(filter))).toEqual(filter);
    expect(parseFilter("")).toEqual(everything());
    expect(formatFilter(everything())).toBe("");
  });

  it("leaves out what makes no sense", () => {
    expect(parseFilter("span=never&from=yesterday&peak=2&label=")).toEqual(everything());
  });

  it("knows yesterday by the local calendar", () => {
    const bounds = boundsOf({ ...everything(), span: "yesterday" }, NOW);
    expect(bounds).toEqual({
      sinceMs: new Date(2026, 3, 30).getTime(),
      untilMs: new Date(2026, 4, 1).getTime(),
    });
  });

  it("takes live events as the server would", () => {
    const open = { sinceMs: null, untilMs: null };
    const take = (change: object, bounds = open) => accepts({ ...everything(), ...change }, bounds, robin);
    expect(take({ labels: ["robin"], streams: ["mic"], minPeak: 0.8 })).toBe(true);
    expect(take({ labels: ["group:bird"] })).toBe(true);
    expect(take({ labels: ["wren"] })).toBe(false);
    expect(take({ streams: ["garden"] })).toBe(false);
    expect(take({ minPeak: 0.81 })).toBe(false);
    expect(take({}, { sinceMs: NOW as never, untilMs: null })).toBe(false);
  });

  it("asks in nanoseconds that no number can hold", () => {
    expect(nsText(1_777_616_999_123.456)).toBe("1777616999123456000");
    expect(queryOf({ ...everything(), labels: ["a", "b"], minPeak: 0.5 }, { sinceMs: 1, untilMs: null }).toString()).toBe(
      "labels=a%2Cb&since_ns=1000000&min_peak=0.5",
    );
  });
});

describe("rows", () => {
  it("keep the later stage, whichever way it came", () => {
    const closed = { ...robin, open: false, endMs: NOW + 500, peak: 0.9 };
    expect(merged(robin, closed)).toMatchObject({ open: false, endMs: NOW + 500, peak: 0.9 });
    expect(merged(closed, robin)).toMatchObject({ open: false, endMs: NOW + 500, peak: 0.9 });
  });
});
