// What besides streams there is to know of a daemon: models, subscribers, disk, alerts, self-test, process.

import { element, setText } from "../dom";
import { t } from "../strings";
import { Badge, Facts, write } from "./parts";
import type { PackStatus, SinkStatus, Status } from "./status";

export class Models {
  readonly root: HTMLElement;
  private readonly table: Table<PackStatus>;

  constructor() {
    const s = t.streams;
    this.table = new Table([s.model, s.provider, s.hop, s.run, s.rtf, s.sensitivity, s.heardBy], (pack) => [
      `${pack.name} ${pack.version}`,
      pack.provider,
      s.milliseconds(pack.hop_ms),
      pairOf(pack.run_ms_p50, pack.run_ms_p99),
      pack.rtf === null ? null : s.share(pack.rtf),
      s.sensitivities[pack.sensitivity],
      pack.problem || s.number(pack.streams),
    ]);
    const hint = element("p", { class: "faint", text: s.sensitivityHint });
    this.root = element("section", { class: "panel" }, element("h2", { text: s.models }), this.table.root, hint);
  }

  show(packs: PackStatus[]): void {
    this.table.show(packs);
  }
}

/** Panels for the admin. */
export class Daemon {
  readonly root = element("div", { class: "health-daemon" });
  private readonly machine = new Facts();
  private readonly served = new Facts();
  private readonly store = new Facts();
  private readonly storeOff = element("p", { class: "faint", text: t.streams.storeOff });
  private readonly rules = element("p");
  private readonly unknown = element("p");
  private readonly selftest = new Facts();
  private readonly sinks: Table<SinkStatus>;

  constructor() {
    const s = t.streams;
    this.sinks = new Table([s.sink, s.type, s.state, s.pending, s.sent, s.failedTries, s.dead], (sink) => [
      sink.name,
      sink.type,
      stateOf(sink),
      s.number(sink.pending),
      s.number(sink.sent),
      s.number(sink.failed),
      s.number(sink.dead),
    ]);
    const panel = (title: string, ...parts: HTMLElement[]): HTMLElement =>
      element("section", { class: "panel" }, element("h2", { text: title }), ...parts);
    const alerts = panel(s.alerts, this.rules, this.unknown, this.sinks.root);
    alerts.classList.add("wide");
    this.root.append(
      panel(s.machine, this.machine.root),
      panel(s.served, this.served.root),
      panel(s.store, this.storeOff, this.store.root),
      panel(s.selftest, this.selftest.root),
      alerts,
    );
  }

  show(status: Status): void {
    this.showMachine(status);
    this.showServed(status.server);
    this.showStore(status.store, status.now_ms);
    this.showAlerts(status.alerts);
    this.showSelftest(status.selftest);
  }

  private showMachine({ process, pace }: Status): void {
    if (process === null) return;
    const s = t.streams;
    this.machine.set(s.version, process.version);
    this.machine.set(s.uptime, s.span(process.uptime_s));
    this.machine.set(s.cpu, process.cpu === null ? null : s.cpuText(process.cpu, process.cores));
    this.machine.set(s.memory, process.memory_bytes === null ? null : s.size(process.memory_bytes));
    this.machine.set(s.pace, s.rungs[pace.name] ?? pace.name, pace.rung > 0 ? "warn" : "good");
    this.machine.set(s.tick, pairOf(pace.tick_ms_p50, pace.tick_ms_p99));
  }

  private showServed(server: Status["server"]): void {
    if (server === null) return;
    const s = t.streams;
    const lost = (name: string, count: number): void => this.served.set(name, s.count(count), count > 0 ? "warn" : "good");
    this.served.set(s.subscribers, s.number(server.subscribers));
    this.served.set(s.messages, s.number(server.messages));
    lost(s.lagged, server.lagged_rows);
    lost(s.pictures, server.pictures_dropped);
    lost(s.cut, server.cut_off);
    lost(s.border, server.border_rows);
    this.served.set(s.refused, s.count(server.refused));
  }

  private showStore(store: Status["store"], nowMs: number): void {
    this.storeOff.hidden = store !== null;
    this.store.root.hidden = store === null;
    if (store === null) return;
    const s = t.streams;
    this.store.set(s.kept, s.number(store.events));
    this.store.set(s.database, s.size(store.database_bytes));
    this.store.set(s.written, store.written_ms === null ? null : s.ago((nowMs - store.written_ms) / 1000));
    this.store.set(s.waiting, s.count(store.waiting));
    this.store.set(s.lost, s.count(store.lost), store.lost > 0 ? "bad" : "good");
    this.store.set(s.clips, store.clips === null ? s.off : s.clipsText(store.clips, store.clips_bytes ?? 0));
    this.store.set(s.scores, store.scores_bytes === null ? s.off : s.size(store.scores_bytes));
    this.store.set(s.free, s.size(store.free_bytes));
    this.store.set(s.folder, store.folder);
  }

  private showAlerts(alerts: Status["alerts"]): void {
    const s = t.streams;
    setText(this.rules, alerts === null ? s.alertsOff : s.rules(alerts.rules, alerts.file));
    const unknown = Object.entries(alerts?.unknown ?? {}).map(([name, count]) => s.unknownSink(name, count));
    setText(this.unknown, unknown.join(" "));
    this.unknown.hidden = unknown.length === 0;
    this.sinks.root.hidden = !alerts?.sinks.length;
    this.sinks.show(alerts?.sinks ?? []);
  }

  private showSelftest(selftest: Status["selftest"]): void {
    const s = t.streams;
    this.selftest.set(s.selftest, selftest === null ? s.selftestOff : s.selftestText(selftest.label, selftest.every_min));
    if (selftest === null) return;
    const tone = selftest.problem ? "bad" : "good";
    this.selftest.set(s.outcome, s.outcomeText(selftest.passed, selftest.failed), tone);
    this.selftest.set(s.took, selftest.seconds === null ? null : s.milliseconds(selftest.seconds * 1000));
  }
}

/** Lines of named things; the first cell is the name. */
class Table<Item extends { name: string }> {
  readonly root: HTMLElement;
  private readonly body = element("tbody");
  private readonly rows = new Map<string, HTMLElement>();

  constructor(
    heads: string[],
    private readonly cells: (item: Item) => (string | HTMLElement | null)[],
  ) {
    const row = element("tr", {}, ...heads.map((text) => element("th", { text, attrs: { scope: "col" } })));
    const table = element("table", {}, element("thead", {}, row), this.body);
    const attrs = { role: "region", "aria-label": heads[0]!, tabindex: "0" };
    this.root = element("div", { class: "health-table-room", attrs }, table);
  }

  show(items: Item[]): void {
    for (const name of this.rows.keys())
      if (!items.some((item) => item.name === name)) {
        this.rows.get(name)!.remove();
        this.rows.delete(name);
      }
    for (const item of items) {
      const values = this.cells(item);
      let row = this.rows.get(item.name);
      if (!row) {
        row = element("tr", {}, element("th", { attrs: { scope: "row" } }), ...values.slice(1).map(() => element("td")));
        this.rows.set(item.name, row);
        this.body.append(row);
      }
      values.forEach((value, at) => {
        const cell = row.children[at] as HTMLElement;
        if (!(value instanceof HTMLElement)) write(cell, value);
        else if (cell.textContent !== value.textContent) cell.replaceChildren(value);
      });
    }
  }
}

function stateOf(sink: SinkStatus): HTMLElement {
  const badge = new Badge();
  badge.set(sink.failing ? "bad" : "good", sink.failing ? t.streams.fails : t.streams.takes);
  return element("div", { class: "sink-state" }, badge.root, sink.failing ? element("p", { text: sink.failing }) : null);
}

function pairOf(p50: number | null, p99: number | null): string | null {
  const ms = t.streams.milliseconds;
  return p50 === null || p99 === null ? null : t.streams.pair(ms(p50), ms(p99));
}
