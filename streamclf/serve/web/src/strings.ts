// Every text of the page. To translate it, translate this file.

const seconds = (value: number): string => (value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`);

const views = {
  live: "Live",
  now: "Now",
  events: "Events",
  why: "Why",
  rules: "Rules",
  streams: "Streams",
  microphone: "Microphone",
};

const shell = {
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

const connection = {
  connecting: "connecting",
  open: "live",
  behind: "live, reduced",
  away: (s: number): string => `not connected for ${seconds(s)}, trying again`,
  unreachable: "The daemon cannot be reached.",
  refused: "waiting for a token",
  closed: (reason: string): string => `The daemon ended the connection: ${reason}`,
  back: (s: number, restarted: boolean): string =>
    restarted
      ? `Back after ${seconds(s)}. The daemon was started anew; what it kept of that time is here.`
      : `Back after ${seconds(s)}. What was heard meanwhile has been fetched.`,
  missed: (count: number): string => `${count} rows and events of the time away are no longer held and are missing here.`,
  tier: {
    full: "This page keeps up again: everything is shown.",
    calm: "This page was behind: it now asks for the strongest classes only, without the spectrogram.",
    events: "This page is still behind: it now asks for events only.",
  },
};

const now = {
  title: "Now",
  quiet: "quiet",
  nearly: "Faintly",
  strength: (percent: number): string => `${percent} %`,
  begun: (names: string, stream: string): string => (stream ? `${names}, ${stream}` : names),
  noStreams: "There is no stream.",
};

const live = {
  plot: "Live picture; the arrow keys scroll, plus and minus zoom, space pauses",
  lanes: "Lanes",
  pause: "Pause",
  resume: "Resume",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  back: "Back to now",
  span: (s: number): string => `${s < 10 ? s.toFixed(1).replace(/\.0$/, "") : Math.round(s)} s across`,
  stream: "Stream",
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
  event: (name: string, peak: string): string => `event ${name}, peak ${peak}`,
  why: "Why did nothing fire here?",
  hold: "Click to hold an instant, or press comma and full stop to step through the frames.",
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

const locale = undefined as string | undefined; // of dates: as the browser has it

const oneOf = (count: number, one: string, many: string): string => `${count.toLocaleString(locale)} ${count === 1 ? one : many}`;
const fixed = (value: number, digits: number): string =>
  value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (value: number): string => `${Math.round(value * 100)} %`;

const events = {
  // the list
  list: "Events",
  loading: "Loading what is kept …",
  none: "No event of this kind in this time. Choose a longer time or fewer conditions; what is heard from now on appears here.",
  notKept:
    "No events are kept, so only those since this page was opened are here. To keep them, leave [store] enabled = true in the configuration and start the daemon without --no-store.",
  failed: (reason: string): string => `The kept events could not be fetched: ${reason} Choose a filter again to try once more.`,
  liveOnly: (count: number): string => `${oneOf(count, "event", "events")} here.`,
  count: (count: number, more: boolean): string =>
    more ? `The newest ${oneOf(count, "event", "events")}` : oneOf(count, "event", "events"),
  held: (count: number): string => `↑ ${oneOf(count, "new event", "new events")}`,
  older: "Show older events",
  open: "Open now",
  today: "Today",
  yesterday: "Yesterday",
  // a row
  lasts: (length: string): string => `${length} …`,
  seconds: (value: number): string => `${fixed(value, value < 10 ? 2 : 1)} s`,
  minutes: (minutes: number, rest: number): string => `${minutes} min ${rest} s`,
  percent,
  decibels: (value: number): string => `${fixed(value, 0)} dBFS`,
  why: "why",
  whyOf: (what: string): string => `Why: ${what}`,
  playClip: (what: string): string => `Play the clip of ${what}`,
  markRight: (what: string): string => `Mark as right: ${what}`,
  markWrong: (what: string): string => `Mark as wrong: ${what}`,
  markedRight: "right",
  markedWrong: (label: string): string => (label ? `wrong, was ${label}` : "wrong"),
  markAway: "The mark could not be sent: there is no connection to the daemon. Try again when it is back.",
  // the selected event
  detail: "Selected event",
  closeDetail: "Close the selected event",
  right: "Right",
  wrong: "Wrong",
  itWas: "It was …",
  whyLong: "Why?",
  label: "Label",
  stream: "Stream",
  pack: "Model",
  length: "Length",
  strength: "Strength",
  peakAndMean: (peak: number, mean: number): string => `peak ${percent(peak)}, mean ${percent(mean)}`,
  level: "Level",
  thresholds: "Thresholds",
  enterAndLeave: (enter: number, leave: number): string => `begins at ${percent(enter)}, ends below ${percent(leave)}`,
  ended: "Ended",
  stillOn: "not yet",
  endedBy: {
    quiet: "by quiet",
    gap: "by lost samples",
    end: "with the source",
    stop: "as the daemon stopped",
    crash: "as the daemon crashed",
  } as Record<string, string>,
  // the clip
  play: "Play",
  pause: "Pause",
  clipPlace: "Place in the clip",
  clipDownload: "Download",
  clipLoading: "Loading the clip …",
  clipClock: (at: number, whole: number): string => `${fixed(at, 1)} / ${fixed(whole, 1)} s`,
  clipFailed: (reason: string): string => `The clip could not be fetched: ${reason}`,
  clipUndecoded: (kind: string): string => `This browser cannot decode ${kind}. Download the clip and play it elsewhere.`,
  clipLater: "A clip, where clips are kept, is there once the event is over.",
  noClip: "No clip is kept of this event. To keep clips, set [clips] enabled = true in the configuration.",
  clipRole: "There is a clip; to hear it takes a token with the audio role.",
  // filter
  filter: "Filter of events",
  span: "Time",
  spans: {
    hour: "Last hour",
    day: "Last 24 hours",
    today: "Today",
    yesterday: "Yesterday",
    week: "Last 7 days",
    all: "All that is kept",
    range: "From … to …",
  },
  from: "From",
  until: "To",
  atLeast: "At least",
  anyStrength: "any strength",
  allLabels: "All labels",
  allStreams: "All streams",
  groups: "Groups",
  group: (name: string): string => `All of ${name}`,
  clearFilter: "Clear",
  // the day
  heatTitle: "The day by the hour",
  heatCaption: "How often each label was heard in each hour of the day",
  heatScale: "events an hour",
  heatLoading: "Counting the day …",
  heatEmpty: "Nothing was heard on this day. Choose another one.",
  heatNotKept: "Days are counted out of the kept events, and none are kept here.",
  heatFailed: (reason: string): string => `The day could not be counted: ${reason} Choose the day again to try once more.`,
  heatAll: (count: number): string => `Show all ${count} labels`,
  heatFewer: "Show the most frequent ones",
  heatCell: (count: number, name: string, hour: number): string =>
    `${oneOf(count, "event", "events")} of ${name} from ${hour}:00 to ${hour + 1}:00`,
  hour: (hour: number): string => `${hour}:00 to ${hour + 1}:00`,
  total: "Total",
  day: "Day",
  dayBefore: "Day before",
  dayAfter: "Day after",
  keys: {
    down: "Next event",
    up: "Event before",
    play: "Play or pause the clip",
    right: "Mark as right, or take it back",
    wrong: "Mark as wrong, or take it back",
    why: "Why?",
  },
};

const why = {
  ask: "What happened at a moment?",
  stream: "Stream",
  time: "Date and time",
  around: "Around it",
  aroundSeconds: (s: number): string => (s < 60 ? `± ${s} s` : `± ${s / 60} min`),
  find: "Explain",
  now: "Now",
  start: "Choose a stream and a moment, or press “why” at an event.",
  looking: "Looking it up …",
  missing: (reason: string): string => `${reason} Events are explained as long as they are kept ([store] in the configuration).`,
  failed: (reason: string): string => `This could not be looked up: ${reason} Ask again to try once more.`,
  momentOf: "What else was nearly heard then?",
  instant: (clock: string, stream: string, s: number): string => `${clock} on ${stream}, ± ${s} s`,
  noEvent: "No event was on at that time.",
  eventOf: (name: string, clock: string): string => `${name} at ${clock}`,
  where: (day: string, stream: string, pack: string): string => `${day}, on ${stream}, by ${pack}`,
  heard: (peak: number, enter: number, mean: number, length: string): string =>
    `It reached ${percent(peak)} (an event begins at ${percent(enter)}), ${percent(mean)} on average, for ${length}.`,
  asked: (leave: number, minOn: number, minOff: number): string =>
    `Told after ${minOn} ms; over after ${minOff} ms below ${percent(leave)}.`,
  noRules: "No rule was in force, so nobody was told. Rules are written in the rules file (see Rules).",
  rulesSaid: (count: number): string => `What ${oneOf(count, "rule", "rules")} said`,
  told: "told",
  notTold: "not told",
  notAsked: "said nothing",
  silent: (rule: string, text: string): string => `${rule} ${text}.`,
  labelOnly: (label: string): string => `The rule asks for nothing but the label, ${label}.`,
  passed: "passed",
  stopped: "stopped it here",
  alsoNot: "would not pass either",
  alerts: "Alerts",
  delivery: { sent: "sent", pending: "waits", dead: "given up" },
  deliveryText: (rule: string, when: string, attempts: number, error: string): string =>
    `rule ${rule}, ${when}, ${oneOf(attempts, "attempt", "attempts")}${error ? `; last: ${error}` : ""}`,
  alertNobody: (rule: string, when: string): string => `Rule ${rule} fired at ${when} and names nobody to tell.`,
  nearest: "What came nearest",
  nearestHow: "The best score of each label; the line is where its event would begin.",
};

const rules = {
  title: "Rules",
  loading: "Loading the rules …",
  none: "There is no rule, so nobody is told of anything. Write one into the rules file (rules.toml beside the configuration, or run --rules FILE); the form here writes its text.",
  failed: (reason: string): string => `The rules could not be fetched: ${reason} Open this view again to try once more.`,
  inForce: (count: number, file: string, place: string): string => `${oneOf(count, "rule", "rules")} from ${file}; ${place}.`,
  problem: (text: string): string => `The rules file has a mistake: ${text}`,
  listensTo: "Listens to",
  toldWhen: "Tells when",
  notToldWhen: "but not when",
  tells: "Tells",
  nobody: "nobody",
  sinks: (list: string): string => `Can be told: ${list}.`,
  newRule: "Write a new rule",
  onlyFile: "Rules are only ever changed in their file. This form makes the text; copy it to the end of the file, and the daemon takes it over by itself.",
  name: "Name",
  nameHint: "letters, digits, - and _",
  labels: "Labels",
  labelsHint: "with commas; group:NAME for a group, * for all",
  peak: "Strength at least (0 to 1)",
  duration: "Lasts at least (s)",
  from: "From (time of day)",
  until: "To",
  cooldown: "Then silent for (min)",
  sinksHint: "none chosen: all of them",
  noSinks: "The file names nobody to tell yet: it needs a [sink.NAME] (see Alerts in the README).",
  withPlace: (zone: string): string =>
    `Write [place] with time zone ${zone} as well (only where the file has none; times of day need it)`,
  text: "Text of the rule",
  copy: "Copy",
  check: "Then run “streamclf rules check”.",
  copied: "The rule is copied.",
  copyByHand: "This browser does not let the page copy; the text is selected, copy it by hand.",
  begin: "Fill in a name and labels.",
  faults: {
    name: "The name takes letters, digits, - and _, at most 64.",
    labels: "Name at least one label.",
    time: "A time of day needs both a beginning and another end.",
  },
};

const streams = {};

const login = {};

const microphone = {};

export const t = { locale, views, shell, connection, now, live, events, why, rules, streams, login, microphone };
