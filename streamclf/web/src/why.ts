// Why somebody was told of an event or was not, and why nothing was heard at an instant.

import "./why.css";

import { button, element, setText } from "./dom";
import { localTimeText, nsText } from "./events/filter";
import { clockText } from "./events/texts";
import { t } from "./strings";
import { type App, Failure, type View } from "./view";
import { type EventWhy, type InstantWhy, eventPart, nearestPart } from "./whyparts";

const AROUND_S = [1, 5, 30, 120];
const ID = "why";

class WhyView implements View {
  readonly id = ID;
  readonly title = t.views.why;
  private app!: App;
  private readonly stream = element("select");
  private readonly time = element("input", { attrs: { type: "datetime-local", step: "1", required: "" } });
  private readonly around = element(
    "select",
    {},
    ...AROUND_S.map((s) => element("option", { text: t.why.aroundSeconds(s), attrs: { value: String(s) } })),
  );
  private readonly said = element("p", { class: "why-said", attrs: { role: "status" } });
  private readonly answer = element("div", { class: "why-answer" });
  private asking = new AbortController();
  private detail = "";

  mount(root: HTMLElement, app: App): void {
    this.app = app;
    this.around.value = "5";
    this.time.value = secondsText(Date.now());
    root.append(
      element(
        "form",
        { class: "panel why-ask", on: { submit: (event) => this.submit(event) } },
        element("h2", { text: t.why.ask }),
        field(t.why.stream, this.stream),
        field(t.why.time, this.time),
        field(t.why.around, this.around),
        element("button", { class: "primary", text: t.why.find, attrs: { type: "submit" } }),
        button(t.why.now, () => this.setNow()),
      ),
      this.said,
      this.answer,
    );
    app.model.changed.on("hello", () => this.greeted());
  }

  shown(detail: string): void {
    this.detail = detail;
    this.greeted();
  }

  private greeted(): void {
    const { model } = this.app;
    if (model.hello === null) return;
    const chosen = this.stream.value;
    this.stream.replaceChildren(
      ...[...model.streams.keys()].map((name) => element("option", { text: name, attrs: { value: name } })),
    );
    if (chosen) this.stream.value = chosen;
    void this.show(this.detail);
  }

  private submit(event: SubmitEvent): void {
    event.preventDefault();
    const ms = Date.parse(this.time.value);
    if (Number.isNaN(ms)) return;
    const detail = `${this.stream.value}@${ms}`;
    // the same question again: a changed `around` is not in the address
    if (detail === this.detail) void this.show(detail);
    else this.app.go(ID, detail);
  }

  private setNow(): void {
    this.time.value = secondsText(Date.now());
  }

  private async show(detail: string): Promise<void> {
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    this.answer.replaceChildren();
    setText(this.said, detail ? t.why.looking : t.why.start);
    if (!detail) return;
    const instant = /^(.*)@(\d+(?:\.\d+)?)$/.exec(detail);
    try {
      const parts = instant
        ? await this.askInstant(instant[1]!, Number(instant[2]), asking.signal)
        : await this.askEvent(detail, asking.signal);
      setText(this.said, "");
      this.answer.replaceChildren(...parts);
    } catch (fault) {
      if (asking.signal.aborted) return;
      const missing = fault instanceof Failure && fault.status === 404;
      const { message } = fault as Error;
      setText(this.said, missing ? t.why.missing(message) : t.why.failed(message));
    }
  }

  private async askEvent(id: string, signal: AbortSignal): Promise<HTMLElement[]> {
    const found = await this.app.get<EventWhy>(`v1/why?event=${encodeURIComponent(id)}`, signal);
    const at = Math.round(found.event.onset_ns / 1e6);
    const around = button(t.why.momentOf, () => this.app.go(ID, `${found.event.stream}@${at}`));
    return [eventPart(found, this.app.model, true), element("p", { class: "why-more" }, around)];
  }

  private async askInstant(stream: string, ms: number, signal: AbortSignal): Promise<HTMLElement[]> {
    this.time.value = secondsText(ms);
    if (this.app.model.streams.has(stream)) this.stream.value = stream;
    const seconds = Number(this.around.value);
    const query = new URLSearchParams({ stream, at_ns: nsText(ms), around_ms: String(seconds * 1000) });
    const found = await this.app.get<InstantWhy>(`v1/why?${query}`, signal);
    const { model } = this.app;
    const heading = element("h2", { text: t.why.instant(clockText(ms), stream, seconds) });
    const events = found.events.map((event) => eventPart(event, model, false));
    const none = element("p", { class: "why-none", text: t.why.noEvent });
    return [heading, ...(events.length > 0 ? events : [none]), nearestPart(found)];
  }
}

/** Local date and time to the second, as the field wants it. */
function secondsText(ms: number): string {
  return `${localTimeText(ms)}:${String(new Date(ms).getSeconds()).padStart(2, "0")}`;
}

function field(name: string, inside: HTMLElement): HTMLElement {
  return element("label", { class: "field" }, element("span", { text: name }), inside);
}

export const view: View = new WhyView();
