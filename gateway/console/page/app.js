// How long the app behind an upstream takes, and how its limit moved.

// historyOf are the points of one upstream, with null where it was not there.
function historyOf(state, name) {
  return state.history.points.map((p) => ({ t: p.t, ...(p.upstreams?.find((u) => u.name === name) ?? { limit: null, p50: null, p99: null }) }));
}

// makeApp returns { node, update }; update takes the upstream, whose points are in points.
function makeApp() {
  const figures = facts(["p50, 1 min", "p99, 1 min", "p50, 15 min", "p99, 15 min"]);
  const times = makeSpark(), limit = makeSpark();
  const node = el("div", { className: "app" }, el("div", {}, el("h4", { textContent: "Time in the app" }), figures.node), times.node, limit.node);
  const update = ({ minute, window: w, points, now, limit: present }) => {
    figures.update([minute?.p50, minute?.p99, w?.p50, w?.p99].map(duration));
    drawTimes(times, points, now);
    drawLimit(limit, points, now, present);
  };
  return { node, update };
}

function drawTimes(spark, points, now) {
  const known = points.map((p) => p.p99).filter((v) => v !== null);
  spark.draw(points.map((p) => ({ t: p.t, value: p.p99 })), now, false);
  spark.tell(known.length ? `p99 in the app, 15 min: ${range(known, duration)}` : "nothing was sent to the app in 15 min");
}

// unlimited is what the gateway has for no limit: 2 to the power of 20, per server.
const unlimited = 2 ** 20;

function drawLimit(spark, points, now, present) {
  const known = points.map((p) => p.limit).filter(Boolean);
  spark.draw(points.map((p) => ({ t: p.t, value: p.limit || null })), now, true);
  spark.tell(present >= unlimited ? "no limit" : `limit, 15 min: ${range([...known, present], count)}, now ${count(present)}`);
}

function range(values, write) {
  const low = write(Math.min(...values)), high = write(Math.max(...values));
  return low === high ? low : `${low} to ${high}`;
}

const sparkWidth = 180, sparkHeight = 32; // in units of its own: it is stretched

// makeSpark is a line over 15 minutes, with what it shows in words. It returns { node,
// draw, tell }: draw takes points with a value or null.
function makeSpark() {
  const line = svg("path", { class: "line" }), caption = el("figcaption");
  const picture = svg("svg", { viewBox: `0 0 ${sparkWidth} ${sparkHeight}`, preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { class: "ground", d: `M0 ${sparkHeight - 1}H${sparkWidth}` }), line);
  const draw = (points, now, stepped) => {
    const most = Math.max(...points.map((p) => p.value ?? 0)) || 1;
    const x = (t) => (sparkWidth * Math.max(0, t - now + chartSpan)) / chartSpan, y = (v) => 2 + (sparkHeight - 3) * (1 - v / most);
    let d = "", broken = true;
    for (const { t, value } of points) {
      if (value === null) { broken = true; continue; }
      const at = `${x(t).toFixed(1)} ${y(value).toFixed(1)}`;
      d += broken ? `M${at}h.5` : stepped ? `H${x(t).toFixed(1)}V${y(value).toFixed(1)}` : `L${at}`;
      broken = false;
    }
    attribute(line, "d", d);
  };
  return { node: el("figure", { className: "spark" }, picture, caption), draw, tell: (text) => say(caption, text) };
}
