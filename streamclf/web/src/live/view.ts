// The live view: one stream large, what there is to read and press around its picture, the other streams below.

import "./live.css";

import { button, element, setText } from "../dom";
import { shortcut } from "../keys";
import { listenButton } from "../listen";
import type { StreamModel } from "../model";
import { NowPanel } from "../now";
import { FRAMES_PER_SECOND } from "../protocol";
import { MEANINGS } from "../states.generated";
import { t } from "../strings";
import type { App, View } from "../view";
import { clockText } from "./axis";
import { attachGestures } from "./gestures";
import { Holes } from "./holes";
import { inspect } from "./inspect";
import { Meter } from "./meter";
import { Plot } from "./plot";
import { Pointing } from "./pointing";
import { Readout } from "./readout";
import { honestyOf, Sides } from "./sides";
import { Strips } from "./strips";

const VALUES_EVERY_MS = 250;
const SAY_EVERY_MS = 5000;
const ZOOM_STEP = 1.5;
const PAN_SHARE = 0.2;
const PHONE_PX = 640;
const PHONE_LANES = 10;
const WIDE_LANES = 30;
const BELOW_PX = 92; // readout and margins under the picture
const MOST_NAMED = 5;

class LivePanel {
  readonly root: HTMLElement;
  private readonly plot = new Plot();
  private readonly sides = new Sides();
  private readonly meter = new Meter();
  private readonly strips: Strips;
  private readonly holes: Holes;
  private readonly pointing: Pointing;
  private readonly readout: Readout;
  private readonly now: NowPanel;
  private readonly title = element("h2", { class: "live-title" });
  private readonly state = element("span", { class: "live-state" });
  private readonly listening = element("span", { class: "live-listen" });
  private readonly pause = button(t.live.pause, () => this.togglePause(), { class: "live-pause" });
  private readonly back = button(t.live.back, () => this.toNow(), { class: "live-back" });
  private readonly span = element("span", { class: "live-span" });
  private readonly notes = element("ul", { class: "live-notes" });
  private readonly empty = element("p", { class: "live-empty" });
  private readonly stage: HTMLElement;
  private stream: StreamModel | null = null;
  private wanted: string | null = null;
  /** Where the pointer is; the cursor goes there while no instant is held. */
  private hovered: { x: number; y: number } | null = null;
  private held = false;
  private valuesMs = -Infinity;
  private saidMs = -Infinity;
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(private readonly app: App) {
    this.strips = new Strips(app.model, (name) => this.choose(name));
    this.holes = new Holes(app.model, () => this.plot.touchPicture());
    this.pointing = new Pointing(app, this.plot, () => this.stream);
    this.readout = new Readout(app, () => this.stream, this.pointing.root);
    this.now = new NowPanel(app);
    this.stage = element(
      "div",
      { class: "live-stage", attrs: { tabindex: "0", role: "group", "aria-label": t.live.plot } },
      this.sides.names,
      element("div", { class: "live-frame" }, this.plot.canvas, this.sides.marks, this.back, this.empty),
    );
    this.root = element(
      "section",
      { class: "live", attrs: { "aria-label": t.views.live } },
      element(
        "div",
        { class: "panel live-main" },
        element(
          "div",
          { class: "live-bar" },
          element("div", { class: "live-head" }, this.title, this.state),
          this.meter.root,
          this.listening,
          this.controls(),
        ),
        this.stage,
        this.readout.root,
        this.notes,
      ),
      element("div", { class: "live-side" }, this.now.root),
      this.strips.root,
    );
    this.plot.onLayout = () => this.layOut();
    attachGestures(this.plot.canvas, {
      pan: (pixels) => this.pan((pixels * this.plot.pixelRatio) / this.plot.viewport.scale),
      zoom: (factor, x) => this.zoom(factor, x * this.plot.pixelRatio),
      hover: (x, y) => this.hover(x, y),
      leave: () => this.leave(),
      click: (x, y) => this.click(x, y),
      mark: (from, to) => this.pointing.drag(from * this.plot.pixelRatio, to * this.plot.pixelRatio),
      ownsWheel: (y) => y < this.plot.layout.axis + this.plot.layout.spectrum,
    });
    inspect(this.stage, this.plot, () => this.stream);
    this.keys();
    this.watch();
  }

  /** Shows the stream of this name large, the first one where there is none. */
  choose(name: string | null): void {
    this.wanted = name ?? this.wanted;
    this.arrange();
  }

  frame(nowMs: number): void {
    this.now.frame(nowMs);
    const { stream, plot } = this;
    if (stream === null) return;
    plot.steady = this.still.matches;
    if (this.hovered && !this.held) plot.cursor = plot.spot(this.hovered.x, this.hovered.y).frame;
    plot.frame(nowMs);
    this.holes.look(stream, nowMs);
    this.meter.look(stream.picture, nowMs);
    this.sides.scale(stream.picture.highHz, plot.layout);
    if (plot.colours) this.strips.look(plot.colours, plot.viewport.span, nowMs);
    if (nowMs - this.valuesMs > VALUES_EVERY_MS) this.read(nowMs);
    if (nowMs - this.saidMs > SAY_EVERY_MS) this.describe(nowMs);
  }

  private controls(): HTMLElement {
    const icon = (text: string, name: string, run: () => void): HTMLButtonElement =>
      button(text, run, { class: "live-round", attrs: { "aria-label": name, title: name } });
    return element(
      "div",
      { class: "live-controls" },
      this.pause,
      icon("−", t.live.zoomOut, () => this.zoomBy(ZOOM_STEP)),
      this.span,
      icon("+", t.live.zoomIn, () => this.zoomBy(1 / ZOOM_STEP)),
    );
  }

  private keys(): void {
    const on = (key: string, text: string, run: () => void): void => shortcut(key, text, run, "live");
    const { keys } = t.live;
    on(" ", keys.pause, () => this.togglePause());
    on("ArrowLeft", keys.left, () => this.pan(-PAN_SHARE * this.plot.viewport.span));
    on("ArrowRight", keys.right, () => this.pan(PAN_SHARE * this.plot.viewport.span));
    on("+", keys.zoomIn, () => this.zoomBy(1 / ZOOM_STEP));
    on("-", keys.zoomOut, () => this.zoomBy(ZOOM_STEP));
    on("Home", keys.home, () => this.pan(-Infinity));
    on("End", keys.end, () => this.toNow());
    on(",", keys.before, () => this.step(-1));
    on(".", keys.after, () => this.step(1));
    on("w", keys.why, () => this.readout.ask());
    on("[", t.teach.keys.begin, () => this.pointing.edge("from"));
    on("]", t.teach.keys.end, () => this.pointing.edge("to"));
    on("i", t.teach.keys.moment, () => this.pointing.ask());
    on("Escape", keys.drop, () => this.drop());
  }

  private watch(): void {
    const { changed } = this.app.model;
    changed.on("hello", () => this.arrange());
    changed.on("streams", () => this.arrange());
    changed.on("events", (event) => {
      if (event.stream !== this.stream?.entry.name || event.stage === "update") return;
      this.plot.touchEvent(event.offset_frame ?? event.onset_frame);
    });
    const retheme = (): void => this.plot.retheme();
    addEventListener("themechange", retheme);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", retheme);
    new ResizeObserver(() => this.measure()).observe(this.plot.canvas.parentElement!);
    addEventListener("resize", () => this.measure());
  }

  /** Takes the streams as they are now. */
  private arrange(): void {
    const streams = this.app.chosen();
    const stream = streams.find(({ entry }) => entry.name === this.wanted) ?? streams[0] ?? null;
    if (stream !== this.stream) this.change(stream);
    this.strips.arrange(streams.filter((other) => other !== stream));
    setText(this.title, stream?.entry.name ?? t.views.live);
    const { state = "", detail = "" } = stream?.entry ?? {};
    const meaning = MEANINGS[state];
    const plain = meaning?.heard ?? false; // the head says what is a demo
    this.state.title = plain ? detail : (meaning?.what ?? detail);
    this.state.dataset["tone"] = meaning?.tone ?? "warn";
    setText(this.state, [plain ? "" : (meaning?.words ?? state), detail].filter(Boolean).join(": "));
  }

  private change(stream: StreamModel | null): void {
    this.stream = stream;
    this.held = false;
    this.plot.show(stream);
    this.listening.replaceChildren(...(stream ? [listenButton(stream.entry.name, this.app)] : []));
    this.showFollowing();
  }

  /** The room there is for the picture. */
  measure(): void {
    const frame = this.plot.canvas.parentElement!;
    const width = frame.clientWidth;
    if (width === 0) return;
    if (this.plot.colours === null) this.plot.retheme();
    const phone = window.innerWidth < PHONE_PX;
    this.plot.compact = phone;
    this.plot.mostLanes = phone ? PHONE_LANES : WIDE_LANES;
    const top = frame.getBoundingClientRect().top + window.scrollY;
    this.plot.resize(width, window.innerHeight - top - BELOW_PX);
  }

  private layOut(): void {
    const { plot, stream } = this;
    if (stream === null) return;
    this.sides.arrange(plot.book.lanes, (at) => plot.inkOf(at), plot.layout);
    const packs = [...new Set(plot.book.lanes.map((lane) => lane.pack))];
    const told = packs.map((name) => [name, honestyOf(stream.tracks.get(name)!.pack)]).filter(([, text]) => text);
    this.notes.replaceChildren(...told.map(([name, text]) => element("li", { text: `${name}: ${text}` })));
    this.valuesMs = -Infinity;
    setText(this.span, t.live.span(plot.viewport.span / FRAMES_PER_SECOND));
  }

  // Moving

  private pan(frames: number): void {
    const { plot } = this;
    const { oldest, newest } = plot.held;
    plot.viewport.pan(frames, oldest, newest + 1);
    this.showFollowing();
  }

  private zoom(factor: number, x: number): void {
    this.plot.viewport.zoom(factor, x);
    this.plot.rescale();
    this.layOut();
    this.plot.touch();
  }

  private zoomBy(factor: number): void {
    this.zoom(factor, this.plot.viewport.width / 2);
  }

  private toNow(): void {
    this.plot.viewport.following = true;
    this.showFollowing();
  }

  private togglePause(): void {
    this.plot.viewport.following = !this.plot.viewport.following;
    this.showFollowing();
  }

  private showFollowing(): void {
    const { following } = this.plot.viewport;
    setText(this.pause, following ? t.live.pause : t.live.resume);
    this.back.hidden = following;
    this.root.classList.toggle("live-paused", !following);
    this.valuesMs = -Infinity;
    this.plot.touch();
  }

  // The cursor

  private hover(x: number, y: number): void {
    this.hovered = { x, y };
    const { span } = this.plot.spot(x, y);
    this.plot.canvas.style.cursor = span ? "pointer" : "crosshair";
    this.plot.touch();
  }

  private leave(): void {
    this.hovered = null;
    if (this.held) return;
    this.plot.cursor = null;
    this.plot.touch();
    this.valuesMs = -Infinity;
  }

  private drop(): void {
    this.held = false;
    this.plot.cursor = null;
    this.pointing.drop();
    this.valuesMs = -Infinity;
  }

  private click(x: number, y: number): void {
    const spot = this.plot.spot(x, y);
    if (spot.span) this.app.go("why", spot.span.event.id);
    else this.hold(spot.frame, { x, y });
  }

  private hold(frame: number, place: { x: number; y: number } | null): void {
    this.held = true;
    this.plot.cursor = frame;
    this.hovered = place;
    this.plot.touch();
    this.valuesMs = -Infinity;
  }

  private step(frames: number): void {
    const { plot } = this;
    const last = Math.ceil(plot.viewport.right) - 1;
    this.hold(Math.min((plot.cursor ?? last) + frames, plot.held.newest), null);
    const x = plot.viewport.xOf(plot.cursor!);
    if (x < 0 || x >= plot.viewport.width) this.pan(plot.cursor! - last);
  }

  // What is said

  private read(nowMs: number): void {
    this.valuesMs = nowMs;
    const { plot, stream } = this;
    if (stream === null) return;
    const { lanes, left } = plot.book;
    const latest = Math.min(...[...stream.tracks.values()].map((track) => track.newest));
    this.sides.values(lanes, stream, plot.cursor ?? Math.min(latest, Math.ceil(plot.viewport.right) - 1));
    const pitch = this.hovered ? plot.spot(this.hovered.x, this.hovered.y).pitch : null;
    this.readout.show(plot, plot.cursor, pitch, this.held);
    this.pointing.look(this.held);
    const words = stream.newestFrame < 0 ? t.live.waiting : lanes.length === 0 ? t.live.quiet : "";
    setText(this.empty, left > 0 ? t.live.more(left) : words);
  }

  private describe(nowMs: number): void {
    this.saidMs = nowMs;
    const { plot, stream } = this;
    if (stream === null) return;
    const names = [...stream.open.values()].map((event) => this.app.model.label(event.pack, event.label).name);
    const more = names.length > MOST_NAMED ? ["…"] : [];
    const heard = [...names.slice(0, MOST_NAMED), ...more].join(", ");
    const paused = plot.viewport.following ? "" : `${t.live.paused(clockText(stream.frameToMs(plot.viewport.right), 1000))}. `;
    const span = plot.viewport.span / FRAMES_PER_SECOND;
    plot.canvas.setAttribute("aria-label", paused + t.live.picture(stream.entry.name, span, heard));
  }
}

let panel: LivePanel | null = null;

export const view: View = {
  id: "live",
  title: t.views.live,
  mount(root, app) {
    panel = new LivePanel(app);
    root.append(panel.root);
  },
  shown(detail) {
    panel?.choose(detail || null);
    panel?.measure();
  },
  frame(nowMs) {
    panel?.frame(nowMs);
  },
};
