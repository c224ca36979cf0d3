// The streams: a card each, or a line each in a table where there are many. Trouble first; nodes stay, only texts change.

import { element, setText } from "../dom";
import { t } from "../strings";
import { Badge, Facts, Level, write } from "./parts";
import { byTrouble, type StreamStatus, type Tone } from "./status";

const MOST_CARDS = 8;

interface Entry {
  readonly root: HTMLElement;
  show(stream: StreamStatus, nowMs: number): void;
}

export class StreamList {
  readonly root = element("div", { class: "stream-list" });
  private readonly cards = element("ul", { class: "stream-cards" });
  private readonly body = element("tbody");
  private readonly table: HTMLElement;
  private readonly none = element("p", { class: "faint", text: t.streams.none });
  private readonly found = element("p", { class: "faint", attrs: { role: "status" } });
  private readonly find = element("input", {
    attrs: { type: "search", placeholder: t.streams.find, "aria-label": t.streams.find, spellcheck: "false" },
  });
  private readonly tools = element("div", { class: "stream-tools" }, this.find, this.found);
  private entries = new Map<string, Entry>();
  private compact = false;
  private last: { streams: StreamStatus[]; nowMs: number } | null = null;

  constructor() {
    const s = t.streams;
    const heads = [s.stream, s.state, s.level, s.gaps, s.xruns, s.drift, s.backlog];
    const row = element("tr", {}, ...heads.map((text) => element("th", { text, attrs: { scope: "col" } })));
    const table = element("table", { class: "stream-table" }, element("thead", {}, row), this.body);
    this.table = element("div", { class: "health-table-room", attrs: { role: "region", "aria-label": s.list, tabindex: "0" } }, table);
    this.root.append(this.tools, this.cards, this.table, this.none);
    this.find.addEventListener("input", () => this.last && this.show(this.last.streams, this.last.nowMs));
  }

  show(streams: StreamStatus[], nowMs: number): void {
    this.last = { streams, nowMs };
    const compact = streams.length > MOST_CARDS;
    if (compact !== this.compact) this.entries.clear();
    this.compact = compact;
    this.tools.hidden = this.table.hidden = !compact;
    this.cards.hidden = compact;
    const word = compact ? this.find.value.trim().toLowerCase() : "";
    const chosen = byTrouble(streams).filter(({ name }) => name.toLowerCase().includes(word));
    this.none.hidden = chosen.length > 0 || streams.length === 0;
    setText(this.found, word ? t.streams.found(chosen.length, streams.length) : "");
    const shown = chosen.map((stream) => {
      let entry = this.entries.get(stream.name);
      if (!entry) this.entries.set(stream.name, (entry = compact ? new Row(stream) : new Card(stream)));
      entry.show(stream, nowMs);
      return entry.root;
    });
    const parent = compact ? this.body : this.cards;
    const same = shown.length === parent.childElementCount && shown.every((node, at) => parent.children[at] === node);
    if (!same) parent.replaceChildren(...shown);
  }
}

class Card implements Entry {
  readonly root: HTMLElement;
  private readonly badge = new Badge();
  private readonly since = element("span", { class: "faint" });
  private readonly detail = element("p", { class: "stream-detail" });
  private readonly level = new Level();
  private readonly facts = new Facts();
  private unfit = false;

  constructor(stream: StreamStatus) {
    const head = element("div", { class: "stream-head" }, element("h3", { text: stream.name }), this.badge.root, this.since);
    const source = element("p", { class: "faint stream-source", text: stream.source });
    this.root = element("li", { class: "panel stream-card" }, head, source, this.detail, this.level.root, this.facts.root);
  }

  show(stream: StreamStatus, nowMs: number): void {
    const s = t.streams;
    this.badge.show(stream.state);
    this.root.dataset["tone"] = this.badge.root.dataset["tone"];
    setText(this.since, s.since((nowMs - stream.since_ms) / 1000));
    setText(this.detail, stream.detail);
    this.detail.hidden = stream.detail === "";
    this.level.show(stream.rms_dbfs, stream.peak_dbfs);
    this.facts.set(s.gaps, gapsOf(stream), toneOfGaps(stream));
    this.facts.set(s.xruns, countOf(stream.xruns), stream.xruns ? "warn" : "good");
    this.facts.set(s.drift, driftOf(stream));
    this.facts.set(s.backlog, backlogOf(stream));
    this.facts.set(s.captured, s.span(stream.captured_s));
    if (stream.loudness) this.facts.set(s.loudness, s.loudnessText(stream.loudness));
    this.unfit ||= stream.fitness.length > 0;
    if (this.unfit) this.facts.set(s.fitness, fitnessOf(stream), stream.fitness.length ? "warn" : "good");
  }
}

class Row implements Entry {
  readonly root: HTMLElement;
  private readonly badge = new Badge();
  private readonly detail = element("span", { class: "faint stream-detail" });
  private readonly level = new Level();
  private readonly cells = [0, 1, 2, 3].map(() => element("td", { class: "figure" }));

  constructor(stream: StreamStatus) {
    this.root = element(
      "tr",
      {},
      element("th", { text: stream.name, attrs: { scope: "row", title: stream.source } }),
      element("td", {}, this.badge.root, " ", this.detail),
      element("td", {}, this.level.root),
      ...this.cells,
    );
  }

  show(stream: StreamStatus): void {
    this.badge.show(stream.state);
    setText(this.detail, stream.detail);
    this.level.show(stream.rms_dbfs, stream.peak_dbfs);
    const figures = [gapsOf(stream), countOf(stream.xruns), driftOf(stream), backlogOf(stream)];
    this.cells.forEach((cell, at) => write(cell, figures[at]!));
    this.cells[0]!.dataset["tone"] = toneOfGaps(stream);
    this.cells[1]!.dataset["tone"] = stream.xruns ? "warn" : "good";
  }
}

/** The self-test's stream is cut between two tests. */
function toneOfGaps(stream: StreamStatus): Tone {
  return stream.gaps > 0 && !stream.test ? "warn" : "good";
}

function fitnessOf(stream: StreamStatus): string {
  return stream.fitness.map(({ what, value, unit }) => t.streams.fitnessText(what, value, unit)).join("; ") || t.streams.fit;
}

function gapsOf(stream: StreamStatus): string {
  return t.streams.gapsText(stream.gaps, stream.lost_samples / stream.rate);
}

function countOf(count: number | null): string | null {
  return count === null ? null : t.streams.count(count);
}

function driftOf(stream: StreamStatus): string | null {
  return stream.drift_ppm === null ? null : t.streams.ppm(stream.drift_ppm);
}

function backlogOf(stream: StreamStatus): string | null {
  return stream.backlog_ms === null ? null : t.streams.milliseconds(stream.backlog_ms);
}
