// The last minutes of rows and pictures, by frame. Allocated once; a frame's place is its number modulo the length.

import type { PackEntry, PictureBlock, ScoreBlock } from "./protocol";

/** Five minutes. */
export const KEEP_FRAMES = 15_000;
/** In a track: this label's probability is not known on this frame. The highest one is kept as 254. */
export const UNKNOWN = 255;

const NEVER = -1;

/** Which frames are held. Frames may come late, twice, or not at all. */
class Held {
  newest = NEVER;
  private first = Infinity;
  private readonly frames: Float64Array;

  constructor(readonly keep: number) {
    this.frames = new Float64Array(keep).fill(NEVER);
  }

  /** The smallest frame that may be held; above `newest` where nothing is. */
  get oldest(): number {
    return this.newest < 0 ? 0 : Math.max(this.first, this.newest - this.keep + 1);
  }

  has(frame: number): boolean {
    return frame >= 0 && this.frames[frame % this.keep] === frame;
  }

  /** Place of the frame from now on, or -1 where it is older than what is kept. */
  take(frame: number): number {
    if (frame < 0 || frame <= this.newest - this.keep) return -1;
    const slot = frame % this.keep;
    this.frames[slot] = frame;
    if (frame > this.newest) this.newest = frame;
    if (frame < this.first) this.first = frame;
    return slot;
  }
}

/** Rows of one pack on one stream. */
export class Track {
  /** keep * labels: probability * 255, `UNKNOWN` where there is none. Row of a frame: from `slot(frame)` on. */
  readonly data: Uint8Array;
  readonly labels: number;
  /** What a label has that a block leaves out: `UNKNOWN`, or 0 where the daemon leaves out only what is next to nothing. */
  missing = UNKNOWN;
  private readonly held: Held;

  constructor(
    public pack: PackEntry,
    readonly keep: number = KEEP_FRAMES,
  ) {
    this.labels = pack.labels.length;
    this.held = new Held(keep);
    this.data = new Uint8Array(keep * this.labels).fill(UNKNOWN);
  }

  get newest(): number {
    return this.held.newest;
  }

  get oldest(): number {
    return this.held.oldest;
  }

  has(frame: number): boolean {
    return this.held.has(frame);
  }

  /** Offset of the frame's row in `data`, -1 where there is none. Allocates nothing. */
  slot(frame: number): number {
    return this.held.has(frame) ? (frame % this.keep) * this.labels : -1;
  }

  /** Probability in [0, 1], NaN where it is not known. */
  value(frame: number, label: number): number {
    const at = this.slot(frame);
    const byte = at < 0 ? UNKNOWN : this.data[at + label]!;
    return byte === UNKNOWN ? NaN : byte / UNKNOWN;
  }

  /** A view of the row in `data`, null where there is none. */
  row(frame: number): Uint8Array | null {
    const at = this.slot(frame);
    return at < 0 ? null : this.data.subarray(at, at + this.labels);
  }

  /** The same rows under other labels: those that are known by their id keep what is held of them. */
  relabelled(pack: PackEntry): Track {
    const track = new Track(pack, this.keep);
    track.missing = this.missing;
    const from = pack.labels.map(({ id }) => this.pack.labels.findIndex((label) => label.id === id));
    for (let frame = this.oldest; frame <= this.newest; frame++) {
      const at = this.slot(frame);
      if (at < 0) continue;
      const to = track.held.take(frame) * track.labels;
      from.forEach((known, label) => (track.data[to + label] = known < 0 ? UNKNOWN : this.data[at + known]!));
    }
    return track;
  }

  put(block: ScoreBlock): void {
    const { count, classes, values, columns } = block;
    for (let index = 0; index < count; index++) {
      const slot = this.held.take(block.firstFrame + index);
      if (slot < 0) continue;
      const to = slot * this.labels;
      if (columns !== null || classes !== this.labels) this.data.fill(this.missing, to, to + this.labels);
      for (let column = 0; column < classes; column++) {
        const label = columns === null ? column : columns[column]!;
        if (label < this.labels) this.data[to + label] = Math.min(values[index * classes + column]!, UNKNOWN - 1);
      }
    }
  }
}

/** Levels and spectrum columns of one stream. Values are bytes of -127.5 dB + value / 2. */
export class PictureRing {
  bands = 0;
  highHz = 0;
  /** Grows when columns come behind newer ones, and may belong where nothing was drawn. */
  late = 0;
  private held: Held;
  private levels: Uint8Array;
  private columns = new Uint8Array(0);

  constructor(readonly keep: number = KEEP_FRAMES) {
    this.held = new Held(keep);
    this.levels = new Uint8Array(2 * keep);
  }

  get newest(): number {
    return this.held.newest;
  }

  get oldest(): number {
    return this.held.oldest;
  }

  has(frame: number): boolean {
    return this.held.has(frame);
  }

  /** A view of the frame's bands, the lowest first; null where there is none. */
  column(frame: number): Uint8Array | null {
    if (!this.held.has(frame)) return null;
    const at = (frame % this.keep) * this.bands;
    return this.columns.subarray(at, at + this.bands);
  }

  /** Root mean square as a byte, -1 where there is none. */
  rms(frame: number): number {
    return this.held.has(frame) ? this.levels[2 * (frame % this.keep)]! : -1;
  }

  peak(frame: number): number {
    return this.held.has(frame) ? this.levels[2 * (frame % this.keep) + 1]! : -1;
  }

  put(block: PictureBlock): void {
    if (block.bands !== this.bands) {
      this.bands = block.bands;
      this.held = new Held(this.keep);
      this.columns = new Uint8Array(this.keep * block.bands);
    }
    this.highHz = block.highHz;
    if (block.firstFrame <= this.newest) this.late++;
    for (let index = 0; index < block.count; index++) {
      const slot = this.held.take(block.firstFrame + index);
      if (slot < 0) continue;
      this.levels[2 * slot] = block.rms[index]!;
      this.levels[2 * slot + 1] = block.peak[index]!;
      this.columns.set(block.columns.subarray(index * this.bands, (index + 1) * this.bands), slot * this.bands);
    }
  }
}

/** The last numbers of a measure; `quantile` sorts them. */
export class Samples {
  count = 0;
  private readonly values: Float64Array;

  constructor(keep: number) {
    this.values = new Float64Array(keep);
  }

  add(value: number): void {
    this.values[this.count++ % this.values.length] = value;
  }

  clear(): void {
    this.count = 0;
  }

  /** NaN before the first one. */
  quantile(share: number): number {
    const held = Math.min(this.count, this.values.length);
    if (held === 0) return NaN;
    return this.values.slice(0, held).sort()[Math.min(held - 1, Math.floor(share * held))]!;
  }
}
