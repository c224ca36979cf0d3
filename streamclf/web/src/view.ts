// What a view is, and what it is given.

import type { Connection } from "./connection";
import type { Model, StreamModel } from "./model";

export type Role = "labels" | "audio" | "admin";

export interface View {
  readonly id: string;
  readonly title: string;
  /** Once, when the view is first opened. */
  mount(root: HTMLElement, app: App): void;
  /** detail: what stands behind the view's name in the address, decoded. */
  shown?(detail: string): void;
  hidden?(): void;
  /** Each animation frame while it is shown. */
  frame?(nowMs: number): void;
}

export interface App {
  readonly model: Model;
  readonly connection: Connection;
  readonly role: Role;
  /** The streams that the reader chose to see; all unless there are many. Changes come as "streams". */
  chosen(): StreamModel[];
  /** GET of a relative address that answers JSON. Throws `Failure`. */
  get<T>(path: string, signal?: AbortSignal): Promise<T>;
  /** Opens a view. */
  go(view: string, detail?: string): void;
  /** A sentence for a moment; a problem stays until it is dismissed. */
  say(text: string, level?: "info" | "problem"): void;
}

/** The daemon refused or could not be reached (status 0). `message` is its own sentence. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}
