// A day as a table: labels by hours, coloured by how much was heard. A cell narrows the list to its hour and label.

import { button, element, setText } from "../dom";
import { t } from "../strings";
import { type App, Failure } from "../view";
import { DAY_MS, HOUR_MS, dateMs, localDateText, nsText, startOfDay } from "./filter";

/** Labels that are shown at first, the most frequent ones. */
const SHOWN = 12;
/** Today is counted anew at most this often. */
const EVERY_MS = 10_000;
/** Steps of the colour scale; each begins at about three times as many as the one before. */
const STEPS = [1, 3, 10, 30, 100];

export interface HourCounts {
  label: string;
  pack: string;
  /** Events that began in each hour of the day. */
  hours: number[];
  total: number;
  seconds: number;
}

export interface Chosen {
  label: string;
  fromMs: number;
  untilMs: number;
}

export class HeatMap {
  readonly box: HTMLElement;
  private readonly day = element("input", { attrs: { type: "date", required: "", "aria-label": t.events.day } });
  private readonly later: HTMLButtonElement;
  private readonly said = element("p", { class: "heat-said", attrs: { role: "status" } });
  private readonly sheet = element("div", { class: "heat-sheet" });
  private readonly all: HTMLButtonElement;
  private counts: HourCounts[] = [];
  private whole = false;
  private loading: AbortController | null = null;
  private loadedMs = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly app: App,
    private readonly choose: (chosen: Chosen) => void,
  ) {
    this.day.value = localDateText(Date.now());
    this.day.addEventListener("change", () => void this.load());
    this.later = button("›", () => this.step(1), { class: "plain", attrs: { "aria-label": t.events.dayAfter } });
    this.all = button("", () => this.showAll(), { class: "plain" });
    this.box = element(
      "section",
      { class: "panel heat", attrs: { "aria-labelledby": "heat-title" } },
      element(
        "div",
        { class: "heat-bar" },
        element("h2", { text: t.events.heatTitle, attrs: { id: "heat-title" } }),
        element(
          "div",
          { class: "heat-day" },
          button("‹", () => this.step(-1), { class: "plain", attrs: { "aria-label": t.events.dayBefore } }),
          this.day,
          this.later,
        ),
        button(t.species.open, () => this.app.go("species"), { class: "plain" }),
        scale(),
      ),
      this.said,
      this.sheet,
      this.all,
    );
  }

  /** Ask for the chosen day. Of several requests on their way the last one counts. */
  async load(): Promise<void> {
    const sinceMs = dateMs(this.day.value);
    if (sinceMs === null) return;
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    this.loadedMs = Date.now();
    const query = new URLSearchParams({
      since_ns: nsText(sinceMs),
      until_ns: nsText(dayEnd(sinceMs)),
      tz: String(-new Date(sinceMs).getTimezoneOffset()),
    });
    this.later.disabled = dayEnd(sinceMs) > Date.now();
    if (this.counts.length === 0) setText(this.said, t.events.heatLoading);
    try {
      const { labels } = await this.app.get<{ labels: HourCounts[] }>(`v1/hours?${query}`, loading.signal);
      this.counts = labels;
      this.draw(sinceMs);
    } catch (fault) {
      if (loading.signal.aborted) return;
      this.counts = [];
      this.sheet.replaceChildren();
      const kept = !(fault instanceof Failure && fault.status === 404);
      setText(this.said, kept ? t.events.heatFailed((fault as Error).message) : t.events.heatNotKept);
    }
  }

  /** Events have come: today's table is made anew, soon. */
  refresh(): void {
    if (this.timer !== undefined || this.day.value !== localDateText(Date.now())) return;
    const waitMs = Math.max(0, this.loadedMs + EVERY_MS - Date.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.load();
    }, waitMs);
  }

  private step(days: number): void {
    const at = dateMs(this.day.value) ?? startOfDay(Date.now());
    this.day.value = localDateText(days > 0 ? dayEnd(at) : at - DAY_MS / 2);
    void this.load();
  }

  private showAll(): void {
    this.whole = !this.whole;
    this.draw(dateMs(this.day.value) ?? 0);
  }

  private draw(sinceMs: number): void {
    const rows = this.whole ? this.counts : this.counts.slice(0, SHOWN);
    setText(this.said, this.counts.length === 0 ? t.events.heatEmpty : "");
    this.all.hidden = this.counts.length <= SHOWN;
    setText(this.all, this.whole ? t.events.heatFewer : t.events.heatAll(this.counts.length));
    // a table that is made anew under a reader's hands keeps the place of the keyboard
    const place = placeOf(this.sheet);
    this.sheet.replaceChildren(...(rows.length > 0 ? [this.table(rows, sinceMs)] : []));
    if (place) this.sheet.querySelector<HTMLElement>(`[data-place="${place}"]`)?.focus();
  }

  private table(rows: HourCounts[], sinceMs: number): HTMLTableElement {
    const hours = Array.from({ length: 24 }, (_, hour) => hour);
    const head = element(
      "tr",
      {},
      element("th", { text: t.events.label, attrs: { scope: "col" } }),
      ...hours.map((hour) => element("th", { text: String(hour), attrs: { scope: "col", title: t.events.hour(hour) } })),
      element("th", { text: t.events.total, attrs: { scope: "col" } }),
    );
    const body = rows.map((row, at) => {
      const name = this.app.model.label(row.pack, row.label).name;
      return element(
        "tr",
        {},
        element("th", { text: name, attrs: { scope: "row", title: name } }),
        ...hours.map((hour) => this.cell(row, name, hour, sinceMs, `${at}-${hour}`)),
        element("td", { class: "heat-total", text: String(row.total) }),
      );
    });
    return element(
      "table",
      {},
      element("caption", { class: "for-readers", text: t.events.heatCaption }),
      element("thead", {}, head),
      element("tbody", {}, ...body),
    );
  }

  private cell(row: HourCounts, name: string, hour: number, sinceMs: number, place: string): HTMLTableCellElement {
    const count = row.hours[hour] ?? 0;
    if (count === 0) return element("td", {}, element("span", { class: "for-readers", text: "0" }));
    const fromMs = new Date(sinceMs).setHours(hour);
    const chosen = { label: row.label, fromMs, untilMs: fromMs + HOUR_MS };
    const text = t.events.heatCell(count, name, hour);
    const cell = button(String(count), () => this.choose(chosen), { attrs: { "aria-label": text, title: text } });
    cell.dataset.place = place;
    return element("td", { class: `heat-${stepOf(count)}` }, cell);
  }
}

/** 1 to 5. */
function stepOf(count: number): number {
  return STEPS.filter((least) => count >= least).length;
}

function scale(): HTMLElement {
  const steps = STEPS.map((least, at) => {
    const next = STEPS[at + 1];
    const text = next === undefined ? `${least}+` : next - 1 === least ? String(least) : `${least}–${next - 1}`;
    return element("span", { class: `heat-${at + 1}`, text });
  });
  return element("p", { class: "heat-scale" }, element("span", { text: t.events.heatScale }), ...steps);
}

function dayEnd(startMs: number): number {
  return startOfDay(startMs + 1.5 * DAY_MS);
}

function placeOf(box: HTMLElement): string | undefined {
  const active = document.activeElement;
  return active instanceof HTMLElement && box.contains(active) ? active.dataset.place : undefined;
}
