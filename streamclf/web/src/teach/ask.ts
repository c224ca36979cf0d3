// Asking what a sound is; the dialog is fetched when it is first wanted.

import type { Row } from "../events/row";
import { clockText } from "../live/axis";
import { isTaught } from "../model";
import { t } from "../strings";
import type { App } from "../view";
import type { Sound, TeachDialog } from "./dialog";

export class Asker {
  private dialog: TeachDialog | null = null;

  constructor(private readonly app: App) {}

  /** name: of the class that it may be, "" where nobody knows. */
  async open(sound: Sound, name = ""): Promise<void> {
    const { TeachDialog } = await import("./dialog");
    this.dialog ??= new TeachDialog(this.app);
    this.dialog.open(sound, name);
  }

  /** What an event is; or that it is not what it was taken for, which a class that was taught learns without asking. */
  event(row: Row, said: "is" | "not"): void {
    if (this.app.role !== "admin" || row.stored === null) return;
    const { name } = this.app.model.label(row.pack, row.label);
    const known = isTaught(row.pack);
    if (said === "not" && known) {
      const sent = this.app.connection.send({ type: "mark", event: row.id, mark: "wrong", label: "" });
      if (sent) this.app.connection.send({ type: "teach", label: row.label, name: "", said, event: row.id });
      this.app.say(sent ? t.teach.notIt(name) : t.teach.away, sent ? "info" : "problem");
      return;
    }
    const words = t.teach.event(name, row.stream, clockText(row.onsetMs, 1000));
    void this.open({ words, event: row.id }, known ? name : "");
  }
}
