// Around the views: head, connection, login; and Now.

import { seconds } from "./words";

export const views = {
  live: "Live",
  now: "Now",
  events: "Events",
  why: "Why",
  teach: "Teach",
  rules: "Rules",
  streams: "Streams",
  microphone: "Microphone",
};

export const shell = {
  product: "streamclf",
  navigation: "Views",
  skip: "Skip to the view",
  stream: "Stream",
  allStreams: "All streams",
  theme: { name: "Theme", auto: "as the system", light: "light", dark: "dark" },
  help: "Keyboard help",
  helpTitle: "Keyboard",
  close: "Close",
  dismiss: "Dismiss",
  demo: (names: string): string => `DEMO: ${names} is a recording in a loop, not what can be heard here.`,
  failed: (reason: string): string => `This view could not be opened: ${reason}`,
  keys: { view: (title: string): string => `Show ${title}`, theme: "Next theme", help: "This list" },
};

export const connection = {
  connecting: "connecting",
  open: "live",
  behind: "live, reduced",
  away: (s: number): string => `not connected for ${seconds(s)}`,
  unreachable: "The daemon cannot be reached.",
  refused: "waiting for a token",
  closed: (reason: string): string => `The daemon ended the connection: ${reason}`,
  back: (s: number, restarted: boolean): string =>
    restarted
      ? `Back after ${seconds(s)}. The daemon was started anew; what it kept of that time is here.`
      : `Back after ${seconds(s)}. What was heard meanwhile has been fetched.`,
  missed: (count: number | null): string =>
    `${count === null ? "Some" : count} rows and events of the time away are no longer held and are missing here.`,
  tier: {
    full: "This page keeps up again: everything is shown.",
    calm: "This page was behind: it now asks for the strongest classes only, without the spectrogram.",
    events: "This page is still behind: it now asks for events only.",
  },
};

export const now = {
  title: "Now",
  quiet: "quiet",
  nearly: "Faintly",
  strength: (percent: number): string => `${percent} %`,
  begun: (names: string, stream: string): string => (stream ? `${names}, ${stream}` : names),
  away: "not connected: nothing new comes",
  state: (state: string, detail: string): string => (detail ? `${state}: ${detail}` : state),
};

export const login = {
  title: "Log in",
  another: "Log in with another token",
  token: "Token",
  logIn: "Log in",
  logOut: "Log out",
  where:
    "Whoever runs this daemon has it: it stands in the file that server.token_file, audio_token_file or labels_token_file names, or in STREAMCLF_TOKEN.",
  odd: "A token has letters, digits and signs only, and no space.",
  role: { labels: "labels", audio: "audio", admin: "admin" },
  roles: {
    labels: "You are logged in with the labels token: you see what is heard. To listen or to send sound, ask for the audio token.",
    audio: "You are logged in with the audio token: you see and hear all, and may send sound. To mark events, ask for the admin token.",
    admin: "You are logged in with the admin token and may do everything.",
  },
  open: "No token is set on this daemon: everybody who reaches it may do everything.",
};
