// The slowest requests, and where the time of each went.

const slowColumns = [{ head: "request", wide: true }, { head: "class" }, { head: "took", number: true }, { head: "status", number: true }, { head: "reason" }, { head: "at", number: true }];

// slowFew is how many of each class are listed before the reader asks for all.
const slowFew = 4;

function drawSlowest(state) {
  const box = byId("slow-table");
  if (state.slowest.length === 0) {
    if (box.table_ !== null) box.replaceChildren(el("p", { className: "none", textContent: "No request yet. Send one through a listener of the gateway, and it is listed here." }));
    box.table_ = null;
    return;
  }
  if (!box.table_) {
    box.table_ = table("Slowest requests", slowColumns, true);
    box.open_ = new Map();
    box.more_ = makeMore(box);
    box.replaceChildren(box.table_.node, box.more_);
  }
  box.state_ = state;
  drawSlowRows(box, state);
}

// makeMore is the button that lists all.
function makeMore(box) {
  const button = el("button", { type: "button", className: "small after", "aria-expanded": "false" });
  button.addEventListener("click", () => {
    button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
    drawSlowRows(box, box.state_);
  });
  return button;
}

function drawSlowRows(box, state) {
  const keyOf = (r) => `${state.started} ${r.id}`; // which another process begins anew
  const all = box.more_.getAttribute("aria-expanded") === "true", listed = new Map();
  const few = state.slowest.filter((r) => {
    listed.set(r.class, (listed.get(r.class) ?? 0) + 1);
    return listed.get(r.class) <= slowFew;
  });
  box.more_.hidden = few.length === state.slowest.length;
  say(box.more_, all ? "Show fewer" : `Show all ${count(state.slowest.length)}`);
  const open = box.open_, shown = all ? state.slowest : few, keys = new Set(shown.map(keyOf));
  for (const key of open.keys()) if (!keys.has(key)) open.delete(key);
  // A request that is open is followed by its details.
  const rows = shown.flatMap((r) => {
    const key = keyOf(r);
    return open.has(key) ? [{ r, key }, { r, key: `${key} details`, detail: open.get(key) }] : [{ r, key }];
  });
  const toggle = (r, button) => {
    if (!open.delete(keyOf(r))) open.set(keyOf(r), makeDetails(state, r));
    button.setAttribute("aria-expanded", String(open.has(keyOf(r))));
    drawSlowRows(box, box.state_);
  };
  const make = ({ r, detail }) => (detail ? el("tr", { className: "detail" }, el("td", { colSpan: slowColumns.length }, detail)) : makeSlow(state, r, toggle));
  reconcile(box.table_.body, rows, (item) => item.key, make, () => {});
}

function makeSlow(state, r, toggle) {
  const tr = row(slowColumns);
  const button = el("button", { type: "button", className: "toggle", textContent: `${r.method} ${r.path}`, "aria-expanded": "false" });
  button.addEventListener("click", () => toggle(r, button));
  tr.cells[0].append(button);
  label1(tr.cells[1], state.classes, r.class);
  say(tr.cells[2], duration(r.total_ms));
  say(tr.cells[3], r.status ? String(r.status) : none);
  if (r.reason) tr.cells[4].append(el("code", { textContent: r.reason }));
  say(tr.cells[5], clock(r.at));
  return tr;
}

function makeDetails(state, r) {
  const id = el("code", { textContent: r.trace_id }), more = el("div", { "aria-live": "polite" });
  const copy = el("button", { type: "button", className: "small", textContent: "Copy" });
  copy.addEventListener("click", () => copyText(id, copy));
  const trace = el("button", { type: "button", className: "small", textContent: "Hops in Jaeger" });
  trace.addEventListener("click", () => showTrace(r, index, more));
  const index = classIndex(state.classes, r.class);
  const about = el("dl", { className: "about" });
  const add = (name, ...content) => about.append(el("div", {}, el("dt", { textContent: name }), el("dd", {}, ...content)));
  if (r.trace_id) add("trace", id, copy, trace);
  if (r.queue) add("queue", r.queue);
  else add("listener", r.listener || none);
  add("rule", r.rule || none);
  if (r.trace_id && !r.recorded) add("spans", "not sampled: Jaeger has none of this gateway's");
  return el("div", {}, about, hopList(r.hops ?? [], r.total_ms, index, "Hops in this gateway"), more);
}

// hopList is a waterfall: when each hop began and how long it took.
function hopList(hops, total, index, name) {
  if (hops.length === 0) return el("p", { className: "none", textContent: "No hop of it is known." });
  const end = Math.max(total ?? 0, ...hops.map((h) => h.start_ms + h.ms), 0.001);
  return el("ol", { className: "hops", "aria-label": name }, ...hops.map((h) => {
    const bar = el("i");
    bar.style.marginLeft = `${(Math.max(0, h.start_ms) / end) * 100}%`;
    bar.style.width = `${(h.ms / end) * 100}%`;
    const under = [h.service, h.note, h.error].filter(Boolean).join(": ");
    const label = el("span", { className: "name" }, h.name || h.kind, ...(under ? [el("small", { textContent: under })] : []));
    label.style.paddingLeft = `${Math.min(h.depth ?? 0, 8) * 0.75}rem`;
    return el("li", {}, label,
      el("span", { className: `rail ${h.kind === "wait" || h.kind === "answer" ? h.kind : ""} c${index % markers.length}`, "aria-hidden": "true" }, bar),
      el("span", { className: "number", textContent: duration(h.ms) }));
  }));
}

// showTrace asks for the spans of the whole request, from all who recorded some.
async function showTrace(r, index, box) {
  box.replaceChildren(el("p", { className: "after soft", textContent: "Asking Jaeger …" }));
  try {
    const response = await fetch(`console/trace?${new URLSearchParams({ id: r.trace_id })}`, asking);
    const answer = await answerOf(response);
    box.replaceChildren(el("h3", { className: "after", textContent: "Hops in Jaeger" }), hopList(answer.hops, answer.total_ms, index, "Hops in Jaeger"));
    if (answer.left) box.append(el("p", { className: "soft", textContent: `${plural(answer.left, "hop")} more at Jaeger.` }));
    if (/^https?:/.test(answer.link)) box.append(el("p", { className: "after" }, el("a", { href: answer.link, target: "_blank", rel: "noopener noreferrer", textContent: "Open the trace at Jaeger" })));
  } catch (error) {
    box.replaceChildren(el("p", { className: "after error", textContent: error.message }));
  }
}

// copyText copies; where the browser refuses, as without HTTPS on another host than
// localhost, it selects the text for the reader's own keys.
async function copyText(node, button) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(node);
    button.textContent = "Selected";
  }
  announce(`${button.textContent} ${node.textContent}`);
}
