// Who was heard here, and of one label all that is kept: when by hour and day, how likely it is here, its best clips.

import { button, element, icon, setText } from "../dom";
import { everything, formatFilter } from "../events/filter";
import { ClipPlayer } from "../events/player";
import { type Row, type StoredEvent, rowOfStored } from "../events/row";
import { clockText, dayText } from "../events/texts";
import { t } from "../strings";
import { type App, Failure, type View } from "../view";
import { type HeardDay, daysFigure, hoursFigure, yearFigure } from "./figures";
import "./species.css";

const ID = "species";
const NS_PER_MS = 1e6;
const PLAY = "M7 4.5v15l13-7.5z";
const DEFAULT_RATE = 48_000;
/** Clips of a page. */
const BEST = 6;

/** A label of a pack, as /v1/species has it. */
interface Heard {
  label: string;
  pack: string;
  group: string;
  total: number;
  days: number;
  first_ns: number;
  last_ns: number;
  best: number;
  seconds: number;
}

/** All of one label. */
interface Whole {
  heard: Heard[];
  hours: number[];
  days: HeardDay[];
  streams: Record<string, number>;
  best: StoredEvent[];
  likely: number[];
}

const ORDERS = {
  new: (one: Heard, other: Heard): number => other.first_ns - one.first_ns,
  last: (one: Heard, other: Heard): number => other.last_ns - one.last_ns,
  total: (one: Heard, other: Heard): number => other.total - one.total,
} as const;

class SpeciesView implements View {
  readonly id = ID;
  readonly title = t.species.title;
  private app!: App;
  private asking = new AbortController();
  private visible = false;
  /** The label whose page is open, "" where the list is. */
  private label = "";
  private found: Heard[] = [];
  private readonly said = element("p", { class: "hint", attrs: { role: "status" } });
  private readonly group = element("select", { on: { change: () => this.showList() } });
  private readonly order = element(
    "select",
    { on: { change: () => this.showList() } },
    ...Object.entries(t.species.orders).map(([value, text]) => element("option", { text, attrs: { value } })),
  );
  private readonly list = element("div", { class: "species-list" });
  private readonly listed = element("section", { class: "panel" });
  private readonly page = element("section", { class: "species-page" });
  private readonly player = new ClipPlayer();

  mount(root: HTMLElement, app: App): void {
    this.app = app;
    this.listed.append(
      element("h2", { text: t.species.title }),
      element(
        "div",
        { class: "species-bar" },
        element("label", { class: "field" }, element("span", { text: t.species.group }), this.group),
        element("label", { class: "field" }, element("span", { text: t.species.order }), this.order),
      ),
      this.list,
    );
    root.append(this.said, this.listed, this.page);
    app.model.changed.on("hello", () => this.visible && void this.load());
  }

  shown(detail: string): void {
    this.visible = true;
    this.label = detail;
    void this.load();
  }

  hidden(): void {
    this.visible = false;
    this.asking.abort();
    this.player.clear();
  }

  private async load(): Promise<void> {
    this.listed.hidden = this.label !== "";
    this.page.hidden = this.label === "";
    this.page.replaceChildren();
    this.player.clear();
    if (this.app.model.hello === null) return;
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    setText(this.said, t.species.loading);
    const query = new URLSearchParams({ tz: String(-new Date().getTimezoneOffset()) });
    if (this.label) {
      query.set("label", this.label);
      query.set("best", String(BEST));
    }
    try {
      const answer = await this.app.get<{ species: Heard[] } & Whole>(`v1/species?${query}`, asking.signal);
      if (asking.signal.aborted) return;
      setText(this.said, "");
      if (this.label) this.showPage(answer);
      else {
        this.found = answer.species;
        this.fillGroups();
        this.showList();
      }
    } catch (fault) {
      if (asking.signal.aborted) return;
      const kept = !(fault instanceof Failure && fault.status === 404);
      setText(this.said, kept ? t.species.failed((fault as Error).message) : t.species.notKept);
      this.listed.hidden = this.page.hidden = true;
    }
  }

  private name({ pack, label }: { pack: string; label: string }): string {
    return this.app.model.label(pack, label).name;
  }

  private fillGroups(): void {
    const groups = [...new Set(this.found.map(({ group }) => group).filter(Boolean))].sort();
    const before = this.group.value;
    this.group.replaceChildren(
      element("option", { text: t.species.allGroups, attrs: { value: "" } }),
      ...groups.map((value) => element("option", { text: value, attrs: { value } })),
    );
    if (groups.includes(before)) this.group.value = before;
  }

  private showList(): void {
    const order = this.order.value;
    const some = this.found.filter(({ group }) => this.group.value === "" || group === this.group.value);
    some.sort((one, other) =>
      order in ORDERS ? ORDERS[order as keyof typeof ORDERS](one, other) : this.name(one).localeCompare(this.name(other)),
    );
    setText(this.said, some.length === 0 ? t.species.none : "");
    const words = t.species;
    const head = [words.name, words.total, words.days, words.first, words.last, words.best];
    const table = element(
      "table",
      { attrs: { "aria-label": words.count(some.length) } },
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { text, attrs: { scope: "col" } })))),
      element("tbody", {}, ...some.map((one) => this.line(one))),
    );
    this.list.replaceChildren(...(some.length > 0 ? [table] : []));
  }

  private line(one: Heard): HTMLElement {
    const link = element("a", { text: this.name(one), attrs: { href: `#${ID}/${encodeURIComponent(one.label)}` } });
    const numbers = [one.total.toLocaleString(t.locale), one.days.toLocaleString(t.locale), when(one.first_ns), when(one.last_ns)];
    return element(
      "tr",
      {},
      element("th", { attrs: { scope: "row" } }, link),
      ...numbers.map((text) => element("td", { text })),
      element("td", { text: t.species.percent(one.best) }),
    );
  }

  private showPage(whole: Whole): void {
    const [first] = whole.heard;
    const now = Date.now();
    const name = this.name(first ?? { pack: "", label: this.label });
    const all = { ...everything(), labels: [this.label], span: "all" as const };
    this.page.append(
      element(
        "div",
        { class: "species-head" },
        element("a", { text: `‹ ${t.species.back}`, attrs: { href: `#${ID}` } }),
        element("h2", { text: name }),
        first ? button(t.species.all, () => this.app.go("events", formatFilter(all))) : null,
      ),
    );
    if (!first) {
      setText(this.said, t.species.none);
      if (whole.likely.length > 0) this.page.append(yearFigure(whole.likely, now));
      return;
    }
    const streams = Object.entries(whole.streams);
    this.page.append(
      element(
        "div",
        { class: "panel" },
        ...whole.heard.map((one) => element("p", { text: t.species.heard(one.total, one.days, one.seconds, one.pack) })),
        element("p", { class: "hint", text: t.species.between(when(first.first_ns), when(first.last_ns)) }),
        streams.length > 1 ? element("p", { class: "hint", text: t.species.streams(streams) }) : null,
      ),
      element(
        "div",
        { class: "species-figures" },
        hoursFigure(whole.hours),
        whole.likely.length > 0 ? yearFigure(whole.likely, now) : null,
        daysFigure(whole.days, now),
      ),
      element(
        "div",
        { class: "panel" },
        element("h3", { text: t.species.clips }),
        whole.best.length === 0 ? element("p", { class: "hint", text: t.species.noClips }) : null,
        element("ul", { class: "species-best" }, ...whole.best.map((event) => this.example(rowOfStored(event)))),
        this.player.box,
      ),
    );
  }

  private example(row: Row): HTMLElement {
    const words = t.species.event(dayText(row.onsetMs, Date.now()), clockText(row.onsetMs), row.stream, row.peak);
    const heard = row.clip !== "" && this.app.role !== "labels";
    const play = button("", () => void this.player.show(row, this.app.model.streams.get(row.stream)?.entry.rate ?? DEFAULT_RATE, true), {
      attrs: { "aria-label": t.species.play(words) },
    });
    play.append(icon(PLAY));
    const why = button(t.events.why, () => this.app.go("why", row.id), {
      class: "plain",
      attrs: { "aria-label": t.events.whyOf(words) },
    });
    return element("li", {}, heard ? play : null, element("span", { text: words }), why);
  }
}

function when(ns: number): string {
  return new Date(ns / NS_PER_MS).toLocaleDateString(t.locale, { day: "numeric", month: "short", year: "numeric" });
}

export const view: View = new SpeciesView();
