// The list as a table that a spreadsheet opens: local time beside UTC, duration, ids. No DOM.

import type { Row } from "./row";

const COLUMNS = [
  "time", "time_utc", "duration_s", "stream", "pack", "label", "group", "peak", "mean", "level_db", "ended_by", "mark", "mark_label", "clip", "id",
];
/** Read as UTF-8 by spreadsheets that would guess otherwise. */
const MARK = "\ufeff";

/** rows: newest first, as they are shown; the table begins with the oldest. */
export function csvOf(rows: Row[]): string {
  const lines = [...rows].reverse().map((row) =>
    [
      localText(row.onsetMs),
      new Date(row.onsetMs).toISOString(),
      ((row.endMs - row.onsetMs) / 1000).toFixed(2),
      row.stream,
      row.pack,
      row.label,
      row.group,
      row.peak.toFixed(4),
      row.mean.toFixed(4),
      row.levelDb === null ? "" : row.levelDb.toFixed(1),
      row.open ? "" : (row.stored?.ended_by ?? ""),
      row.mark,
      row.markLabel,
      row.clip,
      row.id,
    ].map((value, column) => cell(value, NUMBERS.has(COLUMNS[column]!))),
  );
  return MARK + [COLUMNS, ...lines].map((line) => `${line.join(",")}\r\n`).join("");
}

const NUMBERS = new Set(["duration_s", "peak", "mean", "level_db"]);

/** Labels and names are other people's text: nothing of it may be a formula. */
function cell(text: string, number: boolean): string {
  let plain = text.replace(/[\u0000-\u001f]/g, " ");
  // also behind a semicolon, at which many languages' spreadsheets split
  if (!number) plain = plain.replace(/(^|;)(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])/g, "$1'$2");
  return /[",']/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** 2026-05-01 06:30:12.34 of the local clock, which spreadsheets take for a time. */
function localText(ms: number): string {
  const at = new Date(ms);
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${two(Math.floor(at.getMilliseconds() / 10))}`;
}
