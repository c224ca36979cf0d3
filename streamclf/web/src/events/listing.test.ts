import { expect, it } from "vitest";

import type { Item } from "./eventrow";
import { Listing } from "./listing";
import type { Row } from "./row";

const NOW = new Date(2026, 4, 2, 6, 30).getTime();

function row(id: string, agoMs: number, open = false): Row {
  const onsetMs = NOW - agoMs;
  return {
    id, stream: "mic", pack: "birds", label: "robin", group: "bird", open, onsetMs, endMs: onsetMs + 500,
    peak: 0.8, mean: 0.6, levelDb: null, clip: "", mark: "", markLabel: "", stored: null,
  };
}

function said(items: Item[]): string[] {
  return items.map((item) => (item.kind === "day" ? item.text : item.row.id));
}

const HOUR = 3_600_000;

it("has what is open first, then what ended by day, the newest on top", () => {
  const rows = [row("old", 12 * HOUR), row("new", 1000), row("long", 2 * HOUR, true), row("newer", 500)];
  expect(said(new Listing().items(rows, NOW))).toEqual(["Open now", "long", "Today", "newer", "new", "Yesterday", "old"]);
});

it("moves nothing while it is held, and everything afterwards", () => {
  const listing = new Listing();
  const before = [row("one", 1000, true), row("two", 2000)];
  listing.hold(before);
  const after = [row("one", 1000), row("two", 2000), row("three", 0)];
  listing.arrived("three");
  expect(said(listing.items(after, NOW))).toEqual(said(new Listing().items(before, NOW)));
  expect(listing.held.size).toBe(1);
  listing.release();
  expect(said(listing.items(after, NOW))).toEqual(["Today", "three", "one", "two"]);
});
