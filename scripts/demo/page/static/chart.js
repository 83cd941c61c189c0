// Draws one panel's series as SVG: lines or stacked areas, axes, a legend, and the values under the pointer.

const PALETTE = ["blue", "orange", "green", "purple", "red", "teal", "yellow", "pink"];
const NAMES = new Set([...PALETTE, "grey"]);
const HEIGHT = 150, TOP = 8, BOTTOM = 18, LEFT = 46;

export function colorOf(panel, name, index) {
  const fixed = panel.colors[name];
  if (!fixed) return `var(--${PALETTE[index % PALETTE.length]})`;
  const plain = fixed.replace(/^(semi-|super-)?(light|dark)-/, "");
  return NAMES.has(plain) ? `var(--${plain})` : fixed;
}

export function format(value, unit, decimals = null) {
  if (value === undefined || value === null) return "";
  if (unit === "percentunit") return `${round(value * 100, decimals ?? (value > 0 && value < 0.1 ? 1 : 0))}%`;
  if (unit === "s") return duration(value);
  const size = Math.abs(value);
  if (size >= 1e6) return `${round(value / 1e6, 2)}M`;
  if (size >= 1e4) return `${round(value / 1e3, 1)}k`;
  const text = round(value, decimals ?? (size >= 100 || Number.isInteger(value) ? 0 : size >= 1 ? 1 : 3));
  return unit === "ops" ? `${text}/s` : text;
}

function round(value, decimals) {
  return value.toLocaleString("en", { maximumFractionDigits: decimals });
}

function duration(exact) {
  const seconds = exact < 60 ? exact : Math.round(exact);
  if (seconds < 1 && seconds > 0) return `${round(seconds * 1000, seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 60) return `${round(seconds, seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

// Steps in round figures: 1, 2, 2.5 or 5 times a power of ten, and round times for durations of minutes and more.
function ticks(low, high, unit) {
  const rough = (high - low) / 3, power = 10 ** Math.floor(Math.log10(rough));
  const times = unit === "s" && rough > 10 ? [15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200] : [];
  const step = [...times, ...[1, 2, 2.5, 5, 10].map((factor) => factor * power)].find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(at);
  return found;
}

function stack(series) {
  const sums = new Map();
  return series.map((one) => ({
    ...one,
    floor: one.points.map(([at]) => [at, sums.get(at) ?? 0]),
    points: one.points.map(([at, value]) => {
      const sum = (sums.get(at) ?? 0) + value;
      sums.set(at, sum);
      return [at, sum];
    }),
  }));
}

// A gap longer than two steps is a time without data: the line is broken there.
function runs(points, step) {
  const found = [];
  points.forEach((point, index) => {
    if (!index || point[0] - points[index - 1][0] > 2.1 * step) found.push([]);
    found.at(-1).push([...point, index]);
  });
  return found;
}

const path = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function scaleOf(panel, drawn) {
  const values = drawn.flatMap((one) => one.points.map((point) => point[1]));
  const low = panel.low ?? Math.min(0, ...values);
  const high = Math.max(panel.unit === "percentunit" ? panel.high ?? 0 : 0, ...values);
  return [low, high > low ? high : low + 1];
}

function sparkline(panel, view) {
  const points = panel.series[0].points, high = Math.max(1e-9, ...points.map((point) => point[1]));
  const x = (at) => (100 * (at - view.start)) / (view.end - view.start), y = (value) => 25 - (23 * value) / high;
  const lines = runs(points, view.step).map((run) => path(run.map(([at, value]) => [x(at), y(value)])));
  return `<svg viewBox="0 0 100 26" height="26" preserveAspectRatio="none">${lines
    .map((line) => `<path class="line" vector-effect="non-scaling-stroke" stroke="var(--blue)" d="${line}"/>`).join("")}</svg>`;
}

function timeseries(panel, view, width) {
  const drawn = panel.stacked ? stack(panel.series) : panel.series;
  const [low, high] = scaleOf(panel, drawn);
  const right = width - 4, bottom = HEIGHT - BOTTOM;
  const x = (at) => LEFT + ((right - LEFT) * (at - view.start)) / (view.end - view.start);
  const y = (value) => bottom - ((bottom - TOP) * (value - low)) / (high - low);
  const parts = ticks(low, high, panel.unit).map((value) => `<line class="grid-line" x1="${LEFT}" x2="${right}" y1="${y(value)}" y2="${y(value)}"/>
    <text x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end">${format(value, panel.unit)}</text>`);
  for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
    const at = view.start + share * (view.end - view.start);
    parts.push(`<text x="${x(at)}" y="${HEIGHT - 3}" text-anchor="${anchor}">${clock(at)}</text>`);
  }
  drawn.forEach((one, index) => {
    if (panel.stacked && panel.series[index].points.every((point) => !point[1])) return;
    const color = colorOf(panel, one.name, index);
    for (const run of runs(one.points, view.step)) {
      const line = run.map(([at, value]) => [x(at), y(value)]);
      if (line.length === 1) line.push([line[0][0] + 1.5, line[0][1]]);
      if (panel.stacked || drawn.length === 1) {
        const floor = panel.stacked ? run.map(([at, , place]) => [x(at), y(one.floor[place][1])]) : [[line[0][0], y(low)], [line.at(-1)[0], y(low)]];
        parts.push(`<path class="area ${panel.stacked ? "stacked" : ""}" fill="${color}" d="${path([...line, ...floor.reverse()])}Z"/>`);
      }
      parts.push(`<path class="line" stroke="${color}" d="${path(line)}"/>`);
    }
  });
  return `<svg viewBox="0 0 ${width} ${HEIGHT}" height="${HEIGHT}" data-left="${LEFT}" data-right="${right}">${parts.join("")}<line class="cursor" y1="${TOP}" y2="${bottom}" visibility="hidden"/></svg>`;
}

const escape = (text) => text.replace(/[&<>"]/g, (found) => `&#${found.charCodeAt(0)};`);

function legend(panel) {
  if (panel.series.length === 1 && !panel.series[0].name) return "";
  return `<div class="legend">${panel.series.map((one, index) => `<span><i style="background:${colorOf(panel, one.name, index)}"></i>${escape(one.name)}<b>${format(one.points.at(-1)[1], panel.unit, panel.decimals)}</b></span>`).join("")}</div>`;
}

function value(panel) {
  const [first] = panel.values;
  if (!first) return `<div class="value"><small>${escape(panel.empty)}</small></div>`;
  if (panel.named) return `<div class="value" style="color:${colorOf(panel, first.name, 0)}">${escape(first.name)}</div>`;
  const shown = panel.values.map((one) => `<div class="value">${format(one.value, panel.unit, panel.decimals)}${one.name ? `<small>${escape(one.name)}</small>` : ""}</div>`);
  const bar = panel.kind === "gauge" || panel.unit === "percentunit" ? `<div class="bar"><i style="width:${100 * Math.min(1, first.value / (panel.high ?? 1))}%"></i></div>` : "";
  return shown.join("") + bar;
}

function list(panel) {
  const high = Math.max(1e-9, ...panel.values.map((one) => one.value));
  return `<div class="bars">${panel.values.map((one) => {
    const [word, color] = panel.words[one.value] ?? [];
    if (word) return `<div><span>${escape(one.name)}<b style="color:var(--${color})">${escape(word)}</b></span></div>`;
    return `<div><span>${escape(one.name)}<b>${format(one.value, panel.unit, panel.decimals)}</b></span><div class="bar"><i style="width:${(100 * one.value) / high}%"></i></div></div>`;
  }).join("")}</div>`;
}

export const isList = (panel) => panel.kind === "bargauge" || panel.kind === "table";

export function body(panel, view, width) {
  if (panel.kind === "timeseries") return timeseries(panel, view, width) + legend(panel);
  if (isList(panel)) return list(panel);
  return value(panel) + (panel.spark && panel.series.length ? sparkline(panel, view) : "");
}

// What the series hold at the pointer: the nearest point of each, unless it lies more than a step away.
export function under(panel, view, at) {
  const found = panel.series.map((one, index) => {
    const nearest = one.points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best));
    return Math.abs(nearest[0] - at) > 1.5 * view.step ? "" : `<div><i style="background:${colorOf(panel, one.name, index)}"></i>${escape(one.name)}<b>${format(nearest[1], panel.unit, panel.decimals)}</b></div>`;
  });
  return `<div>${clock(at)}</div>${found.join("")}`;
}
