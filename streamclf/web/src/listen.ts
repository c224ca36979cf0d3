// Listening in: the sound of a stream, live, while its button is pressed in and can be seen.

import "./listen.css";

import type { PlayerState } from "./capture";
import { button, element, icon, setText } from "./dom";
import { decodeSound, decodeText, magicOf } from "./protocol";
import { openSocket } from "./socket";
import { t } from "./strings";
import type { App } from "./view";

const RETRY_MS = 1_000;
const LOUDNESS = 0.8;

/** Who plays now: one stream at a time. */
let current: Listener | null = null;

/** A button that plays the stream's sound while it is pressed in, with a volume control while it does. */
export function listenButton(stream: string, app: App): HTMLElement {
  return new Listener(stream, app).root;
}

class Listener {
  readonly root = element("div", { class: "listen" });
  private readonly toggle = button("", () => (current === this ? this.stop() : void this.start()), {
    class: "listen-button",
    attrs: { "aria-pressed": "false" },
  });
  private readonly volume = element("input", {
    class: "listen-volume",
    attrs: { type: "range", min: "0", max: "1", step: "0.01", value: String(LOUDNESS), "aria-label": t.listening.volume },
    on: { input: () => this.setVolume() },
  });
  private readonly state = element("span", { class: "listen-state faint" });
  private context: AudioContext | null = null;
  private gain: GainNode | null = null;
  private player: AudioWorkletNode | null = null;
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private turn = 0;
  private readonly whenHidden = (): void => {
    if (document.hidden) this.stop();
  };
  /** An element that is no longer shown has no size. */
  private readonly size = new ResizeObserver(() => {
    if (current === this && this.toggle.offsetParent === null) this.stop();
  });

  constructor(
    private readonly stream: string,
    private readonly app: App,
  ) {
    this.root.append(this.toggle, this.volume, this.state);
    this.draw(false);
    this.size.observe(this.toggle);
  }

  private async start(): Promise<void> {
    const why = this.whyNot();
    if (why) {
      this.app.say(why, "problem");
      return;
    }
    current?.stop();
    current = this;
    this.draw(true);
    const turn = ++this.turn;
    try {
      await this.prepare();
      // it may have been stopped meanwhile, and even begun again
      if (turn === this.turn) this.connect();
    } catch (fault) {
      if (turn === this.turn) this.fail(fault instanceof Error ? fault.message : String(fault));
    }
  }

  private whyNot(): string {
    if (!isSecureContext) return t.listening.insecure;
    const refused = this.app.model.hello?.no_audio;
    return refused ? t.listening.failed(refused) : "";
  }

  private async prepare(): Promise<void> {
    const { entry } = this.app.model.streams.get(this.stream)!;
    const context = new AudioContext({ sampleRate: entry.rate, latencyHint: "interactive" });
    this.context = context;
    document.addEventListener("visibilitychange", this.whenHidden);
    await context.audioWorklet.addModule(new URL("capture.js", document.baseURI));
    if (this.context !== context) return;
    this.player = new AudioWorkletNode(context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.player.port.onmessage = ({ data }: MessageEvent<PlayerState>) => this.tell(data);
    this.gain = context.createGain();
    this.setVolume();
    this.player.connect(this.gain).connect(context.destination);
    await context.resume();
  }

  private connect(): void {
    const { stream } = this;
    const socket = openSocket();
    this.socket = socket;
    socket.onopen = () =>
      socket.send(JSON.stringify({ type: "subscribe", tier: "events", streams: [stream], packs: [], audio: stream }));
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => this.take(data);
    socket.onclose = () => {
      setText(this.state, t.listening.away);
      this.timer = setTimeout(() => this.connect(), RETRY_MS);
    };
  }

  private take(data: string | ArrayBuffer): void {
    if (typeof data !== "string") {
      if (magicOf(data) !== "SA") return;
      const { firstSample, samples } = decodeSound(data);
      this.player?.port.postMessage({ first: firstSample, samples });
      return;
    }
    const message = decodeText(data);
    if (message.type === "error") this.fail(message.message);
  }

  private tell({ heldMs, playing }: PlayerState): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const delayMs = heldMs + (this.context?.outputLatency ?? 0) * 1000;
    setText(this.state, playing ? t.listening.playing(Math.round(delayMs / 100) * 100) : t.listening.filling);
  }

  private fail(why: string): void {
    this.stop();
    this.app.say(t.listening.failed(why), "problem");
  }

  private stop(): void {
    if (current === this) current = null;
    this.turn++;
    document.removeEventListener("visibilitychange", this.whenHidden);
    clearTimeout(this.timer);
    if (this.socket) {
      this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
      this.socket.close();
    }
    void this.context?.close();
    this.socket = this.context = this.gain = this.player = null;
    this.draw(false);
  }

  private setVolume(): void {
    // twice as far is twice as loud to the ear, roughly
    if (this.gain) this.gain.gain.value = Number(this.volume.value) ** 2;
  }

  private draw(on: boolean): void {
    const text = on ? t.listening.stop : t.listening.start(this.stream);
    this.toggle.replaceChildren(on ? icon(STOP) : icon(CONE, WAVES));
    this.toggle.setAttribute("aria-label", text);
    this.toggle.title = text;
    this.toggle.setAttribute("aria-pressed", String(on));
    this.volume.hidden = this.state.hidden = !on;
    setText(this.state, on ? t.listening.filling : "");
  }
}

const CONE = "M4 9v6h4l5 4V5L8 9z";
const WAVES = "M16.5 8.5a5 5 0 0 1 0 7M19 6a8.5 8.5 0 0 1 0 12";
const STOP = "M7 7h10v10H7z";
