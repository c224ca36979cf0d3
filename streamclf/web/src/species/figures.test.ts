import { describe, expect, it } from "vitest";

import { calendarOf, shareOfYear } from "./figures";

describe("the calendar of a label", () => {
  it("ends with today, in weeks from Monday to Sunday", () => {
    const now = new Date(2026, 4, 6, 23, 30).getTime(); // a Wednesday
    const days = calendarOf([{ day: "2026-05-06", count: 12 }, { day: "2026-05-04", count: 1 }], now);
    expect(days.at(-1)).toEqual({ day: "2026-05-06", count: 12, step: 3, column: 52, row: 2 });
    expect(days.at(-3)).toEqual({ day: "2026-05-04", count: 1, step: 1, column: 52, row: 0 });
    expect(days[0]).toMatchObject({ day: "2025-05-05", count: 0, step: 0, column: 0, row: 0 });
    expect(new Set(days.map(({ day }) => day)).size).toBe(days.length);
  });
});

describe("the share of a year", () => {
  it("runs from its first instant to its last", () => {
    expect(shareOfYear(new Date(2026, 0, 1).getTime())).toBe(0);
    expect(shareOfYear(new Date(2026, 11, 31, 12).getTime())).toBeCloseTo(1, 2);
  });
});
