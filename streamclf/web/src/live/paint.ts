// The painters: what stands in a pixel column of the sound (spectrum, level) and of the lanes. Whole pixels of
// colours that were mixed before: this runs for every column that comes.

import type { GapSpan, StreamModel, Track } from "../model";
import { UNKNOWN } from "../rings";
import { blend, cssOf } from "./colours";
import { type Lane, spanIn } from "./lanes";
import { endFrameOf, firstFrameOf } from "./viewport";

/** Colours of one theme as pixels. */
export interface Palette {
  map: Uint32Array;
  ground: number;
  ink: number;
  grid: number;
  gap: number;
  rmsInk: number;
  peakInk: number;
  clip: number;
  lanes: readonly number[];
}

/** Colours of one lane, mixed once. */
export interface LaneInk {
  line: number;
  fill: number;
  spanGround: number;
  spanFill: number;
  enter: number;
  css: string;
}

export function laneInk(palette: Palette, colour: number): LaneInk {
  const line = palette.lanes[colour % palette.lanes.length]!;
  return {
    line,
    fill: blend(palette.ground, line, 0.32),
    spanGround: blend(palette.ground, line, 0.16),
    spanFill: blend(palette.ground, line, 0.5),
    enter: blend(palette.ground, palette.ink, 0.45),
    css: cssOf(line),
  };
}

/** Places, in device pixels. */
export interface Measures {
  scale: number;
  spectrum: number;
  level: number;
  lane: number;
  /** Pixels of a hairline. */
  hair: number;
}

const HATCH = 8;
const SILENCE = 115; // byte of -70 dB, the foot of the level's curve
const CLIPPED = 255; // byte of 0 dB: full scale

/** Levels of a stream's spectrum between which its colours are spread: bytes. */
export interface Range {
  low: number;
  high: number;
}

export class SoundPainter {
  stream: StreamModel | null = null;
  palette!: Palette;
  measures!: Measures;
  range: Range = { low: 70, high: 190 };
  private merged = new Uint8Array(0);
  // which bands a pixel row lies between, and how far: made anew with the height
  private below = new Uint8Array(0);
  private share = new Float32Array(0);

  readonly paint = (pixels: Uint32Array, stride: number, column: number, count: number): void => {
    const { scale, spectrum, level } = this.measures;
    for (let x = 0; x < count; x++) {
      const from = firstFrameOf(column + x, scale);
      const to = endFrameOf(column + x, scale);
      if (this.stream === null || gapIn(this.stream.gaps, from, to) !== null) {
        hatch(pixels, stride, x, column + x, 0, spectrum + level, this.palette);
      } else {
        this.paintSpectrum(pixels, stride, x, from, to);
        this.paintLevel(pixels, stride, x, from, to);
      }
    }
  };

  private paintSpectrum(pixels: Uint32Array, stride: number, x: number, from: number, to: number): void {
    const { spectrum } = this.measures;
    const values = this.columnOf(from, to);
    if (values === null) {
      for (let y = 0, at = x; y < spectrum; y++, at += stride) pixels[at] = this.palette.ground;
      return;
    }
    this.prepareRows(spectrum, values.length);
    const { map } = this.palette;
    const { low } = this.range;
    const gain = 255 / Math.max(1, this.range.high - low);
    for (let y = 0, at = x; y < spectrum; y++, at += stride) {
      const band = this.below[y]!;
      const under = values[band]!;
      const value = (under + (values[band + 1]! - under) * this.share[y]! - low) * gain;
      pixels[at] = map[value <= 0 ? 0 : value >= 255 ? 255 : value | 0]!;
    }
  }

  /** The strongest of each band over the frames that share a column. */
  private columnOf(from: number, to: number): Uint8Array | null {
    const picture = this.stream!.picture;
    let first: Uint8Array | null = null;
    let merging = false;
    for (let frame = from; frame < to; frame++) {
      const column = picture.column(frame);
      if (column === null) continue;
      if (first === null) {
        first = column;
        continue;
      }
      if (!merging) {
        if (this.merged.length !== column.length) this.merged = new Uint8Array(column.length);
        this.merged.set(first);
        merging = true;
      }
      for (let band = 0; band < column.length; band++)
        if (column[band]! > this.merged[band]!) this.merged[band] = column[band]!;
    }
    return merging ? this.merged : first;
  }

  private prepareRows(height: number, bands: number): void {
    if (this.below.length === height) return;
    this.below = new Uint8Array(height);
    this.share = new Float32Array(height);
    for (let y = 0; y < height; y++) {
      const place = ((height - 1 - y) / Math.max(1, height - 1)) * (bands - 1);
      this.below[y] = Math.min(bands - 2, Math.floor(place));
      this.share[y] = place - this.below[y]!;
    }
  }

  private paintLevel(pixels: Uint32Array, stride: number, x: number, from: number, to: number): void {
    const { spectrum, level } = this.measures;
    const picture = this.stream!.picture;
    let rms = Number.NaN;
    let peak = Number.NaN;
    for (let frame = from; frame < to; frame++) {
      if (!picture.has(frame)) continue;
      rms = rms >= picture.rms(frame) ? rms : picture.rms(frame);
      peak = peak >= picture.peak(frame) ? peak : picture.peak(frame);
    }
    const { ground, grid, clip, rmsInk, peakInk } = this.palette;
    const solid = heightOf(rms, level);
    const faint = heightOf(peak, level);
    const top = peak >= CLIPPED ? clip : peakInk;
    for (let y = 0, at = spectrum * stride + x; y < level; y++, at += stride) {
      const up = level - y;
      pixels[at] = up <= solid ? rmsInk : up <= faint ? top : y === 0 ? grid : ground;
    }
  }
}

function heightOf(value: number, height: number): number {
  return value > SILENCE ? Math.round(((value - SILENCE) / (255 - SILENCE)) * (height - 2)) : 0;
}

export class LanePainter {
  stream: StreamModel | null = null;
  palette!: Palette;
  measures!: Measures;
  lanes: readonly Lane[] = [];
  inks: readonly LaneInk[] = [];

  readonly paint = (pixels: Uint32Array, stride: number, column: number, count: number): void => {
    if (this.stream === null) return;
    for (let at = 0; at < this.lanes.length; at++) this.paintLane(at, pixels, stride, column, count);
    this.paintGaps(pixels, stride, column, count);
  };

  private paintLane(row: number, pixels: Uint32Array, stride: number, column: number, count: number): void {
    const { index, pack, spans, entry } = this.lanes[row]!;
    const { line, spanGround, spanFill, fill: plainFill, enter } = this.inks[row]!;
    const { scale, lane: height, hair } = this.measures;
    const { ground: plainGround, grid } = this.palette;
    const track = this.stream!.tracks.get(pack);
    if (track === undefined) return;
    const room = height - 2 * hair; // the foot line, and air above
    const threshold = entry.enter === null ? -1 : Math.round(entry.enter * room);
    const top = row * height * stride;
    let last = upTo(track, index, firstFrameOf(column - 1, scale), endFrameOf(column - 1, scale), room);
    for (let x = 0; x < count; x++) {
      const from = firstFrameOf(column + x, scale);
      const to = endFrameOf(column + x, scale);
      const up = upTo(track, index, from, to, room);
      const inSpan = spanIn(spans, from, to) !== null;
      const known = up >= 0;
      const ground = inSpan && known ? spanGround : plainGround;
      const fill = inSpan ? spanFill : plainFill;
      // the line is as long as the step from the column before, so that a rise is a line and not a jump
      const lineFoot = last >= 0 && last < up ? last : up - hair;
      const dash = ((column + x) & 7) < 4 ? threshold : -1;
      let at = top + x;
      for (let over = height - 1 - hair; over >= 0; over--, at += stride) {
        if (inSpan && over < 2 * hair) pixels[at] = line;
        else if (over <= up && over > lineFoot && up > 0) pixels[at] = line;
        else if (over === dash) pixels[at] = enter;
        else pixels[at] = over < up || (known && over < hair) ? fill : ground;
      }
      for (let foot = 0; foot < hair; foot++, at += stride) pixels[at] = inSpan ? line : grid;
      last = up;
    }
  }

  private paintGaps(pixels: Uint32Array, stride: number, column: number, count: number): void {
    const { gaps } = this.stream!;
    if (gaps.length === 0) return;
    const { scale, lane: height } = this.measures;
    for (let x = 0; x < count; x++) {
      if (gapIn(gaps, firstFrameOf(column + x, scale), endFrameOf(column + x, scale)) === null) continue;
      hatch(pixels, stride, x, column + x, 0, this.lanes.length * height, this.palette);
    }
  }
}

/** Height of the highest value of frames [from, to) in pixels; -1 where none has a row. */
function upTo(track: Track, index: number, from: number, to: number, room: number): number {
  let best = -1;
  for (let frame = from; frame < to; frame++) {
    const slot = track.slot(frame);
    const value = slot < 0 ? UNKNOWN : track.data[slot + index]!;
    if (value !== UNKNOWN && value > best) best = value;
  }
  return best < 0 ? -1 : Math.round((best / UNKNOWN) * room);
}

/** The gap that frames [from, to) touch, or null. */
export function gapIn(gaps: readonly GapSpan[], from: number, to: number): GapSpan | null {
  for (let at = gaps.length - 1; at >= 0; at--) {
    const gap = gaps[at]!;
    if (gap.from < to && gap.to > from) return gap;
  }
  return null;
}

function hatch(
  pixels: Uint32Array,
  stride: number,
  x: number,
  column: number,
  top: number,
  height: number,
  palette: Palette,
): void {
  for (let y = top, at = top * stride + x; y < top + height; y++, at += stride)
    pixels[at] = ((column + y) & (HATCH - 1)) < 2 ? palette.gap : palette.ground;
}
