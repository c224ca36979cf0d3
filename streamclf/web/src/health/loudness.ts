// How loud a stream was: its last day by the minute, and the third octaves of its newest minute.

import { element, setText, svg } from "../dom";
import { t } from "../strings";
import { Failure, type App } from "../view";
import type { StreamStatus } from "./status";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** Minutes further apart than this are not joined. */
const APART_MS = 2.5 * MINUTE_MS;
const WIDTH = 720;
const HEIGHT = 160;
const LEFT = 44;
const BOTTOM = 26;
/** A minute is on the disk a moment after it is told of. */
const WRITTEN_MS = 5000;
/** A band that is further below the loudest is at the bottom. */
const RANGE_DB = 60;
/** The third octaves from 25 Hz on. */
const FIRST_BAND = 14;

export interface Minute {
  ms: number;
  laeq: number;
  l10: number;
  l90: number;
}

interface Now {
  stream: string;
  offset_db: number | null;
  minute: { bands: number[] } | null;
}

interface Stored {
  since_ns: number;
  laeq: number;
  l10: number;
  l90: number;
  offset_db: number | null;
}

/** Runs of minutes that follow on each other. */
export function runsOf(minutes: Minute[]): Minute[][] {
  const runs: Minute[][] = [];
  for (const one of minutes) {
    const last = runs.at(-1);
    if (last && one.ms - last.at(-1)!.ms <= APART_MS) last.push(one);
    else runs.push([one]);
  }
  return runs;
}

/** The scale that holds these levels, from and to a multiple of 10 dB, at least 20 dB high. */
export function scaleOf(levels: number[]): [number, number] {
  const low = Math.floor(Math.min(...levels) / 10) * 10;
  return [low, Math.max(low + 20, Math.ceil(Math.max(...levels) / 10) * 10)];
}

/** Where the middle of a third octave lies (Hz), as it is written. */
export function bandHz(at: number): number {
  const exact = 10 ** ((FIRST_BAND + at) / 10);
  const size = 10 ** Math.floor(Math.log10(exact));
  const nominal = [1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8, 10];
  return size * nominal.reduce((best, one) => (Math.abs(one - exact / size) < Math.abs(best - exact / size) ? one : best));
}

export class Loudness {
  readonly root = element("section", { class: "panel", attrs: { hidden: "" } });
  private readonly choice = element("select", { on: { change: () => void this.look() } });
  private readonly field = element("label", { class: "field" }, element("span", { text: t.streams.stream }), " ", this.choice);
  private readonly figures = element("div", { class: "loud-figures" });
  private readonly said = element("p", { class: "faint", attrs: { role: "status" } });
  private newest = "";
  private again = 0;
  private asking = new AbortController();

  constructor(private readonly app: () => App) {
    this.root.append(element("h2", { text: t.streams.loud }), this.field, this.said, this.figures);
  }

  /** streams: those of which minutes are known. Looks again where there is a new one of what is shown. */
  show(streams: StreamStatus[]): void {
    this.root.hidden = streams.length === 0;
    const names = streams.map(({ name }) => name);
    if ([...this.choice.options].map(({ value }) => value).join("\n") !== names.join("\n")) {
      const before = this.choice.value;
      this.choice.replaceChildren(...names.map((name) => element("option", { text: name, attrs: { value: name } })));
      if (names.includes(before)) this.choice.value = before;
      this.field.hidden = names.length < 2;
    }
    const chosen = streams.find(({ name }) => name === this.choice.value);
    const newest = JSON.stringify([chosen?.name, chosen?.loudness]);
    if (!chosen || newest === this.newest) return;
    this.newest = newest;
    void this.look();
    clearTimeout(this.again);
    this.again = setTimeout(() => void this.look(), WRITTEN_MS);
  }

  private async look(): Promise<void> {
    const stream = this.choice.value;
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    const sinceMs = Date.now() - DAY_MS;
    const query = new URLSearchParams({ streams: stream, since_ns: `${Math.floor(sinceMs)}000000`, bands: "false" });
    try {
      const { now, minutes } = await this.app().get<{ now: Now[]; minutes: Stored[] }>(`v1/loudness?${query}`, asking.signal);
      if (asking.signal.aborted) return;
      this.draw(stream, now[0]!, minutes, sinceMs);
    } catch (fault) {
      if (asking.signal.aborted) return;
      if (!(fault instanceof Failure)) throw fault;
      setText(this.said, fault.message);
      this.figures.replaceChildren();
    }
  }

  private draw(stream: string, { offset_db, minute }: Now, stored: Stored[], sinceMs: number): void {
    // levels that were taken with and without an offset are no one line
    const alike = stored.filter((one) => (one.offset_db === null) === (offset_db === null));
    const minutes = alike.map(({ since_ns, laeq, l10, l90, offset_db: own }) => {
      const add = own ?? 0;
      return { ms: since_ns / 1e6, laeq: laeq + add, l10: l10 + add, l90: l90 + add };
    });
    const unit = offset_db === null ? "dBFS" : "dB(A)";
    const bands = minute?.bands.map((level) => level + (offset_db ?? 0)) ?? [];
    setText(this.said, minutes.length ? "" : t.streams.loudNone);
    this.figures.replaceChildren(
      ...(minutes.length ? [dayFigure(stream, minutes, sinceMs, unit)] : []),
      ...(bands.length ? [bandsFigure(stream, bands, offset_db === null ? "dBFS" : "dB")] : []),
    );
  }
}

function dayFigure(stream: string, minutes: Minute[], sinceMs: number, unit: string): HTMLElement {
  const [low, high] = scaleOf(minutes.flatMap(({ laeq, l10, l90 }) => [laeq, l10, l90]));
  const x = (ms: number): string => (LEFT + ((ms - sinceMs) / DAY_MS) * (WIDTH - LEFT)).toFixed(1);
  const y = (level: number): string => ((1 - (level - low) / (high - low)) * HEIGHT).toFixed(1);
  const laeq = minutes.map((one) => one.laeq);
  const drawn = picture(t.streams.loudDay(stream, Math.min(...laeq), Math.max(...laeq), unit));
  grid(drawn, low, high);
  for (const run of runsOf(minutes)) {
    const end = { ...run.at(-1)!, ms: run.at(-1)!.ms + MINUTE_MS };
    const whole = [...run, end];
    const area = [...whole.map(({ ms, l10 }) => `${x(ms)},${y(l10)}`), ...whole.toReversed().map(({ ms, l90 }) => `${x(ms)},${y(l90)}`)];
    drawn.append(
      svg("polygon", { class: "area", points: area.join(" ") }),
      svg("polyline", { class: "line", points: whole.map(({ ms, laeq }) => `${x(ms)},${y(laeq)}`).join(" ") }),
    );
  }
  const first = new Date(sinceMs);
  first.setMinutes(0, 0, 0);
  for (let ms = first.getTime() + HOUR_MS; ms < sinceMs + DAY_MS; ms += HOUR_MS) {
    const hour = new Date(ms).getHours();
    if (hour % 3 === 0) drawn.append(word(t.streams.hour(ms), Number(x(ms)), HEIGHT + 20, "middle"));
  }
  return figure(t.streams.loudDayCaption(unit), drawn);
}

function bandsFigure(stream: string, bands: number[], unit: string): HTMLElement {
  const highest = Math.max(...bands);
  const [low, high] = scaleOf(bands.map((level) => Math.max(level, highest - RANGE_DB)));
  const most = bands.indexOf(highest);
  const drawn = picture(t.streams.loudBands(stream, bandHz(most), highest, unit));
  grid(drawn, low, high);
  const step = (WIDTH - LEFT) / bands.length;
  bands.forEach((level, at) => {
    const height = Math.max(1, ((level - low) / (high - low)) * HEIGHT);
    const bar = svg("rect", {
      class: "bar", x: (LEFT + at * step + 2).toFixed(1), y: (HEIGHT - height).toFixed(1), width: (step - 4).toFixed(1), height: height.toFixed(1),
    });
    const title = svg("title");
    title.textContent = t.streams.loudBand(bandHz(at), level, unit);
    bar.append(title);
    drawn.append(bar);
    if (at % 3 === 1) drawn.append(word(t.streams.hertz(bandHz(at)), LEFT + (at + 0.5) * step, HEIGHT + 20, "middle"));
  });
  return figure(t.streams.loudBandsCaption(unit), drawn);
}

function grid(drawn: SVGSVGElement, low: number, high: number): void {
  const step = high - low > 50 ? 20 : 10;
  for (let level = low; level <= high; level += step) {
    const y = (1 - (level - low) / (high - low)) * HEIGHT;
    drawn.append(
      svg("line", { class: "grid", x1: String(LEFT), x2: String(WIDTH), y1: y.toFixed(1), y2: y.toFixed(1) }),
      word(t.streams.number(level), LEFT - 6, Math.min(HEIGHT, Math.max(12, y + 5)), "end"),
    );
  }
}

function figure(caption: string, drawn: SVGSVGElement): HTMLElement {
  return element("figure", { class: "charted" }, element("figcaption", { text: caption }), drawn as unknown as HTMLElement);
}

function picture(name: string): SVGSVGElement {
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + BOTTOM}`, role: "img", "aria-label": name });
}

function word(text: string, x: number, y: number, anchor: string): SVGTextElement {
  const made = svg("text", { x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor });
  made.textContent = text;
  return made;
}
