// The events: what is open now, what ended, a day by the hour, and the one that is selected.

import "./events.css";
import "./toomany.css";

import { button, element, setText } from "../dom";
import { shortcut } from "../keys";
import type { EventMessage, MarkedMessage } from "../protocol";
import { t } from "../strings";
import { Asker } from "../teach/ask";
import { type App, Failure, type View } from "../view";
import { csvOf } from "./csv";
import { Detail } from "./detail";
import { type Actions, EventRows, type Item } from "./eventrow";
import { type Filter, everything, formatFilter, localTimeText, parseFilter } from "./filter";
import { FilterBar } from "./filterbar";
import { type Chosen, HeatMap } from "./heat";
import { History, type Page } from "./history";
import { Listing } from "./listing";
import { type Mark, type Row, byOnset, rowOfMessage } from "./row";
import { TooMany } from "./toomany";
import { WindowedList } from "./windowed";

const ID = "events";
/** The store has an event a moment after the socket told of it. */
const STORED_MS = 700;
/** A clip is written once the sound behind its event is over; for so long it is asked for again. */
const CLIP_WAIT_MS = 60_000;
const CLIP_EVERY_MS = 3_000;
/** A pointer that rests for so long on the list points at nothing. */
const POINTING_MS = 4_000;
/** Between the head of the page and the list. */
const ROOM_PX = 48;

class EventsView implements View, Actions {
  readonly id = ID;
  readonly title = t.views.events;
  private app!: App;
  private bar!: FilterBar;
  private heat!: HeatMap;
  private detail!: Detail;
  private many!: TooMany;
  private asker!: Asker;
  private list!: WindowedList<Item>;
  private history!: History;
  private readonly listing = new Listing();
  private readonly said = element("span", { attrs: { role: "status" } });
  /** Not for a screen reader to say each time that it grows. */
  private readonly count = element("span");
  private readonly csv = button(t.events.csv, () => this.saveCsv(), { class: "plain csv" });
  private readonly pill = button("", () => this.toTop(), { class: "pill" });
  private readonly older = button(t.events.older, () => void this.loadOlder(), { class: "plain older" });
  private readonly names = element("datalist", { attrs: { id: "label-names" } });
  private visible = false;
  private stale = false;
  private catching: ReturnType<typeof setTimeout> | undefined;
  private clips: ReturnType<typeof setTimeout> | undefined;
  private loading = false;
  private pointedMs = -Infinity;

  mount(root: HTMLElement, app: App): void {
    this.app = app;
    this.bar = new FilterBar(app, (filter) => this.narrow(filter));
    this.heat = new HeatMap(app, (chosen) => this.narrowTo(chosen));
    this.detail = new Detail(app, this, (row, label) => this.sendMark(row, "wrong", label), () => this.unselect());
    this.many = new TooMany(app);
    this.asker = new Asker(app);
    const head = document.querySelector<HTMLElement>(".head");
    const measure = (): void => root.style.setProperty("--headroom", `${head?.offsetHeight ?? 0}px`);
    if (head) new ResizeObserver(measure).observe(head);
    const rows = new EventRows(app, this, (id) => id === this.detail.id);
    this.list = new WindowedList(rows, () => head?.offsetHeight ?? 0);
    this.list.box.setAttribute("aria-label", t.events.list);
    this.history = this.historyOf(everything());
    root.append(
      this.heat.box,
      this.bar.box,
      element(
        "div",
        { class: "events-body" },
        element(
          "div",
          { class: "events-list" },
          element("div", { class: "list-top" }, element("p", { class: "list-said" }, this.said, this.count), this.csv),
          this.pill,
          this.list.box,
          this.older,
        ),
        this.detail.box,
      ),
      this.names,
    );
    this.pill.hidden = this.older.hidden = true;
    addEventListener("scroll", () => this.scrolled(), { passive: true, capture: true });
    addEventListener("resize", () => this.visible && this.list.paint());
    this.list.box.addEventListener("pointermove", () => (this.pointedMs = performance.now()));
    const { changed } = app.model;
    changed.on("events", (event) => this.take(event));
    changed.on("marks", (marked) => this.takeMark(marked));
    changed.on("hello", () => this.greeted());
    app.connection.on("error", ({ code, message }) => code === "bad-mark" && app.say(message, "problem"));
    this.offerKeys();
  }

  shown(detail: string): void {
    this.visible = true;
    const filter = parseFilter(detail);
    if (formatFilter(filter) !== formatFilter(this.history.filter)) this.history = this.historyOf(filter);
    this.bar.show(filter);
    this.greeted();
  }

  hidden(): void {
    this.visible = false;
  }

  frame(): void {
    // what was held comes to its place once nobody looks any more
    if (!this.stale && !(this.listing.holds && !this.isRead())) return;
    this.stale = false;
    this.show();
  }

  select(row: Row, play: boolean): void {
    if (play && row.id === this.detail.id) this.detail.toggle();
    else this.detail.show(row, play);
    this.stale = true;
    this.repaintSelected();
  }

  mark(row: Row, mark: "right" | "wrong"): void {
    const back = row.mark === mark;
    this.sendMark(row, back ? "" : mark, "");
    // there it can be said what it was
    if (mark === "wrong" && !back && row.id !== this.detail.id) this.select(row, false);
  }

  why(row: Row): void {
    this.app.go("why", row.id);
  }

  tooMany(row: Row): void {
    if (this.app.role === "admin") this.many.open(row);
  }

  teach(row: Row, said: "is" | "not"): void {
    this.asker.event(row, said);
  }

  private historyOf(filter: Filter): History {
    this.history?.stop();
    this.listing.release();
    return new History(filter, (path, signal) => this.app.get<Page>(path, signal), {
      grown: () => (this.stale = true),
      arrived: (row) => this.arrived(row),
    });
  }

  /** The daemon is there, again perhaps: load, or fetch what was missed. */
  private greeted(): void {
    if (!this.visible || this.app.model.hello === null) return;
    this.bar.fillChoices();
    this.fillNames();
    void this.heat.load();
    if (this.history.kept) void this.catchUp();
    else void this.load();
  }

  private async load(): Promise<void> {
    const history = this.history;
    this.loading = true;
    setText(this.said, t.events.loading);
    for (const event of this.app.model.events.byId.values()) this.put(event);
    await this.attempt(() => history.load());
    // that of another filter is still under way
    if (history !== this.history) return;
    this.loading = false;
    this.stale = true;
  }

  private async loadOlder(): Promise<void> {
    this.older.disabled = true;
    await this.attempt(() => this.history.older());
    this.older.disabled = false;
  }

  private async catchUp(): Promise<void> {
    await this.attempt(() => this.history.catchUp());
    this.stale = true;
  }

  /** Says what went wrong in the place of the list's length. */
  private async attempt(work: () => Promise<void>): Promise<void> {
    const history = this.history;
    try {
      await work();
    } catch (fault) {
      if (history !== this.history || (fault as Error).name === "AbortError") return;
      const kept = !(fault instanceof Failure && fault.status === 404);
      history.problem = kept ? t.events.failed((fault as Error).message) : t.events.notKept;
      this.stale = true;
    }
  }

  private take(event: EventMessage): void {
    // what the shell fetched after a restart comes from the store, and so do the rows here
    if ("pack_hash" in event || !this.visible) return;
    this.put(event);
    this.stale = true;
    if (!this.history.kept) return;
    clearTimeout(this.catching);
    this.catching = setTimeout(() => void this.catchUp().then(() => this.heat.refresh()), STORED_MS);
  }

  private put(event: EventMessage): void {
    const instance = this.app.model.hello?.instance;
    if (instance === undefined || "pack_hash" in event) return;
    this.history.put(rowOfMessage(event, instance, this.app.model.label(event.pack, event.label).group));
  }

  private arrived(row: Row): void {
    if (this.isRead()) {
      this.listing.hold(this.shownRows());
      this.listing.arrived(row.id);
    }
  }

  private takeMark(marked: MarkedMessage): void {
    const { event, mark, label } = marked;
    this.history.mark(event, mark, label ?? "");
    this.stale = true;
  }

  private sendMark(row: Row, mark: Mark, label: string): void {
    if (this.app.role !== "admin" || row.stored === null) return;
    const sent = this.app.connection.send({ type: "mark", event: row.id, mark, label });
    if (sent === false) this.app.say(t.events.markAway, "problem");
  }

  private narrow(filter: Filter): void {
    const detail = formatFilter(filter);
    // no hashchange: the view stays, and so does the focus
    history.replaceState(null, "", detail ? `#${ID}/${encodeURIComponent(detail)}` : `#${ID}`);
    this.history = this.historyOf(filter);
    this.bar.show(filter);
    this.list.set([]);
    void this.load();
  }

  private narrowTo(chosen: Chosen): void {
    this.narrow({
      ...everything(),
      labels: [chosen.label],
      span: "range",
      from: localTimeText(chosen.fromMs),
      until: localTimeText(chosen.untilMs),
    });
    this.bar.box.scrollIntoView({ block: "nearest" });
  }

  private show(): void {
    if (this.isRead()) this.listing.hold(this.shownRows());
    else this.listing.release();
    this.list.set(this.listing.items(this.history.values(), Date.now()));
    const held = this.listing.held.size;
    this.pill.hidden = held === 0;
    setText(this.pill, t.events.held(held));
    this.older.hidden = !this.history.olderLeft;
    this.sayLength();
    const selected = this.detail.id === null ? undefined : this.history.get(this.detail.id);
    if (selected) this.detail.show(selected, false);
    this.awaitClips();
  }

  private sayLength(): void {
    const { size, problem, olderLeft } = this.history;
    if (problem) setText(this.said, `${problem} `);
    else if (!this.loading) setText(this.said, size === 0 ? t.events.none : "");
    setText(this.count, size === 0 || this.loading ? "" : t.events.count(size, olderLeft));
    this.csv.hidden = size === 0 || this.loading;
  }

  /** What the filter leaves of what is here, as a file. */
  private saveCsv(): void {
    const rows = [...this.history.values()].sort(byOnset);
    const link = element("a", { attrs: { download: `events_${localTimeText(Date.now()).replace(/[^0-9T]/g, "")}.csv` } });
    link.href = URL.createObjectURL(new Blob([csvOf(rows)], { type: "text/csv" }));
    link.click();
    // a browser may still be asking where to put it
    setTimeout(() => URL.revokeObjectURL(link.href), CLIP_WAIT_MS);
  }

  private *shownRows(): Iterable<Row> {
    for (let index = 0; index < this.list.length; index++) {
      const item = this.list.at(index);
      if (item?.kind === "event") yield item.row;
    }
  }

  /** Somebody looks at rows that must not move. */
  private isRead(): boolean {
    const { box } = this.list;
    if (this.list.length === 0) return false;
    const scrolled = box.getBoundingClientRect().top < this.list.headroom();
    const pointed = box.matches(":hover") && performance.now() - this.pointedMs < POINTING_MS;
    return scrolled || pointed || this.list.focusedKey() !== null;
  }

  private scrolled(): void {
    if (this.visible) this.list.paint();
  }

  private toTop(): void {
    const { box } = this.list;
    window.scrollBy(0, Math.min(0, box.getBoundingClientRect().top - this.list.headroom() - ROOM_PX));
    this.pointedMs = -Infinity;
    this.stale = true;
    box.focus({ preventScroll: true });
  }

  private unselect(): void {
    const id = this.detail.id;
    this.detail.show(null, false);
    this.repaintSelected();
    if (id !== null) this.list.focus(this.list.indexOf(id));
  }

  /** Rows show whether they are selected, which is not in their items. */
  private repaintSelected(): void {
    this.list.set(this.listing.items(this.history.values(), Date.now()));
  }

  /** A clip comes behind its event, and no message tells of it. */
  private awaitClips(): void {
    if (!this.history.kept || this.clips !== undefined) return;
    const fromMs = Date.now() - CLIP_WAIT_MS;
    let since = Infinity;
    for (const row of this.history.values())
      if (row.clip === "" && !row.open && row.endMs > fromMs) since = Math.min(since, row.onsetMs);
    if (since === Infinity) return;
    this.clips = setTimeout(() => void this.askForClips(since), CLIP_EVERY_MS);
  }

  private async askForClips(sinceMs: number): Promise<void> {
    await this.attempt(() => this.history.again(sinceMs));
    this.clips = undefined;
    this.stale = true;
  }

  private fillNames(): void {
    const ids = new Set([...this.app.model.packs.values()].flatMap((pack) => pack.labels.map((label) => label.id)));
    this.names.replaceChildren(...[...ids].sort().map((id) => element("option", { attrs: { value: id } })));
  }

  private offerKeys(): void {
    shortcut("ArrowDown", t.events.keys.down, () => this.move(1), ID);
    shortcut("ArrowUp", t.events.keys.up, () => this.move(-1), ID);
    shortcut("Enter", t.events.keys.play, () => this.current((row) => this.select(row, true)), ID);
    shortcut("r", t.events.keys.right, () => this.current((row) => this.mark(row, "right")), ID);
    shortcut("w", t.events.keys.wrong, () => this.current((row) => this.mark(row, "wrong")), ID);
    shortcut("i", t.teach.keys.is, () => this.current((row) => this.teach(row, "is")), ID);
    shortcut("n", t.teach.keys.not, () => this.current((row) => this.teach(row, "not")), ID);
    shortcut("m", t.tooMany.key, () => this.current((row) => this.tooMany(row)), ID);
    shortcut("h", t.species.open, () => this.app.go("species"), ID);
    shortcut("y", t.events.keys.why, () => this.current((row) => this.why(row)), ID);
  }

  /** The row that has the keyboard, or else the selected one. */
  private currentKey(): string | null {
    return this.list.focusedKey() ?? this.detail.id;
  }

  private current(act: (row: Row) => void): void {
    const key = this.currentKey();
    const row = key === null ? undefined : this.history.get(key);
    if (row) act(row);
  }

  private move(by: number): void {
    const key = this.currentKey();
    let index = key === null ? this.list.firstInSight() - 1 : this.list.indexOf(key);
    do index += by;
    while (this.list.at(index)?.kind === "day");
    this.list.focus(index);
  }
}

export const view: View = new EventsView();
