// Numbers and times in words, for the texts of the other files here.

export const locale = undefined as string | undefined; // of dates: as the browser has it
export const seconds = (value: number): string => (value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`);
export const oneOf = (count: number, one: string, many: string): string =>
  `${count.toLocaleString(locale)} ${count === 1 ? one : many}`;
export const fixed = (value: number, digits: number): string =>
  value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const percent = (value: number): string => `${Math.round(value * 100)}\u00a0%`;
export const number = (value: number, digits = 0): string => fixed(value, digits);
export const span = (s: number): string => {
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86_400)} days`;
};
export const size = (bytes: number): string => {
  const steps = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(steps.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${number(bytes / 1000 ** step, step > 0 && bytes / 1000 ** step < 100 ? 1 : 0)} ${steps[step]}`;
};
