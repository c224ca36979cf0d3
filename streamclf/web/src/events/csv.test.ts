import { expect, it } from "vitest";

import { csvOf } from "./csv";
import type { Row } from "./row";

const NOW = new Date(2026, 4, 1, 6, 30, 12, 340).getTime();
const robin: Row = {
  id: "run/mic/birds/robin/100",
  stream: "mic",
  pack: "birds",
  label: "robin",
  group: "bird",
  open: false,
  onsetMs: NOW,
  endMs: NOW + 1500,
  peak: 0.8,
  mean: 0.6,
  levelDb: -31.25,
  clip: "",
  mark: "right",
  markLabel: "",
  stored: null,
};

it("has local time beside UTC, the duration and ids, the oldest first", () => {
  const lines = csvOf([{ ...robin, id: "b", onsetMs: NOW + 1000, endMs: NOW + 2000 }, robin]).split("\r\n");
  expect(lines[0]!.startsWith("\ufefftime,time_utc,duration_s,stream")).toBe(true);
  expect(lines[1]).toBe(
    `2026-05-01 06:30:12.34,${new Date(NOW).toISOString()},1.50,mic,birds,robin,bird,0.8000,0.6000,-31.3,,right,,,run/mic/birds/robin/100`,
  );
  expect(lines[2]!.endsWith(",b")).toBe(true);
});

it("takes no text for a formula", () => {
  const line = csvOf([{ ...robin, stream: "=1+1", label: 'a "b",c', group: "-x\n" }]).split("\r\n")[1]!;
  expect(line).toContain(`,"'=1+1",birds,"a ""b"",c","'-x ",`);
});

it("takes no text for a formula where lines are split at semicolons", () => {
  const line = csvOf([{ ...robin, stream: "dog;=1+1", label: "\uff1d1" }]).split("\r\n")[1]!;
  expect(line).toContain(`,"dog;'=1+1",birds,"'\uff1d1",`);
});
