// How strong each class of a pack was in each second that is held, so that lanes can be chosen without reading rows.

import type { Track } from "../model";
import { FRAMES_PER_SECOND } from "../protocol";
import { UNKNOWN } from "../rings";

const SECONDS = 320; // a little more than a track holds

/** Bound: SECONDS * classes bytes (policy: a second takes the place of the one 320 s before it). */
export class Activity {
  private readonly classes: number;
  private readonly best: Uint8Array;
  private readonly secondAt = new Float64Array(SECONDS).fill(Number.NaN);
  private scannedFrom = Number.NaN;
  private scannedTo = Number.NaN;

  constructor(readonly track: Track) {
    this.classes = track.pack.labels.length;
    this.best = new Uint8Array(SECONDS * this.classes);
  }

  /** Takes the rows that came since; those that came in before the oldest known one as well. */
  scan(): void {
    const { oldest, newest } = this.track;
    if (!(newest >= oldest)) return;
    if (!(oldest >= this.scannedFrom)) this.scannedTo = oldest - 1;
    for (let frame = Math.max(this.scannedTo + 1, oldest); frame <= newest; frame++) this.take(frame);
    this.scannedFrom = oldest;
    this.scannedTo = newest;
  }

  /** The highest value (0..255) of class `index` in the seconds that frames [from, to] touch. */
  bestOf(index: number, from: number, to: number): number {
    let best = 0;
    const last = Math.floor(to / FRAMES_PER_SECOND);
    for (let second = Math.max(Math.floor(from / FRAMES_PER_SECOND), last - SECONDS + 1); second <= last; second++) {
      const slot = slotOf(second);
      if (this.secondAt[slot] === second) best = Math.max(best, this.best[slot * this.classes + index]!);
    }
    return best;
  }

  private take(frame: number): void {
    const from = this.track.slot(frame);
    if (from < 0) return;
    const second = Math.floor(frame / FRAMES_PER_SECOND);
    const slot = slotOf(second);
    const at = slot * this.classes;
    if (this.secondAt[slot] !== second) {
      this.secondAt[slot] = second;
      this.best.fill(0, at, at + this.classes);
    }
    for (let index = 0; index < this.classes; index++) {
      const value = this.track.data[from + index]!;
      if (value !== UNKNOWN && value > this.best[at + index]!) this.best[at + index] = value;
    }
  }
}

function slotOf(second: number): number {
  return ((second % SECONDS) + SECONDS) % SECONDS;
}
