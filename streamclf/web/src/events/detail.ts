// The selected event: what is known of it, its clip, its mark.

import { button, element, setText } from "../dom";
import { t } from "../strings";
import { type App, Failure } from "../view";
import { type Actions, markText } from "./eventrow";
import { ClipPlayer } from "./player";
import type { Row } from "./row";
import { clockText, dayText, lengthText } from "./texts";

const DEFAULT_RATE = 48_000;

export class Detail {
  readonly box: HTMLElement;
  private readonly title = element("h2", { class: "detail-title" });
  private readonly when = element("p", { class: "detail-when" });
  private readonly facts = element("dl", { class: "facts" });
  private readonly noClip = element("p", { class: "hint" });
  private readonly right = button(t.events.right, () => this.row && this.actions.mark(this.row, "right"));
  private readonly wrong = button(t.events.wrong, () => this.row && this.actions.mark(this.row, "wrong"));
  private readonly teach = button(t.teach.thisIs, () => this.row && this.actions.teach(this.row, "is"));
  private readonly many = button(t.tooMany.button, () => this.row && this.actions.tooMany(this.row));
  private readonly marked = element("span");
  private readonly was = element("input", {
    attrs: { type: "text", list: "label-names", "aria-label": t.events.itWas, placeholder: t.events.itWas, maxlength: "64" },
  });
  private readonly player = new ClipPlayer();
  private row: Row | null = null;

  /** named: an event was marked wrong, and this is what it was. */
  constructor(
    private readonly app: App,
    private readonly actions: Actions,
    private readonly named: (row: Row, label: string) => void,
    close: () => void,
  ) {
    this.was.addEventListener("change", () => this.nameIt());
    this.box = element(
      "aside",
      { class: "panel detail", attrs: { "aria-label": t.events.detail } },
      element(
        "div",
        { class: "detail-head" },
        this.title,
        button("×", close, { class: "plain", attrs: { "aria-label": t.events.closeDetail } }),
      ),
      this.when,
      this.player.box,
      this.noClip,
      this.facts,
      element(
        "div",
        { class: "detail-marks" },
        this.right,
        this.wrong,
        this.was,
        this.marked,
        button(t.species.openOne, () => this.row && this.app.go("species", this.row.label)),
        button(t.events.whyLong, () => this.row && this.actions.why(this.row)),
        this.teach,
        this.many,
      ),
    );
    this.box.hidden = true;
  }

  get id(): string | null {
    return this.row?.id ?? null;
  }

  /** null: nothing is selected any more. */
  show(row: Row | null, play: boolean): void {
    if (row !== null && row === this.row && !play) return;
    const same = row !== null && row.id === this.row?.id;
    this.row = row;
    this.box.hidden = row === null;
    if (row === null) {
      this.player.clear();
      return;
    }
    setText(this.title, this.app.model.label(row.pack, row.label).name);
    setText(this.when, `${dayText(row.onsetMs, Date.now())}, ${clockText(row.onsetMs)}`);
    this.showFacts(row);
    this.showMarks(row, same);
    this.showClip(row, play, same);
  }

  /** Play or pause what is shown. */
  toggle(): void {
    void this.player.toggle();
  }

  private showClip(row: Row, play: boolean, same: boolean): void {
    const heard = this.app.role !== "labels";
    const rate = this.app.model.streams.get(row.stream)?.entry.rate ?? DEFAULT_RATE;
    if (row.clip !== "" && heard) {
      setText(this.noClip, "");
      void this.player.show(row, rate, play);
      return;
    }
    this.player.clear();
    if (row.clip !== "") setText(this.noClip, t.events.clipRole);
    else if (row.open || row.stored === null) setText(this.noClip, t.events.clipLater);
    else if (!heard) setText(this.noClip, t.events.noClip);
    else if (!same || this.noClip.textContent === t.events.clipLater) void this.sayNoClip(row);
  }

  /** The daemon knows better than we do why there is none. */
  private async sayNoClip(row: Row): Promise<void> {
    setText(this.noClip, "");
    try {
      await this.app.get(`v1/clip?event=${encodeURIComponent(row.id)}`);
    } catch (fault) {
      if (fault instanceof Failure && this.row?.id === row.id && this.row.clip === "") setText(this.noClip, fault.message);
    }
  }

  private showFacts(row: Row): void {
    const { stored } = row;
    const facts: [string, string][] = [
      [t.events.stream, row.stream],
      [t.events.pack, row.pack],
      [t.events.length, lengthText(row.endMs - row.onsetMs)],
      [t.events.strength, t.events.peakAndMean(row.peak, row.mean)],
    ];
    if (row.levelDb !== null) facts.push([t.events.level, t.events.decibels(row.levelDb)]);
    if (stored) facts.push([t.events.thresholds, t.events.enterAndLeave(stored.enter, stored.leave)]);
    if (row.open) facts.push([t.events.ended, t.events.stillOn]);
    else if (stored) facts.push([t.events.ended, t.events.endedBy[stored.ended_by] ?? stored.ended_by]);
    this.facts.replaceChildren(
      ...facts.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]),
    );
  }

  private showMarks(row: Row, same: boolean): void {
    const marks = this.app.role === "admin" && row.stored !== null;
    const wrong = row.mark === "wrong";
    this.right.hidden = this.wrong.hidden = this.many.hidden = this.teach.hidden = !marks;
    this.right.setAttribute("aria-pressed", String(row.mark === "right"));
    this.wrong.setAttribute("aria-pressed", String(wrong));
    // what somebody is writing is left alone
    if (!same || !wrong || this.was.hidden) this.was.value = row.markLabel;
    this.was.hidden = !marks || !wrong;
    setText(this.marked, marks ? "" : markText(row));
  }

  private nameIt(): void {
    if (this.row?.mark !== "wrong") return;
    // an id, as packs and data folders have them
    this.was.value = this.was.value.trim().toLowerCase().replace(/[^a-z0-9_]+/g, "_").slice(0, 64);
    this.named(this.row, this.was.value);
  }
}
