// What `v1/status` answers. What is not measured is null; server to process are null for roles other than admin.

import { MEANINGS, type Tone } from "../states.generated";

export interface Problem {
  what: string;
  streams: string[];
  since_ms: number;
  to_do: string;
  grade: "down" | "degraded" | "advice";
}

/** Something wrong with a stream's microphone. */
export interface FitnessStatus {
  kind: string;
  what: string;
  value: number;
  unit: string;
  to_do: string;
}

/** How loud the newest minute was. */
export interface LoudnessStatus {
  laeq: number;
  lafmax: number;
  l10: number;
  l50: number;
  l90: number;
  unit: string;
}

export interface StreamStatus {
  name: string;
  source: string;
  rate: number;
  state: string;
  detail: string;
  since_ms: number;
  demo: boolean;
  push: boolean;
  test: boolean;
  captured_s: number;
  rms_dbfs: number | null;
  peak_dbfs: number | null;
  drift_ppm: number | null;
  backlog_ms: number | null;
  gaps: number;
  lost_samples: number;
  xruns: number | null;
  rows: Record<string, number>;
  fitness: FitnessStatus[];
  loudness?: LoudnessStatus | null;
}

export interface PackStatus {
  name: string;
  version: string;
  provider: string;
  hop_ms: number;
  streams: number;
  runs: number;
  run_ms_p50: number | null;
  run_ms_p99: number | null;
  rtf: number | null;
  problem: string;
  sensitivity: "low" | "normal" | "high";
}

export interface SinkStatus {
  name: string;
  type: string;
  pending: number;
  dead: number;
  sent: number;
  failed: number;
  failing: string;
}

export interface Status {
  now_ms: number;
  condition: "ok" | "degraded" | "down";
  problems: Problem[];
  streams: StreamStatus[];
  packs: PackStatus[];
  pace: { rung: number; name: string; tick_ms_p50: number | null; tick_ms_p99: number | null };
  server: {
    subscribers: number;
    messages: number;
    lagged_rows: number;
    pictures_dropped: number;
    cut_off: number;
    refused: number;
    border_rows: number;
    needs_token: boolean;
  } | null;
  store: {
    folder: string;
    free_bytes: number;
    database_bytes: number;
    events: number;
    written_ms: number | null;
    waiting: number;
    lost: number;
    scores_bytes: number | null;
    clips: number | null;
    clips_bytes: number | null;
    clips_lost: number | null;
  } | null;
  alerts: { file: string; rules: number; problem: string; sinks: SinkStatus[]; unknown: Record<string, number> } | null;
  selftest: {
    label: string;
    every_min: number;
    passed: number;
    failed: number;
    seconds: number | null;
    problem: string;
  } | null;
  process: {
    version: string;
    instance: string;
    uptime_s: number;
    cores: number;
    cpu: number | null;
    memory_bytes: number | null;
  } | null;
}

export type { Tone };

/** The worst first, as the table has them; all that is well is alike. */
const WRONG = Object.keys(MEANINGS).filter((state) => toneOf(state) === "bad" || toneOf(state) === "warn");

export function toneOf(state: string): Tone {
  return MEANINGS[state]?.tone ?? "warn";
}

/** Trouble first, then what lost sound, then by name. */
export function byTrouble(streams: StreamStatus[]): StreamStatus[] {
  const rank = ({ state }: StreamStatus): number => {
    const at = WRONG.indexOf(state);
    return at >= 0 ? at : WRONG.length + (toneOf(state) === "good" ? 1 : 0);
  };
  return [...streams].sort(
    (a, b) => rank(a) - rank(b) || Number(b.gaps > 0) - Number(a.gaps > 0) || a.name.localeCompare(b.name),
  );
}
