// The view that makes this device a microphone of the daemon's.

import "./microphone.css";

import { button, element, setText } from "./dom";
import type { EventMessage, StreamEntry } from "./protocol";
import { Recording, microphones, whyNot } from "./recording";
import { t } from "./strings";
import type { App, View } from "./view";

const FLOOR_DB = 60;
const HEARD = 5;
/** How fast the meter falls, in dB a second. */
const FALL_DB = 40;
const TELL_MS = 250;

class Microphone implements View {
  readonly id = "microphone";
  readonly title = t.views.microphone;
  private app!: App;
  private recording: Recording | null = null;
  private starting = false;
  private visible = false;
  private levelDb = -FLOOR_DB;
  private drawnMs = 0;
  private toldMs = 0;

  private readonly lead = element("p", { class: "mic-lead", text: t.microphone.lead });
  private readonly note = element("div", { class: "mic-note" });
  private readonly streams = element("select", { attrs: { id: "mic-stream" } });
  private readonly devices = element("select", { attrs: { id: "mic-device" } });
  private readonly promise = element("ul", { class: "mic-promise" });
  private readonly start = button(t.microphone.start, () => void this.begin(), { class: "primary mic-start" });
  private readonly form = element(
    "div",
    { class: "mic-form" },
    element("label", { attrs: { for: "mic-stream" }, text: t.microphone.stream }),
    this.streams,
    element("label", { attrs: { for: "mic-device" }, text: t.microphone.device }),
    this.devices,
    this.promise,
    this.start,
  );
  private readonly fault = element("p", { class: "mic-fault", attrs: { role: "alert" } });
  private readonly state = element("p", { class: "mic-state", attrs: { role: "status" } });
  private readonly bar = element("div", { class: "mic-level-bar" });
  private readonly meter = element(
    "div",
    {
      class: "mic-level",
      attrs: {
        role: "meter",
        "aria-label": t.microphone.level,
        "aria-valuemin": String(-FLOOR_DB),
        "aria-valuemax": "0",
      },
    },
    this.bar,
  );
  private readonly numbers = element("dl", { class: "mic-numbers" });
  private readonly heard = element("ul", { class: "mic-heard" });
  private readonly live = element(
    "div",
    { class: "mic-live" },
    this.state,
    this.meter,
    button(t.microphone.stop, () => this.end(""), { class: "mic-stop" }),
    this.numbers,
    element("h3", { text: t.microphone.heard }),
    this.heard,
  );
  /** Says so while another view is shown. */
  private readonly sign = element(
    "aside",
    { class: "mic-sign", attrs: { "aria-label": t.microphone.sign } },
    button(t.microphone.sign, () => this.app.go(this.id), { class: "plain" }),
    button(t.microphone.stop, () => this.end("")),
  );

  mount(root: HTMLElement, app: App): void {
    this.app = app;
    root.append(
      element(
        "section",
        { class: "panel mic", attrs: { "aria-labelledby": "mic-title" } },
        element("h2", { text: t.microphone.title, attrs: { id: "mic-title" } }),
        this.lead,
        this.note,
        this.form,
        this.fault,
        this.live,
      ),
    );
    this.sign.hidden = this.live.hidden = true;
    document.body.append(this.sign);
    this.streams.onchange = () => this.choose();
    this.devices.onchange = () => void this.change();
    app.model.changed.on("hello", () => this.choose());
    app.model.changed.on("streams", () => this.choose());
    app.model.changed.on("events", (event) => {
      if (event.stream === this.recording?.stream.name) this.list();
    });
    this.choose();
  }

  shown(): void {
    this.visible = true;
    this.sign.hidden = true;
    this.choose();
    if (!whyNot()) void this.nameDevices();
  }

  hidden(): void {
    this.visible = false;
    this.sign.hidden = this.recording === null;
  }

  frame(nowMs: number): void {
    if (!this.recording) return;
    const peakDb = 20 * Math.log10(Math.max(this.recording.takePeak(), 1e-6));
    const fallen = this.levelDb - (FALL_DB * (nowMs - this.drawnMs)) / 1000;
    this.drawnMs = nowMs;
    this.levelDb = Math.max(peakDb, fallen, -FLOOR_DB);
    this.bar.style.transform = `scaleX(${1 + this.levelDb / FLOOR_DB})`;
    this.meter.classList.toggle("clipped", this.levelDb > -0.1);
    if (nowMs - this.toldMs < TELL_MS) return;
    this.toldMs = nowMs;
    this.tell();
  }

  private get chosen(): StreamEntry | undefined {
    return this.app.model.streams.get(this.streams.value)?.entry;
  }

  /** What can be done now: streams that take samples, or what stands in the way. */
  private choose(): void {
    const { hello, streams } = this.app.model;
    const open = [...streams.values()].map(({ entry }) => entry).filter((entry) => entry.push && !entry.test);
    const names = open.map((entry) => entry.name);
    if ([...this.streams.options].map((option) => option.value).join("\n") !== names.join("\n")) {
      const former = this.streams.value;
      this.streams.replaceChildren(...names.map((name) => element("option", { text: name, attrs: { value: name } })));
      if (names.includes(former)) this.streams.value = former;
    }
    const obstacle = this.obstacle(hello !== null, open.length);
    this.note.replaceChildren(...obstacle);
    this.note.hidden = obstacle.length === 0;
    this.form.hidden = obstacle.length > 0;
    this.lead.hidden = this.recording !== null;
    this.start.disabled = this.starting || this.recording !== null;
    this.start.hidden = this.recording !== null;
    // what is asked for already is not chosen anew
    this.streams.disabled = this.starting || this.recording !== null;
    this.devices.disabled = this.starting;
    this.live.hidden = this.recording === null;
    this.sign.hidden = this.recording === null || this.visible;
    const entry = this.chosen;
    const noAudio = hello?.no_audio ?? "";
    if (entry) {
      const sentences = t.microphone.promise(entry.name, location.host, entry.rate, noAudio === "");
      this.promise.replaceChildren(...sentences.map((text) => element("li", { text })));
      this.promise.hidden = this.recording !== null;
    }
  }

  private obstacle(known: boolean, open: number): Node[] {
    const why = whyNot();
    if (why) return [element("p", { text: why }), element("p", { text: t.microphone.secureHow })];
    if (!known) return [element("p", { text: t.microphone.waiting })];
    if (this.app.role === "labels") return [element("p", { text: t.microphone.role })];
    if (open > 0) return [];
    return [
      element("p", { text: t.microphone.noStream }),
      element("p", {}, element("code", { text: "streamclf run --source push:phone" })),
      element("p", { class: "faint", text: t.microphone.noStreamMore }),
    ];
  }

  private async nameDevices(): Promise<void> {
    const known = (await microphones()).filter((device) => device.deviceId !== "default" && device.deviceId);
    const former = this.devices.value;
    const options = [
      element("option", { text: t.microphone.defaultDevice, attrs: { value: "" } }),
      ...known.map(({ deviceId, label }, index) =>
        element("option", { text: label || t.microphone.unnamed(index + 1), attrs: { value: deviceId } }),
      ),
    ];
    this.devices.replaceChildren(...options);
    if (known.some((device) => device.deviceId === former)) this.devices.value = former;
  }

  private async begin(): Promise<void> {
    const entry = this.chosen;
    if (!entry || this.recording || this.starting) return;
    this.starting = true;
    this.fault.textContent = "";
    this.choose();
    try {
      this.recording = await Recording.start(
        entry,
        this.devices.value,
        () => this.tell(),
        (why) => this.end(why),
      );
      this.levelDb = -FLOOR_DB;
      this.list();
      this.tell();
    } catch (fault) {
      this.fault.textContent = fault instanceof Error ? fault.message : String(fault);
    }
    this.starting = false;
    this.choose();
    void this.nameDevices();
  }

  private end(why: string): void {
    this.recording?.stop();
    this.recording = null;
    this.fault.textContent = why;
    if (why && !this.visible) this.app.say(why, "problem");
    this.choose();
    if (this.visible) this.start.focus();
  }

  /** Another microphone, while one is sending. */
  private async change(): Promise<void> {
    if (!this.recording) return;
    this.end("");
    await this.begin();
  }

  private tell(): void {
    const recording = this.recording;
    if (!recording) return;
    const { uplink, stream, device, seconds, asleep } = recording;
    const state = asleep ? "away" : uplink.state;
    this.live.dataset.state = state;
    this.sign.dataset.state = state;
    const said = asleep ? t.microphone.asleep : t.microphone.states[uplink.state](stream.name, uplink.why);
    setText(this.state, said);
    setText(this.sign.firstElementChild!, state === "sending" ? t.microphone.signOf(stream.name) : said);
    this.meter.setAttribute("aria-valuenow", this.levelDb.toFixed(0));
    this.meter.setAttribute("aria-valuetext", t.microphone.levelOf(this.levelDb));
    const facts = t.microphone.numbers({ device, seconds, sent: uplink.sent / 50, lost: uplink.lost });
    const shown = this.numbers.querySelectorAll("dd");
    if (shown.length !== facts.length) {
      this.numbers.replaceChildren(
        ...facts.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", { text: value }))),
      );
    } else {
      facts.forEach(([, value], index) => setText(shown[index]!, value));
    }
  }

  /** The newest events of the stream: what has been heard in what is sent. */
  private list(): void {
    const known = this.app.model.streams.get(this.recording?.stream.name ?? "")?.events ?? [];
    const newest = known.slice(-HEARD).reverse();
    const items = newest.map((event) => this.item(event));
    this.heard.replaceChildren(...(items.length ? items : [element("li", { class: "faint", text: t.microphone.nothing })]));
  }

  private item(event: EventMessage): HTMLLIElement {
    const { name } = this.app.model.label(event.pack, event.label);
    return element(
      "li",
      { class: event.stage === "close" ? "" : "open" },
      element("span", { text: name }),
      element("span", { class: "faint", text: t.microphone.when(event.onset_ms, event.stage !== "close") }),
    );
  }
}

export const view: View = new Microphone();
