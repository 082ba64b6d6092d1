// The head of the page, and the cards of the classes.

// drawHead takes what tellMode knows of the link, too.
function drawHead(state, link) {
  drawStanding(state, link);
  byId("dry").hidden = !state.dry_run;
  byId("failing").hidden = !failing(state);
  say(byId("failing"), failing(state));
  const listeners = (state.listeners ?? []).map((l) => `${l.name} (${l.role}) on ${l.address}`).join(", ");
  say(byId("facts"), `${state.version && state.version !== "(devel)" ? `Version ${state.version}` : "Development version"} · up for ${duration(state.now - state.started)} · configuration in effect since ${since(state.config.since, state.now)}${listeners ? ` · listens as ${listeners}` : ""}`);
}

// readiness is the state of a gateway in a word or two.
function readiness(state) {
  return state.draining ? "draining" : state.ready ? "ready" : "not ready";
}

// drawStanding says how the gateway is, or was when it answered last, if it ever did,
// and what is wrong.
function drawStanding(state, { gone, error }) {
  const ready = byId("ready");
  ready.hidden = !state;
  if (state) {
    ready.className = `pill ${gone ? "" : state.draining ? "warn" : state.ready ? "good" : "bad"}`.trim();
    say(ready, gone ? `was ${readiness(state)}` : readiness(state));
  }
  const notices = error ? [{ bad: true, head: "No news from the gateway", text: error }] : [];
  notices.push(...(state?.problems ?? []).map((text) => ({ bad: true, head: gone ? "Was not ready" : "Not ready", text })));
  const failed = state?.config.failed;
  if (failed) notices.push({ head: `The configuration that was read at ${since(failed.at, state.now)} was refused; the one before it stays in effect`, text: failed.error });
  reconcile(byId("notices"), notices, (n) => `${n.head}\n${n.text}`, (n) => el("div", { className: n.bad ? "notice bad" : "notice" },
    el("strong", { textContent: n.head }), el("pre", { textContent: n.text })), () => {});
}

// tooMany is the share of a class's requests from which on failures are red, as the alert
// OvertakeErrors has it; notable, from which on they are amber.
const tooMany = 0.05, notable = 0.01;

function failedShare(w) {
  return w?.requests ? w.failed / w.requests : 0;
}

// failing names the classes of which too many fail now, with their shares; "" for none.
function failing(state) {
  return state.minute.filter((w) => failedShare(w) > tooMany).map((w) => `${w.class}: ${percent(failedShare(w))} failing`).join(", ");
}

// drawCards shows for each class what was in the last minute and in 15, and what is.
function drawCards(state) {
  const now = state.history.points.at(-1);
  const cards = state.classes.map((c, i) => {
    const lanes = state.upstreams.flatMap((u) => u.classes.filter((l) => l.class === c.name));
    const sum = (name) => lanes.reduce((total, l) => total + l[name], 0);
    const of = (windows) => windows.find((w) => w.class === c.name);
    return {
      ...c, index: i, window: of(state.window), minute: of(state.minute),
      rate: now?.classes[i]?.rate, waiting: sum("waiting"), in_flight: sum("in_flight"),
    };
  });
  reconcile(byId("cards"), cards, (c) => `${c.index} ${c.name}`, makeCard, (node, card) => node.update_(card));
}

function makeCard(card) {
  const big = el("p", { className: "big" }), what = el("p", { className: "what" }), failed = el("p", { className: "what failed" });
  const figures = facts(["requests", "waiting now", "running now", "wait p99, 15 min", "latency p50, 1 min", "latency p99, 1 min", "latency p99, 15 min", "refused, 1 min", "refused, 15 min"]);
  const node = el("li", { className: `c${card.index % markers.length}` },
    el("h2", { className: "class" }, marker(card.index), el("span", { textContent: card.name })), big, what, failed, figures.node);
  node.update_ = (c) => {
    const [number, unit] = duration(c.minute?.wait_p99).split(/ (?=\S+$)/);
    say(big.firstChild ?? big.appendChild(el("span")), number);
    say(big.children[1] ?? big.appendChild(el("small")), unit ?? "");
    drawObjective(what, c);
    drawFailed(failed, c);
    const w = c.window, m = c.minute;
    figures.update([perSecond(c.rate), count(c.waiting), count(c.in_flight), duration(w?.wait_p99), duration(m?.latency_p50), duration(m?.latency_p99), duration(w?.latency_p99), count(m?.shed), count(w?.shed)]);
  };
  return node;
}

// drawObjective says how the wait of the last minute compares with the objective.
function drawObjective(node, card) {
  const p99 = card.minute?.wait_p99;
  const known = p99 !== null && p99 !== undefined;
  let met = "";
  if (known && card.objective_ms) met = p99 <= card.objective_ms ? "good" : "bad";
  const verdict = met ? `${met === "good" ? "within" : "over"} its ${duration(card.objective_ms)}` : known ? "" : "no request had a slot";
  sayMet(node, "wait p99, last minute", met, verdict);
}

// drawFailed says how many failed in 15 minutes, and whether some do now.
function drawFailed(node, { window: w, minute: m }) {
  const share = failedShare(m), met = share > tooMany ? "bad" : Math.max(share, failedShare(w)) > notable ? "warn" : "";
  const all = w?.failed ? `${percent(failedShare(w))}, ${count(w.failed)} of ${count(w.requests)}` : "none";
  sayMet(node, "failed, 15 min", met, m?.failed ? `${all}; ${percent(share)} in the last minute` : all);
}

// sayMet says what a figure is, and how it is, in a colour if that matters.
function sayMet(node, name, met, text) {
  const key = `${name} ${met} ${text}`;
  if (node.dataset.text === key) return;
  node.dataset.text = key;
  node.replaceChildren(name, ...(text ? [" · ", el("span", { className: `met ${met}`.trim(), textContent: text })] : []));
}
