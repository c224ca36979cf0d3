// What the health view is made of: facts that change in place, badges, and a small chart.

import { element, icon, setText } from "../dom";
import { MEANINGS } from "../states.generated";
import { t } from "../strings";
import { toneOf, type Tone } from "./status";

const ICONS: Record<Tone, string> = {
  good: "M5 12.5l4.5 4.5L19 7",
  note: "M12 4a8 8 0 1 0 0 16 8 8 0 1 0 0-16z M12 11v5 M12 8v.01",
  warn: "M12 4L2.5 20h19z M12 10v4 M12 17v.01",
  bad: "M6 6l12 12 M18 6L6 18",
};

/** A word with an icon; the colour says nothing that these do not. */
export class Badge {
  readonly root = element("span", { class: "health-badge" });
  private readonly word = element("span");
  private tone: Tone | null = null;

  show(state: string): void {
    this.set(toneOf(state), MEANINGS[state]?.words ?? state);
    this.root.title = MEANINGS[state]?.what ?? "";
  }

  set(tone: Tone, word: string): void {
    if (this.tone !== tone) {
      this.tone = tone;
      this.root.dataset["tone"] = tone;
      this.root.replaceChildren(icon(ICONS[tone]), this.word);
    }
    setText(this.word, word);
  }
}

/** Names with values. A value that is null was not measured. */
export class Facts {
  readonly root = element("dl", { class: "health-facts" });
  private readonly values = new Map<string, HTMLElement>();

  set(name: string, value: string | null, tone: Tone = "good"): void {
    let place = this.values.get(name);
    if (!place) {
      place = element("dd");
      this.values.set(name, place);
      this.root.append(element("div", {}, element("dt", { text: name }), place));
    }
    write(place, value);
    place.dataset["tone"] = tone;
  }
}

/** A figure, or a dash that a screen reader says in words. */
export function write(place: HTMLElement, value: string | null): void {
  if (value !== null) {
    if (place.firstElementChild) place.replaceChildren();
    setText(place, value);
  } else if (!place.firstElementChild) {
    place.replaceChildren(
      element("span", { text: t.streams.unknown, attrs: { "aria-hidden": "true" } }),
      element("span", { class: "for-readers", text: t.streams.unknownWords }),
    );
  }
}

/** How loud: a bar of -80 dBFS to full scale. */
export class Level {
  readonly root: HTMLElement;
  private readonly bar = element("i");
  private readonly text = element("span");

  constructor() {
    const track = element("span", { class: "health-level-bar", attrs: { "aria-hidden": "true" } }, this.bar);
    this.root = element("span", { class: "health-level" }, track, this.text);
  }

  show(rms: number | null, peak: number | null): void {
    const clips = peak !== null && peak > -0.1;
    this.bar.style.transform = `scaleX(${rms === null ? 0 : Math.min(1, Math.max(0, 1 + rms / 80))})`;
    this.root.dataset["tone"] = clips ? "warn" : "good";
    const text = rms === null ? null : t.streams.dbfs(rms);
    write(this.text, text !== null && clips ? `${text}, ${t.streams.clipping}` : text);
  }
}

const LEAST_SPAN_MS = 60_000;

/** Two figures of the last minutes as lines over each other; the lower is filled. */
export class Chart {
  readonly root: HTMLElement;
  private readonly now = element("p", { class: "health-chart-now" });
  private readonly most = element("p", { class: "health-chart-most faint" });
  private readonly canvas = element("canvas", { attrs: { role: "img" } });
  private readonly points: { atMs: number; low: number; high: number }[] = [];

  constructor(
    private readonly name: string,
    private readonly format: (value: number) => string,
    private readonly spanMs: number,
  ) {
    this.root = element("div", { class: "health-chart" }, element("h3", { text: name }), this.now, this.canvas, this.most);
  }

  /** low, high: NaN where there is none. text: both in words. */
  add(atMs: number, low: number, high: number, text: string): void {
    this.points.push({ atMs, low, high });
    while (this.points[0]!.atMs < atMs - this.spanMs) this.points.shift();
    const known = this.points.map((point) => point.high).filter(Number.isFinite);
    const highest = Math.max(...known, 0);
    setText(this.now, text);
    setText(this.most, known.length ? t.streams.most(this.format(highest)) : "");
    this.canvas.setAttribute("aria-label", t.streams.charts(this.name, text, this.format(highest)));
    this.draw(atMs, highest);
  }

  private draw(nowMs: number, highest: number): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const context = this.canvas.getContext("2d");
    if (!context || width === 0) return;
    const scale = devicePixelRatio;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    context.scale(scale, scale);
    const style = getComputedStyle(this.canvas);
    const top = highest * 1.15 || 1;
    const spanMs = Math.max(LEAST_SPAN_MS, nowMs - this.points[0]!.atMs);
    const x = (atMs: number): number => width - ((nowMs - atMs) / spanMs) * width;
    const y = (value: number): number => height - 1 - (value / top) * (height - 4);
    context.strokeStyle = style.getPropertyValue("--line");
    context.strokeRect(-1, height - 0.5, width + 2, 0);
    for (const [key, colour] of [["high", "--lane-5"], ["low", "--accent"]] as const) {
      const line = new Path2D();
      let drawn = false;
      let beginMs = nowMs;
      for (const point of this.points) {
        if (!Number.isFinite(point[key])) continue;
        if (drawn) line.lineTo(x(point.atMs), y(point[key]));
        else line.moveTo(x((beginMs = point.atMs)), y(point[key]));
        drawn = true;
      }
      if (!drawn) continue;
      context.strokeStyle = context.fillStyle = style.getPropertyValue(colour);
      context.lineWidth = 2;
      context.stroke(line);
      if (key === "high") continue;
      line.lineTo(width, height);
      line.lineTo(x(beginMs), height);
      context.globalAlpha = 0.15;
      context.fill(line);
      context.globalAlpha = 1;
    }
  }
}
