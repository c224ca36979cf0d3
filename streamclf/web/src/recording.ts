// The microphone on its way to the daemon: permission, audio context, worklet, uplink.

import { firstOf, samplesOf } from "./framer";
import type { StreamEntry } from "./protocol";
import { t } from "./strings";
import { Uplink } from "./uplink";

/** Why this browser cannot record here at all, or an empty text. */
export function whyNot(): string {
  if (!isSecureContext) return t.microphone.insecure;
  if (!navigator.mediaDevices?.getUserMedia || typeof AudioWorkletNode === "undefined") return t.microphone.tooOld;
  return "";
}

/** Microphones by id; their names are known once one may be used. */
export async function microphones(): Promise<MediaDeviceInfo[]> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "audioinput");
}

export class Recording {
  /** Largest magnitude since it was last taken, in [0, 1], and whether full scale was reached. */
  private peak = 0;
  /** Numbers of the first sample that the microphone gave, and behind the last one. */
  private first = NaN;
  private end = NaN;
  private suspendedAtMs: number | null = null;
  private wakeLock: WakeLockSentinel | null = null;
  private stopped = false;
  private readonly stayAwake = (): void => void this.holdWakeLock();

  private constructor(
    readonly stream: StreamEntry,
    private readonly media: MediaStream,
    private readonly context: AudioContext,
    private readonly node: AudioWorkletNode,
    readonly uplink: Uplink,
    ended: (why: string) => void,
  ) {
    node.port.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => this.take(data);
    for (const track of media.getTracks()) track.onended = () => ended(t.microphone.ended);
    context.onstatechange = () => this.count();
    document.addEventListener("visibilitychange", this.stayAwake);
    this.stayAwake();
  }

  /**
   * Asks the browser for the microphone and begins to send. device: "" for the default one. changed: the uplink's state
   * is another one. ended: the microphone is gone. Rejects with an `Error` whose message is a sentence for the user.
   */
  static async start(
    stream: StreamEntry,
    device: string,
    changed: () => void,
    ended: (why: string) => void,
  ): Promise<Recording> {
    const context = makeContext(stream);
    let media: MediaStream | null = null;
    let uplink: Uplink | null = null;
    try {
      media = await askForMicrophone(stream.rate, device);
      await context.audioWorklet.addModule(new URL("capture.js", document.baseURI));
      const node = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
      uplink = new Uplink(stream.name, stream.rate);
      await uplink.settled;
      if (uplink.state !== "sending") throw new Error(uplink.why || t.microphone.unreachable);
      uplink.changed = changed;
      connect(context, media, node, stream);
      await context.resume();
      return new Recording(stream, media, context, node, uplink, ended);
    } catch (fault) {
      uplink?.close();
      media?.getTracks().forEach((track) => track.stop());
      await context.close();
      throw fault;
    }
  }

  get seconds(): number {
    return (this.end - this.first || 0) / this.stream.rate;
  }

  /** The microphone's name, as the browser tells it. */
  get device(): string {
    return this.media.getAudioTracks()[0]?.label ?? "";
  }

  /** Whether the browser has put the sound to sleep. */
  get asleep(): boolean {
    return this.suspendedAtMs !== null;
  }

  /** Largest magnitude since the last call, in [0, 1]. */
  takePeak(): number {
    const peak = this.peak;
    this.peak = 0;
    return peak;
  }

  stop(): void {
    this.stopped = true;
    document.removeEventListener("visibilitychange", this.stayAwake);
    void this.wakeLock?.release();
    this.node.port.onmessage = this.context.onstatechange = null;
    for (const track of this.media.getTracks()) {
      track.onended = null;
      track.stop();
    }
    void this.context.close();
    this.uplink.close();
  }

  private take(message: ArrayBuffer): void {
    const samples = samplesOf(message);
    for (const sample of samples) this.peak = Math.max(this.peak, Math.abs(sample) / 32768);
    if (Number.isNaN(this.first)) this.first = firstOf(message);
    this.end = firstOf(message) + samples.length;
    this.uplink.give(message);
  }

  /** While the browser lets the context sleep, no sample is counted; the count goes on by what was missed. */
  private count(): void {
    if (this.context.state === "running" && this.suspendedAtMs !== null) {
      const missedMs = performance.now() - this.suspendedAtMs;
      this.suspendedAtMs = null;
      this.node.port.postMessage(Math.round((missedMs * this.stream.rate) / 1000));
    } else if (this.context.state !== "running" && this.suspendedAtMs === null) {
      this.suspendedAtMs = performance.now();
      // a phone that rings may refuse; it resumes by itself when the call is over
      this.context.resume().catch(() => undefined);
    }
  }

  private async holdWakeLock(): Promise<void> {
    if (document.visibilityState !== "visible" || !("wakeLock" in navigator)) return;
    try {
      this.wakeLock = await navigator.wakeLock.request("screen");
      if (this.stopped) void this.wakeLock.release();
    } catch {
      // a nearly empty battery refuses it; the sound is sent all the same as long as the screen is on
    }
  }
}

function makeContext({ rate, name }: StreamEntry): AudioContext {
  try {
    return new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  } catch {
    throw new Error(t.microphone.rate(rate, name));
  }
}

async function askForMicrophone(rate: number, device: string): Promise<MediaStream> {
  const audio: MediaTrackConstraints = {
    channelCount: 1,
    echoCancellation: false,
    noiseSuppression: false,
    autoGainControl: false,
    sampleRate: { ideal: rate },
    ...(device ? { deviceId: { exact: device } } : {}),
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (fault) {
    const kind = fault instanceof DOMException ? fault.name : "";
    throw new Error(t.microphone.refusals[kind] ?? t.microphone.failed(String(fault)));
  }
}

function connect(context: AudioContext, media: MediaStream, node: AudioWorkletNode, stream: StreamEntry): void {
  try {
    context.createMediaStreamSource(media).connect(node);
  } catch {
    throw new Error(t.microphone.rate(stream.rate, stream.name));
  }
  // it gives silence, and is only heard through so that every browser runs it
  node.connect(context.destination);
}
