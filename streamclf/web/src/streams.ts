// Streams and health: what is wrong and what to do on top, then every stream, then the daemon. Looks every two seconds.

import "./streams.css";

import { button, element, icon, setText } from "./dom";
import { Daemon, Models } from "./health/daemon";
import { Badge, Chart } from "./health/parts";
import { StreamList } from "./health/list";
import { Loudness } from "./health/loudness";
import { toneOf, type Problem, type Status } from "./health/status";
import { changeToken, logout, type Session } from "./login";
import { t } from "./strings";
import { Failure, type App, type View } from "./view";

const LOOK_MS = 2000;
const HISTORY_MS = 300_000;

class Health implements View {
  readonly id = "streams";
  readonly title = t.views.streams;
  private app!: App;
  private shownNow = false;
  private timer = 0;
  private asking = new AbortController();
  private readonly summary = new Badge();
  private readonly problems = element("ul", { class: "health-problems" });
  private readonly failure = element("p", { class: "panel health-failure", attrs: { role: "status", hidden: "" } });
  private readonly body = element("div", { class: "health-body", attrs: { hidden: "" } });
  private readonly list = new StreamList();
  private readonly loudness = new Loudness(() => this.app);
  private readonly models = new Models();
  private readonly latency = new Chart(t.streams.latency, t.streams.milliseconds, HISTORY_MS);
  private readonly load = new Chart(t.streams.load, t.streams.share, HISTORY_MS);
  private readonly daemon = new Daemon();
  private readonly adminOnly = element("p", { class: "faint", text: t.streams.adminOnly });
  private readonly access = element("section", { class: "panel" });
  private said = "";

  mount(root: HTMLElement, app: App): void {
    this.app = app;
    const charts = element("div", { class: "health-charts" }, this.latency.root, this.load.root);
    this.body.append(
      this.list.root,
      this.loudness.root,
      element("section", { class: "panel" }, element("h2", { text: t.streams.history }), charts),
      this.models.root,
      this.daemon.root,
      this.adminOnly,
      this.access,
    );
    const summary = element("p", { class: "health-summary", attrs: { role: "status" } }, this.summary.root);
    const head = element("section", { attrs: { "aria-label": t.streams.problems } }, summary, this.problems);
    root.append(element("h2", { class: "for-readers", text: this.title }), head, this.failure, this.body);
    this.summary.set("note", t.streams.loading);
    app.model.changed.on("hello", () => this.admitted());
  }

  shown(): void {
    this.shownNow = true;
    this.admitted();
  }

  hidden(): void {
    this.shownNow = false;
    clearTimeout(this.timer);
  }

  /** Asks nothing before the daemon has let this page in. */
  private admitted(): void {
    if (!this.shownNow || this.app.model.hello === null) return;
    void this.look();
    void this.showAccess();
  }

  private async look(): Promise<void> {
    clearTimeout(this.timer);
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    try {
      if (!document.hidden) this.show(await this.app.get<Status>("v1/status", asking.signal));
      this.failure.hidden = true;
    } catch (fault) {
      if (asking.signal.aborted) return;
      if (!(fault instanceof Failure)) throw fault;
      setText(this.failure, t.streams.failed(fault.message));
      this.failure.hidden = false;
    } finally {
      // one that was overtaken leaves it to the other to look again
      if (this.shownNow && !asking.signal.aborted) this.timer = setTimeout(() => void this.look(), LOOK_MS);
    }
  }

  private show(status: Status): void {
    this.body.hidden = false;
    this.showProblems(status);
    this.list.show(status.streams, status.now_ms);
    this.loudness.show(status.streams.filter(({ loudness }) => loudness));
    this.models.show(status.packs);
    this.showHistory(status);
    const admin = status.process !== null;
    this.daemon.root.hidden = !admin;
    this.adminOnly.hidden = admin;
    if (admin) this.daemon.show(status);
  }

  private showProblems({ problems, streams, now_ms }: Status): void {
    const heard = streams.filter(({ state }) => ["good"].includes(toneOf(state)) || state === "demo").length;
    if (problems.length) this.summary.set("bad", t.streams.troubled(problems.length));
    else this.summary.set(heard ? "good" : "note", t.streams.well(heard, streams.length));
    // read anew only when there is another problem: the time since goes on in silence
    const key = JSON.stringify(problems.map(({ what, to_do }) => [what, to_do]));
    if (key !== this.said) this.problems.replaceChildren(...problems.map(problemOf));
    this.said = key;
    problems.forEach((problem, at) => {
      const since = this.problems.children[at]?.querySelector(".since");
      if (since) setText(since, t.streams.since((now_ms - problem.since_ms) / 1000));
    });
  }

  private showHistory(status: Status): void {
    const ms = (value: number): string => (Number.isFinite(value) ? t.streams.milliseconds(value) : t.streams.unknown);
    const [p50, p99] = [this.app.model.lag.quantile(0.5), this.app.model.lag.quantile(0.99)];
    this.latency.add(status.now_ms, p50, p99, t.streams.latencyText(ms(p50), ms(p99)));
    const known = status.packs.filter(({ rtf }) => rtf !== null);
    const rtf = known.length ? known.reduce((sum, pack) => sum + pack.rtf!, 0) : NaN;
    this.load.add(status.now_ms, rtf, rtf, Number.isFinite(rtf) ? t.streams.share(rtf) : t.streams.unknown);
  }

  private async showAccess(): Promise<void> {
    const session = await this.app.get<Session>("v1/session").catch(() => null);
    if (session?.role == null) return;
    const buttons = element(
      "div",
      { class: "health-access-buttons" },
      button(t.login.logOut, () => void logout()),
      session.role === "admin" ? null : button(t.streams.switchToken, () => void changeToken(this.app)),
    );
    this.access.replaceChildren(
      element("h2", { text: t.streams.access }),
      element("p", { text: session.needs_token ? t.login.roles[session.role] : t.login.open }),
      session.needs_token ? buttons : "",
    );
  }
}

function problemOf(problem: Problem): HTMLElement {
  return element(
    "li",
    { class: "health-problem" },
    icon("M12 4L2.5 20h19z M12 10v4 M12 17v.01"),
    element(
      "div",
      {},
      element("p", {}, element("strong", { text: problem.what }), " ", element("span", { class: "since faint" })),
      element("p", { text: t.streams.toDo(problem.to_do) }),
    ),
  );
}

export const view: View = new Health();
