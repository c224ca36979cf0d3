// What stands beside the picture as text: the frequencies, and for each lane its name and its value at an instant.

import { element, setText } from "../dom";
import type { StreamModel } from "../model";
import { FRAME_MS, type PackEntry } from "../protocol";
import { t } from "../strings";
import type { Lane } from "./lanes";
import type { LaneInk } from "./paint";
import type { Layout } from "./plot";

const MARKS_HZ = [200, 500, 1000, 2000, 4000, 8000];
const LOW_HZ = 50;

/** Frequency at height 0..1 of a spectrum whose bands lie on the HTK mel scale from 50 Hz up to `highHz`. */
export function hertzAt(share: number, highHz: number): number {
  const mel = melOf(LOW_HZ) + share * (melOf(highHz) - melOf(LOW_HZ));
  return 700 * (10 ** (mel / 2595) - 1);
}

export function hertzText(hertz: number): string {
  return hertz < 1000 ? `${Math.round(hertz)} Hz` : `${(hertz / 1000).toFixed(1).replace(/\.0$/, "")} kHz`;
}

function melOf(hertz: number): number {
  return 2595 * Math.log10(1 + hertz / 700);
}

interface Row {
  root: HTMLElement;
  value: HTMLElement;
}

export class Sides {
  readonly marks = element("div", { class: "live-marks", attrs: { "aria-hidden": "true" } });
  readonly names = element("ul", { class: "live-names", attrs: { "aria-label": t.live.lanes } });
  private rows: Row[] = [];
  private highHz = 0;
  private spectrum = 0;

  arrange(lanes: readonly Lane[], inks: (at: number) => LaneInk | undefined, layout: Layout): void {
    this.rows = lanes.map((lane, at) => {
      const { entry } = lane;
      const name = element("span", { class: "live-name", text: entry.name });
      const value = element("span", { class: "live-value" });
      const dot = element("i", { class: "live-dot" });
      const root = element("li", { class: "live-row" }, element("span", { class: "live-who" }, dot, name), value);
      root.title = [entry.name, entry.group, lane.pack].filter(Boolean).join(" · ");
      dot.style.background = inks(at)?.css ?? "";
      root.style.top = `${layout.axis + layout.spectrum + layout.level + at * layout.lane}px`;
      root.style.height = `${layout.lane}px`;
      return { root, value };
    });
    this.names.replaceChildren(...this.rows.map((row) => row.root));
    this.names.style.height = `${layout.height}px`;
    this.spectrum = 0;
  }

  private levelMark(layout: Layout): HTMLElement {
    const mark = element("span", { class: "live-level-mark", text: t.live.meter });
    mark.style.top = `${layout.axis + layout.spectrum + layout.level / 2}px`;
    return mark;
  }

  /** The values of `frame`; unknown ones are left empty. */
  values(lanes: readonly Lane[], stream: StreamModel, frame: number): void {
    lanes.forEach((lane, at) => {
      const track = stream.tracks.get(lane.pack);
      const value = track ? track.value(frame, lane.index) : Number.NaN;
      const row = this.rows[at];
      if (row) setText(row.value, value === value ? value.toFixed(2) : "–");
    });
  }

  scale(highHz: number, layout: Layout): void {
    if (highHz === this.highHz && layout.spectrum === this.spectrum) return;
    this.highHz = highHz;
    this.spectrum = layout.spectrum;
    this.marks.replaceChildren(
      ...MARKS_HZ.filter((hertz) => hertz < highHz * 0.95).map((hertz) => {
        const mark = element("span", { text: hertzText(hertz) });
        const share = (melOf(hertz) - melOf(LOW_HZ)) / (melOf(highHz) - melOf(LOW_HZ));
        mark.style.top = `${layout.axis + (1 - share) * layout.spectrum}px`;
        return mark;
      }),
      this.levelMark(layout),
    );
  }
}

/** What a reader should know of a pack's values: when they come, and how far they are to be trusted. */
export function honestyOf(pack: PackEntry): string {
  const parts = [];
  if (pack.shape === "window-row" && pack.hop_ms > FRAME_MS) parts.push(t.live.held(pack.hop_ms));
  if (pack.latency_ms !== null) parts.push(t.live.early(pack.latency_ms));
  if (pack.look_ahead_ms > 0) parts.push(t.live.late(pack.algorithmic_latency_ms));
  return parts.join(", ");
}
