// What the picture shows, in numbers, for tests: an event `live-inspect` at the plot is answered in its own `detail`.
// Nothing can be changed this way.

import type { StreamModel } from "../model";
import type { Plot } from "./plot";

export function inspect(stage: HTMLElement, plot: Plot, stream: () => StreamModel | null): void {
  stage.addEventListener("live-inspect", (event) => {
    const shown = stream();
    const { detail } = event as CustomEvent<Record<string, unknown> | null>;
    if (!detail || shown === null) return;
    const { viewport, layout, book } = plot;
    const columns = { drawn: plot.sound.painted + plot.rows.painted };
    detail["answer"] = {
      stream: shown.entry.name,
      newest: shown.newestFrame,
      held: plot.held,
      settled: plot.settled,
      following: viewport.following,
      leftFrame: viewport.leftFrame,
      right: viewport.right,
      span: viewport.span,
      width: viewport.width,
      left: viewport.left,
      ratio: plot.pixelRatio,
      layout: { ...layout },
      cursor: plot.cursor,
      columns,
      gaps: shown.gaps.map((gap) => ({ ...gap })),
      lanes: book.lanes.map((lane, at) => ({
        id: lane.entry.id,
        pack: lane.pack,
        colour: plot.inkOf(at)?.css,
        spans: lane.spans.map(({ onset, offset, event: { id } }) => ({ onset, offset, id })),
      })),
    };
  });
}
