// The form that asks what would be done with a request.

function makeExplain(stateOf) {
  byId("explain-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      showExplanation(stateOf(), await askExplain());
    } catch (error) {
      showExplainError(error.message);
    }
  });
}

async function askExplain() {
  const query = new URLSearchParams();
  for (const name of ["method", "url", "source", "listener"]) {
    const value = byId(`explain-${name}`).value.trim();
    if (value) query.set(name, value);
  }
  for (const line of byId("explain-headers").value.split("\n")) if (line.trim()) query.append("header", line.trim());
  const response = await fetch(`debug/explain?${query}`, asking).catch(() => null);
  if (!response) throw new Error("The gateway gave no answer.");
  return answerOf(response);
}

function showExplainError(text) {
  byId("explain-result").replaceChildren();
  const error = byId("explain-error");
  error.hidden = false;
  say(error, text);
}

// drawListeners offers the gateway's listeners; the choice stays.
function drawListeners(state) {
  const items = [{ name: "", text: "any" }, ...(state.listeners ?? []).map((l) => ({ name: l.name, text: `${l.name} (${l.role})` }))];
  reconcile(byId("explain-listener"), items, (l) => l.name, (l) => el("option", { value: l.name }), (node, l) => say(node, l.text));
}

function showExplanation(state, e) {
  byId("explain-error").hidden = true;
  const classes = state?.classes ?? [], index = classIndex(classes, e.class);
  const about = el("dl", { className: "about" });
  const add = (name, text) => text && about.append(el("div", {}, el("dt", { textContent: name }), el("dd", { textContent: text })));
  add("route", e.route >= 0 ? `number ${e.route + 1}` : "none: would be answered with 404");
  add("upstream", e.upstream);
  add("queue", e.queue);
  add("address", e.address);
  add("flow", e.flow);
  add("claimed class", e.claimed && `${e.claimed}, ${e.trusted ? "believed" : "not believed: the peer is not trusted"}`);
  add("lowered", e.lowered && "yes, by the request's own wish");
  add("ceiling", e.ceiling);
  add("rules tested", `${count(e.tested)} of ${count(e.rules.length)}${e.tested < e.rules.length ? ", the index ruled out the rest" : ""}`);
  byId("explain-result").replaceChildren(el("div", { className: `verdict c${index % markers.length}` },
    el("p", { className: "answer" }, el("span", { className: "soft", textContent: "class" }), classLabel(classes, e.class), el("span", { className: "soft", textContent: "by rule" }), el("strong", { textContent: e.rule })), about),
  trials(classes, e.rules));
}

const trialColumns = [{ head: "rule" }, { head: "class" }, { head: "matches" }, { head: "what did not hold", wide: true }];

function trials(classes, rules) {
  if (rules.length === 0) return el("p", { className: "none", textContent: "No rule was asked." });
  const { node, body } = table("Rules up to the one that decided", trialColumns, true);
  for (const r of rules) {
    const tr = row(trialColumns);
    drawRuleName(tr.cells[0], { name: r.rule, dry_run: r.dry_run });
    label1(tr.cells[1], classes, r.class);
    say(tr.cells[2], r.matches ? "yes" : "no");
    if (!r.matches) tr.cells[3].append(el("code", { textContent: r.field ?? "" }), ` ${r.seen ? `the request has ${r.seen}` : "the request has none"}`);
    body.append(tr);
  }
  return node;
}
