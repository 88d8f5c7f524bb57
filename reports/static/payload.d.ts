/* What reports/payload.py writes into the page, and what the page knows of Plotly. */

export type TextColumn =
  | "case"
  | "implementation"
  | "status"
  | "phase"
  | "mask"
  | "mask_kind"
  | "dtype"
  | "direction"
  | "layout_kind"
  | "series"
  | "reason"
  | "worst_output"
  | "worst_family"
  | "worst_index"
  | "hint"
  | "failures"
  | "notes"
  | "clock"
  | "disturbance"
  | "example";

export type NumberColumn =
  | "run_index"
  | "q_len"
  | "kv_len"
  | "length"
  | "gqa"
  | "median_ns"
  | "low_ns"
  | "high_ns"
  | "first_call_ns"
  | "peak_bytes"
  | "saved_bytes"
  | "host_ns"
  | "energy_j"
  | "tflop_s"
  | "gb_s"
  | "intensity"
  | "share_of_budget"
  | "seed"
  | "samples"
  | "rank"
  | "expected"
  | "got";

/** A number as JSON keeps it: what is not finite is a word. */
export type Real = number | "inf" | "-inf" | "nan" | null;

/** Codes into values; 0 where every row has the first value. */
export interface Coded {
  codes: ArrayLike<number> | 0;
  values: string[];
}

/** Kind of quantity, see SCALES of the table of units. */
export type Kind = "time" | "bytes" | "rate" | "traffic" | "ratio" | "energy" | "plain";

/** From which size on a number is divided by what, shown with how many decimals, and followed by what. */
export type DigitsRow = [least: number, divisor: number, decimals: number, ending: string];
export type UnitRow = [least: number, size: number, unit: string];

export type Line = [implementation: string, rows: number[]];
export interface Panel {
  run: number;
  series: string;
  lines: Line[];
}

export interface Payload {
  figures: { digits: DigitsRow[]; units: Record<Kind, UnitRow[]>; none: string };
  lengths: Record<string, string>;
  implementations: string[];
  quoted: Record<string, string>;
  commands: { check: string; time: string }[];
  runs: string[];
  created: string[];
  reference: string;
  current: number[];
  count: number;
  limits: Record<string, Record<string, string>>;
  aggregation: string;
  texts: Record<TextColumn, Coded>;
  numbers: Record<NumberColumn, Real[] | null>;
  shares: Record<string, Real[]>;
  permille: number[][];
  panels: Panel[];
  winners: { run: number; series: string; cells: [length: number, rows: number[]][] }[];
  gqa: Panel[];
  forest: [
    row: number | null,
    ratio: number,
    low: number,
    high: number,
    verdict: string,
    name?: string,
    implementation?: string,
  ][];
  history: { machine: string; case: string; lines: Line[] }[];
  roofs: Roof[];
}

export interface Roof {
  run_index?: number;
  label: string;
  dtype?: string;
  tflop_s: number;
  gb_s: number;
}

/** One trace of a chart; what Plotly takes beyond these fields is passed through. */
export interface Trace {
  x: (number | string)[];
  y: number[];
  mode: string;
  name?: string;
  [more: string]: unknown;
}
export type Layout = Record<string, unknown>;
export interface Figure {
  data: Trace[];
  layout: Layout;
}

/** A chart that draws itself; `figure` gives null where the filters leave nothing. */
export interface Chart {
  key: string;
  title: string;
  axes: [x: string, y: string];
  figure: () => Figure | null;
  height?: number;
}

/** The element in which a chart stands. */
export interface Plot extends HTMLElement {
  figure: () => Figure | null;
  axes: [x: string, y: string];
  stale: boolean;
  inSight?: boolean;
  layout: Record<"xaxis" | "yaxis", Layout> & Layout;
  data: Trace[];
}

declare global {
  const Plotly: {
    react(place: HTMLElement, data: Trace[], layout: Layout, options: Layout): Promise<void>;
    downloadImage(figure: Figure, options: Layout): Promise<string>;
  };
}
