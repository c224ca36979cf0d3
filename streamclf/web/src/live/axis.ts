// Ticks of the time axis, on round wall-clock times.

const STEPS_S = [0.2, 0.5, 1, 2, 5, 10, 15, 30, 60];
const MIN_SPACE_PX = 84;

/** The time between two ticks so that their texts have room: milliseconds. */
export function tickStepMs(spanMs: number, widthPx: number): number {
  const least = (spanMs * MIN_SPACE_PX) / Math.max(1, widthPx) / 1000;
  return (STEPS_S.find((step) => step >= least) ?? 60) * 1000;
}

/** Local time of day with as many places as the step needs. */
export function clockText(ms: number, stepMs: number): string {
  const at = new Date(ms);
  const pad = (value: number, width = 2): string => String(value).padStart(width, "0");
  const whole = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  if (stepMs >= 1000) return whole;
  return stepMs >= 100 ? `${whole}.${Math.floor(at.getMilliseconds() / 100)}` : `${whole}.${pad(at.getMilliseconds(), 3)}`;
}
