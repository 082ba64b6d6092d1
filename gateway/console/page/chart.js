// One chart over time, drawn as SVG: lines per class, or stacked bars.

const chartSpan = 15 * 60e3;
const margin = { left: 54, right: 12, top: 10, bottom: 24 };

// makeChart returns { node, draw }. A spec has an id, title, about, unit (a function
// that writes a value), log, stacked, lines (the names of a point's values, the first
// one thick), goal (of a class, or nothing) and none (what to say without values).
function makeChart(spec) {
  const picture = svg("svg", { "aria-hidden": "true" }), tip = el("div", { className: "tip", hidden: true, "aria-hidden": "true" });
  const nothing = el("p", { className: "none", hidden: true, textContent: spec.none });
  const plot = el("div", { className: "plot", id: `plot-${spec.id}`, tabIndex: 0, role: "slider", "aria-label": `${spec.title}: read it with the arrow keys`, "aria-orientation": "horizontal" }, picture, nothing, tip);
  const button = el("button", { type: "button", className: "small", textContent: "Table", "aria-expanded": "false", "aria-label": `${spec.title} as a table` });
  const values = el("div", { hidden: true });
  const node = el("article", { className: "chart" }, el("header", {}, el("div", {}, el("h3", { textContent: spec.title }), el("p", { textContent: spec.about })), button), plot, values);
  const chart = { spec, picture, tip, plot, nothing, values, at: -1, data: null };
  button.addEventListener("click", () => {
    values.hidden = !values.hidden;
    button.setAttribute("aria-expanded", String(!values.hidden));
    drawValues(chart);
  });
  listenForReading(chart);
  return { node, draw: (data) => { chart.data = data; drawChart(chart); drawValues(chart); } };
}

// layout gives the scales of a chart for the size that it has now.
function layout({ plot, spec, data }) {
  const width = plot.clientWidth - margin.left - margin.right, height = plot.clientHeight - margin.top - margin.bottom;
  const x = (t) => margin.left + ((t - data.now + chartSpan) / chartSpan) * width;
  const all = data.points.flatMap((p) => (spec.stacked
    ? [data.shown.reduce((sum, c) => sum + valueOf(p, c, spec.lines[0]), 0)]
    : data.shown.flatMap((c) => spec.lines.map((name) => valueOf(p, c, name)))));
  const goals = spec.goal ? data.shown.map((c) => c.objective_ms).filter(Boolean) : [];
  const known = [...all, ...goals].filter((v) => v > 0);
  const { ticks, place } = spec.log ? logScale(known) : linearScale(known);
  return { x, y: (v) => margin.top + (1 - place(v)) * height, ticks, width, height, empty: !all.some((v) => v !== null && (v > 0 || !spec.stacked)) };
}

function valueOf(point, c, name) {
  return point.classes[c.index]?.[name] ?? null;
}

// logScale spans whole decades, from 0.1 ms at the least: what is below lies on the ground.
function logScale(values) {
  const low = Math.max(-1, Math.floor(Math.log10(Math.min(1, ...values))));
  const high = Math.max(low + 2, Math.ceil(Math.log10(Math.max(10, ...values))));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  return { ticks, place: (v) => Math.max(0, (Math.log10(Math.max(v, 10 ** low)) - low) / (high - low)) };
}

// linearScale spans from 0 to a round figure, 4 at the least, in 4 steps or 5.
function linearScale(values) {
  const most = Math.max(4, ...values), unit = 10 ** Math.floor(Math.log10(most / 4));
  const step = [1, 2, 2.5, 5, 10].map((f) => f * unit).find((s) => s * 5 >= most);
  const ticks = Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
  return { ticks, place: (v) => v / ticks.at(-1) };
}

function drawChart(chart) {
  const { spec, data, picture, plot } = chart;
  if (!data || plot.clientWidth === 0) return;
  const scale = layout(chart);
  chart.scale = scale;
  attribute(picture, "viewBox", `0 0 ${plot.clientWidth} ${plot.clientHeight}`);
  chart.nothing.hidden = !scale.empty;
  const cross = svg("g");
  chart.cross = cross;
  picture.replaceChildren(...grid(scale, spec, data), ...(spec.stacked ? bars(scale, spec, data) : lines(scale, spec, data)), cross);
  attribute(plot, "aria-valuemin", "0");
  attribute(plot, "aria-valuemax", String(Math.max(0, data.points.length - 1)));
  if (chart.at >= data.points.length) chart.at = data.points.length - 1;
  drawReading(chart);
}

function grid({ x, y, ticks, width }, spec, data) {
  const nodes = ticks.flatMap((v) => [
    svg("line", { class: "grid", x1: margin.left, x2: margin.left + width, y1: y(v), y2: y(v) }),
    label(margin.left - 8, y(v) + 4, spec.unit(v), "end"),
  ]);
  const every = width < 380 ? 5 * 60e3 : 3 * 60e3;
  for (let t = Math.ceil((data.now - chartSpan) / every) * every; t <= data.now; t += every) {
    const at = x(t);
    if (at > margin.left + 14 && at < margin.left + width - 14) nodes.push(label(at, y(ticks[0]) + 18, clock(t, false), "middle"));
  }
  return nodes;
}

function label(x, y, text, anchor) {
  const node = svg("text", { x, y, "text-anchor": anchor });
  node.textContent = text;
  return node;
}

function lines({ x, y, width }, spec, data) {
  const nodes = [];
  for (const c of data.shown) {
    const group = svg("g", { class: `c${c.index % markers.length}` });
    if (spec.goal && c.objective_ms) group.append(svg("line", { class: "goal", x1: margin.left, x2: margin.left + width, y1: y(c.objective_ms), y2: y(c.objective_ms) }));
    spec.lines.forEach((name, i) => {
      const runs = unbroken(data, c, name);
      group.append(svg("path", { class: i === 0 ? "p99" : "p50", d: runs.map((run) => `M${run.map((p) => `${x(p.t).toFixed(1)} ${y(p.value).toFixed(1)}`).join("L")}${run.length === 1 ? "h1" : ""}`).join("") }));
      if (i === 0) group.append(...signs(runs, c, x, y));
    });
    nodes.push(group);
  }
  return nodes;
}

// unbroken cuts a line where there was no request, or no gateway.
function unbroken(data, c, name) {
  const runs = [];
  let last = null;
  for (const point of data.points) {
    const value = valueOf(point, c, name);
    if (value === null) { last = null; continue; }
    if (last === null || point.t - last > 2.5 * data.step) runs.push([]);
    runs.at(-1).push({ t: point.t, value });
    last = point.t;
  }
  return runs;
}

// signs puts the class's marker on its line every 3 minutes, and at its end.
function signs(runs, c, x, y) {
  const all = runs.flat(), end = all.at(-1), turn = (p) => Math.floor(p.t / 180e3);
  const first = (p, i) => i > 0 && turn(p) !== turn(all[i - 1]) && end.t - p.t > 60e3;
  return all.filter((p, i) => p === end || first(p, i)).map((p) => sign(c, x(p.t), y(p.value)));
}

function sign(c, x, y) {
  return svg("path", { class: `dot c${c.index % markers.length}`, d: markers[c.index % markers.length], transform: `translate(${x - 5} ${y - 5}) scale(.83)` });
}

// bars stacks the classes, the most urgent one at the bottom, each with its hatch.
function bars({ x, y, width }, spec, data) {
  const wide = (data.step / chartSpan) * width + 0.3, nodes = []; // no gaps: the hatch would not be seen
  const hatches = svg("defs", {}, ...data.shown.map((c) => hatch(c, spec)));
  for (const point of data.points) {
    let sum = 0;
    for (const c of data.shown) {
      const value = valueOf(point, c, spec.lines[0]);
      if (!value) continue;
      nodes.push(svg("rect", { x: x(point.t) - wide, y: y(sum + value), width: wide, height: Math.max(1, y(sum) - y(sum + value)), fill: `url(#hatch-${spec.id}-${c.index})` }));
      sum += value;
    }
  }
  return [hatches, ...nodes];
}

function hatch(c, spec) {
  const angle = [0, 45, 135, 90, 0, 22, 67, 112][c.index % markers.length];
  const node = svg("pattern", { id: `hatch-${spec.id}-${c.index}`, class: `c${c.index % markers.length}`, patternUnits: "userSpaceOnUse", width: 5, height: 5, patternTransform: `rotate(${angle})` },
    svg("rect", { class: "bar", width: 5, height: 5 }));
  if (c.index % markers.length > 0) node.append(svg("rect", { width: 1.2, height: 5, fill: "var(--card)", opacity: 0.75 }));
  return node;
}
