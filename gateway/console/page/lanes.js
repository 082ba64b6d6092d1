// Lanes: who has an upstream's slots, who waits, and what is in the brokers' queues.

function drawUpstreams(state) {
  const make = (u) => makeUpstream(state, u);
  reconcile(byId("upstreams"), state.upstreams, (u) => `${u.name} ${laneKey(state, u)}`, make, (node, u) => node.update_({ ...u, now: state.now, points: historyOf(state, u.name) }));
}

// laneKey changes when the lanes do: with another configuration.
function laneKey(state, place) {
  return (place.classes ?? place.lanes).map((l) => `${classIndex(state.classes, l.class)}${l.class}`).join();
}

function makeUpstream(state, u) {
  const use = el("p"), slots = el("div", { className: "slots", role: "img" }), key = el("p", { className: "key" });
  const lanes = el("ul", { "aria-label": `Lanes of ${u.name}` }), servers = el("ul", { className: "servers", "aria-label": `Servers of ${u.name}` });
  const dry = el("span", { className: "chip warn", textContent: "dry run", hidden: true });
  const app = makeApp();
  const node = el("article", { className: "place" }, el("header", {}, el("h3", { textContent: u.name }), dry, use), slots, key, lanes, app.node, servers);
  const indexOf = (name) => classIndex(state.classes, name);
  node.update_ = (now) => {
    dry.hidden = !now.dry_run;
    say(use, `${count(now.in_flight)} of ${plural(now.limit, "slot")} in use, ${count(now.waiting)} waiting`);
    drawSlots(slots, key, now, indexOf);
    reconcile(lanes, now.classes, (l) => l.class, (l) => makeLane(l, indexOf(l.class), ["waiting", "oldest", "running", "reserve", "overtakes", "refused since start"]), updateSlotLane);
    app.update(now);
    reconcile(servers, now.servers, (s) => s.url, makeServer, (n, s) => n.update_(s));
  };
  return node;
}

// drawSlots divides the bar: running by class, kept free by reserves, and free.
function drawSlots(node, key, u, indexOf) {
  const parts = u.classes.filter((l) => l.in_flight > 0).map((l) => ({ kind: "taken", class: l.class, cells: l.in_flight }));
  let free = Math.max(0, u.limit - u.in_flight);
  for (const l of u.classes) {
    const kept = Math.min(free, Math.round(Math.max(0, l.reserve - l.in_flight)));
    if (kept > 0) parts.push({ kind: "kept", class: l.class, cells: kept });
    free -= kept;
  }
  if (free > 0) parts.push({ kind: "free", class: "", cells: free });
  node.classList.toggle("many", u.limit > 80);
  reconcile(node, parts, (p) => `${p.kind} ${p.class}`, (p) => el("div", { className: `${p.kind} c${indexOf(p.class) % markers.length}` }, ...(p.class ? [marker(indexOf(p.class))] : [])), (part, p) => {
    part.style.flexGrow = p.cells;
    part.style.setProperty("--cells", p.cells);
  });
  const words = { taken: (p) => `${p.class} runs ${p.cells}`, kept: (p) => `${p.cells} kept free for ${p.class}`, free: (p) => `${p.cells} free for all` };
  const text = parts.map((p) => words[p.kind](p)).join(" · ");
  say(key, text);
  attribute(node, "aria-label", `Slots: ${text.replaceAll(" · ", ", ")}`);
}

// laneNames are of the lanes of a queue that are no class: the name of a class has neither.
const laneNames = new Map([["dead", "dead letters"], ["*", "all classes"]]);

// makeLane is a lane with its name, those who wait drawn one by one, and figures.
function makeLane(lane, index, names) {
  const queue = el("i"), chip = el("span", { className: "chip", hidden: true }), figures = facts(names);
  const node = el("li", { className: `lane ${laneNames.has(lane.class) ? "other" : `c${index % markers.length}`}` },
    el("div", { className: "who" }, el("span", { className: "class" }, marker(index), el("span", { textContent: laneNames.get(lane.class) ?? lane.class })), chip),
    el("div", { className: "track", "aria-hidden": "true" }, queue), figures.node);
  Object.assign(node, { queue_: queue, chip_: chip, figures_: figures });
  return node;
}

function updateSlotLane(node, l) {
  const shed = Object.values(l.shed ?? {}).reduce((sum, n) => sum + n, 0);
  drawQueue(node, l.waiting);
  node.chip_.hidden = l.order !== "newest_first";
  say(node.chip_, "newest first");
  node.figures_.update([count(l.waiting), l.waiting ? duration(l.oldest_ms) : none, count(l.in_flight), trim(l.reserve, 1), count(l.overtakes), count(shed)]);
}

// drawQueue draws each that waits as a stroke; the track cuts off what is too long.
function drawQueue(node, waiting) {
  node.queue_.style.width = `${Math.min(waiting, 1000) * 9}px`;
}

const serverChips = new Map([["up", "good"], ["down", "bad"]]);

function makeServer() {
  const url = el("code"), pill = el("span", { className: "chip" }), use = el("p"), error = el("p", { className: "error", hidden: true });
  const node = el("li", {}, el("div", { className: "line" }, url, pill), use, error);
  node.update_ = (s) => {
    say(url, s.url);
    pill.className = `chip ${serverChips.get(s.state) ?? "warn"}`;
    say(pill, s.state_ms ? `${s.state} for ${duration(s.state_ms)}` : s.state);
    say(use, `${count(s.in_flight)} of ${plural(s.limit, "slot")} in use${s.probing ? ", being probed" : ""}`);
    error.hidden = !s.error;
    say(error, s.error ?? "");
  };
  return node;
}

function drawQueues(state) {
  const box = byId("brokers");
  box.className = "brokers";
  if (state.queues.length === 0) {
    reconcile(box, ["none"], (k) => k, () => el("p", { className: "none", textContent: "No queue is configured. Add one under queues: in the configuration to let jobs wait for a slot, too." }), () => {});
    return;
  }
  reconcile(box, state.queues, (q) => `${q.name} ${laneKey(state, q)}`, (q) => makeBroker(state, q), (node, q) => node.update_(q));
}

function makeBroker(state, q) {
  const use = el("p"), error = el("p", { className: "error", hidden: true }), lanes = el("ul", { "aria-label": `Lanes of ${q.name}` });
  const node = el("article", { className: "place" }, el("header", {}, el("h3", { textContent: q.name }), use), error, lanes);
  node.update_ = (now) => {
    const alive = now.lanes.filter((l) => l.class !== "dead");
    const sum = (name) => alive.reduce((total, l) => total + l[name], 0);
    say(use, `broker ${now.broker}, ${plural(sum("waiting"), "message")} waiting, ${count(sum("in_hand"))} in hand`);
    error.hidden = !now.error;
    say(error, now.error ?? "");
    reconcile(lanes, now.lanes, (l) => l.class, (l) => makeLane(l, classIndex(state.classes, l.class), ["waiting", "in hand"]), (lane, l) => {
      drawQueue(lane, l.waiting);
      lane.chip_.hidden = !l.paused;
      lane.chip_.classList.add("warn");
      say(lane.chip_, "paused");
      lane.figures_.update([count(l.waiting), count(l.in_hand)]);
    });
  };
  return node;
}
