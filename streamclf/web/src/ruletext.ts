// TOML of a new rule out of a few fields. Nothing of it is sent anywhere: rules are changed in their file only.

export interface Wish {
  name: string;
  /** Ids, group:NAME or *. */
  labels: string[];
  minPeak: number | null;
  minDurationMs: number | null;
  /** 06:00-09:30, or "". */
  time: string;
  cooldownS: number | null;
  /** Names of the file's sinks; none tells all of them. */
  sinks: string[];
  /** Written as the [place] of the file where it has none; "" leaves it out. */
  timezone: string;
}

/** What a rule's name may be. */
export const NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}";

export function composeRule(wish: Wish): string {
  const lines = wish.timezone ? ["[place]", `timezone = ${quoted(wish.timezone)}`, ""] : [];
  lines.push("[[rule]]", `name = ${quoted(wish.name)}`, `labels = ${list(wish.labels)}`);
  if (wish.minPeak !== null) lines.push(`min_peak = ${wish.minPeak}`);
  if (wish.minDurationMs !== null) {
    // an event that opens has no length yet, so the rule waits until it has shown it
    lines.push('stage = "confirmed"', `min_duration_ms = ${wish.minDurationMs}`);
  }
  if (wish.time) lines.push(`time = ${quoted(wish.time)}`);
  if (wish.cooldownS !== null) lines.push(`cooldown_s = ${wish.cooldownS}`);
  if (wish.sinks.length > 0) lines.push(`sinks = ${list(wish.sinks)}`);
  return `${lines.join("\n")}\n`;
}

/** What stands in the way of such a rule, by field. */
export function faultsOf(wish: Wish): ("name" | "labels" | "time")[] {
  const faults: ("name" | "labels" | "time")[] = [];
  if (!new RegExp(`^${NAME_PATTERN}$`).test(wish.name)) faults.push("name");
  if (wish.labels.length === 0) faults.push("labels");
  const [from, until] = wish.time.split("-");
  if (wish.time && (!from || !until || from === until)) faults.push("time");
  return faults;
}

function list(values: string[]): string {
  return `[${values.map(quoted).join(", ")}]`;
}

/** A basic string: JSON's escapes are TOML's, but for DEL and halves of surrogate pairs. */
function quoted(text: string): string {
  const whole = text.replace(/\p{Surrogate}/gu, "\ufffd");
  return JSON.stringify(whole).replaceAll("\x7f", "\\u007f");
}
