/** Parallel coordinates: a line per trial over its parameters, coloured by what it gave. */

import type { EChartsType } from "echarts/core";
import { useCallback, useMemo, useRef } from "preact/hooks";
import { brief, isNumber } from "../format";
import { clean, short } from "../text";
import { param, value } from "../task/trial";
import type { TrialRow, TrialsSection } from "../types";
import { Chart, usePalette } from "./chart";

const MOST_AXES = 10;
const MOST_CATEGORIES = 30;

interface Axis {
  name: string;
  isNumeric: boolean;
  isLog: boolean;
  categories: string[];
  of: (row: TrialRow) => string | number | null;
}

function axisOf(name: string, rows: TrialRow[], of: Axis["of"]): Axis | null {
  const values = rows.map(of).filter((found) => found !== null);
  const numbers = values.filter(isNumber);
  const isNumeric = numbers.length === values.length;
  const categories = isNumeric ? [] : [...new Set(values.map(String))];
  if (values.length === 0 || categories.length > MOST_CATEGORIES) {
    return null;
  }
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  return { name, isNumeric, isLog: isNumeric && least > 0 && most / least >= 100, categories, of };
}

/** From the best colour to that of the others, by rank. */
function shade(rank: number): string {
  // Perceptually even, legible on light and dark: teal, blue, violet, rose.
  const stops: [number, number, number][] = [
    [16, 152, 128],
    [58, 124, 220],
    [138, 108, 214],
    [206, 112, 150],
  ];
  const at = Math.min(0.9999, Math.max(0, rank)) * (stops.length - 1);
  const [from, to] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]] as [number[], number[]];
  const share = at - Math.floor(at);
  return `rgb(${from.map((one, part) => Math.round(one + ((to[part] as number) - one) * share)).join(",")})`;
}

export function ParallelCoordinates({ trials, onBrush }: { trials: TrialsSection; onBrush: (only: string[] | null) => void }) {
  const palette = usePalette();
  const metric = trials.metric;
  const { rows, axes } = useMemo(() => {
    const told = (trials.rows ?? []).filter((row) => value(row, metric) !== null);
    const params = (trials.params ?? []).map((name) => axisOf(name, told, (row) => param(row, name)));
    const last = axisOf(metric ?? "", told, (row) => value(row, metric));
    const known = params.filter((axis): axis is Axis => axis !== null).slice(0, MOST_AXES - 1);
    return { rows: told, axes: last ? [...known, last] : [] };
  }, [trials.rows, trials.params, metric]);
  const held = useRef(rows);
  held.current = rows;
  const option = useMemo(() => optionOf(rows, axes, trials, palette), [rows, axes, palette]);
  const ready = useCallback((chart: EChartsType) => {
    chart.on("axisareaselected", () => {
      const model = (chart as unknown as Inner).getModel().getSeries()[0];
      const active = model?.getRawIndicesByActiveState("active") ?? [];
      const isAll = active.length === 0 && !(model?.getRawIndicesByActiveState("inactive") ?? []).length;
      onBrush(isAll ? null : active.map((at) => held.current[at]?.trial ?? ""));
    });
  }, []);
  if (axes.length < 2 || rows.length < 2) {
    return <p class="quiet">Two trials with a value and one parameter are needed for this.</p>;
  }
  const label = `Parallel coordinates of ${rows.length} trials over ${axes.map((axis) => clean(axis.name)).join(", ")}. The table of trials has the same values.`;
  return (
    <>
      <Chart option={option} height={300} label={label} onReady={ready} />
      <p class="quiet note">
        <span class="ramp" aria-hidden="true" /> best to worst. Drag along an axis to keep only that range; click it to let go.
      </p>
    </>
  );
}

interface Inner {
  getModel: () => { getSeries: () => { getRawIndicesByActiveState: (state: string) => number[] }[] };
}

function optionOf(rows: TrialRow[], axes: Axis[], trials: TrialsSection, palette: ReturnType<typeof usePalette>) {
  const sign = trials.mode === "max" ? -1 : 1;
  const ranked = rows.map((_, at) => at).sort((one, other) => sign * ((value(rows[one] as TrialRow, trials.metric) ?? 0) - (value(rows[other] as TrialRow, trials.metric) ?? 0)));
  const ranks = new Map(ranked.map((at, rank) => [at, rank / Math.max(1, rows.length - 1)]));
  const opacity = rows.length > 400 ? 0.18 : rows.length > 80 ? 0.35 : 0.7;
  const label = { color: palette.text, fontSize: 11, textBorderColor: palette.background, textBorderWidth: 3 };
  return {
    animation: false,
    parallel: {
      left: 46,
      right: 60,
      top: 34,
      bottom: 16,
      parallelAxisDefault: {
        axisLine: { lineStyle: { color: palette.muted } },
        axisTick: { show: false },
        z: 10,
        axisLabel: { ...label, hideOverlap: true },
        nameTextStyle: { color: palette.text, fontSize: 12 },
        nameGap: 14,
        areaSelectStyle: { width: 14, color: palette.accent, borderColor: palette.accent, opacity: 0.25 },
      },
    },
    parallelAxis: axes.map((axis, dim) => ({
      dim,
      name: short(axis.name, 22),
      ...(axis.isNumeric
        ? { type: axis.isLog ? "log" : "value", scale: true, ...ends(axis, rows), axisLabel: { ...label, formatter: brief, showMinLabel: !axis.isLog } }
        : { type: "category", data: axis.categories, axisLabel: { ...label, formatter: (text: string) => short(text, 14) } }),
    })),
    series: [
      {
        type: "parallel",
        id: "trials",
        smooth: 0.12,
        silent: true,
        animation: false,
        inactiveOpacity: 0.02,
        activeOpacity: 0.7,
        progressive: 0,
        data: rows.map((row, at) => {
          const rank = ranks.get(at) ?? 1;
          const isBest = row.trial === trials.best;
          return {
            value: axes.map((axis) => {
              const found = axis.of(row);
              return found === null ? "-" : axis.isNumeric ? found : String(found);
            }),
            lineStyle: { color: shade(rank), opacity: isBest ? 1 : rank < 0.05 ? Math.min(1, opacity * 3) : opacity, width: isBest ? 3 : 1.25 },
          };
        }),
      },
    ],
  };
}

/** An axis begins and ends with its values; a log axis is rounded by itself. */
function ends(axis: Axis, rows: TrialRow[]) {
  const values = rows.map(axis.of).filter(isNumber);
  const [min, max] = [Math.min(...values), Math.max(...values)];
  return axis.isLog || min === max ? {} : { min, max };
}
