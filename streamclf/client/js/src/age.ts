// How old what a message tells of is.

/** Milliseconds from the newest sample that a message rests on to now, by a clock that agrees with the daemon's. */
export function ageMs(message: { captured_ms: number }, nowMs: number = Date.now()): number {
  return nowMs - message.captured_ms;
}
