// The level of now: a bar for the root mean square, a mark that holds the peak, a light that says when it clipped.

import { element, setText } from "../dom";
import type { PictureRing } from "../model";
import { decibels } from "../protocol";
import { t } from "../strings";

const LOOK_MS = 50;
const SAY_MS = 1000;
const FOOT_DB = -80;
const HOLD_MS = 1500;
const FALL_DB_S = 20;
const CLIP_MS = 2000;
const CLIPPED = 255;

export class Meter {
  private readonly bar = element("i", { class: "live-meter-bar" });
  private readonly mark = element("i", { class: "live-meter-mark" });
  private readonly light = element("span", { class: "live-meter-clip", text: t.live.clipped, attrs: { hidden: "" } });
  private readonly scale = element("span", { class: "live-meter-scale" }, this.bar, this.mark);
  private readonly text = element("span", { class: "live-meter-text" });
  readonly root = element(
    "div",
    {
      class: "live-meter",
      attrs: { role: "meter", "aria-label": t.live.meter, "aria-valuemin": String(FOOT_DB), "aria-valuemax": "0" },
    },
    this.scale,
    this.text,
    this.light,
  );
  private lookedMs = -Infinity;
  private saidMs = -Infinity;
  private frame = -1;
  private heldDb = FOOT_DB;
  private heldMs = -Infinity;
  private clippedMs = -Infinity;

  look(picture: PictureRing, nowMs: number): void {
    const passedMs = nowMs - this.lookedMs;
    if (passedMs < LOOK_MS) return;
    this.lookedMs = nowMs;
    if (picture.newest < this.frame) this.frame = -1; // another stream
    // where nothing came, the last frame stands
    const first = Math.max(Math.min(this.frame + 1, picture.newest), picture.newest - 10);
    let peak = 0;
    for (let frame = first; frame <= picture.newest; frame++)
      peak = Math.max(peak, picture.peak(frame));
    this.frame = picture.newest;
    if (peak >= CLIPPED) this.clippedMs = nowMs;
    const peakDb = decibels(peak);
    if (peakDb >= this.heldDb) {
      this.heldDb = peakDb;
      this.heldMs = nowMs;
    } else if (nowMs - this.heldMs > HOLD_MS) {
      this.heldDb = Math.max(FOOT_DB, this.heldDb - (FALL_DB_S * Math.min(passedMs, 200)) / 1000);
    }
    const rmsDb = decibels(Math.max(0, picture.rms(picture.newest)));
    this.bar.style.transform = `scaleX(${shareOf(rmsDb)})`;
    this.mark.style.transform = `translateX(${100 * shareOf(this.heldDb) - 100}%)`;
    const clipped = nowMs - this.clippedMs < CLIP_MS;
    if (this.light.hidden === clipped) this.light.hidden = !clipped;
    if (nowMs - this.saidMs > SAY_MS) this.say(rmsDb, nowMs);
  }

  private say(rmsDb: number, nowMs: number): void {
    this.saidMs = nowMs;
    setText(this.text, `${rmsDb.toFixed(0)} dB`);
    this.root.setAttribute("aria-valuenow", Math.max(FOOT_DB, rmsDb).toFixed(0));
    this.root.setAttribute("aria-valuetext", t.live.meterText(rmsDb, this.heldDb));
  }
}

function shareOf(db: number): number {
  return Math.min(1, Math.max(0, 1 - db / FOOT_DB));
}
