// What would be good to know: one event after the other, a key for each answer, and what the answers are good for.

import { button, element, setText } from "../dom";
import { ClipPlayer } from "../events/player";
import { type StoredEvent, rowOfStored } from "../events/row";
import { clockText, dayText, lengthText } from "../events/texts";
import { shortcut } from "../keys";
import { isTaught } from "../model";
import type { AdjustedMessage } from "../protocol";
import { t } from "../strings";
import { type App, Failure } from "../view";

const DEFAULT_RATE = 48_000;
/** So few are left: more are asked for. */
const FEW = 3;
/** Until an event that has ended is in the store. */
const KEPT_MS = 1500;

interface Question {
  event: StoredEvent;
  /** many: it stands for many that are like it; new: unlike what is known. */
  why: "many" | "new";
}

interface Learnt {
  label: string;
  pack: string;
  right: number;
  wrong: number;
  now: { enter: number; leave: number; min_on_ms: number };
  proposed: { enter: number; leave: number; min_on_ms: number } | null;
  /** Of the wrong ones, how many would go; of the right ones, how many too. */
  dropped: number;
  lost: number;
}

interface Review {
  questions: Question[];
  waiting: number;
  learnt: Learnt[];
}

type Verdict = "right" | "wrong" | "skip";

export class Queue {
  private readonly said = element("p", { class: "hint", attrs: { role: "status" } });
  private readonly title = element("h3", { class: "review-title" });
  private readonly when = element("p", { class: "hint" });
  private readonly why = element("p", { class: "review-why" });
  private readonly player = new ClipPlayer();
  private readonly noClip = element("p", { class: "hint", text: t.review.noClip });
  private readonly card: HTMLElement;
  private readonly learnt = element("ul", { class: "review-learnt" });
  readonly box: HTMLElement;
  private questions: Question[] = [];
  private learning: Learnt[] = [];
  private waiting = 0;
  private coming = false;
  private readonly answered = new Set<string>();
  private asking = new AbortController();

  constructor(
    private readonly app: App,
    view: string,
  ) {
    const act = (verdict: Verdict, name: string, key: string): HTMLButtonElement => {
      const made = button("", () => this.answer(verdict), { class: verdict === "right" ? "primary" : "" });
      made.append(name, element("kbd", { text: key, attrs: { "aria-hidden": "true" } }));
      return made;
    };
    this.card = element(
      "article",
      { class: "review-card", attrs: { "aria-live": "polite" } },
      this.title,
      this.when,
      this.why,
      this.player.box,
      this.noClip,
      element(
        "div",
        { class: "review-does" },
        act("right", t.review.yes, "r"),
        act("wrong", t.review.no, "w"),
        act("skip", t.review.skip, "s"),
      ),
    );
    this.box = element(
      "section",
      { class: "panel review", attrs: { "aria-labelledby": "review-title" } },
      element("h2", { text: t.review.title, attrs: { id: "review-title" } }),
      this.said,
      this.card,
      this.learnt,
    );
    this.card.hidden = true;
    shortcut("r", t.review.keys.right, () => this.answer("right"), view);
    shortcut("w", t.review.keys.wrong, () => this.answer("wrong"), view);
    shortcut("s", t.review.keys.skip, () => this.answer("skip"), view);
    shortcut("Enter", t.events.keys.play, () => void this.player.toggle(), view);
    app.connection.on("adjusted", (answer) => this.adjusted(answer));
    app.connection.on("error", ({ code, message }) => {
      if (code === "bad-adjust" && !this.box.hidden) app.say(t.tooMany.refused(message), "problem");
    });
  }

  async load(): Promise<void> {
    if (this.app.model.hello === null) return;
    this.box.hidden = this.app.role !== "admin";
    if (this.box.hidden) return;
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    if (this.questions.length === 0) setText(this.said, t.review.loading);
    try {
      const found = await this.app.get<Review>("v1/review", asking.signal);
      if (asking.signal.aborted) return;
      this.questions = found.questions.filter(({ event }) => !this.answered.has(event.id));
      this.waiting = found.waiting;
      this.learning = found.learnt;
      this.showLearnt();
      this.show();
    } catch (fault) {
      if (asking.signal.aborted) return;
      this.card.hidden = true;
      const none = fault instanceof Failure && fault.status === 404;
      setText(this.said, none ? t.review.none : t.review.failed((fault as Error).message));
    }
  }

  /** An event has ended: where nothing was left to ask, there may be again, once it is kept. */
  more(): void {
    if (this.questions.length > 0 || this.coming) return;
    this.coming = true;
    setTimeout(() => {
      this.coming = false;
      if (this.questions.length === 0) void this.load();
    }, KEPT_MS);
  }

  hidden(): void {
    this.player.clear();
  }

  private answer(verdict: Verdict): void {
    const question = this.questions[0];
    if (question === undefined || this.card.hidden) return;
    const { event } = question;
    if (verdict !== "skip") {
      const { connection } = this.app;
      if (!connection.send({ type: "mark", event: event.id, mark: verdict, label: "" })) {
        this.app.say(t.events.markAway, "problem");
        return;
      }
      // what was taught learns from it at once
      if (isTaught(event.pack)) {
        const said = verdict === "right" ? "is" : "not";
        connection.send({ type: "teach", label: event.label, name: "", said, event: event.id });
      }
    }
    this.answered.add(event.id);
    this.questions.shift();
    this.waiting--;
    this.show();
    // what is best to ask next depends on what was answered
    if (this.questions.length <= FEW && this.waiting > this.questions.length) void this.load();
    else if (this.questions.length === 0) void this.load();
  }

  private show(): void {
    const question = this.questions[0];
    this.card.hidden = question === undefined;
    setText(this.said, question === undefined ? t.review.empty : t.review.waiting(this.waiting));
    if (question === undefined) {
      this.player.clear();
      return;
    }
    const row = rowOfStored(question.event);
    const name = this.app.model.label(row.pack, row.label).name;
    setText(this.title, t.review.is(name));
    const day = dayText(row.onsetMs, Date.now());
    setText(this.when, t.review.when(day, clockText(row.onsetMs), row.stream, lengthText(row.endMs - row.onsetMs)));
    setText(this.why, t.review.why[question.why](row.peak, question.event.enter));
    const clip = row.clip !== "";
    this.noClip.hidden = clip;
    if (clip) void this.player.show(row, this.app.model.streams.get(row.stream)?.entry.rate ?? DEFAULT_RATE, false);
    else this.player.clear();
  }

  private showLearnt(): void {
    this.learnt.replaceChildren(
      ...this.learning.map((one) => {
        const name = this.app.model.label(one.pack, one.label).name;
        const { proposed } = one;
        const use = (): void => {
          if (!this.app.connection.send({ type: "adjust", label: one.label, ...proposed })) this.app.say(t.tooMany.away, "problem");
        };
        return element(
          "li",
          {},
          element("b", { text: name }),
          element("span", { text: t.review.counts(one.right, one.wrong) }),
          proposed
            ? element("span", { class: "review-gain", text: t.review.gain(one.now.enter, proposed.enter, one.dropped, one.wrong, one.lost, one.right) })
            : null,
          proposed ? button(t.review.use, use, { attrs: { "aria-label": t.review.useFor(name) } }) : null,
        );
      }),
    );
  }

  private adjusted(answer: AdjustedMessage): void {
    const one = this.learning.find(({ label }) => label === answer.label);
    if (one === undefined || one.proposed?.enter !== answer.enter) return;
    this.app.say(t.tooMany.applied(this.app.model.label(one.pack, one.label).name, answer.enter, answer.kept));
    void this.load();
  }
}
