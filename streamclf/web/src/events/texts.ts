// How times, lengths and names are written in the list of events.

import { t } from "../strings";
import type { Row } from "./row";
import { DAY_MS, startOfDay } from "./filter";

/** 06:30:12 of the local clock. */
export function clockText(ms: number): string {
  return new Date(ms).toLocaleTimeString(t.locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

/** Today, yesterday, or the date with its weekday. */
export function dayText(ms: number, nowMs: number): string {
  const day = startOfDay(ms);
  const today = startOfDay(nowMs);
  if (day === today) return t.events.today;
  // a day is 23 to 25 hours long
  if (day === startOfDay(today - DAY_MS / 2)) return t.events.yesterday;
  return new Date(ms).toLocaleDateString(t.locale, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

export function lengthText(ms: number): string {
  if (ms < 60_000) return t.events.seconds(ms / 1000);
  const seconds = Math.round(ms / 1000);
  return t.events.minutes(Math.floor(seconds / 60), seconds % 60);
}

/** What a clip is called once it is downloaded: time, stream and label, of letters that every disk takes. */
export function fileName(row: Row, kind: string): string {
  const at = new Date(row.onsetMs).toISOString().slice(0, 19).replaceAll(":", "").replace("T", "_");
  const name = `${at}_${row.stream}_${row.label}`.replace(/[^A-Za-z0-9._-]+/g, "-").slice(0, 120);
  return `${name}.${kind.includes("flac") ? "flac" : "opus"}`;
}
