// The charts of the page: reading them by mouse, finger or key, their legend and tables.

const hiddenClasses = new Set();

const specs = [
  { id: "wait", title: "Wait for a slot", about: "p99, thin: p50; log scale", unit: duration, log: true, goal: true, lines: ["wait_p99", "wait_p50"], none: "No request in the last 15 minutes: send one through the gateway." },
  { id: "latency", title: "Latency", about: "p99, thin: p50; log scale", unit: duration, log: true, lines: ["latency_p99", "latency_p50"], none: "No request in the last 15 minutes: send one through the gateway." },
  { id: "rate", title: "Requests", about: "that ended per second, failed and refused ones too", unit: perSecond, lines: ["rate"], none: "No request in the last 15 minutes: send one through the gateway." },
  { id: "failed", title: "Failed", about: "in each step, stacked", unit: count, stacked: true, lines: ["failed"], none: "Nothing failed in the last 15 minutes." },
  { id: "shed", title: "Refused", about: "in each step, stacked", unit: count, stacked: true, lines: ["shed"], none: "Nothing was refused in the last 15 minutes." },
];
const lineNames = new Map([["wait_p99", "p99"], ["wait_p50", "p50"], ["latency_p99", "p99"], ["latency_p50", "p50"]]);
const nameOfLine = (name) => lineNames.get(name) ?? "";

// makeCharts builds them once; what it returns draws them.
function makeCharts() {
  const charts = specs.map(makeChart);
  byId("plots").append(...charts.map((c) => c.node));
  let state = null;
  const draw = () => {
    if (!state) return;
    const shown = state.classes.map((c, index) => ({ ...c, index })).filter((c) => !hiddenClasses.has(c.name));
    const points = state.history.points.filter((p) => p.t >= state.now - chartSpan);
    const data = { now: state.now, step: state.history.step_ms, points, shown };
    for (const c of charts) c.draw(data);
  };
  new ResizeObserver(draw).observe(byId("plots"));
  return (next) => {
    state = next;
    drawLegend(state.classes, draw);
    draw();
  };
}

function drawLegend(classes, draw) {
  const items = classes.map((c, index) => ({ ...c, index }));
  reconcile(byId("legend"), items, (c) => `${c.index} ${c.name}`, (c) => {
    const button = el("button", { type: "button", "aria-pressed": "true" }, marker(c.index), el("span", { textContent: c.name }));
    button.addEventListener("click", () => {
      if (!hiddenClasses.delete(c.name)) hiddenClasses.add(c.name);
      button.setAttribute("aria-pressed", String(!hiddenClasses.has(c.name)));
      draw();
    });
    return button;
  }, () => {});
}

// listenForReading moves the crosshair by pointer and by key.
function listenForReading(chart) {
  const { plot } = chart;
  const read = (at) => { chart.at = at; drawReading(chart); };
  plot.addEventListener("pointermove", (event) => read(nearest(chart, event)));
  plot.addEventListener("pointerdown", (event) => read(nearest(chart, event)));
  plot.addEventListener("pointerleave", () => { if (document.activeElement !== plot) read(-1); });
  plot.addEventListener("blur", () => read(-1));
  plot.addEventListener("keydown", (event) => {
    const last = (chart.data?.points.length ?? 0) - 1, from = chart.at < 0 ? last + 1 : chart.at;
    const to = new Map([["ArrowLeft", from - 1], ["ArrowDown", from - 1], ["ArrowRight", from + 1], ["ArrowUp", from + 1], ["PageUp", from - 12], ["PageDown", from + 12], ["Home", 0], ["End", last], ["Escape", -1]]).get(event.key);
    if (to === undefined || last < 0) return;
    event.preventDefault();
    read(event.key === "Escape" ? -1 : Math.min(last, Math.max(0, to)));
  });
}

function nearest({ scale, data, plot }, event) {
  if (!scale || data.points.length === 0) return -1;
  const at = event.clientX - plot.getBoundingClientRect().left;
  const distances = data.points.map((p) => Math.abs(scale.x(p.t) - at));
  return distances.indexOf(Math.min(...distances));
}

// drawReading shows the values at the crosshair, for the eye and for a screen reader.
function drawReading(chart) {
  const { spec, data, plot, tip, scale, cross, at } = chart;
  const point = data?.points[at];
  tip.hidden = !point;
  cross?.replaceChildren();
  attribute(plot, "aria-valuenow", String(Math.max(0, at)));
  if (!point) {
    attribute(plot, "aria-valuetext", "no point chosen");
    return;
  }
  const x = scale.x(point.t);
  cross.append(svg("line", { class: "cross", x1: x, x2: x, y1: margin.top, y2: margin.top + scale.height }));
  const texts = data.shown.map((c) => spec.lines.map((name) => `${nameOfLine(name)} ${spec.unit(valueOf(point, c, name))}`.trim()));
  if (!spec.stacked) {
    data.shown.forEach((c) => spec.lines.forEach((name) => {
      const value = valueOf(point, c, name);
      if (value !== null) cross.append(sign(c, x, scale.y(value)));
    }));
  }
  tip.replaceChildren(el("b", { textContent: clock(point.t) }), el("table", {}, el("tbody", {}, ...data.shown.map((c, i) => el("tr", {},
    el("th", {}, classLabel(data.shown, c.name)), ...texts[i].map((text) => el("td", { textContent: text })))))));
  // The marker is by the class's place among all classes, not among those shown.
  tip.querySelectorAll(".marker").forEach((node, i) => node.replaceWith(marker(data.shown[i].index)));
  const room = plot.clientWidth - tip.offsetWidth;
  tip.style.left = `${Math.max(0, Math.min(room, x > plot.clientWidth / 2 ? x - tip.offsetWidth - 12 : x + 12))}px`;
  attribute(plot, "aria-valuetext", `${clock(point.t)}: ${data.shown.map((c, i) => `${c.name} ${texts[i].join(", ")}`).join("; ")}`);
}

// drawValues is the chart as a table, the newest point first, while it is open.
function drawValues({ spec, data, values }) {
  if (values.hidden || !data) return;
  const columns = [{ head: "time" }, ...data.shown.flatMap((c) => spec.lines.map((name) => ({ head: `${c.name} ${nameOfLine(name)}`.trim(), number: true })))];
  const key = columns.map((c) => c.head).join("\n");
  if (values.key_ !== key) {
    values.key_ = key;
    values.table_ = table(`${spec.title}, ${spec.about}`, columns);
    values.table_.node.classList.add("tall");
    values.replaceChildren(values.table_.node);
  }
  reconcile(values.table_.body, data.points.toReversed(), (p) => p.t, () => row(columns), (node, p) => {
    say(node.cells[0], clock(p.t));
    data.shown.flatMap((c) => spec.lines.map((name) => spec.unit(valueOf(p, c, name)))).forEach((text, i) => say(node.cells[i + 1], text));
  });
}
