// The line that says what lies under the cursor, and leads to why nothing fired there.

import { button, element, setText } from "../dom";
import type { StreamModel } from "../model";
import { decibels } from "../protocol";
import { t } from "../strings";
import type { App } from "../view";
import { clockText } from "./axis";
import type { Plot } from "./plot";
import { hertzAt, hertzText } from "./sides";

export class Readout {
  private readonly time = element("time", { class: "live-at" });
  private readonly text = element("span", { class: "live-said" });
  private readonly why = button(t.live.why, () => this.ask(), { class: "plain live-why", attrs: { hidden: "" } });
  readonly root: HTMLElement;
  private frame: number | null = null;

  constructor(
    private readonly app: App,
    private readonly stream: () => StreamModel | null,
    teach: HTMLElement,
  ) {
    this.root = element("p", { class: "live-readout" }, this.time, this.text, this.why, teach);
  }

  /** pitch: height of the pointer in the spectrum, 0 to 1; held: whether the instant stays when the pointer goes. */
  show(plot: Plot, frame: number | null, pitch: number | null, held: boolean): void {
    const stream = this.stream();
    this.frame = frame;
    this.why.hidden = frame === null || !held;
    if (stream === null || frame === null) {
      setText(this.time, "");
      setText(this.text, t.live.hold);
      return;
    }
    const ms = stream.frameToMs(frame);
    this.time.dateTime = new Date(ms).toISOString();
    setText(this.time, clockText(ms, 1));
    setText(this.text, this.words(stream, plot, frame, pitch).join(" · "));
  }

  /** Opens the answer to why nothing fired at the cursor. */
  ask(): void {
    const stream = this.stream();
    if (stream === null || this.frame === null) return;
    this.app.go("why", `${stream.entry.name}@${Math.round(stream.frameToMs(this.frame))}`);
  }

  private words(stream: StreamModel, plot: Plot, frame: number, pitch: number | null): string[] {
    const gap = plot.gapAt(frame);
    if (gap !== null) return [t.live.gap(gap.reason)];
    const { picture } = stream;
    const column = picture.column(frame);
    if (column === null) return [t.live.noPicture];
    const decimal = (value: number): string => decibels(value).toFixed(1);
    const words = [t.live.level(decimal(picture.rms(frame)), decimal(picture.peak(frame)))];
    if (pitch !== null) {
      const band = Math.round(pitch * (column.length - 1));
      words.push(t.live.pitch(hertzText(hertzAt(pitch, picture.highHz)), decimal(column[band]!)));
    }
    return words;
  }
}
