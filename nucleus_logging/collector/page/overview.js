// Overview: events over time by level, and what they were of.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";
import { ask } from "./api.js";
import { condition, withWord } from "./filter.js";
import { count, cut, levelWord } from "./format.js";

const ORDER = ["critical", "error", "warning", "info", "debug", "none"]; // from the bottom up

export function Overview({ url, go, query, app, tick, theme }) {
  const [stats, setStats] = useState(null);
  useEffect(() => {
    const abort = new AbortController();
    ask("stats", { app, since: query.since, until: query.until }, abort.signal).then(setStats, () => {});
    return () => abort.abort();
  }, [app, query.since, query.until, tick]);
  if (!stats) return html`<main class="view"></main>`;
  const add = (field) => (value) => go({ view: "live", filter: withWord(url.filter, condition(field, value)) });
  return html`
    <main class="view scroll overview">
      <dl class="figures">
        ${[["events", stats.events], ["sessions", stats.sessions], ["active users", stats.users], ["devices", stats.devices]]
          .map(([name, number]) => html`<div key=${name}><dd>${count(number)}</dd><dt>${name}</dt></div>`)}
      </dl>
      <h2>Events by level <small>drag to zoom</small></h2>
      <${Levels} stats=${stats} theme=${theme} onZoom=${(since, until) =>
        go({ range: "", since: String(since), until: String(until) })} />
      <h2>Active sessions and users</h2>
      <${Activity} stats=${stats} theme=${theme} />
      <div class="tables">
        <${Top} title="Names" rows=${stats.names.map((one) => [one.name, one.count])} onPick=${add("name")} />
        <${Top} title="Versions" unit="sessions" rows=${of(stats.versions)} onPick=${add("version")} />
        <${Top} title="Platforms" unit="sessions" rows=${of(stats.platforms)} />
        <${Top} title="Languages" unit="sessions" rows=${of(stats.languages)} />
      </div>
    </main>`;
}

const of = (values) => values.map((one) => [one.value, one.sessions]);

function Top({ title, unit = "events", rows, onPick }) {
  const most = Math.max(1, ...rows.map(([, number]) => number));
  return html`<section><h2>${title}</h2>
    ${!rows.length && html`<p class="quiet">none</p>`}
    <table class="top"><tbody>${rows.map(([value, number]) => html`
      <tr key=${value}><td class="bar"><meter min="0" max=${most} value=${number} aria-hidden="true"></meter>
        ${onPick ? html`<button onClick=${() => onPick(value)}>${cut(value, 80)}</button>` : html`<span>${cut(value, 80)}</span>`}</td>
        <td class="figure" title=${`${number} ${unit}`}>${count(number)}</td></tr>`)}
    </tbody></table></section>`;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Every bucket of the range, so that where nothing happened there is a gap and not a line.
function times(stats) {
  const first = Math.floor(stats.since / stats.step) * stats.step;
  const found = [];
  for (let date = first; date < stats.until && found.length < 2000; date += stats.step) found.push(date / 1000);
  return found;
}

function column(points, xs) {
  const at = new Map(points.map(([date, ...numbers]) => [date / 1000, numbers]));
  return (index) => xs.map((x) => (at.has(x) ? at.get(x)[index] : 0));
}

function Levels({ stats, theme, onZoom }) {
  const make = (width) => {
    const xs = times(stats);
    const present = ORDER.filter((level) => stats.levels[level])
      .concat(Object.keys(stats.levels).filter((level) => !ORDER.includes(level)));
    const raw = present.map((level) => column(stats.levels[level], xs)(0));
    const stacked = raw.map((_, level) => xs.map((_, x) => raw.slice(0, level + 1).reduce((sum, one) => sum + one[x], 0)));
    const series = present.map((level, index) => ({
      label: level === "none" ? "no level" : level,
      fill: color(ORDER.includes(level) ? level : "none"), stroke: color(ORDER.includes(level) ? level : "none"), width: 0,
      points: { show: false }, paths: uPlot.paths.bars({ size: [0.9, 60], align: 1 }),
      value: (plot, value, _, x) => (x === null ? "" : count(raw[index][x])),
    }));
    // The tallest is drawn first, so that the ones below it stay visible.
    const options = { ...common(width, 220), series: [time(), ...series.reverse()] };
    options.hooks = { setSelect: [(plot) => {
      if (plot.select.width < 3) return;
      const since = plot.posToVal(plot.select.left, "x") * 1000;
      onZoom(Math.floor(since), Math.ceil(plot.posToVal(plot.select.left + plot.select.width, "x") * 1000));
    }] };
    return [options, [xs, ...stacked.reverse()]];
  };
  const told = Object.entries(stats.levels)
    .map(([level, points]) => `${levelWord(level) || level} ${points.reduce((sum, [, number]) => sum + number, 0)}`).join(", ");
  return html`<${Plot} make=${make} deps=${[stats, theme]} label=${`Events over time: ${told}`} />`;
}

function Activity({ stats, theme }) {
  const make = (width) => {
    const xs = times(stats);
    const numbers = column(stats.activity, xs);
    const line = (label, name, index) => ({
      label, stroke: color(name), width: 1.5, value: (plot, value) => (value === null ? "" : count(value)),
      points: { show: xs.length < 60 }, paths: uPlot.paths.stepped({ align: 1 }),
    });
    return [
      { ...common(width, 140), series: [time(), line("sessions", "accent", 0), line("users", "warning", 1)] },
      [xs, numbers(0), numbers(1)],
    ];
  };
  return html`<${Plot} make=${make} deps=${[stats, theme]}
    label=${`Sessions ${stats.sessions}, users ${stats.users}`} />`;
}

const pad = (number) => String(number).padStart(2, "0");
const day = (date) => `${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;

function ticks(plot, values, axis, space, step) {
  return values.map((value, index) => {
    const date = new Date(value * 1000);
    if (step >= 86400) return day(date);
    const hour = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
    const fresh = index === 0 || new Date(values[index - 1] * 1000).getDate() !== date.getDate();
    return fresh ? `${hour}\n${day(date)}` : hour;
  });
}

const time = () => ({ value: (plot, value) => (value === null ? "" : new Date(value * 1000).toLocaleString()) });

function common(width, height) {
  const axis = { stroke: color("quiet"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line"), width: 1 } };
  return {
    width, height, padding: [8, 32, 0, 0], axes: [{ ...axis, values: ticks }, { ...axis, size: 56, values: (plot, values) => values.map((value) => (value % 1 ? "" : count(value))) }],
    scales: { y: { range: (plot, least, most) => [0, Math.max(1, most * 1.05)] } },
    cursor: { drag: { x: true, y: false, setScale: false } }, legend: { live: true },
  };
}

function Plot({ make, deps, label }) {
  const box = useRef(null);
  useEffect(() => {
    let plot = null;
    const draw = () => {
      if (plot) plot.destroy();
      const [options, data] = make(Math.max(200, box.current.clientWidth));
      plot = new uPlot(options, data, box.current);
    };
    draw();
    let width = box.current.clientWidth;
    const observer = new ResizeObserver(() => {
      if (box.current.clientWidth !== width) { width = box.current.clientWidth; draw(); }
    });
    observer.observe(box.current);
    return () => { observer.disconnect(); plot.destroy(); };
  }, deps);
  return html`<div class="plot" ref=${box} role="img" aria-label=${label}></div>`;
}
