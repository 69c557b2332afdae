/** Lines over steps or time: one chart, with a log scale, smoothing and marked points. */

import { useMemo } from "preact/hooks";
import { brief, isNumber, number, plural } from "../format";
import { clean, short } from "../text";
import type { Maybe, Points } from "../types";
import { Chart, tip, tooltip, usePalette, type Palette } from "./chart";

export interface Line {
  name: string;
  points: Maybe<Points>;
  /** In front of the others, and thicker. */
  isStrong?: boolean;
  /** In the background. */
  isFaint?: boolean;
  colour?: string;
}

export interface CurveProps {
  title: string;
  lines: Line[];
  height?: number;
  isLog?: boolean;
  /** 0: as it is; nearer to 1: smoother. */
  smoothing?: number;
  xLabel?: string;
  formatX?: (x: number) => string;
  /** The same for the axis, where it has to be shorter. */
  formatTick?: (x: number) => string;
  hasDots?: boolean;
  /** Where checkpoints were, in x. */
  marks?: number[];
  group?: string;
  fromZero?: boolean;
  /** Which colour the first line has. */
  tint?: number;
}

type Pair = [number, number | null];

function pairs(points: Maybe<Points>): Pair[] {
  const [xs, ys] = [points?.x ?? [], points?.y ?? []];
  const made: Pair[] = [];
  xs.forEach((x, at) => {
    if (isNumber(x)) {
      const y = ys[at];
      made.push([x, isNumber(y) ? y : null]);
    }
  });
  return made;
}

/** Exponential moving average, without the pull to zero at its beginning. */
export function smoothed(points: Pair[], weight: number): Pair[] {
  let [sum, norm] = [0, 0];
  return points.map(([x, y]) => {
    if (y === null) {
      return [x, null];
    }
    sum = sum * weight + y * (1 - weight);
    norm = norm * weight + (1 - weight);
    return [x, sum / norm];
  });
}

/** The curve's height at x, between its points. */
function heightAt(points: Pair[], x: number): number | null {
  const next = points.findIndex(([at, y]) => at >= x && y !== null);
  if (next < 0) {
    return points.reduceRight<number | null>((found, [, y]) => found ?? y, null);
  }
  const [x1, y1] = points[next] as [number, number];
  const before = points.slice(0, next).reduceRight<Pair | null>((found, pair) => found ?? (pair[1] === null ? null : pair), null);
  if (before === null || x1 === before[0]) {
    return y1;
  }
  const [x0, y0] = before as [number, number];
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

export function Curves(props: CurveProps) {
  const palette = usePalette();
  const { lines, isLog = false, smoothing = 0, marks, title } = props;
  const option = useMemo(
    () => optionOf(props, palette),
    [palette, lines, isLog, smoothing, marks, title, props.xLabel, props.formatX],
  );
  return (
    <Chart option={option} height={props.height ?? 200} label={labelOf(props)} group={props.group} zooms />
  );
}

function labelOf({ title, lines }: CurveProps): string {
  const said = lines.slice(0, 3).map((line) => {
    const values = pairs(line.points)
      .map(([, y]) => y)
      .filter(isNumber);
    return values.length
      ? `${clean(line.name)}: ${plural(values.length, "point")}, first ${number(values[0])}, last ${number(values[values.length - 1])}`
      : `${clean(line.name)}: no points`;
  });
  const more = lines.length > 3 ? `, and ${lines.length - 3} more` : "";
  return `${clean(title)}. Line chart. ${said.join("; ")}${more}`;
}

function optionOf(props: CurveProps, palette: Palette) {
  const { lines, isLog = false, smoothing = 0, marks = [], xLabel = "step", fromZero } = props;
  const formatX = props.formatX ?? number;
  const series: Record<string, unknown>[] = [];
  lines.forEach((line, at) => {
    const colour = line.isFaint ? palette.muted : (line.colour ?? palette.series[(at + (props.tint ?? 0)) % palette.series.length]);
    const raw = pairs(line.points).map(([x, y]): Pair => [x, isLog && y !== null && y <= 0 ? null : y]);
    const shown = smoothing > 0 ? smoothed(raw, smoothing) : raw;
    const base = { type: "line", animation: false, emphasis: { disabled: true }, connectNulls: true };
    if (smoothing > 0 && !line.isFaint) {
      series.push({
        ...base,
        id: `raw ${at} ${line.name}`,
        data: raw,
        showSymbol: false,
        silent: true,
        lineStyle: { width: 1, opacity: 0.25, color: colour },
        tooltip: { show: false },
        z: 2,
      });
    }
    series.push({
      ...base,
      id: `line ${at} ${line.name}`,
      name: line.name,
      data: shown,
      showSymbol: props.hasDots || raw.length <= 1,
      symbol: "circle",
      symbolSize: 6,
      itemStyle: { color: colour },
      lineStyle: { width: line.isStrong ? 2 : line.isFaint ? 1 : 1.5, opacity: line.isFaint ? 0.35 : 1, color: colour },
      silent: Boolean(line.isFaint),
      z: line.isStrong ? 5 : line.isFaint ? 1 : 3,
    });
    if (at === 0 && marks.length) {
      series.push({
        type: "scatter",
        id: "checkpoints",
        name: "checkpoint",
        animation: false,
        data: marks.map((x) => [x, heightAt(shown, x)]).filter(([, y]) => y !== null),
        symbol: "diamond",
        symbolSize: 9,
        itemStyle: { color: palette.background, borderColor: colour, borderWidth: 1.75 },
        silent: true,
        z: 6,
      });
    }
  });
  const axis = {
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: palette.line, width: 1 } },
    nameTextStyle: { color: palette.muted },
  };
  return {
    animation: false,
    grid: { left: 8, right: 16, top: 10, bottom: 6, containLabel: true },
    xAxis: {
      ...axis,
      type: "value",
      scale: true,
      min: "dataMin",
      max: "dataMax",
      splitLine: { show: false },
      axisPointer: { show: true, snap: true, label: { show: false }, lineStyle: { color: palette.muted, type: "dashed" } },
      axisLabel: { color: palette.muted, fontSize: 11, hideOverlap: true, formatter: props.formatTick ?? props.formatX ?? brief },
    },
    yAxis: {
      ...axis,
      type: isLog ? "log" : "value",
      scale: !fromZero,
      splitNumber: 4,
      axisLabel: { color: palette.muted, fontSize: 11, hideOverlap: true, formatter: brief },
    },
    dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseMove: false, moveOnMouseWheel: false }],
    toolbox: { show: true, left: -100, itemSize: 0, feature: { dataZoom: { yAxisIndex: "none", filterMode: "none" } } },
    tooltip: {
      ...tooltip(palette),
      trigger: "axis",
      formatter: (found: unknown) => tipOf(found, xLabel, formatX, marks),
    },
    series,
  };
}

interface Pointed {
  seriesId?: string;
  seriesName?: string;
  color?: unknown;
  value?: unknown;
}

function tipOf(found: unknown, xLabel: string, formatX: (x: number) => string, marks: number[]): HTMLElement {
  const all = (Array.isArray(found) ? found : [found]) as Pointed[];
  const lines = all.filter((one) => String(one.seriesId).startsWith("line ") && Array.isArray(one.value));
  const x = (lines[0]?.value as number[] | undefined)?.[0];
  const rows = lines
    .filter((one) => isNumber((one.value as unknown[])[1]))
    .slice(0, 10)
    .map((one) => ({ colour: String(one.color), name: short(one.seriesName, 40), value: number((one.value as number[])[1]) }));
  const mark = x !== undefined && marks.includes(x) ? " · checkpoint" : "";
  return tip(x === undefined ? "" : `${clean(xLabel)} ${formatX(x)}${mark}`, rows, Math.max(0, lines.length - 10));
}
