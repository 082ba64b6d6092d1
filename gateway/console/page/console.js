// The page: keeps the last state, draws it, and the buttons of the head.

const shown = { state: null, drawn: 0, mode: "", pending: false, link: { gone: false, error: "" } };

// merge adds what is new of the history to what is known, or takes a whole one. Points
// of before the gateway's clock was set back, which are later than those after them,
// are left out.
function merge(known, next, whole) {
  let { points } = next.history;
  if (!whole && known && known.started === next.started) {
    const last = known.history.points.at(-1)?.t ?? 0;
    points = [...known.history.points, ...points.filter((p) => p.t > last)];
  }
  let later = next.now + next.history.step_ms;
  next.history.points = points.toReversed().filter((p) => {
    if (p.t >= later || p.t <= next.now - chartSpan - next.history.step_ms) return false;
    later = p.t;
    return true;
  }).reverse();
  return next;
}

// setBack reports whether the gateway's clock was set back between two states: its new
// points then look like old ones.
function setBack(known, next) {
  return known?.started === next.started && next.now < known.now;
}

// announce tells a screen reader what changed.
function announce(text) {
  say(byId("said"), text);
}

function draw(drawCharts) {
  const { state } = shown;
  drawHead(state, shown.link);
  drawCards(state);
  drawUpstreams(state);
  drawQueues(state);
  drawFailures(state);
  drawSlowest(state);
  drawRules(state);
  drawListeners(state);
  // Charts change with a point of the history, not with each state.
  const newest = `${state.started} ${state.history.points.at(-1)?.t} ${state.classes.map((c) => c.name + c.objective_ms).join()}`;
  if (shown.drawn !== newest) drawCharts(state);
  shown.drawn = newest;
}

const linkPills = new Map([["live", "good live"], ["polling", "warn"], ["gone", "bad"], ["paused", "warn"]]);

// tellMode says what makeFeed tells. A pause keeps what was known of the gateway.
function tellMode(mode, at, error = "") {
  const texts = new Map([["live", "live"], ["polling", "asking every 5 s"], ["gone", `no answer since ${clock(at)}`], ["paused", `paused at ${clock(at)}`]]);
  const link = byId("link");
  link.className = `pill ${linkPills.get(mode)}`;
  say(link, texts.get(mode));
  const worse = mode === "gone" && (!shown.link.gone || error !== shown.link.error);
  if (mode !== "paused") shown.link = { gone: mode === "gone", error };
  if (worse) drawStanding(shown.state, shown.link);
  // The first answer is no news, nor is the asking before events come.
  if (worse || (mode !== shown.mode && shown.mode && mode !== "polling")) announce(`Console: ${texts.get(mode)}${error && `. ${error}`}`);
  if (mode !== "polling") shown.mode = mode;
}

// tellNews tells a screen reader what the head has become.
function tellNews(before, after) {
  if (!before) return;
  if (readiness(before) !== readiness(after)) announce(`The gateway is ${readiness(after)}`);
  else if (!failing(before) && failing(after)) announce(`Requests fail: ${failing(after)}`);
  else if (failing(before) && !failing(after)) announce("Requests fail no more");
}

function makeTheme() {
  const button = byId("theme"), root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => say(button, dark() ? "Light" : "Dark");
  const kept = stored();
  if (kept) root.dataset.theme = kept;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    store(root.dataset.theme);
    label();
  });
  system.addEventListener("change", label);
  label();
}

// A browser may refuse to store anything: the choice then lasts as long as the page.
function stored() {
  try { return sessionStorage.getItem("theme"); } catch { return null; }
}

function store(theme) {
  try { sessionStorage.setItem("theme", theme); } catch { /* see above */ }
}

function start() {
  makeTheme();
  makeExplain(() => shown.state);
  const drawCharts = makeCharts();
  const feed = makeFeed((next, whole) => {
    if (!whole && setBack(shown.state, next)) return false;
    tellNews(shown.state, next);
    shown.state = merge(shown.state, next, whole);
    if (shown.pending) return true; // drawn at most once in a frame, and only when seen
    shown.pending = true;
    requestAnimationFrame(() => { shown.pending = false; draw(drawCharts); });
    return true;
  }, tellMode);
  byId("pause").addEventListener("click", ({ currentTarget: button }) => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    feed.pause(on);
  });
}

queueMicrotask(start); // once the constants of all files are there
