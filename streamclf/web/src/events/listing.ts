// The list of events as it is read: days, order, and what is held back while somebody looks.
//
// What comes in live belongs on top and would push everything down. So while the reader has scrolled, points at a row
// or has the keyboard in one, new events are held and counted, and what has ended keeps its place; rows change in
// place. As soon as nothing of that is so, everything moves to where it belongs.

import type { Item } from "./eventrow";
import { startOfDay } from "./filter";
import { type Row, byOnset } from "./row";
import { dayText } from "./texts";
import { t } from "../strings";

export class Listing {
  /** Ids that have come while the list was held. */
  readonly held = new Set<string>();
  private openThen: Set<string> | null = null;

  get holds(): boolean {
    return this.openThen !== null;
  }

  /** From now on nothing moves; rows: what the list shows. */
  hold(rows: Iterable<Row>): void {
    this.openThen ??= new Set([...rows].filter((row) => row.open).map((row) => row.id));
  }

  release(): void {
    this.openThen = null;
    this.held.clear();
  }

  /** An event that was not there before. */
  arrived(id: string): void {
    if (this.openThen !== null) this.held.add(id);
  }

  items(rows: Iterable<Row>, nowMs: number): Item[] {
    const shown = [...rows].filter((row) => !this.held.has(row.id));
    const then = this.openThen;
    const isOpen = (row: Row): boolean => (then === null ? row.open : then.has(row.id));
    shown.sort((one, other) => Number(isOpen(other)) - Number(isOpen(one)) || byOnset(one, other));
    const items: Item[] = [];
    let day: number | "open" | null = null;
    shown.forEach((row, at) => {
      const of = isOpen(row) ? "open" : startOfDay(row.onsetMs);
      if (of !== day) items.push({ kind: "day", key: `day ${of}`, text: of === "open" ? t.events.open : dayText(of, nowMs) });
      day = of;
      items.push({ kind: "event", row, place: at + 1, count: shown.length });
    });
    return items;
  }
}
