// What is heard now, to be read from across a room. A class stands here while the daemon has an open event of it: the
// daemon's own hysteresis keeps it calm.

import { element, setText } from "./dom";
import type { StreamModel, Track } from "./model";
import type { EventMessage, LabelEntry } from "./protocol";
import { UNKNOWN } from "./rings";
import { MEANINGS } from "./states.generated";
import { t } from "./strings";
import type { App, View } from "./view";

const LOOK_MS = 250;
/** A class stays this long at least, or a short bark could not be read. */
const STAY_MS = 1_500;
const MOST_HEARD = 5;
const MOST_NEARLY = 3;
const RECENT_FRAMES = 15;
const SMOOTH = 0.35;
/** Shares of a label's own threshold at which it begins and ceases to be nearly heard. */
const NEARLY_FROM = 0.5;
const NEARLY_UNTIL = 0.3;
const USUAL_ENTER = 0.5;
const SAY_MS = 5_000;
const FRESH_MS = 10_000;

interface Heard {
  name: string;
  strength: number;
  open: boolean;
  seenMs: number;
}

/** Labels that are loud enough to be told, not enough to be an event; smoothed, with a hysteresis of its own. */
class Nearly {
  private readonly smooth: Float32Array;
  private readonly held: Uint8Array;

  constructor(private readonly track: Track) {
    this.smooth = new Float32Array(track.labels);
    this.held = new Uint8Array(track.labels);
  }

  /** The labels that are held now, each with its smoothed probability. */
  look(each: (label: LabelEntry, probability: number) => void): void {
    const { labels } = this.track.pack;
    for (let index = 0; index < labels.length; index++) {
      const label = labels[index]!;
      if (label.hidden) continue;
      const value = recent(this.track, index);
      const smooth = (this.smooth[index] = this.smooth[index]! + SMOOTH * (value - this.smooth[index]!));
      const enter = label.enter ?? USUAL_ENTER;
      this.held[index] = smooth >= enter * (this.held[index] ? NEARLY_UNTIL : NEARLY_FROM) ? 1 : 0;
      if (this.held[index]) each(label, smooth);
    }
  }
}

/** The best of the newest frames; 0 where nothing is known. */
function recent(track: Track, label: number): number {
  let best = 0;
  for (let frame = track.newest; frame > track.newest - RECENT_FRAMES; frame--) {
    const at = track.slot(frame);
    const byte = at < 0 ? UNKNOWN : track.data[at + label]!;
    if (byte !== UNKNOWN && byte > best) best = byte;
  }
  return best / UNKNOWN;
}

/** One stream: the big names, and below them what is nearly heard. */
class StreamCard {
  readonly root: HTMLElement;
  private readonly heardList = element("ul", { class: "now-heard" });
  private readonly nearlyList = element("p", { class: "now-nearly" });
  private readonly quiet = element("p", { class: "now-quiet", text: t.now.quiet });
  private readonly state = element("p", { class: "now-state" });
  private readonly heard = new Map<string, Heard>();
  private readonly nearly: Nearly[];

  constructor(
    private readonly app: App,
    readonly stream: StreamModel,
    named: boolean,
  ) {
    const title = element("h2", { class: "now-stream", text: stream.entry.name });
    this.root = element(
      "article",
      { class: "now-card", attrs: { "aria-label": stream.entry.name } },
      named ? title : null,
      this.state,
      this.heardList,
      this.quiet,
      this.nearlyList,
    );
    this.nearly = [...stream.tracks.values()].map((track) => new Nearly(track));
  }

  look(nowMs: number): void {
    this.lookAtEvents(nowMs);
    this.showState();
    this.showHeard();
    this.showNearly();
  }

  /** What stands here is old where nothing is heard at the moment: it must not look as if it were heard. */
  private showState(): void {
    const { state, detail } = this.stream.entry;
    const connected = this.app.connection.state === "open";
    const listens = connected && (MEANINGS[state]?.heard ?? true);
    setText(this.state, listens ? "" : connected ? t.now.state(MEANINGS[state]?.words ?? state, detail) : t.now.away);
    this.root.classList.toggle("now-stale", !listens);
    this.nearlyList.hidden = !listens;
  }

  private lookAtEvents(nowMs: number): void {
    for (const heard of this.heard.values()) heard.open = false;
    for (const event of this.stream.open.values()) {
      const label = this.app.model.label(event.pack, event.label);
      if (label.hidden) continue;
      const known = this.heard.get(label.name);
      const strength = this.strength(event);
      if (!known) this.heard.set(label.name, { name: label.name, strength, open: true, seenMs: nowMs });
      else {
        known.strength += SMOOTH * (strength - known.strength);
        known.open = true;
      }
    }
    for (const [name, heard] of this.heard)
      if (!heard.open && nowMs - heard.seenMs > STAY_MS) this.heard.delete(name);
  }

  private strength(event: EventMessage): number {
    const track = this.stream.tracks.get(event.pack);
    const index = track?.pack.labels.findIndex((label) => label.id === event.label) ?? -1;
    const value = track && index >= 0 && track.newest >= 0 ? recent(track, index) : 0;
    return value > 0 ? value : event.mean;
  }

  private showHeard(): void {
    const shown = [...this.heard.values()].slice(0, MOST_HEARD);
    while (this.heardList.children.length > shown.length) this.heardList.lastElementChild!.remove();
    shown.forEach(({ name, strength, open }, index) => {
      const line = this.heardList.children[index] ?? this.heardList.appendChild(heardLine());
      const [label, percent, bar] = line.children as unknown as [HTMLElement, HTMLElement, HTMLElement];
      setText(label, name);
      label.title = name;
      (bar.firstElementChild as HTMLElement).style.transform = `scaleX(${strength.toFixed(2)})`;
      setText(percent, t.now.strength(Math.round(strength * 100)));
      line.classList.toggle("now-ending", !open);
    });
    this.quiet.hidden = shown.length > 0 || this.root.classList.contains("now-stale");
  }

  private showNearly(): void {
    const found = new Map<string, number>();
    for (const nearly of this.nearly)
      nearly.look((label, probability) => {
        if (!this.heard.has(label.name)) found.set(label.name, Math.max(probability, found.get(label.name) ?? 0));
      });
    const names = [...found].sort((one, other) => other[1] - one[1]).slice(0, MOST_NEARLY);
    setText(this.nearlyList, names.length ? `${t.now.nearly}: ${names.map(([name]) => name).join(", ")}` : "");
  }
}

function heardLine(): HTMLElement {
  return element(
    "li",
    {},
    element("span", { class: "now-name" }),
    element("span", { class: "now-strength" }),
    element("span", { class: "now-bar", attrs: { "aria-hidden": "true" } }, element("i")),
  );
}

/** Tells a screen reader what has begun, all of a few seconds in one sentence. */
class Announcer {
  readonly root = element("p", { class: "for-readers", attrs: { "aria-live": "polite" } });
  private readonly waiting = new Map<string, string>();
  private saidMs = -Infinity;

  constructor(private readonly app: App) {
    app.model.changed.on("events", (event) => this.take(event));
  }

  say(nowMs: number): void {
    if (this.waiting.size === 0 || nowMs - this.saidMs < SAY_MS) return;
    const several = this.app.model.streams.size > 1;
    const begun = [...this.waiting].map(([name, stream]) => t.now.begun(name, several ? stream : ""));
    setText(this.root, begun.join("; "));
    this.waiting.clear();
    this.saidMs = nowMs;
  }

  private take(event: EventMessage): void {
    if (event.stage !== "open" || event.sent_ms - event.onset_ms > FRESH_MS) return;
    if (this.app.model.streams.get(event.stream)?.entry.test) return;
    const label = this.app.model.label(event.pack, event.label);
    if (!label.hidden) this.waiting.set(label.name, event.stream);
  }
}

/** All streams beside each other. For any view: append `root`, call `frame` on each animation frame. */
export class NowPanel {
  readonly root = element("section", { class: "now", attrs: { "aria-label": t.now.title } });
  private readonly grid = element("div", { class: "now-grid" });
  private readonly announcer: Announcer;
  private cards: StreamCard[] = [];
  private lookedMs = -Infinity;

  constructor(private readonly app: App) {
    this.announcer = new Announcer(app);
    this.root.append(this.grid, this.announcer.root);
    const { changed } = app.model;
    changed.on("hello", () => this.arrange());
    changed.on("streams", () => this.arrange());
    changed.on("events", () => (this.lookedMs = -Infinity));
    this.arrange();
  }

  frame(nowMs: number): void {
    if (nowMs - this.lookedMs < LOOK_MS) return;
    this.lookedMs = nowMs;
    for (const card of this.cards) card.look(nowMs);
    this.announcer.say(nowMs);
  }

  private arrange(): void {
    const chosen = this.app.chosen();
    const real = chosen.filter((stream) => !stream.entry.test);
    // the self-test takes no room from what is real; who chooses its stream sees it
    const streams = real.length > 0 ? real : chosen;
    if (streams.length === this.cards.length && streams.every((stream, at) => stream === this.cards[at]!.stream)) return;
    const several = [...this.app.model.streams.values()].filter((stream) => !stream.entry.test).length > 1;
    this.cards = streams.map((stream) => new StreamCard(this.app, stream, several || stream.entry.test));
    this.grid.replaceChildren(...this.cards.map((card) => card.root));
    this.root.classList.toggle("now-many", this.cards.length > 1);
    this.lookedMs = -Infinity;
  }
}

let panel: NowPanel | null = null;

export const view: View = {
  id: "now",
  title: t.views.now,
  mount(root, app) {
    panel = new NowPanel(app);
    panel.root.classList.add("now-alone");
    root.append(panel.root);
  },
  frame(nowMs) {
    panel?.frame(nowMs);
  },
};
