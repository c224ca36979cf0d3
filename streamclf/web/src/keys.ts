// All keyboard shortcuts in one place: who offers one says what it does, and the help lists it.

export interface Shortcut {
  key: string;
  text: string;
  run: () => void;
  /** Only while this view is shown. */
  view?: string;
}

export const shortcuts: Shortcut[] = [];

/** key: as `KeyboardEvent.key` names it, such as " " or "ArrowLeft". */
export function shortcut(key: string, text: string, run: () => void, view?: string): void {
  shortcuts.push(view === undefined ? { key, text, run } : { key, text, run, view });
}

/** Runs what belongs to the key, unless it is typed into something. */
export function listen(shown: () => string): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || takesKeys(event)) return;
    const found = shortcuts.find(({ key, view }) => key === event.key && (view === undefined || view === shown()));
    if (!found) return;
    event.preventDefault();
    found.run();
  });
}

function takesKeys(event: KeyboardEvent): boolean {
  const target = event.target instanceof Element ? event.target : null;
  if (document.querySelector("dialog[open]")) return true;
  if (target?.closest("input, textarea, select, [contenteditable]")) return true;
  return (event.key === " " || event.key === "Enter") && target?.closest("button, a, summary") != null;
}
