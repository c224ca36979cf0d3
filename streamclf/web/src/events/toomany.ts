// Too many events of a label: a threshold out of the past day, what it would have changed, and the way into the file.

import { button, element, setText, svg } from "../dom";
import { FRAME_MS, type AdjustedMessage } from "../protocol";
import { t } from "../strings";
import { type App, Failure } from "../view";
import type { Row } from "./row";
import { clockText } from "./texts";

/** What can be chosen: how many a day and stream may be wrong. */
const BUDGETS = [1 / 7, 1, 3, 10, 24];
const USUAL = 1;
const NS_PER_MS = 1e6;
const HOUR_MS = 3_600_000;
/** Events that are named; the picture has all. */
const NAMED = 60;

/** Parts of a decision, as the configuration has them. */
interface Levels {
  enter: number;
  leave: number;
  min_on_ms: number;
}

interface Found {
  stream: string;
  pack: string;
  onset_ns: number;
  offset_ns: number;
  peak: number;
  right: boolean;
}

/** As /v1/thresholds answers. */
interface Proposal {
  label: string;
  hours: number;
  enough: boolean;
  met: boolean;
  now: Levels;
  proposed: Levels;
  low: number;
  high: number;
  since_ns: number;
  until_ns: number;
  before: Found[];
  after: Found[];
  lost: Found[];
  gained: Found[];
}

export class TooMany {
  private readonly title = element("h2", { attrs: { id: "too-many-title" } });
  private readonly budget = element(
    "select",
    { on: { change: () => void this.find() } },
    ...BUDGETS.map((aDay) => element("option", { text: t.tooMany.budget(aDay), attrs: { value: String(aDay) } })),
  );
  private readonly said = element("p", { class: "many-said", attrs: { role: "status" } });
  private readonly found = element("div", { class: "many-found" });
  private readonly apply = button(t.tooMany.apply, () => this.send(this.proposal?.proposed ?? null), { class: "primary" });
  private readonly undo = button(t.tooMany.undo, () => this.send(this.proposal?.now ?? null));
  private readonly close = button(t.tooMany.close, () => this.root.close());
  readonly root: HTMLDialogElement;
  private row: Row | null = null;
  private proposal: Proposal | null = null;
  private asking = new AbortController();
  private waiting = false;

  constructor(private readonly app: App) {
    this.root = element(
      "dialog",
      { class: "too-many", attrs: { "aria-labelledby": "too-many-title" }, on: { close: () => this.asking.abort() } },
      this.title,
      element("p", { class: "hint", text: t.tooMany.how }),
      element("label", { class: "field" }, element("span", { text: t.tooMany.atMost }), this.budget),
      this.said,
      this.found,
      element("div", { class: "many-does" }, this.apply, this.undo, this.close),
    );
    document.body.append(this.root);
    app.connection.on("adjusted", (answer) => this.adjusted(answer));
    app.connection.on("error", ({ code, message }) => code === "bad-adjust" && this.refused(message));
  }

  /** Of the label of `row`. */
  open(row: Row): void {
    this.row = row;
    setText(this.title, t.tooMany.title(this.name()));
    this.budget.value = String(USUAL);
    this.root.showModal();
    this.budget.focus();
    void this.find();
  }

  private name(): string {
    return this.row ? this.app.model.label(this.row.pack, this.row.label).name : "";
  }

  private async find(): Promise<void> {
    if (this.row === null) return;
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    this.proposal = null;
    this.waiting = false;
    this.showDoing();
    setText(this.said, t.tooMany.looking);
    const query = new URLSearchParams({ label: this.row.label, a_day: String(Math.max(0.01, Number(this.budget.value))) });
    try {
      const proposal = await this.app.get<Proposal>(`v1/thresholds?${query}`, asking.signal);
      if (!asking.signal.aborted) this.show(proposal);
    } catch (fault) {
      if (asking.signal.aborted) return;
      this.found.replaceChildren();
      const status = fault instanceof Failure ? fault.status : 0;
      setText(this.said, status === 404 || status === 400 ? (fault as Error).message : t.tooMany.failed((fault as Error).message));
    }
  }

  private show(proposal: Proposal): void {
    const { now, proposed, before, after, lost, gained } = proposal;
    const right = lost.filter((event) => event.right).length;
    const same = now.enter === proposed.enter && now.min_on_ms === proposed.min_on_ms;
    this.proposal = same ? null : proposal;
    setText(
      this.said,
      !proposal.met
        ? t.tooMany.notMet
        : same
          ? t.tooMany.already(before.length)
          : t.tooMany.summary(before.length, after.length, lost.length, gained.length, right),
    );
    this.found.replaceChildren(
      element(
        "dl",
        { class: "facts" },
        ...fact(t.tooMany.begins, t.tooMany.fromTo(t.events.percent(now.enter), t.events.percent(proposed.enter))),
        ...fact(t.tooMany.ends, t.tooMany.fromTo(t.events.percent(now.leave), t.events.percent(proposed.leave))),
        ...fact(t.tooMany.lasts, t.tooMany.fromTo(t.tooMany.ms(now.min_on_ms), t.tooMany.ms(proposed.min_on_ms))),
        ...fact(t.tooMany.expected, proposal.enough ? t.tooMany.interval(proposal.low, proposal.high) : t.tooMany.tooLittle(proposal.hours)),
      ),
      picture(proposal),
      ...this.named(t.tooMany.lost, lost, "lost"),
      ...this.named(t.tooMany.gained, gained, "gained"),
    );
    this.showDoing();
  }

  private named(name: string, events: Found[], kind: string): HTMLElement[] {
    if (events.length === 0) return [];
    const newest = events.slice(-NAMED).reverse();
    return [
      element("h3", { text: t.tooMany.counted(name, events.length) }),
      element(
        "ul",
        { class: `many-list ${kind}`, attrs: { tabindex: "0", "aria-label": name } },
        ...newest.map((event) => {
          const ms = event.onset_ns / NS_PER_MS;
          const text = t.tooMany.event(clockText(ms), event.stream, event.peak, (event.offset_ns - event.onset_ns) / 1e9);
          return element("li", {}, text, event.right ? element("b", { text: ` ${t.tooMany.wasRight}` }) : null);
        }),
      ),
    ];
  }

  private send(levels: Levels | null): void {
    if (levels === null || this.row === null || this.waiting) return;
    const { enter, leave } = levels;
    const min_on_ms = Math.max(FRAME_MS, levels.min_on_ms);
    if (!this.app.connection.send({ type: "adjust", label: this.row.label, enter, leave, min_on_ms })) {
      setText(this.said, t.tooMany.away);
      return;
    }
    this.waiting = true;
    setText(this.said, t.tooMany.writing);
    this.showDoing();
    // the keyboard is not left on a button that has gone
    this.close.focus();
  }

  private adjusted(answer: AdjustedMessage): void {
    const { proposal } = this;
    if (!this.waiting || proposal === null || answer.label !== proposal.label) return;
    this.waiting = false;
    const back = answer.enter === proposal.now.enter && answer.min_on_ms === proposal.now.min_on_ms;
    setText(this.said, back ? t.tooMany.undone : t.tooMany.applied(this.name(), answer.enter, answer.kept));
    this.showDoing(back ? "apply" : "undo");
    (back ? this.apply : this.undo).focus();
  }

  private refused(message: string): void {
    if (!this.waiting) return;
    this.waiting = false;
    setText(this.said, t.tooMany.refused(message));
    this.showDoing();
    this.apply.focus();
  }

  /** Which of the buttons there is something to do for. */
  private showDoing(next: "apply" | "undo" = "apply"): void {
    const ready = this.proposal !== null && this.proposal.met && !this.waiting;
    this.apply.hidden = next !== "apply";
    this.undo.hidden = next !== "undo";
    this.apply.disabled = this.undo.disabled = !ready;
  }
}

function fact(name: string, value: string): HTMLElement[] {
  return [element("dt", { text: name }), element("dd", { text: value })];
}

const WIDTH = 720;
const LEFT = 92;
const LANE = 26;
const LANES = ["before", "after"] as const;

/** The day as two lanes: what is an event now, and what would have been. */
function picture({ since_ns, until_ns, before, after, lost, gained }: Proposal): HTMLElement {
  const sinceMs = since_ns / NS_PER_MS;
  const spanMs = until_ns / NS_PER_MS - sinceMs;
  const at = (ms: number): number => LEFT + ((ms - sinceMs) / spanMs) * (WIDTH - LEFT);
  const bottom = LANES.length * (LANE + 8);
  const drawn = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${bottom + 20}`,
    class: "many-picture",
    role: "img",
    "aria-label": t.tooMany.picture(before.length, after.length),
  });
  const apart = { before: new Set(lost.map(key)), after: new Set(gained.map(key)) };
  LANES.forEach((lane, index) => {
    const y = index * (LANE + 8);
    const word = svg("text", { x: "0", y: String(y + LANE / 2 + 5) });
    word.textContent = t.tooMany.lanes[lane];
    drawn.append(word, svg("rect", { class: "lane", x: String(LEFT), y: String(y), width: String(WIDTH - LEFT), height: String(LANE), rx: "4" }));
    for (const event of lane === "before" ? before : after) {
      const x = at(event.onset_ns / NS_PER_MS);
      const width = Math.max(2.5, at(event.offset_ns / NS_PER_MS) - x);
      const kind = apart[lane].has(key(event)) ? (lane === "before" ? "lost" : "gained") : "kept";
      const attrs = { class: kind, x: x.toFixed(1), y: String(y + 3), width: width.toFixed(1), height: String(LANE - 6), rx: "1" };
      drawn.append(svg("rect", attrs));
      if (event.right) drawn.append(svg("circle", { class: "right", cx: (x + width / 2).toFixed(1), cy: String(y + LANE / 2), r: "4" }));
    }
  });
  const first = new Date(sinceMs);
  first.setMinutes(0, 0, 0);
  for (let ms = first.getTime() + HOUR_MS; ms < sinceMs + spanMs; ms += HOUR_MS) {
    const hour = new Date(ms).getHours();
    if (hour % 6 !== 0) continue;
    const word = svg("text", { class: "hour", x: at(ms).toFixed(1), y: String(bottom + 14), "text-anchor": "middle" });
    word.textContent = t.tooMany.hour(hour);
    drawn.append(svg("line", { x1: at(ms).toFixed(1), x2: at(ms).toFixed(1), y1: "0", y2: String(bottom - 6) }), word);
  }
  return element("figure", { class: "many-figure" }, drawn as unknown as HTMLElement, element("figcaption", { text: t.tooMany.legend }));
}

function key({ stream, pack, onset_ns }: Found): string {
  return `${stream}/${pack}/${onset_ns}`;
}
