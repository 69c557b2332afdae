/** Where the time went: lanes of segments on one time axis. */

import type { CustomSeriesRenderItem } from "echarts";
import { useMemo } from "preact/hooks";
import { useAppearance } from "../appearance";
import { isNumber, span, time } from "../format";
import { clean, short } from "../text";
import type { Segment } from "../types";
import { Chart, tip, tooltip, usePalette } from "./chart";

const NAMES: Record<string, string> = {
  cluster: "Cluster start",
  room: "Preparing",
  queue: "Queue and environment",
  run: "Run",
  collect: "Collect",
};
const ORDER = ["cluster", "room", "queue", "run", "collect"];

export interface Lane {
  label: string;
  segments: Segment[];
  /** For lanes that say how they ended. */
  isBad?: boolean;
}

interface Drawn {
  lane: number;
  name: string;
  from: number;
  to: number;
  isOpen: boolean;
}

function drawn(lanes: Lane[], now: number): Drawn[] {
  return lanes.flatMap(({ segments }, lane) =>
    segments
      .filter((segment) => isNumber(segment.from))
      .map((segment) => {
        const from = segment.from as number;
        const to = isNumber(segment.to) ? segment.to : now;
        return { lane, name: clean(segment.name), from, to: Math.max(from, to), isOpen: !isNumber(segment.to) };
      }),
  );
}

function order(name: string): number {
  const at = ORDER.indexOf(name);
  return at < 0 ? ORDER.length : at;
}

export function segmentName(name: string): string {
  return NAMES[name] ?? name;
}

export function Timeline({ lanes, now, hasLabels = false }: { lanes: Lane[]; now: number; hasLabels?: boolean }) {
  const palette = usePalette();
  const { zone } = useAppearance();
  const parts = useMemo(() => drawn(lanes, now), [lanes, now]);
  const option = useMemo(() => {
    const [first, last] = [Math.min(...parts.map((part) => part.from)), Math.max(...parts.map((part) => part.to))];
    const colours = (name: string) => palette.series[[4, 7, 1, 0, 2][order(name)] ?? 7] as string;
    const isLong = last - first > 20 * 3600;
    const render: CustomSeriesRenderItem = (_params, api) => {
      const part = parts[api.value(3) as number] as Drawn;
      const [x0, y] = api.coord([part.from * 1000, part.lane]) as [number, number];
      const [x1] = api.coord([part.to * 1000, part.lane]) as [number, number];
      const height = Math.min(22, ((api.size as (v: number[]) => number[])([0, 1])[1] ?? 24) * 0.62);
      const shape = { x: x0, y: y - height / 2, width: Math.max(2, x1 - x0 - 1), height, r: 3 };
      return { type: "rect", shape, style: { fill: colours(part.name), opacity: part.isOpen ? 0.85 : 1 } };
    };
    return {
      animation: false,
      grid: { left: 8, right: 20, top: 4, bottom: 4, containLabel: true },
      xAxis: {
        type: "time",
        min: first * 1000,
        max: Math.max(last, first + 1) * 1000,
        splitNumber: 5,
        axisLine: { show: false },
        axisTick: { show: false },
        splitLine: { show: true, lineStyle: { color: palette.line } },
        axisLabel: {
          color: palette.muted,
          fontSize: 11,
          hideOverlap: true,
          formatter: (at: number) => (isLong ? time(at / 1000, zone).slice(5, 16) : time(at / 1000, zone, true)),
        },
      },
      yAxis: {
        type: "category",
        inverse: true,
        data: lanes.map((lane) => short(lane.label, 28)),
        axisLine: { show: false },
        axisTick: { show: false },
        axisLabel: { show: hasLabels, color: palette.text, fontSize: 12, width: 170, overflow: "truncate" },
      },
      tooltip: {
        ...tooltip(palette),
        trigger: "item",
        formatter: (found: { value?: number[] }) => {
          const part = parts[found.value?.[3] ?? 0] as Drawn;
          return tip(hasLabels ? short(lanes[part.lane]?.label) : segmentName(part.name), [
            { colour: colours(part.name), name: segmentName(part.name), value: span(part.to - part.from) },
            { name: "from", value: time(part.from, zone) },
            { name: part.isOpen ? "until now" : "to", value: time(part.to, zone) },
          ]);
        },
      },
      series: [
        {
          type: "custom",
          id: "segments",
          renderItem: render,
          encode: { x: [1, 2], y: 0 },
          data: parts.map((part, at) => [part.lane, part.from * 1000, part.to * 1000, at]),
        },
      ],
    };
  }, [parts, palette, zone, lanes, hasLabels]);
  if (!parts.length) {
    return <p class="quiet">Nothing has begun yet.</p>;
  }
  const sums = totals(parts);
  const whole = sums.reduce((sum, [, seconds]) => sum + seconds, 0);
  const label = `Timeline. ${sums.map(([name, seconds]) => `${segmentName(name)} ${span(seconds)}`).join(", ")}`;
  return (
    <>
      <Chart option={option} height={hasLabels ? 34 + lanes.length * 30 : 58} label={label} />
      <ul class="legend">
        {sums.map(([name, seconds]) => (
          <li key={name}>
            <span class={`mark segment-${ORDER.includes(name) ? name : "other"}`} aria-hidden="true" />
            {segmentName(name)} <b>{span(seconds)}</b>
            {sums.length > 1 && whole > 0 && <span class="quiet"> {Math.round((seconds / whole) * 100)} %</span>}
          </li>
        ))}
      </ul>
    </>
  );
}

function totals(parts: Drawn[]): [string, number][] {
  const sums = new Map<string, number>();
  for (const part of parts) {
    sums.set(part.name, (sums.get(part.name) ?? 0) + part.to - part.from);
  }
  return [...sums].sort(([one], [other]) => order(one) - order(other));
}
