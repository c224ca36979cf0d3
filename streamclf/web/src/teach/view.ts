// What was taught here, with its examples; and the queue of what would be good to know.

import { button, element, setText } from "../dom";
import { clockText, dayText } from "../events/texts";
import type { TaughtMessage } from "../protocol";
import { t } from "../strings";
import { type App, Failure, type View } from "../view";
import { Queue } from "./queue";

interface Example {
  id: string;
  said: "is" | "not";
  event: string;
  stream: string;
  at_ns: number;
}

interface TaughtClass {
  label: string;
  name: string;
  host: string;
  problem: string;
  examples: Example[];
}

class TeachView implements View {
  readonly id = "teach";
  readonly title = t.views.teach;
  private app!: App;
  private queue!: Queue;
  private asking = new AbortController();
  private visible = false;
  /** What was asked for last is to be forgotten, and the answer has not come. */
  private forgetting = false;
  private readonly said = element("p", { class: "hint", attrs: { role: "status" } });
  private readonly list = element("div", { class: "taught-list" });

  mount(root: HTMLElement, app: App): void {
    this.app = app;
    this.queue = new Queue(app, this.id);
    root.append(
      this.queue.box,
      element("section", { class: "panel taught" }, element("h2", { text: t.teach.title2 }), this.said, this.list),
    );
    app.model.changed.on("taught", (news) => this.taught(news));
    app.model.changed.on("hello", () => this.visible && this.shown());
    app.model.changed.on("events", ({ stage }) => this.visible && stage === "close" && this.queue.more());
    app.connection.on("error", ({ code, message }) => {
      if (code !== "bad-teach") return;
      if (this.visible) app.say((this.forgetting ? t.teach.kept : t.teach.refused)(message), "problem");
      this.forgetting = false;
    });
  }

  shown(): void {
    this.visible = true;
    void this.queue.load();
    void this.load();
  }

  hidden(): void {
    this.visible = false;
    this.queue.hidden();
  }

  private taught(news: TaughtMessage): void {
    if (news.said === "forgot") this.forgetting = false;
    if (!this.visible) return;
    if (news.said === "forgot" && !news.example) this.app.say(t.teach.forgotten(news.name || news.label));
    if (news.said === "named") this.app.say(t.teach.named(news.name));
    void this.load();
  }

  private async load(): Promise<void> {
    if (this.app.model.hello === null) return;
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    if (this.list.childElementCount === 0) setText(this.said, t.teach.loading);
    try {
      const { classes } = await this.app.get<{ classes: TaughtClass[] }>("v1/taught", asking.signal);
      setText(this.said, classes.length === 0 ? t.teach.none : "");
      this.list.replaceChildren(...classes.map((one) => this.card(one)));
    } catch (fault) {
      if (asking.signal.aborted) return;
      this.list.replaceChildren();
      const none = fault instanceof Failure && fault.status === 404;
      setText(this.said, none ? (fault as Error).message : t.teach.failed((fault as Error).message));
    }
  }

  private card(one: TaughtClass): HTMLElement {
    const name = one.name || one.label;
    const admin = this.app.role === "admin";
    const is = one.examples.filter(({ said }) => said === "is").length;
    const rename = button(t.teach.rename, () => this.rename(one.label, name), {
      class: "plain",
      attrs: { "aria-label": t.teach.renameOf(name) },
    });
    const forget = button(t.teach.forget, () => this.forget(one.label, "", name), {
      class: "plain",
      attrs: { "aria-label": t.teach.forgetAll(name) },
    });
    return element(
      "article",
      { class: "taught-class" },
      element("div", { class: "taught-head" }, element("h3", { text: name }), admin ? element("span", {}, rename, forget) : null),
      element("p", { class: "hint", text: `${t.teach.counts(is, one.examples.length - is)}; ${t.teach.restsOn(one.host)}` }),
      one.problem ? element("p", { class: "problem", text: one.problem }) : null,
      element(
        "ul",
        { class: "taught-examples", attrs: { tabindex: "0", "aria-label": name } },
        ...one.examples.map((example) => this.example(one, example, admin)),
      ),
    );
  }

  private example(one: TaughtClass, example: Example, admin: boolean): HTMLElement {
    const ms = example.at_ns / 1e6;
    const words = example.stream
      ? t.teach.example(example.said, dayText(ms, Date.now()), clockText(ms), example.stream)
      : t.teach.shown(example.said);
    const last = one.examples.length === 1;
    return element(
      "li",
      { class: example.said },
      element("span", { text: words }),
      admin && !last
        ? button("×", () => this.forget(one.label, example.id, ""), {
            class: "plain",
            attrs: { "aria-label": t.teach.forgetOne(words) },
          })
        : null,
    );
  }

  private rename(label: string, name: string): void {
    const wanted = prompt(t.teach.newName(name), name)?.trim().slice(0, 80);
    if (!wanted || wanted === name) return;
    if (this.app.connection.send({ type: "teach", label, name: wanted }) === false) this.app.say(t.teach.away, "problem");
  }

  /** name: of a whole class, of which a person is asked once more. */
  private forget(label: string, example: string, name: string): void {
    if (name && !confirm(t.teach.sure(name))) return;
    this.forgetting = this.app.connection.send({ type: "forget", label, example }) !== false;
    if (!this.forgetting) this.app.say(t.teach.away, "problem");
  }
}

export const view: View = new TeachView();
