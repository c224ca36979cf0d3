import { describe, expect, it } from "vitest";

import { bandHz, runsOf, scaleOf } from "./loudness";

const minute = (at: number) => ({ ms: at * 60_000, laeq: 50, l10: 55, l90: 45 });

describe("the charts of loudness", () => {
  it("joins minutes that follow on each other, and no others", () => {
    expect(runsOf([0, 1, 3, 9, 10].map(minute)).map((run) => run.length)).toEqual([3, 2]);
    expect(runsOf([])).toEqual([]);
  });

  it("has a scale of whole tens that holds every level", () => {
    expect(scaleOf([-61.2, -33])).toEqual([-70, -30]);
    expect(scaleOf([42, 44])).toEqual([40, 60]);
    expect(scaleOf([40, 60.1])).toEqual([40, 70]);
  });

  it("names third octaves as people write them", () => {
    expect([0, 1, 4, 7, 16, 29].map(bandHz)).toEqual([25, 31.5, 63, 125, 1000, 20000]);
  });
});
