// Pointing at a sound in the picture, to teach what it is: the instant that is held, or a stretch that was marked.

import { button, element, setText } from "../dom";
import type { StreamModel } from "../model";
import { FRAMES_PER_SECOND } from "../protocol";
import { t } from "../strings";
import { Asker } from "../teach/ask";
import type { App } from "../view";
import { clockText } from "./axis";
import type { Plot } from "./plot";

/** Around an instant: half a second. */
const AROUND_FRAMES = 12;

export class Pointing {
  private readonly length = element("span", { class: "live-stretch" });
  readonly root = element(
    "span",
    { class: "live-teach", attrs: { hidden: "" } },
    this.length,
    button(t.teach.thisIs, () => this.ask(), { class: "live-this" }),
  );
  private readonly asker: Asker;

  constructor(
    private readonly app: App,
    private readonly plot: Plot,
    private readonly stream: () => StreamModel | null,
  ) {
    this.asker = new Asker(app);
  }

  /** x: places in the picture, in its pixels. */
  drag(fromX: number, toX: number): void {
    const { viewport } = this.plot;
    const [from, to] = [viewport.frameAt(Math.min(fromX, toX)), viewport.frameAt(Math.max(fromX, toX)) + 1];
    this.mark(from, to);
  }

  /** The stretch begins or ends with the frame of the cursor. */
  edge(which: "from" | "to"): void {
    const { cursor, stretch } = this.plot;
    if (cursor === null) return;
    if (which === "from") this.mark(cursor, Math.max(stretch?.to ?? 0, cursor + 1));
    else this.mark(Math.min(stretch?.from ?? Infinity, cursor), cursor + 1);
  }

  drop(): void {
    this.plot.stretch = null;
    this.plot.touch();
  }

  /** held: an instant is. */
  look(held: boolean): void {
    const { stretch } = this.plot;
    this.root.hidden = this.app.role !== "admin" || (stretch === null && !held);
    setText(this.length, stretch === null ? "" : t.teach.stretch((stretch.to - stretch.from) / FRAMES_PER_SECOND));
  }

  /** Asks what it is. */
  ask(): void {
    const { stretch, cursor } = this.plot;
    const stream = this.stream();
    if (this.app.role !== "admin" || stream === null || (stretch === null && cursor === null)) return;
    const { from, to } = stretch ?? { from: cursor! - AROUND_FRAMES, to: cursor! + AROUND_FRAMES + 1 };
    const [fromMs, toMs] = [stream.frameToMs(from), stream.frameToMs(to)];
    const { name } = stream.entry;
    const words = t.teach.sound(name, clockText(fromMs, 100), (toMs - fromMs) / 1000);
    void this.asker.open({ words, stream: name, fromMs, toMs });
  }

  private mark(from: number, to: number): void {
    const { oldest, newest } = this.plot.held;
    this.plot.stretch = { from: Math.max(from, oldest), to: Math.min(Math.max(to, from + 1), newest + 1) };
    this.plot.touch();
  }
}
