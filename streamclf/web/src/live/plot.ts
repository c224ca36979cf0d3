// The picture: axis, spectrum, level and lanes on one canvas, one time axis for all. Columns are painted once into rings
// (ring.ts) and copied on each animation frame; on top come the few things that are not columns: ticks, texts, cursor.

import { element } from "../dom";
import type { GapSpan, StreamModel } from "../model";
import { FRAME_MS, FRAMES_PER_SECOND } from "../protocol";
import { clockText, tickStepMs } from "./axis";
import { cssOf } from "./colours";
import { type Lane, LaneBook, type Span, spanIn } from "./lanes";
import { gapIn, type LaneInk, laneInk, LanePainter, type Palette, SoundPainter } from "./paint";
import { paletteOf } from "./palette";
import { rangeOf } from "./range";
import { ColumnRing } from "./ring";
import { type Stretch, paintStretch } from "./stretch";
import { Playhead, Viewport } from "./viewport";

const AXIS_PX = 24;
const LEVEL_PX = 26;
const LANE_PX = 28;
const COMPACT_LANE_PX = 38; // the name lies on the lane
const MIN_SPECTRUM_PX = 130;
const MAX_SPECTRUM_PX = 560;
/** Room is made for lanes in steps, so that one that comes seldom moves the others. */
const RESERVE = 4;
const CHOOSE_EVERY_MS = 300;
const RANGE_EVERY_MS = 4000;
const BATCH = 5; // frames
const LABEL_PX = 11;
const LEAST_LABEL_PX = 18;

/** Heights in CSS pixels: what names and values beside the canvas have to keep to. */
export interface Layout {
  axis: number;
  spectrum: number;
  level: number;
  lane: number;
  height: number;
}

/** What lies at a place of the picture. */
export interface Spot {
  frame: number;
  lane: Lane | null;
  span: Span | null;
  /** Height in the spectrum from 0 (lowest band) to 1; null beside it. */
  pitch: number | null;
}

export class Plot {
  readonly canvas = element("canvas", { class: "live-canvas", attrs: { role: "img" } });
  readonly viewport = new Viewport();
  readonly book = new LaneBook();
  layout: Layout = { axis: AXIS_PX, spectrum: MIN_SPECTRUM_PX, level: LEVEL_PX, lane: LANE_PX, height: 0 };
  /** Frames [from, to) that are marked; null where none are. */
  stretch: Stretch | null = null;
  /** A narrow screen: names lie on the lanes, so that events need no text of their own. */
  compact = false;
  /** Of the cursor; null where there is none. */
  cursor: number | null = null;
  mostLanes = 30;
  steady = false;
  /** Called when lanes came, went or moved. */
  onLayout: () => void = () => undefined;

  private readonly context = this.canvas.getContext("2d", { alpha: false })!;
  private readonly soundPainter = new SoundPainter();
  private readonly lanePainter = new LanePainter();
  readonly sound = new ColumnRing(this.soundPainter.paint);
  readonly rows = new ColumnRing(this.lanePainter.paint);
  private readonly playhead = new Playhead();
  private readonly sprites: HTMLCanvasElement[] = [];
  private stream: StreamModel | null = null;
  private palette!: Palette;
  private groundCss = "";
  private inkCss = "";
  private family = "";
  private tickFont = "";
  private ratio = 1;
  private cssWidth = 0;
  private available = 0;
  private reserve = RESERVE;
  private chosenAt = -Infinity;
  private rangedAt = -Infinity;
  private pictureSeen = { newest: -1, oldest: -1, late: 0 };
  private rowsSeen = { newest: -1, oldest: -1 };
  private gapsSeen = 0;
  private eventsTouched = Infinity;
  private drawnLeft = Number.NaN;
  private overlayStale = true;
  private ticks: string[] = [];
  private ticksFrom = Number.NaN;
  private ticksStep = 0;

  /** Shows another stream, or the same one anew. */
  show(stream: StreamModel | null): void {
    this.stream = stream;
    this.soundPainter.stream = this.lanePainter.stream = stream;
    this.cursor = this.stretch = null;
    this.viewport.following = true;
    this.reserve = RESERVE;
    this.pictureSeen = { newest: -1, oldest: -1, late: 0 };
    this.rowsSeen = { newest: -1, oldest: -1 };
    this.gapsSeen = stream?.gaps.length ?? 0;
    this.chosenAt = this.rangedAt = -Infinity;
    this.book.lanes = [];
    this.arrange();
  }

  /** Takes the colours in force. */
  retheme(): void {
    this.palette = paletteOf(this.canvas.parentElement!);
    this.soundPainter.palette = this.lanePainter.palette = this.palette;
    this.groundCss = cssOf(this.palette.ground);
    this.inkCss = cssOf(this.palette.ink);
    this.family = getComputedStyle(this.canvas).fontFamily;
    this.arrange();
  }

  /** width: CSS pixels there are for the canvas; available: for its height, where the lanes do not need more. */
  resize(width: number, available: number): void {
    const ratio = window.devicePixelRatio || 1;
    if (width === this.cssWidth && available === this.available && ratio === this.ratio) return;
    this.cssWidth = width;
    this.available = available;
    this.ratio = ratio;
    this.arrange();
  }

  /** An event opened or closed: the picture is drawn again from where it did. */
  touchEvent(frame: number): void {
    this.eventsTouched = Math.min(this.eventsTouched, frame);
  }

  /** Columns came where there were none. */
  touchPicture(): void {
    this.sound.forget();
  }

  /** What does not move with time (cursor, texts) is drawn again. */
  touch(): void {
    this.overlayStale = true;
  }

  /** Whether the canvas shows what is known. */
  get settled(): boolean {
    const { left } = this.viewport;
    return left === this.drawnLeft && !this.overlayStale && !this.sound.stale(left) && !this.rows.stale(left);
  }

  /** First and last frame that anything is held of. */
  get held(): { oldest: number; newest: number } {
    const stream = this.stream;
    if (stream === null) return { oldest: 0, newest: 0 };
    let oldest = stream.picture.newest < 0 ? Infinity : stream.picture.oldest;
    for (const track of stream.tracks.values()) if (track.newest >= 0) oldest = Math.min(oldest, track.oldest);
    const newest = stream.newestFrame;
    return { oldest: Math.min(oldest, newest), newest };
  }

  /** Moves with time and draws what changed. */
  frame(nowMs: number): void {
    if (this.stream === null || this.cssWidth === 0 || this.palette === undefined) return;
    const head = this.playhead.advance(this.stream.newestFrame + 1, nowMs);
    this.viewport.follow(this.steady ? Math.floor(head / FRAMES_PER_SECOND) * FRAMES_PER_SECOND : head);
    this.takeRows();
    this.takePicture(nowMs);
    if (nowMs - this.chosenAt > CHOOSE_EVERY_MS) this.choose(nowMs);
    if (!this.settled) this.draw(this.viewport.left);
  }

  /** x, y: CSS pixels from the canvas's corner. */
  spot(x: number, y: number): Spot {
    const frame = this.viewport.frameAt(x * this.ratio);
    const { axis, spectrum, level, lane: height } = this.layout;
    const lane = this.book.lanes[Math.floor((y - axis - spectrum - level) / height)] ?? null;
    const inSpectrum = y >= axis && y < axis + spectrum;
    return {
      frame,
      lane,
      span: lane && spanIn(lane.spans, frame, frame + 1),
      pitch: inSpectrum ? 1 - (y - axis) / spectrum : null,
    };
  }

  gapAt(frame: number): GapSpan | null {
    return this.stream === null ? null : gapIn(this.stream.gaps, frame, frame + 1);
  }

  /** Canvas pixels a CSS pixel. */
  get pixelRatio(): number {
    return this.ratio;
  }

  /** The colours in force; null before the first `retheme`. */
  get colours(): Palette | null {
    return this.palette ?? null;
  }

  inkOf(lane: number): LaneInk | undefined {
    return this.lanePainter.inks[lane];
  }

  private takeRows(): void {
    const stream = this.stream!;
    let newest = -1;
    let oldest = Infinity;
    let least = Infinity; // of the packs, the one that is furthest behind
    for (const track of stream.tracks.values()) {
      if (track.newest < 0) continue;
      newest = Math.max(newest, track.newest);
      least = Math.min(least, track.newest);
      oldest = Math.min(oldest, track.oldest);
    }
    const seen = this.rowsSeen;
    if (newest !== seen.newest || this.eventsTouched !== Infinity) {
      const from = Math.min(least - BATCH, seen.newest, this.eventsTouched);
      if (this.eventsTouched !== Infinity) this.book.mark(stream);
      this.eventsTouched = Infinity;
      touchFrames(this.rows, this.viewport, from, newest + 1);
    }
    if (oldest < seen.oldest) this.rows.forget();
    seen.newest = newest;
    seen.oldest = oldest;
    if (stream.gaps.length !== this.gapsSeen) {
      this.gapsSeen = stream.gaps.length;
      this.rows.forget();
      this.sound.forget();
    }
  }

  private takePicture(nowMs: number): void {
    const { picture } = this.stream!;
    const seen = this.pictureSeen;
    if (picture.newest !== seen.newest) touchFrames(this.sound, this.viewport, seen.newest, picture.newest + 1);
    if (picture.oldest < seen.oldest || picture.late !== seen.late) this.sound.forget();
    if (nowMs - this.rangedAt > RANGE_EVERY_MS && picture.newest >= 0) {
      this.rangedAt = nowMs;
      const range = rangeOf(picture, this.soundPainter.range);
      if (range !== this.soundPainter.range) {
        this.soundPainter.range = range;
        this.sound.forget();
      }
    }
    seen.newest = picture.newest;
    seen.oldest = picture.oldest;
    seen.late = picture.late;
  }

  private choose(nowMs: number): void {
    this.chosenAt = nowMs;
    const { viewport } = this;
    if (this.book.choose(this.stream!, viewport.leftFrame, Math.ceil(viewport.right) - 1, this.mostLanes)) this.arrange();
  }

  private arrange(): void {
    if (this.cssWidth === 0 || this.palette === undefined) return;
    const lanes = this.book.lanes;
    const lane = this.compact ? COMPACT_LANE_PX : LANE_PX;
    while (this.reserve < lanes.length) this.reserve += RESERVE;
    const rest = this.available - AXIS_PX - LEVEL_PX - this.reserve * lane;
    const spectrum = Math.round(Math.min(MAX_SPECTRUM_PX, Math.max(MIN_SPECTRUM_PX, rest)));
    const height = AXIS_PX + spectrum + LEVEL_PX + lanes.length * lane;
    this.layout = { axis: AXIS_PX, spectrum, level: LEVEL_PX, lane, height };
    this.tickFont = `${Math.round(LABEL_PX * this.ratio)}px ${this.family}`;
    const dots = (css: number): number => Math.round(css * this.ratio);
    const width = dots(this.cssWidth);
    this.viewport.width = width;
    const { scale } = this.viewport;
    const measures = { scale, spectrum: dots(spectrum), level: dots(LEVEL_PX), lane: dots(lane), hair: dots(1) };
    this.soundPainter.measures = this.lanePainter.measures = measures;
    this.lanePainter.lanes = lanes;
    this.lanePainter.inks = lanes.map((lane) => laneInk(this.palette, lane.colour));
    this.sound.resize(width, measures.spectrum + measures.level);
    this.rows.resize(width, Math.max(1, lanes.length * measures.lane));
    this.sound.forget();
    this.rows.forget();
    this.canvas.width = width;
    this.canvas.height = dots(AXIS_PX) + this.sound.height + lanes.length * measures.lane;
    // exactly a pixel of the screen for each of the canvas
    this.canvas.style.width = `${width / this.ratio}px`;
    this.canvas.style.height = `${height}px`;
    this.sprites.length = 0;
    lanes.forEach(({ entry }, at) => this.sprites.push(this.sprite(entry.name, this.lanePainter.inks[at]!)));
    this.overlayStale = true;
    this.onLayout();
  }

  /** After the span changed. */
  rescale(): void {
    this.soundPainter.measures.scale = this.lanePainter.measures.scale = this.viewport.scale;
    this.sound.forget();
    this.rows.forget();
    this.chosenAt = -Infinity;
  }

  private sprite(text: string, ink: LaneInk): HTMLCanvasElement {
    const sprite = document.createElement("canvas");
    const context = sprite.getContext("2d")!;
    const size = Math.round(LABEL_PX * this.ratio);
    const font = `600 ${size}px ${this.family}`;
    context.font = font;
    const pad = Math.round(4 * this.ratio);
    sprite.width = Math.min(Math.ceil(context.measureText(text).width) + 2 * pad, 40 * size);
    sprite.height = Math.round(size * 1.35);
    context.globalAlpha = 0.82;
    context.fillStyle = this.groundCss;
    context.fillRect(0, 0, sprite.width, sprite.height);
    context.globalAlpha = 1;
    context.fillStyle = ink.css;
    context.fillRect(0, 0, Math.round(2 * this.ratio), sprite.height);
    context.font = font;
    context.fillStyle = this.inkCss;
    context.textBaseline = "middle";
    context.fillText(text, pad, Math.round(sprite.height / 2));
    return sprite;
  }

  private draw(left: number): void {
    const { context, canvas } = this;
    const axis = Math.round(AXIS_PX * this.ratio);
    this.sound.show(context, left, axis);
    if (this.book.lanes.length > 0) this.rows.show(context, left, axis + this.sound.height);
    context.fillStyle = this.groundCss;
    context.fillRect(0, 0, canvas.width, axis);
    this.drawTicks(axis);
    if (!this.compact) this.drawLabels(axis + this.sound.height);
    context.fillStyle = this.inkCss;
    if (this.stretch !== null) paintStretch(context, this.viewport, this.stretch, this.ratio);
    this.drawCursor(axis);
    this.drawnLeft = left;
    this.overlayStale = false;
  }

  private drawTicks(axis: number): void {
    const { context, viewport, ratio } = this;
    const stream = this.stream!;
    const step = tickStepMs(viewport.span * FRAME_MS, this.cssWidth);
    const first = Math.floor(stream.frameToMs(viewport.leftFrame) / step);
    if (first !== this.ticksFrom || step !== this.ticksStep) {
      this.ticksFrom = first;
      this.ticksStep = step;
      const count = Math.ceil((viewport.span * FRAME_MS) / step) + 2;
      this.ticks = Array.from({ length: count }, (_, i) => clockText((first + i) * step, step));
    }
    context.font = this.tickFont;
    context.textBaseline = "middle";
    context.fillStyle = this.inkCss;
    const lanesTop = axis + this.sound.height;
    for (let i = 0; i < this.ticks.length; i++) {
      const x = Math.round(stream.msToFrame((first + i) * step) * viewport.scale) - viewport.left;
      context.globalAlpha = 0.75;
      context.fillText(this.ticks[i]!, x + 5 * ratio, axis / 2);
      context.globalAlpha = 0.3;
      context.fillRect(x, 0, ratio, axis);
      context.globalAlpha = 0.07;
      context.fillRect(x, lanesTop, ratio, this.canvas.height - lanesTop);
    }
    context.globalAlpha = 1;
  }

  private drawLabels(top: number): void {
    const { context, viewport, ratio } = this;
    const { lane: height } = this.lanePainter.measures;
    const lanes = this.book.lanes;
    for (let at = 0; at < lanes.length; at++) {
      const { spans } = lanes[at]!;
      const sprite = this.sprites[at]!;
      for (let i = spans.length - 1; i >= 0; i--) {
        const span = spans[i]!;
        const end = span.offset === Infinity ? viewport.width : Math.min(viewport.width, viewport.xOf(span.offset));
        const start = Math.max(0, viewport.xOf(span.onset));
        if (end <= 0) break;
        if (start >= viewport.width) continue;
        const width = Math.min(sprite.width, end - start);
        if (width < LEAST_LABEL_PX * ratio) continue;
        context.drawImage(sprite, 0, 0, width, sprite.height, start, top + at * height + ratio, width, sprite.height);
      }
    }
  }

  private drawCursor(axis: number): void {
    if (this.cursor === null) return;
    const x = this.viewport.xOf(this.cursor);
    if (x < 0 || x >= this.viewport.width) return;
    this.context.fillStyle = this.inkCss;
    this.context.globalAlpha = 0.8;
    this.context.fillRect(x, axis / 2, Math.max(1, Math.round(this.ratio)), this.canvas.height);
    this.context.globalAlpha = 1;
  }
}

function touchFrames(ring: ColumnRing, viewport: Viewport, from: number, to: number): void {
  const { scale } = viewport;
  ring.touch(Math.floor(from * scale) - 1, Math.ceil(to * scale) + 1);
}
