// A row of the list of events: how it looks, and what its buttons do.

import { button, element, icon, setText } from "../dom";
import { t } from "../strings";
import type { App } from "../view";
import type { Row } from "./row";
import { clockText, lengthText } from "./texts";
import type { Kind } from "./windowed";

/** What stands in the list: a heading of a day, or an event. */
export type Item = { kind: "day"; key: string; text: string } | { kind: "event"; row: Row; place: number; count: number };

export interface Actions {
  select(row: Row, play: boolean): void;
  /** Or take it back, where that is its mark already. */
  mark(row: Row, mark: "right" | "wrong"): void;
  why(row: Row): void;
  /** Teach what it is, or that it is not what it was taken for. */
  teach(row: Row, said: "is" | "not"): void;
  /** Of this one's label: find a threshold that leaves fewer. */
  tooMany(row: Row): void;
}

const PLAY = "M7 4.5v15l13-7.5z";
const RIGHT = "M4 12.5l5.5 5.5L20 6.5";
const WRONG = "M5.5 5.5l13 13m0-13l-13 13";

interface Parts {
  item: Item | null;
  time: HTMLTimeElement;
  name: HTMLElement;
  stream: HTMLElement;
  length: HTMLElement;
  bar: HTMLElement;
  peak: HTMLElement;
  level: HTMLElement;
  mark: HTMLElement;
  play: HTMLButtonElement;
  right: HTMLButtonElement;
  wrong: HTMLButtonElement;
  why: HTMLButtonElement;
}

export class EventRows implements Kind<Item> {
  private readonly parts = new WeakMap<HTMLElement, Parts>();

  constructor(
    private readonly app: App,
    private readonly actions: Actions,
    private readonly isSelected: (id: string) => boolean,
  ) {}

  key(item: Item): string {
    return item.kind === "day" ? item.key : item.row.id;
  }

  make(item: Item): HTMLElement {
    if (item.kind === "day") return element("li", { class: "day" }, element("h3"));
    const target = element("li", { class: "event", attrs: { tabindex: "-1" } });
    const doing = (name: "play" | "right" | "wrong" | "why", ...paths: string[]): HTMLButtonElement => {
      const made = button(name === "why" ? t.events.why : "", () => this.act(target, name), { class: `do-${name}` });
      if (paths.length > 0) made.append(icon(...paths));
      return made;
    };
    const bar = element("i");
    const parts: Parts = {
      item: null,
      time: element("time"),
      name: element("b", { class: "name" }),
      stream: element("span", { class: "stream" }),
      length: element("span", { class: "length" }),
      bar,
      peak: element("span", { class: "value" }),
      level: element("span", { class: "level" }),
      mark: element("span", { class: "mark" }),
      play: doing("play", PLAY),
      right: doing("right", RIGHT),
      wrong: doing("wrong", WRONG),
      why: doing("why"),
    };
    const admin = this.app.role === "admin";
    target.append(
      parts.time,
      parts.name,
      parts.stream,
      parts.length,
      element("span", { class: "peak" }, element("span", { class: "bar", attrs: { "aria-hidden": "true" } }, bar), parts.peak),
      parts.level,
      element("span", { class: "does" }, parts.play, ...(admin ? [parts.right, parts.wrong] : [parts.mark]), parts.why),
    );
    target.addEventListener("click", (event) => {
      if (!(event.target as Element).closest("button")) this.act(target, "select");
    });
    this.parts.set(target, parts);
    return target;
  }

  fill(target: HTMLElement, item: Item): void {
    if (item.kind === "day") {
      setText(target.firstElementChild!, item.text);
      return;
    }
    const parts = this.parts.get(target)!;
    parts.item = item;
    const { row } = item;
    const name = this.app.model.label(row.pack, row.label).name;
    const clock = clockText(row.onsetMs);
    target.classList.toggle("open", row.open);
    target.classList.toggle("selected", this.isSelected(row.id));
    target.setAttribute("aria-posinset", String(item.place));
    target.setAttribute("aria-setsize", String(item.count));
    setText(parts.time, clock);
    parts.time.dateTime = new Date(row.onsetMs).toISOString();
    setText(parts.name, name);
    parts.name.title = name === row.label ? row.pack : `${row.label}, ${row.pack}`;
    setText(parts.stream, row.stream);
    const length = lengthText(row.endMs - row.onsetMs);
    setText(parts.length, row.open ? t.events.lasts(length) : length);
    parts.bar.style.transform = `scaleX(${row.peak.toFixed(3)})`;
    setText(parts.peak, t.events.percent(row.peak));
    setText(parts.level, row.levelDb === null ? "" : t.events.decibels(row.levelDb));
    this.fillDoing(parts, row, `${name}, ${clock}`);
  }

  private fillDoing(parts: Parts, row: Row, what: string): void {
    const { right, wrong, play, why, mark } = parts;
    play.classList.toggle("absent", row.clip === "" || this.app.role === "labels");
    play.setAttribute("aria-label", t.events.playClip(what));
    why.setAttribute("aria-label", t.events.whyOf(what));
    right.setAttribute("aria-label", t.events.markRight(what));
    right.setAttribute("aria-pressed", String(row.mark === "right"));
    wrong.setAttribute("aria-label", t.events.markWrong(what));
    wrong.setAttribute("aria-pressed", String(row.mark === "wrong"));
    // there is nothing to mark before the store has it
    right.disabled = wrong.disabled = row.stored === null;
    setText(mark, markText(row));
  }

  private act(target: HTMLElement, what: "play" | "right" | "wrong" | "why" | "select"): void {
    const item = this.parts.get(target)?.item;
    if (item?.kind !== "event") return;
    const { row } = item;
    if (what === "why") this.actions.why(row);
    else if (what === "right" || what === "wrong") this.actions.mark(row, what);
    else this.actions.select(row, what === "play");
  }
}

export function markText(row: Row): string {
  if (row.mark === "") return "";
  return row.mark === "right" ? t.events.markedRight : t.events.markedWrong(row.markLabel);
}
