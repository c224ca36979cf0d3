// One event of the list: what the store has of it, what was told live since, whichever is newer.

import type { EventMessage } from "../protocol";

/** What a person said of an event. */
export type Mark = "right" | "wrong" | "";

/** An event as /v1/events has it. */
export interface StoredEvent {
  id: string;
  stream: string;
  pack: string;
  label: string;
  group: string;
  stage: "open" | "update" | "close";
  onset_ns: number;
  offset_ns: number | null;
  decided_ns: number;
  peak: number;
  mean: number;
  enter: number;
  leave: number;
  min_on_ms: number;
  min_off_ms: number;
  level_db: number | null;
  ended_by: string;
  clip: string;
  mark: Mark;
  /** What it was instead, where a person said so. */
  mark_label: string;
  seq: number;
}

export interface Row {
  /** As the store names it: the daemon's run, then the id of the messages. */
  id: string;
  stream: string;
  pack: string;
  label: string;
  group: string;
  open: boolean;
  onsetMs: number;
  /** One past its end; while it lasts, up to where it was known. */
  endMs: number;
  peak: number;
  mean: number;
  levelDb: number | null;
  clip: string;
  mark: Mark;
  markLabel: string;
  /** null until the store has told of it. */
  stored: StoredEvent | null;
}

export function rowOfStored(event: StoredEvent): Row {
  return {
    id: event.id,
    stream: event.stream,
    pack: event.pack,
    label: event.label,
    group: event.group,
    open: event.stage !== "close",
    onsetMs: event.onset_ns / 1e6,
    endMs: (event.offset_ns ?? event.decided_ns) / 1e6,
    peak: event.peak,
    mean: event.mean,
    levelDb: event.level_db,
    clip: event.clip,
    mark: event.mark,
    markLabel: event.mark_label,
    stored: event,
  };
}

/** instance: of the daemon's start, as its hello says. group: of the label, which messages do not name. */
export function rowOfMessage(event: EventMessage, instance: string, group: string): Row {
  return {
    // a daemon's begins with the stream; at a gateway of many sites it is site/run/id, which is all of it
    id: event.id.startsWith(`${event.stream}/`) ? `${instance}/${event.id}` : event.id,
    stream: event.stream,
    pack: event.pack,
    label: event.label,
    group,
    open: event.stage !== "close",
    onsetMs: event.onset_ms,
    endMs: event.offset_ms ?? event.decided_ms,
    peak: event.peak,
    mean: event.mean,
    levelDb: null,
    clip: "",
    mark: "",
    markLabel: "",
    stored: null,
  };
}

/** Two tellings of one event: the later stage, with all that only the store knows. */
export function merged(before: Row, now: Row): Row {
  const older = (before.open && !now.open) || (before.open === now.open && now.endMs >= before.endMs);
  const [kept, other] = older ? [now, before] : [before, now];
  // a clip is added without a new seq, so of equals the one that came last
  const stored = now.stored && now.stored.seq >= (before.stored?.seq ?? 0) ? now.stored : before.stored;
  return {
    ...kept,
    group: kept.group || other.group,
    levelDb: kept.levelDb ?? other.levelDb,
    clip: stored?.clip ?? "",
    mark: stored?.mark ?? "",
    markLabel: stored?.mark_label ?? "",
    stored,
  };
}

/** The newest first. */
export function byOnset(one: Row, other: Row): number {
  return other.onsetMs - one.onsetMs || (one.id < other.id ? -1 : 1);
}
