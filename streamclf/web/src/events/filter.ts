// What the list of events is narrowed to, as the hash says it, as the server is asked for it, and for events that come
// in live. Times that a person chose are local and kept as text, so that a link says what was meant.

import type { Row } from "./row";

export const SPANS = ["hour", "day", "today", "yesterday", "week", "all", "range"] as const;
export type Span = (typeof SPANS)[number];

export interface Filter {
  /** Label ids or group:NAME; none is all. */
  labels: string[];
  streams: string[];
  span: Span;
  /** Local date and time, 2026-05-01T04:00, of the span "range"; "" where that side is open. */
  from: string;
  until: string;
  /** Least peak, 0 to 1. */
  minPeak: number;
}

export interface Bounds {
  sinceMs: number | null;
  untilMs: number | null;
}

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

export function everything(): Filter {
  return { labels: [], streams: [], span: "day", from: "", until: "", minPeak: 0 };
}

/** The filter of a hash's detail; what it does not say, or says wrongly, is left open. */
export function parseFilter(detail: string): Filter {
  const fields = new URLSearchParams(detail);
  const filter = everything();
  filter.labels = fields.getAll("label").filter(Boolean);
  filter.streams = fields.getAll("stream").filter(Boolean);
  filter.from = localText(fields.get("from"));
  filter.until = localText(fields.get("until"));
  const span = fields.get("span");
  if (SPANS.includes(span as Span)) filter.span = span as Span;
  else if (filter.from || filter.until) filter.span = "range";
  const peak = Number(fields.get("peak"));
  if (peak > 0 && peak <= 1) filter.minPeak = peak;
  return filter;
}

/** The inverse of parseFilter; "" where nothing is narrowed. */
export function formatFilter(filter: Filter): string {
  const fields = new URLSearchParams();
  for (const label of filter.labels) fields.append("label", label);
  for (const stream of filter.streams) fields.append("stream", stream);
  if (filter.span === "range") {
    if (filter.from) fields.set("from", filter.from);
    if (filter.until) fields.set("until", filter.until);
  } else if (filter.span !== "day") {
    fields.set("span", filter.span);
  }
  if (filter.minPeak > 0) fields.set("peak", String(filter.minPeak));
  return fields.toString();
}

/** From when until when (exclusive) events are wanted. */
export function boundsOf(filter: Filter, nowMs: number): Bounds {
  const midnight = startOfDay(nowMs);
  switch (filter.span) {
    case "hour":
      return { sinceMs: nowMs - HOUR_MS, untilMs: null };
    case "day":
      return { sinceMs: nowMs - DAY_MS, untilMs: null };
    case "today":
      return { sinceMs: midnight, untilMs: null };
    case "yesterday":
      return { sinceMs: startOfDay(midnight - HOUR_MS), untilMs: midnight };
    case "week":
      return { sinceMs: nowMs - 7 * DAY_MS, untilMs: null };
    case "all":
      return { sinceMs: null, untilMs: null };
    case "range":
      return { sinceMs: msOf(filter.from), untilMs: msOf(filter.until) };
  }
}

export function accepts(filter: Filter, bounds: Bounds, row: Row): boolean {
  const { labels, streams } = filter;
  if (row.peak < filter.minPeak) return false;
  if (bounds.sinceMs !== null && row.onsetMs < bounds.sinceMs) return false;
  if (bounds.untilMs !== null && row.onsetMs >= bounds.untilMs) return false;
  if (streams.length > 0 && !streams.includes(row.stream)) return false;
  return labels.length === 0 || labels.includes(row.label) || (row.group !== "" && labels.includes(`group:${row.group}`));
}

/** Fields of /v1/events. */
export function queryOf(filter: Filter, bounds: Bounds): URLSearchParams {
  const query = new URLSearchParams();
  if (filter.labels.length > 0) query.set("labels", filter.labels.join(","));
  if (filter.streams.length > 0) query.set("streams", filter.streams.join(","));
  if (bounds.sinceMs !== null) query.set("since_ns", nsText(bounds.sinceMs));
  if (bounds.untilMs !== null) query.set("until_ns", nsText(bounds.untilMs));
  if (filter.minPeak > 0) query.set("min_peak", String(filter.minPeak));
  return query;
}

/** ns of a time in ms: beyond what a number holds exactly, so digits. */
export function nsText(ms: number): string {
  return (BigInt(Math.round(ms * 1000)) * 1000n).toString();
}

export function startOfDay(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

/** 2026-05-01T04:00 of the local clock, as date and time fields want it. */
export function localTimeText(ms: number): string {
  const at = new Date(ms);
  return `${localDateText(ms)}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** 2026-05-01 of the local calendar. */
export function localDateText(ms: number): string {
  const at = new Date(ms);
  return `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** Local midnight of 2026-05-01, or null. */
export function dateMs(text: string): number | null {
  return /^\d{4}-\d\d-\d\d$/.test(text) ? msOf(`${text}T00:00`) : null;
}

function msOf(text: string): number | null {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

function localText(text: string | null): string {
  return text !== null && /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) && msOf(text) !== null ? text : "";
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
