/** An ECharts chart that follows its size and the theme, and keeps its zoom when data come in. */

import { CustomChart, LineChart, ParallelChart, ScatterChart } from "echarts/charts";
import { GridComponent, ParallelComponent, ToolboxComponent, DataZoomComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import type { EChartsCoreOption, EChartsType } from "echarts/core";
import { useEffect, useRef, useState } from "preact/hooks";
import { colour, useAppearance } from "../appearance";

echarts.use([
  LineChart,
  CustomChart,
  ParallelChart,
  ScatterChart,
  GridComponent,
  ParallelComponent,
  ToolboxComponent,
  DataZoomComponent,
  TooltipComponent,
  CanvasRenderer,
]);

export interface Palette {
  text: string;
  muted: string;
  line: string;
  background: string;
  series: string[];
  good: string;
  bad: string;
  accent: string;
}

function paletteNow(): Palette {
  return {
    text: colour("--fg"),
    muted: colour("--fg-muted"),
    line: colour("--border"),
    background: colour("--bg"),
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((at) => colour(`--c${at}`)),
    good: colour("--good"),
    bad: colour("--bad"),
    accent: colour("--c1"),
  };
}

let known: { mode: string; palette: Palette } | null = null;

/** The palette, read anew when the theme changes; one for all charts. */
export function usePalette(): Palette {
  const { mode } = useAppearance();
  if (known?.mode !== mode) {
    known = { mode, palette: paletteNow() };
  }
  return known.palette;
}

export interface ChartProps {
  option: EChartsCoreOption;
  /** What it shows, for who does not see it. */
  label: string;
  height: number;
  /** Charts of one group share their pointer and zoom. */
  group?: string;
  /** Drag to zoom along the x axis. */
  zooms?: boolean;
  onReady?: (chart: EChartsType) => void;
}

export function Chart({ option, label, height, group, zooms, onReady }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const [isZoomed, setZoomed] = useState(false);
  useEffect(() => {
    const made = echarts.init(place.current as HTMLDivElement);
    chart.current = made;
    if (group) {
      made.group = group;
      echarts.connect(group);
    }
    made.on("datazoom", () => {
      const zoom = (made.getOption() as { dataZoom?: { start?: number; end?: number }[] }).dataZoom?.[0];
      setZoomed((zoom?.start ?? 0) > 0.01 || (zoom?.end ?? 100) < 99.99);
    });
    const sizes = new ResizeObserver(() => made.resize());
    sizes.observe(place.current as HTMLDivElement);
    onReady?.(made);
    return () => {
      sizes.disconnect();
      made.dispose();
      chart.current = null;
    };
  }, []);
  useEffect(() => {
    chart.current?.setOption(option, { replaceMerge: ["series"] });
    if (zooms) {
      chart.current?.dispatchAction({ type: "takeGlobalCursor", key: "dataZoomSelect", dataZoomSelectActive: true });
    }
  }, [option]);
  return (
    <div class="chart">
      <div ref={place} role="img" aria-label={label} class="chart-canvas" style={{ height: `${height}px` }} />
      {isZoomed && (
        <button
          type="button"
          class="button small chart-reset"
          onClick={() => chart.current?.dispatchAction({ type: "dataZoom", start: 0, end: 100 })}
        >
          Whole range
        </button>
      )}
    </div>
  );
}

/** What shows at the pointer: rows of a mark, a name and a value, as text. */
export function tip(title: string, rows: { colour?: string; name: string; value: string }[], left = 0): HTMLElement {
  const box = document.createElement("div");
  box.className = "tip";
  const add = (parent: HTMLElement, tag: string, name: string, text: string) => {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    parent.append(made);
    return made;
  };
  add(box, "div", "tip-title", title);
  for (const { colour: mark, name, value } of rows) {
    const row = add(box, "div", "tip-row", "");
    if (mark) {
      add(row, "span", "tip-mark", "").style.background = mark;
    }
    add(row, "bdi", "tip-name", name);
    add(row, "span", "tip-value", value);
  }
  if (left > 0) {
    add(box, "div", "tip-title", `and ${left} more`);
  }
  return box;
}

/** What every chart's pointer box has in common. */
export function tooltip(palette: Palette): Record<string, unknown> {
  return {
    confine: true,
    transitionDuration: 0,
    backgroundColor: palette.background,
    borderColor: palette.line,
    padding: 8,
    textStyle: { color: palette.text, fontSize: 12 },
    extraCssText: "box-shadow: 0 4px 16px rgba(0,0,0,.18);",
  };
}
