// The events that the list shows: pages of /v1/events, newest first, then whatever is new, by the answer's cursor.

import { type Bounds, type Filter, accepts, boundsOf, nsText, queryOf } from "./filter";
import { type Mark, type Row, type StoredEvent, byOnset, merged, rowOfStored } from "./row";

/** The first page is small, so that there is something to read at once. */
const FIRST_PAGE = 100;
const PAGE = 1000;
/** Rows that are fetched without being asked for; more come by `older`. */
export const FETCHED_AT_ONCE = 10_000;

/** Rows that are kept as new ones come in; then the oldest are forgotten, a thousand at a time, and left to `older`. */
const KEEP = 50_000;
const FORGET = 1000;

export interface Page {
  events: StoredEvent[];
  /** A text at a gateway of many sites; given back as it is. */
  after: number | string;
  more: boolean;
}

export type Ask = (path: string, signal: AbortSignal) => Promise<Page>;

export interface Heard {
  /** A page of what is asked for is there. */
  grown(): void;
  /** An event that is new, not only new here. */
  arrived(row: Row): void;
}

export class History {
  /** Some older ones are left on the server. */
  olderLeft = false;
  /** false until the first page is there, and where nothing is kept. */
  kept = false;
  /** Why there is not more, a sentence; "" where all went well. */
  problem = "";
  private rows = new Map<string, Row>();
  private bounds: Bounds;
  private after: number | string | null = null;
  private stopping = new AbortController();
  private asked = 0;
  /** How much had been asked when an event was marked: what is answered to that does not know of the mark. */
  private readonly markedAt = new Map<string, number>();

  constructor(
    readonly filter: Filter,
    private readonly ask: Ask,
    private readonly heard: Heard,
  ) {
    this.bounds = boundsOf(filter, Date.now());
  }

  get size(): number {
    return this.rows.size;
  }

  get(id: string): Row | undefined {
    return this.rows.get(id);
  }

  values(): Iterable<Row> {
    return this.rows.values();
  }

  /** Forget what is under way: another filter took this one's place. */
  stop(): void {
    this.stopping.abort();
  }

  /** The newest page, then older ones up to FETCHED_AT_ONCE more rows. Rejects with what `ask` rejects with. */
  async load(): Promise<void> {
    await this.fetchOlder(this.bounds.untilMs);
  }

  async older(): Promise<void> {
    // a page may end between events of one moment: the next begins a moment later, and what comes twice is one row
    await this.fetchOlder(this.oldestMs() + 1);
  }

  /** What was stored since the last answer. */
  async catchUp(): Promise<void> {
    let more = this.after !== null;
    while (more) {
      const query = queryOf(this.filter, this.bounds);
      query.set("after", String(this.after));
      query.set("limit", String(PAGE));
      const page = await this.page(query, true);
      this.after = page.after;
      more = page.more;
    }
  }

  /** Ask again for what began at `sinceMs` or later: a clip is added to an event that has been told already. */
  async again(sinceMs: number): Promise<void> {
    const query = queryOf(this.filter, { ...this.bounds, sinceMs: Math.max(sinceMs, this.bounds.sinceMs ?? 0) });
    query.set("limit", String(PAGE));
    await this.page(query);
  }

  /** Take an event that was told live. */
  put(row: Row): void {
    this.take(row, true);
  }

  mark(id: string, mark: Mark, label: string): void {
    const row = this.rows.get(id);
    if (row) this.markedAt.set(id, this.asked);
    if (row?.stored) this.rows.set(id, rowOfStored({ ...row.stored, mark, mark_label: label }));
  }

  private async fetchOlder(fromMs: number | null): Promise<void> {
    const enough = this.rows.size + FETCHED_AT_ONCE;
    let untilMs = fromMs;
    do {
      const query = queryOf(this.filter, this.bounds);
      const limit = this.kept ? PAGE : FIRST_PAGE;
      if (untilMs !== null) query.set("until_ns", nsText(untilMs));
      query.set("limit", String(limit));
      const before = this.rows.size;
      const page = await this.page(query);
      this.after ??= page.after;
      this.olderLeft = page.events.length === limit && this.rows.size > before;
      untilMs = this.oldestMs() + 1;
      this.heard.grown();
    } while (this.olderLeft && this.rows.size < enough);
  }

  private async page(query: URLSearchParams, isNew = false): Promise<Page> {
    const turn = ++this.asked;
    const page = await this.ask(`v1/events?${query}`, this.stopping.signal);
    this.kept = true;
    this.problem = "";
    for (const event of page.events) {
      const marked = turn <= (this.markedAt.get(event.id) ?? 0) ? this.rows.get(event.id)?.stored : null;
      if (marked) Object.assign(event, { mark: marked.mark, mark_label: marked.mark_label });
      this.take(rowOfStored(event), isNew);
    }
    return page;
  }

  private take(row: Row, isNew: boolean): void {
    const before = this.rows.get(row.id);
    const now = before ? merged(before, row) : row;
    if (!accepts(this.filter, this.bounds, now)) return;
    this.rows.set(row.id, now);
    if (!isNew || before) return;
    if (this.rows.size > KEEP) this.forget();
    this.heard.arrived(now);
  }

  private forget(): void {
    const oldest = [...this.rows.values()].sort(byOnset).slice(-FORGET);
    for (const { id } of oldest) this.rows.delete(id);
    this.olderLeft ||= this.kept;
  }

  private oldestMs(): number {
    let oldest = Infinity;
    for (const row of this.rows.values()) if (row.stored) oldest = Math.min(oldest, row.onsetMs);
    return oldest;
  }
}
