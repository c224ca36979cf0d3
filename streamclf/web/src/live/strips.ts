// The streams that are not shown large: a strip each with its spectrum and what is heard on it. A click shows it large.

import { element, setText } from "../dom";
import type { Model, StreamModel } from "../model";
import { t } from "../strings";
import { type Palette, SoundPainter } from "./paint";
import { rangeOf } from "./range";
import { ColumnRing } from "./ring";
import { Viewport } from "./viewport";

const STRIP_PX = 40;
const LOOK_MS = 100;
const RANGE_EVERY = 50; // looks
/** Bound: more streams than this are in the list of streams only. */
export const MOST_STRIPS = 12;

class Strip {
  private readonly canvas = element("canvas", { class: "live-strip-canvas", attrs: { "aria-hidden": "true" } });
  private readonly heard = element("span", { class: "live-strip-heard" });
  readonly root: HTMLButtonElement;
  private readonly context = this.canvas.getContext("2d", { alpha: false })!;
  private readonly painter = new SoundPainter();
  private readonly ring = new ColumnRing(this.painter.paint);
  private readonly viewport = new Viewport();
  private seen = -1;
  private gaps = 0;
  private late = 0;
  private looks = 0;

  constructor(
    private readonly model: Model,
    readonly stream: StreamModel,
    choose: (name: string) => void,
  ) {
    const { name } = stream.entry;
    this.painter.stream = stream;
    this.root = element(
      "button",
      {
        class: "live-strip",
        attrs: { type: "button", "aria-label": t.live.show(name) },
        on: { click: () => choose(name) },
      },
      element("span", { class: "live-strip-name", text: name }),
      this.canvas,
      this.heard,
    );
  }

  look(palette: Palette, span: number): void {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    if (width === 0) return;
    const height = Math.round(STRIP_PX * ratio);
    const { viewport, ring, painter, stream } = this;
    if (viewport.width !== width || viewport.span !== span || painter.palette !== palette) {
      viewport.width = width;
      viewport.span = span;
      painter.palette = palette;
      painter.measures = { scale: viewport.scale, spectrum: height, level: 0, lane: 0, hair: 1 };
      ring.resize(width, height);
      ring.forget();
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const { newest, late } = stream.picture;
    if (this.looks++ % RANGE_EVERY === 0) {
      const range = rangeOf(stream.picture, painter.range);
      if (range !== painter.range) ring.forget();
      painter.range = range;
    }
    if (newest < this.seen || stream.gaps.length !== this.gaps || late !== this.late) ring.forget();
    ring.touch(Math.floor(this.seen * viewport.scale) - 1, Math.ceil((newest + 1) * viewport.scale) + 1);
    this.seen = newest;
    this.gaps = stream.gaps.length;
    this.late = late;
    viewport.follow(newest + 1);
    ring.show(this.context, viewport.left, 0);
    setText(this.heard, [...stream.open.values()].map((event) => this.model.label(event.pack, event.label).name).join(", "));
  }
}

export class Strips {
  readonly root = element("div", { class: "live-strips", attrs: { role: "group", "aria-label": t.live.others } });
  private strips: Strip[] = [];
  private lookedMs = -Infinity;

  constructor(
    private readonly model: Model,
    private readonly choose: (name: string) => void,
  ) {}

  arrange(streams: readonly StreamModel[]): void {
    const shown = streams.slice(0, MOST_STRIPS);
    if (shown.length === this.strips.length && shown.every((stream, at) => this.strips[at]!.stream === stream)) return;
    this.strips = shown.map((stream) => new Strip(this.model, stream, this.choose));
    this.root.replaceChildren(...this.strips.map((strip) => strip.root));
    this.root.hidden = this.strips.length === 0;
  }

  look(palette: Palette, span: number, nowMs: number): void {
    if (nowMs - this.lookedMs < LOOK_MS) return;
    this.lookedMs = nowMs;
    for (const strip of this.strips) strip.look(palette, span);
  }
}
