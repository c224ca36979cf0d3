// The pictures of one label: its day by the hour, its days as a calendar, its year by what the pack knows of the place.

import { element, svg } from "../dom";
import { DAY_MS, dateMs, localDateText, startOfDay } from "../events/filter";
import { t } from "../strings";

export const WEEKS = 48;
/** Columns of the calendar: a year. */
const COLUMNS = 53;
const WIDTH = 720;
const HEIGHT = 120;
const BOTTOM = 26;
/** Steps of the calendar's colours; each begins at about three times as many as the one before. */
const STEPS = [1, 3, 10, 30, 100];

export interface HeardDay {
  day: string;
  count: number;
}

export interface CalendarDay {
  day: string;
  count: number;
  /** 0 to 5. */
  step: number;
  /** Week from the left, day of the week from the top, Monday first. */
  column: number;
  row: number;
}

/** The days of the last 53 weeks up to `nowMs`, with what was heard on each. */
export function calendarOf(days: HeardDay[], nowMs: number): CalendarDay[] {
  const counts = new Map(days.map(({ day, count }) => [day, count]));
  const today = startOfDay(nowMs);
  const back = (COLUMNS - 1) * 7 + weekday(today);
  const found: CalendarDay[] = [];
  for (let at = 0; at <= back; at++) {
    // noon, for a day is 23 to 25 hours long
    const day = localDateText(today + DAY_MS / 2 - (back - at) * DAY_MS);
    const count = counts.get(day) ?? 0;
    found.push({ day, count, step: STEPS.filter((least) => count >= least).length, column: Math.floor(at / 7), row: at % 7 });
  }
  return found;
}

/** Of a day the share of its year that is over, 0 to 1. */
export function shareOfYear(ms: number): number {
  const year = new Date(ms).getFullYear();
  const first = new Date(year, 0, 1).getTime();
  return (ms - first) / (new Date(year + 1, 0, 1).getTime() - first);
}

export function hoursFigure(hours: number[]): HTMLElement {
  const most = Math.max(1, ...hours);
  const step = WIDTH / hours.length;
  const drawn = picture(t.species.hoursAre(most, hours.indexOf(most)), HEIGHT + BOTTOM);
  hours.forEach((count, hour) => {
    const height = count === 0 ? 2 : Math.max(4, (count / most) * HEIGHT);
    const bar = svg("rect", {
      class: count === 0 ? "none" : "bar",
      x: (hour * step + 2).toFixed(1), y: (HEIGHT - height).toFixed(1), width: (step - 4).toFixed(1), height: height.toFixed(1), rx: "3",
    });
    const title = svg("title");
    title.textContent = t.species.hour(hour, count);
    bar.append(title);
    drawn.append(bar);
    if (hour % 3 === 0) drawn.append(word(String(hour), (hour + 0.5) * step, HEIGHT + 20));
  });
  return figure(t.species.byHour, drawn);
}

export function daysFigure(days: HeardDay[], nowMs: number): HTMLElement {
  const cell = WIDTH / COLUMNS;
  const calendar = calendarOf(days, nowMs);
  const heard = calendar.filter(({ count }) => count > 0);
  const drawn = picture(t.species.daysAre(heard.length, days.length), 7 * cell + BOTTOM);
  let month = "";
  for (const { day, count, step, column, row } of calendar) {
    const box = svg("rect", {
      class: `day-${step}`,
      x: (column * cell + 1).toFixed(1), y: (row * cell + 1).toFixed(1), width: (cell - 2).toFixed(1), height: (cell - 2).toFixed(1), rx: "2",
    });
    const title = svg("title");
    title.textContent = t.species.day(dayName(day), count);
    box.append(title);
    drawn.append(box);
    if (row === 0 && day.slice(0, 7) !== month) {
      // a month that begins in the first column has no room beside the next one
      if (month !== "" && column < COLUMNS - 2) drawn.append(word(monthName(dateMs(day) ?? 0), column * cell, 7 * cell + 18, "start"));
      month = day.slice(0, 7);
    }
  }
  return figure(t.species.byDay, drawn);
}

/** likely: of each of the year's 48 weeks. */
export function yearFigure(likely: number[], nowMs: number): HTMLElement {
  const most = Math.max(0.01, ...likely);
  const x = (week: number): number => ((week + 0.5) / WEEKS) * WIDTH;
  const y = (value: number): number => 4 + (1 - value / most) * (HEIGHT - 4);
  const line = likely.map((value, week) => `${x(week).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const best = likely.indexOf(Math.max(...likely));
  const drawn = picture(t.species.likelyIs(likely[best] ?? 0, monthName(new Date(2025, Math.floor(best / 4), 15).getTime())), HEIGHT + BOTTOM);
  const now = shareOfYear(nowMs) * WIDTH;
  drawn.append(
    svg("polygon", { class: "area", points: `${x(0).toFixed(1)},${HEIGHT} ${line} ${x(WEEKS - 1).toFixed(1)},${HEIGHT}` }),
    svg("polyline", { class: "line", points: line }),
    svg("line", { class: "now", x1: now.toFixed(1), x2: now.toFixed(1), y1: "0", y2: String(HEIGHT) }),
    word(t.species.percent(most), 0, 14, "start"),
  );
  for (let month = 0; month < 12; month++)
    drawn.append(word(monthName(new Date(2025, month, 15).getTime()), ((month + 0.5) / 12) * WIDTH, HEIGHT + 20));
  const week = Math.min(WEEKS - 1, Math.floor(shareOfYear(nowMs) * WEEKS));
  return figure(t.species.likely(likely[week] ?? 0), drawn);
}

function figure(caption: string, drawn: SVGSVGElement): HTMLElement {
  return element(
    "figure",
    { class: "panel charted" },
    element("figcaption", { text: caption }),
    drawn as unknown as HTMLElement,
  );
}

function picture(name: string, height: number): SVGSVGElement {
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${height.toFixed(1)}`, role: "img", "aria-label": name });
}

function word(text: string, x: number, y: number, anchor = "middle"): SVGTextElement {
  const made = svg("text", { x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor });
  made.textContent = text;
  return made;
}

/** Monday is 0. */
function weekday(ms: number): number {
  return (new Date(ms).getDay() + 6) % 7;
}

function dayName(day: string): string {
  return new Date(dateMs(day) ?? 0).toLocaleDateString(t.locale, { day: "numeric", month: "long", year: "numeric" });
}

function monthName(ms: number): string {
  return new Date(ms).toLocaleDateString(t.locale, { month: "short" });
}
