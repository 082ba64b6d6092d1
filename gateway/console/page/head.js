// The head of the page, and the cards of the classes.

// drawHead takes what tellMode knows of the link, too.
function drawHead(state, link) {
  drawStanding(state, link);
  byId("dry").hidden = !state.dry_run;
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

// drawCards shows for each class what was, over 15 minutes, and what is.
function drawCards(state) {
  const now = state.history.points.at(-1);
  const cards = state.classes.map((c, i) => {
    const lanes = state.upstreams.flatMap((u) => u.classes.filter((l) => l.class === c.name));
    const sum = (name) => lanes.reduce((total, l) => total + l[name], 0);
    return {
      ...c, index: i, window: state.window.find((w) => w.class === c.name),
      rate: now?.classes[i]?.rate, waiting: sum("waiting"), overtakes: sum("overtakes"), in_flight: sum("in_flight"),
    };
  });
  reconcile(byId("cards"), cards, (c) => `${c.index} ${c.name}`, makeCard, (node, card) => node.update_(card));
}

function makeCard(card) {
  const big = el("p", { className: "big" }), what = el("p", { className: "what" });
  const figures = facts(["requests", "waiting now", "running now", "latency p50", "latency p99", "refused, 15 min"]);
  const node = el("li", { className: `c${card.index % markers.length}` },
    el("h2", { className: "class" }, marker(card.index), el("span", { textContent: card.name })), big, what, figures.node);
  node.update_ = (c) => {
    const [number, unit] = duration(c.window?.wait_p99).split(/ (?=\S+$)/);
    say(big.firstChild ?? big.appendChild(el("span")), number);
    say(big.children[1] ?? big.appendChild(el("small")), unit ?? "");
    drawObjective(what, c);
    const w = c.window;
    figures.update([perSecond(c.rate), count(c.waiting), count(c.in_flight), duration(w?.latency_p50), duration(w?.latency_p99), count(w?.shed)]);
  };
  return node;
}

// drawObjective says how the wait of 15 minutes compares with the objective.
function drawObjective(node, card) {
  const p99 = card.window?.wait_p99;
  const known = p99 !== null && p99 !== undefined;
  const text = ["wait p99, 15 min"];
  let met = "";
  if (!known) text.push("no request yet");
  else if (card.objective_ms) met = p99 <= card.objective_ms ? "good" : "bad";
  const verdict = met && `${met === "good" ? "within" : "over"} its ${duration(card.objective_ms)}`;
  if (node.dataset.text === text.join() + verdict) return;
  node.dataset.text = text.join() + verdict;
  node.replaceChildren(text.join(" · "), ...(met ? [" · ", el("span", { className: `met ${met}`, textContent: verdict })] : []));
}
