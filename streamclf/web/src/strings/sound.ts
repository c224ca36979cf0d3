// The live view, the microphone, listening in.

import { fixed, locale, oneOf } from "./words";

export const live = {
  plot: "Live picture; the arrow keys scroll, plus and minus zoom, space pauses",
  lanes: "Lanes",
  pause: "Pause",
  resume: "Resume",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  back: "Back to now",
  span: (s: number): string => `${s < 10 ? s.toFixed(1).replace(/\.0$/, "") : Math.round(s)} s across`,
  others: "Other streams",
  show: (name: string): string => `Show ${name} large`,
  waiting: "Nothing has come yet.",
  quiet: "No class is near its threshold.",
  more: (count: number): string => `${count} more classes are active than there are lanes.`,
  meter: "Level",
  meterText: (rms: number, peak: number): string => `${rms.toFixed(0)} dB, peak ${peak.toFixed(0)} dB of full scale`,
  clipped: "clipped",
  gap: (reason: string): string => `gap: ${reason}`,
  noPicture: "no spectrum kept",
  level: (rms: string, peak: string): string => `${rms} dBFS, peak ${peak}`,
  pitch: (hertz: string, db: string): string => `${hertz}: ${db} dB`,
  why: "Why did nothing fire here?",
  hold: "Click or tap to hold an instant, or press comma and full stop to step through the frames.",
  held: (ms: number): string => `a new value every ${ms} ms, held in between`,
  early: (ms: number): string => `first estimates; what is decided after ${ms} ms may differ`,
  late: (ms: number): string => `${Math.round(ms)} ms after the sound`,
  picture: (stream: string, s: number, names: string): string =>
    `The last ${Math.round(s)} seconds of ${stream}: ${names || "nothing is active"}.`,
  paused: (clock: string): string => `Paused at ${clock}`,
  keys: {
    pause: "Pause, go on",
    left: "Scroll back",
    right: "Scroll on",
    zoomIn: "Zoom in",
    zoomOut: "Zoom out",
    end: "Back to now",
    home: "To the oldest that is held",
    before: "Cursor one frame back",
    after: "Cursor one frame on",
    why: "Why nothing fired at the cursor",
    drop: "Take the cursor away",
  },
};

export const microphone = {
  title: "This device as a microphone",
  lead: "Let the daemon hear what this phone or computer hears: put it where the sound is, and watch the labels anywhere.",
  insecure:
    "Browsers let a page use the microphone only where nobody in between can change it: over https, or on the daemon's own machine at localhost. This page came over plain http.",
  secureHow:
    "Put a reverse proxy with a certificate in front of the daemon, or forward its port to this device and open http://localhost there; docs/use/phone.md says how.",
  tooOld: "This browser has no audio worklets, which this page needs; any browser of 2021 or later has them.",
  waiting: "Waiting for the daemon to say which streams it has.",
  role: "Sending sound needs a token with the role audio; this one may only see labels.",
  noStream: "No stream of this daemon takes sound from a browser. Start it with one:",
  noStreamMore: "“phone” is the stream's name; more sources may stand beside it, each with its own --source.",
  stream: "Send to stream",
  device: "Microphone",
  defaultDevice: "The browser's default",
  unnamed: (number: number): string => `Microphone ${number}`,
  promise: (stream: string, host: string, rate: number, listening: boolean): string[] => [
    `From Start to Stop, everything that the microphone hears goes to the daemon at ${host}, as stream “${stream}”: ${rate.toLocaleString(locale)} samples a second, one channel, as it is, about ${Math.round((rate * 2) / 1000)} kB a second. Your browser asks you first.`,
    "The daemon names what it hears. It keeps no sound, unless its owner has switched clips on.",
    listening
      ? "Whoever may listen to this daemon can hear it live."
      : "Nobody can listen to it live: that is off on this daemon.",
    "Nothing is sent before you press Start, nor after Stop. What the network does not take is left out, not sent later.",
  ],
  start: "Start sending",
  stop: "Stop",
  refusals: {
    NotAllowedError:
      "The browser did not allow the microphone. Allow it in the settings of this site, beside the address, and start again.",
    NotFoundError: "This device has no microphone, or not the one that was chosen. Plug one in and start again.",
    OverconstrainedError: "The chosen microphone is gone. Choose another one and start again.",
    NotReadableError: "Another program holds the microphone, or the system refuses it. Close that program and start again.",
  } as Record<string, string>,
  failed: (reason: string): string => `The microphone could not be opened: ${reason}`,
  rate: (rate: number, stream: string): string =>
    `This browser cannot record at the ${rate} Hz of stream “${stream}”. Start the daemon with another rate, such as --source push:${stream},48000, or use another browser.`,
  unreachable: "The daemon cannot be reached, so nothing was recorded. Start again when it is back.",
  ended: "The microphone is gone: it was unplugged, or the browser took it away.",
  asleep: "The browser has put the sound to sleep; what is missed becomes a gap. Keep this page in front.",
  states: {
    connecting: (stream: string, _why: string): string => `Connecting to stream “${stream}”`,
    sending: (stream: string, _why: string): string => `Sending to stream “${stream}”`,
    away: (_stream: string, _why: string): string => "Not connected; what is said now is left out. Trying again.",
    refused: (_stream: string, why: string): string => `The daemon does not take it: ${why}. Trying again.`,
  },
  level: "Level of the microphone",
  levelOf: (db: number): string => `${db.toFixed(0)} dB of full scale`,
  numbers: (facts: { device: string; seconds: number; sent: number; lost: number }): [string, string][] => [
    ["Microphone", facts.device || "unnamed"],
    ["Recorded", `${fixed(facts.seconds, 1)} s`],
    ["Sent", `${fixed(facts.sent, 1)} s`],
    ["Left out", facts.lost ? `${oneOf(facts.lost, "block", "blocks")} of 20 ms` : "nothing"],
  ],
  heard: "Heard in it",
  nothing: "Nothing yet.",
  when: (ms: number, open: boolean): string =>
    open ? "now" : new Date(ms).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
  sign: "The microphone of this device is on",
  signOf: (stream: string): string => `Microphone on: sending to “${stream}”`,
};

export const listening = {
  start: (stream: string): string => `Listen to ${stream}`,
  stop: "Stop listening",
  volume: "Volume",
  filling: "waiting for sound …",
  playing: (ms: number): string => `playing, ${fixed(ms / 1000, 1)} s behind`,
  away: "not connected, trying again",
  insecure: "Listening in needs https, or this page opened at localhost on the daemon's own machine.",
  failed: (reason: string): string => `This cannot be listened to: ${reason}.`,
};
