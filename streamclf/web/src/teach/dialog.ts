// "This is … / this is not …": a sound that somebody points at becomes an example of a class.

import "./teach.css";

import { button, element, setText } from "../dom";
import type { TaughtMessage } from "../protocol";
import { t } from "../strings";
import type { App } from "../view";

const NS_PER_MS = 1e6;
/** Nobody answers: what runs on the daemon's other threads takes no longer. */
const ANSWER_MS = 20_000;

/** What is pointed at: an event by the id that the store has, or a stretch of a stream. words: what it is, for a person. */
export type Sound = { words: string } & ({ event: string } | { stream: string; fromMs: number; toMs: number });

export class TeachDialog {
  private readonly what = element("p", { class: "hint" });
  private readonly name = element("input", {
    attrs: { type: "text", required: "", maxlength: "80", autocomplete: "off", list: "taught-names", placeholder: t.teach.placeholder },
    on: { input: () => this.showReady() },
  });
  private readonly names = element("datalist", { attrs: { id: "taught-names" } });
  private readonly is = element("button", { class: "primary", text: t.teach.is(""), attrs: { type: "submit" } });
  private readonly not = button(t.teach.not(""), () => this.send("not"));
  private readonly said = element("p", { class: "teach-said", attrs: { role: "status" } });
  private readonly root: HTMLDialogElement;
  private sound: Sound | null = null;
  private waiting: ReturnType<typeof setTimeout> | undefined;
  private label = "";

  constructor(private readonly app: App) {
    this.root = element(
      "dialog",
      { class: "teach", attrs: { "aria-labelledby": "teach-title" }, on: { close: () => this.stopWaiting() } },
      element(
        "form",
        { on: { submit: (event) => this.submit(event) } },
        element("h2", { text: t.teach.title, attrs: { id: "teach-title" } }),
        this.what,
        element("label", { class: "field" }, element("span", { text: t.teach.name }), this.name),
        this.names,
        this.said,
        element("div", { class: "teach-does" }, this.is, this.not, button(t.shell.close, () => this.root.close())),
      ),
    );
    document.body.append(this.root);
    app.model.changed.on("taught", (news) => this.taught(news));
    app.connection.on("error", ({ code, message }) => code === "bad-teach" && this.refused(message));
  }

  /** name: of the class that it may be, "" where nobody knows. */
  open(sound: Sound, name = ""): void {
    this.sound = sound;
    setText(this.what, sound.words);
    setText(this.said, t.teach.how);
    const known = this.app.model.taughtLabels().map((label) => label.name);
    this.names.replaceChildren(...known.map((value) => element("option", { attrs: { value } })));
    this.name.value = name;
    this.showReady();
    this.root.showModal();
    this.name.focus();
    this.name.select();
  }

  private submit(event: SubmitEvent): void {
    event.preventDefault();
    this.send("is");
  }

  private send(said: "is" | "not"): void {
    const name = this.name.value.trim();
    const known = this.app.model.taughtLabels().find((label) => label.name.toLowerCase() === name.toLowerCase());
    const label = known?.id ?? idOf(name);
    if (this.sound === null || label === "" || this.waiting !== undefined) return;
    const message = messageOf(this.sound, label, known ? "" : name, said);
    if (!this.app.connection.send(message)) {
      setText(this.said, t.teach.away);
      return;
    }
    this.label = label;
    this.waiting = setTimeout(() => this.refused(t.teach.noAnswer), ANSWER_MS);
    setText(this.said, t.teach.learning);
    this.showReady();
  }

  private taught(news: TaughtMessage): void {
    if (this.waiting === undefined || news.label !== this.label) return;
    this.stopWaiting();
    this.app.say(t.teach.taught(news.name || news.label, news.said, news.examples, news.against, news.detail));
    this.root.close();
  }

  private refused(message: string): void {
    if (this.waiting === undefined) return;
    this.stopWaiting();
    setText(this.said, t.teach.refused(message));
    this.showReady();
    this.name.focus();
  }

  private stopWaiting(): void {
    clearTimeout(this.waiting);
    this.waiting = undefined;
  }

  private showReady(): void {
    const name = this.name.value.trim();
    setText(this.is, t.teach.is(name));
    setText(this.not, t.teach.not(name));
    this.is.disabled = this.not.disabled = idOf(name) === "" || this.waiting !== undefined;
  }
}

/** What is sent to teach it. name: for people, "" to leave it as it is. */
export function messageOf(sound: Sound, label: string, name: string, said: "is" | "not"): object {
  const taught = { type: "teach", label, name, said };
  if ("event" in sound) return { ...taught, event: sound.event };
  return { ...taught, stream: sound.stream, from_ns: nanoseconds(sound.fromMs), to_ns: nanoseconds(sound.toMs) };
}

/** An id as packs have them, of a name that a person wrote. */
export function idOf(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, 64);
}

/** A whole number that JSON writes in full. */
function nanoseconds(ms: number): number {
  return Math.round(ms) * NS_PER_MS;
}
