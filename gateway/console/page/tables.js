// The tables of refusals and of rules.

const shedColumns = [{ head: "class" }, { head: "for" }, { head: "reason" }, { head: "last 15 min", number: true }, { head: "since the start", number: true }, { head: "means", wide: true }];
const shedMeans = {
  queue_full: "as many waited as the class's max_waiting allows",
  queue_bytes: "the bodies of those who waited left no room for its own",
  max_wait: "it waited as long as its class may",
  deadline: "its own deadline passed, or would have",
  displaced: "pushed out of the waiting room by more urgent work",
  draining: "the gateway was shutting down",
};

// keyedTable draws items as a table into box, or says why there is nothing.
function keyedTable(box, label, columns, items, empty, keyOf, update) {
  if (items.length === 0) {
    if (box.table_ !== null) box.replaceChildren(el("p", { className: "none", textContent: empty }));
    box.table_ = null;
    return;
  }
  if (!box.table_) {
    box.table_ = table(label, columns, true);
    box.replaceChildren(box.table_.node);
  }
  reconcile(box.table_.body, items, keyOf, () => row(columns), update);
}

function drawSheds(state) {
  const sheds = state.sheds.toSorted((a, b) => b.recent - a.recent || b.total - a.total);
  keyedTable(byId("shed-table"), "Refusals by class and reason", shedColumns, sheds, "Nothing was refused since the gateway started.",
    (s) => `${s.upstream}\n${s.queue}\n${s.class}\n${s.reason}`, (tr, s) => {
      label1(tr.cells[0], state.classes, s.class);
      say(tr.cells[1], s.queue ? `queue ${s.queue}` : s.upstream ? `upstream ${s.upstream}` : "destinations that no route names");
      tr.cells[2].firstChild ?? tr.cells[2].append(el("code"));
      say(tr.cells[2].firstChild, s.reason);
      say(tr.cells[3], count(s.recent));
      say(tr.cells[4], count(s.total));
      say(tr.cells[5], s.queue && s.reason === "queue_full" ? "its lane, or the store of its state, had no room: overtake queue show has the bounds" : shedMeans[s.reason] ?? "");
    });
}

// label1 puts a class's label into a cell, once for each class that it shows.
function label1(cell, classes, name) {
  const key = `${classIndex(classes, name)} ${name}`;
  if (cell.dataset.class === key) return;
  cell.dataset.class = key;
  cell.replaceChildren(classLabel(classes, name));
}

const ruleColumns = [{ head: "rule" }, { head: "class" }, { head: "matches", wide: true }, { head: "share of hits" }, { head: "hits", number: true }, { head: "dry hits", number: true }];
const builtinMatch = {
  default: "what no rule took", trusted: "the class that a trusted peer named", provenance: "the class of the request that caused it",
};

function drawRules(state) {
  const all = state.rules.reduce((sum, r) => sum + r.hits, 0);
  keyedTable(byId("rule-table"), "Rules in their order", ruleColumns, state.rules, "No rule has been asked yet, and none is configured: add some under rules: in the configuration.",
    (r) => `${r.builtin} ${r.name}`, (tr, r) => {
      drawRuleName(tr.cells[0], r);
      if (r.class) label1(tr.cells[1], state.classes, r.class);
      say(tr.cells[2], r.match || (r.builtin ? builtinMatch[r.name] ?? "" : "everything"));
      drawShare(tr.cells[3], all ? r.hits / all : 0, r.class ? classIndex(state.classes, r.class) : -1);
      say(tr.cells[4], count(r.hits));
      say(tr.cells[5], r.dry_hits ? count(r.dry_hits) : none);
    });
}

function drawRuleName(cell, r) {
  const key = `${r.name} ${r.dry_run} ${r.builtin}`;
  if (cell.dataset.key === key) return;
  cell.dataset.key = key;
  cell.replaceChildren(el("span", { textContent: `${r.name} ` }));
  if (r.builtin) cell.append(el("span", { className: "chip", textContent: "built in" }));
  if (r.dry_run) cell.append(el("span", { className: "chip warn", textContent: "dry run" }));
}

function drawShare(cell, share, index) {
  if (!cell.firstChild) cell.append(el("div", { className: "share" }, el("i", {}, el("b")), el("span", { className: "number" })));
  const [bar, text] = cell.firstChild.children;
  if (index >= 0) bar.className = `c${index % markers.length}`;
  bar.firstChild.style.width = `${share * 100}%`;
  say(text, percent(share));
}
