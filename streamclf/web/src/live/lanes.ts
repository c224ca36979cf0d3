// Which classes have a lane, and where. A lane comes when its class is near its threshold or has an event in view, goes
// when nothing of it is in view and it has been quiet for a while, and stays in its place meanwhile.

import type { StreamModel } from "../model";
import { FRAMES_PER_SECOND, type EventMessage, type LabelEntry } from "../protocol";
import { Activity } from "./activity";

const QUIET_FRAMES = 30 * FRAMES_PER_SECOND;
/** A class shows from this share of its threshold on. */
const NEAR = 0.5;
const USUAL_ENTER = 0.5;

/** The part of a lane where an event lasts: frames [onset, offset), offset infinite while it lasts. */
export interface Span {
  onset: number;
  offset: number;
  event: EventMessage;
}

export interface Lane {
  key: string;
  pack: string;
  /** Of the label in its pack. */
  index: number;
  entry: LabelEntry;
  /** Place in the cycle of colours; the same for as long as the page lives. */
  colour: number;
  /** By onset. */
  spans: Span[];
}

interface Candidate {
  pack: string;
  index: number;
  entry: LabelEntry;
  strength: number;
}

export class LaneBook {
  lanes: readonly Lane[] = [];
  /** Active classes that found no room. */
  left = 0;
  private activities = new Map<string, Activity>();
  private readonly colours = new Map<string, number>(); // bound: the labels of the packs

  /** Chooses anew for frames [from, to] in view. True where lanes came or went. */
  choose(stream: StreamModel, from: number, to: number, most: number): boolean {
    const candidates = this.candidates(stream, Math.min(from, to - QUIET_FRAMES), to);
    const kept = this.lanes.filter((lane) => candidates.has(lane.key)).slice(0, most);
    const here = new Set(kept.map((lane) => lane.key));
    const fresh = [...candidates].filter(([key]) => !here.has(key)).sort(([, a], [, b]) => b.strength - a.strength);
    const room = fresh.slice(0, most - kept.length);
    this.left = fresh.length - room.length;
    if (room.length === 0 && kept.length === this.lanes.length) return false;
    for (const [key, candidate] of room) kept.splice(placeOf(kept, candidate), 0, this.laneOf(key, candidate));
    this.lanes = kept;
    this.mark(stream);
    return true;
  }

  /** Lays the stream's events on the lanes. */
  mark(stream: StreamModel): void {
    const byKey = new Map(this.lanes.map((lane) => [lane.key, lane]));
    for (const lane of this.lanes) lane.spans = [];
    for (const event of stream.events) {
      const offset = event.offset_frame ?? (event.stage === "close" ? event.onset_frame : Infinity);
      byKey.get(keyOf(event.pack, event.label))?.spans.push({ onset: event.onset_frame, offset, event });
    }
    for (const lane of this.lanes) lane.spans.sort((a, b) => a.onset - b.onset);
  }

  private candidates(stream: StreamModel, from: number, to: number): Map<string, Candidate> {
    const found = new Map<string, Candidate>();
    const eventful = new Set<string>();
    for (const event of stream.events)
      if (event.onset_frame <= to && (event.offset_frame ?? Infinity) > from) eventful.add(keyOf(event.pack, event.label));
    for (const [pack, track] of stream.tracks) {
      let activity = this.activities.get(pack);
      if (activity?.track !== track) this.activities.set(pack, (activity = new Activity(track)));
      activity.scan();
      track.pack.labels.forEach((entry, index) => {
        const key = keyOf(pack, entry.id);
        const best = activity.bestOf(index, from, to) / 255;
        const near = !entry.hidden && best >= NEAR * (entry.enter ?? USUAL_ENTER);
        // an event goes before anything that only came near
        if (eventful.has(key)) found.set(key, { pack, index, entry, strength: 1 + best });
        else if (near) found.set(key, { pack, index, entry, strength: best });
      });
    }
    return found;
  }

  private laneOf(key: string, { pack, index, entry }: Candidate): Lane {
    const colour = this.colours.get(key) ?? this.colours.size;
    this.colours.set(key, colour);
    return { key, pack, index, entry, colour, spans: [] };
  }
}

/** Behind the last lane of its group, else of its pack, else at the end. */
function placeOf(lanes: readonly Lane[], { pack, entry }: Candidate): number {
  const group = lanes.findLastIndex((lane) => lane.pack === pack && lane.entry.group === entry.group);
  const place = group >= 0 ? group : lanes.findLastIndex((lane) => lane.pack === pack);
  return place >= 0 ? place + 1 : lanes.length;
}

export function keyOf(pack: string, label: string): string {
  return `${pack}\n${label}`;
}

/** The last of the spans, which are by onset, that frames [from, to) touch. */
export function spanIn(spans: readonly Span[], from: number, to: number): Span | null {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.onset < to) low = middle + 1;
    else high = middle;
  }
  const last = spans[low - 1];
  return last !== undefined && last.offset > from ? last : null;
}
