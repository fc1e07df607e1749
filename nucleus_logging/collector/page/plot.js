// Plots over time: bars that stand on each other, and lines. Hovered for numbers, dragged to zoom.

import { html, useEffect, useRef } from "./vendor/htm-preact/standalone.module.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";
import { count, fullDate } from "./format.js";

// Each of `series` is {label, color, numbers, total}: the numbers one a bucket, in the order of xs,
// which are in seconds; the total is what the legend says while nothing is pointed at.
export function Bars({ series, ...more }) {
  const stacked = series.map((_, level) => more.xs.map((_, x) =>
    series.slice(0, level + 1).reduce((sum, { numbers }) => sum + numbers[x], 0)));
  // The tallest is drawn first, so that the ones below it stay visible.
  return html`<${Plot} ...${more} series=${[...series].reverse()} columns=${stacked.reverse()} height=${220}
    style=${(color) => ({ fill: color, stroke: color, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.9, 60], align: 1 }) })} />`;
}

export function Lines({ series, ...more }) {
  return html`<${Plot} ...${more} series=${series} columns=${series.map(({ numbers }) => numbers)} height=${140}
    style=${(color) => ({ stroke: color, width: 1.5, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) })} />`;
}

const color = (name) => {
  const style = getComputedStyle(document.documentElement);
  return (style.getPropertyValue(`--fill-${name}`) || style.getPropertyValue(`--${name}`)).trim();
};

// Seconds between two ticks: minutes, hours, days.
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200, 525600].map((minutes) => minutes * 60);
const pad = (number) => String(number).padStart(2, "0");

function ticks(plot, values, axis, space, step) {
  return values.map((value, index) => {
    const date = new Date(value * 1000);
    const day = `${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
    if (step >= 86400) return day;
    const hour = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
    const fresh = index === 0 || new Date(values[index - 1] * 1000).getDate() !== date.getDate();
    return fresh ? `${hour}\n${day}` : hour;
  });
}

function Plot({ xs, step, series, columns, height, style, theme, label, onZoom }) {
  const box = useRef(null);
  const plot = useRef(null);
  // What the plot's own functions look at. It outlives many answers, and changes only together with
  // the plot's data: a mouse that moves in between must find as many series as are drawn.
  const now = useRef(null);
  const look = () => { now.current = { xs, step, series, onZoom }; };

  useEffect(() => {
    look();
    const width = () => Math.max(200, box.current.clientWidth);
    const axis = { stroke: color("quiet"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line"), width: 1 } };
    plot.current = new uPlot({
      width: width(), height, padding: [8, 24, 0, 0], legend: { live: true },
      axes: [{ ...axis, values: ticks, incrs: STEPS }, { ...axis, size: 56, values: (_, values) => values.map((value) => (value % 1 ? "" : count(value))) }],
      scales: {
        x: { range: () => [now.current.xs[0], now.current.xs[now.current.xs.length - 1] + now.current.step] },
        y: { range: (_, least, most) => [0, Math.max(1, most * 1.05)] },
      },
      cursor: { y: false, points: { show: false }, drag: { x: Boolean(onZoom), y: false, setScale: false } },
      series: [{ label: "from", value: (_, x) => (x === null ? "all" : fullDate(x * 1000).slice(0, 16)) },
        ...series.map((one, index) => ({ label: one.label, ...style(color(one.color)),
          value: (_, __, ___, x) => { const { total, numbers } = now.current.series[index]; return count(x === null ? total : numbers[x]); } }))],
      hooks: { setSelect: [({ select }) => {
        if (select.width < 3 || !now.current.onZoom) return;
        now.current.onZoom(...[select.left, select.left + select.width].map((left) => Math.round(plot.current.posToVal(left, "x") * 1000)));
      }] },
    }, [xs, ...columns], box.current);
    const observer = new ResizeObserver(() => plot.current.setSize({ width: width(), height }));
    observer.observe(box.current);
    return () => { observer.disconnect(); plot.current.destroy(); };
  }, [series.map((one) => one.label).join(" "), theme]);

  useEffect(() => { look(); plot.current.setData([xs, ...columns]); }, [xs]);
  return html`<div class="plot" ref=${box} role="img" aria-label=${label}></div>`;
}
