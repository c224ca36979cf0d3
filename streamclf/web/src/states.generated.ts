// Made by `python -m tools.protocol_types` from the table of states in streamclf/states.py: change that, not this.

export type Tone = "good" | "note" | "warn" | "bad";

/** What a state means. words: after “the stream is”; what: in a sentence; ofStream: it is a stream's own. */
export interface Meaning {
  words: string;
  what: string;
  tone: Tone;
  ofStream: boolean;
  heard: boolean;
}

export const MEANINGS: Record<string, Meaning> = {
  lost: {
    words: "lost",
    what: "Its device, its sender or its address is gone, or has not been there yet.",
    tone: "bad",
    ofStream: true,
    heard: false,
  },
  reconnecting: {
    words: "reconnecting",
    what: "It was lost, and is tried again all the time.",
    tone: "bad",
    ofStream: true,
    heard: false,
  },
  gone: {
    words: "gone",
    what: "Its sound has ended for good, and nobody asked for that end.",
    tone: "bad",
    ofStream: true,
    heard: false,
  },
  stalled: {
    words: "stalled",
    what: "Its source is open, but no sample comes.",
    tone: "bad",
    ofStream: true,
    heard: false,
  },
  muted: {
    words: "muted",
    what: "Samples come, but all are digital silence or one stuck value.",
    tone: "bad",
    ofStream: true,
    heard: false,
  },
  unscored: {
    words: "not scored",
    what: "Sound comes, but no model scores it.",
    tone: "bad",
    ofStream: true,
    heard: false,
  },
  problem: {
    words: "in trouble",
    what: "What came is damaged, or cannot be used.",
    tone: "bad",
    ofStream: true,
    heard: false,
  },
  "pack-problem": {
    words: "in trouble",
    what: "A pack does not score: it hangs, fails, or gives values that are not numbers.",
    tone: "bad",
    ofStream: false,
    heard: false,
  },
  paused: {
    words: "paused",
    what: "This machine has no time for it; what is captured meanwhile is a gap.",
    tone: "warn",
    ofStream: true,
    heard: false,
  },
  behind: {
    words: "behind",
    what: "Less is done, because this machine cannot keep up.",
    tone: "warn",
    ofStream: false,
    heard: false,
  },
  waiting: {
    words: "waiting",
    what: "No client pushes it: none has come yet, or it has left.",
    tone: "note",
    ofStream: true,
    heard: false,
  },
  ended: {
    words: "ended",
    what: "It was played to its end, as asked; no sample will come any more.",
    tone: "note",
    ofStream: true,
    heard: false,
  },
  demo: {
    words: "demo",
    what: "A recording plays in a microphone's place, and is scored; it is not what can be heard here.",
    tone: "note",
    ofStream: true,
    heard: true,
  },
  live: {
    words: "live",
    what: "It is heard and scored.",
    tone: "good",
    ofStream: true,
    heard: true,
  },
  resumed: {
    words: "live",
    what: "There is time for it again; it is live then.",
    tone: "good",
    ofStream: true,
    heard: true,
  },
  hop: {
    words: "hop",
    what: "How often a pack runs from now on.",
    tone: "note",
    ofStream: false,
    heard: false,
  },
  "pack-back": {
    words: "back",
    what: "A pack scores again.",
    tone: "good",
    ofStream: false,
    heard: false,
  },
};
