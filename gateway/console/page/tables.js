// The tables of failures and of rules.

const failureColumns = [
  { head: "class" }, { head: "what" }, { head: "where" }, { head: "reason" }, { head: "status", number: true },
  { head: "last min", number: true }, { head: "last 15 min", number: true }, { head: "since the start", number: true }, { head: "means", wide: true },
];

// reasonMeans are by the reason, or by the reason and the status.
const reasonMeans = new Map(Object.entries({
  queue_full: "as many waited as the class's max_waiting allows",
  queue_bytes: "the bodies of those who waited left no room for its own",
  max_wait: "it waited as long as its class may",
  deadline: "its own deadline passed, or would have",
  displaced: "pushed out of the waiting room by more urgent work",
  draining: "the gateway was shutting down",
  connect_failed: "no server of the upstream took the connection: see its servers above, and the log",
  upstream_failed: "the app closed the connection, or sent what is not HTTP: see its log",
  upstream_timeout: "the app did not answer within the upstream's timeout or try_timeout",
  broker_unavailable: "the broker did not confirm the job, or the states of jobs could not be read",
  no_upstream: "no route matches, or there is no such job: see the form below",
  bad_request: "the request can't be served as it was sent; the answer says why",
  "bad_request 408": "the client was too slow",
  "bad_request 413": "the body was larger than the listener or the queue takes",
  "bad_request 422": "the Idempotency-Key was used for another request before",
  "bad_request 429": "the client has more connections than connections_per_client",
  "bad_request 431": "the header was larger than the listener takes",
  "bad_request 508": "the request goes in circles between gateways",
  client_left: "the client closed its connection before the answer had ended",
  connections_per_client: "the client has more connections than connections_per_client",
  proxy_source: "a connection from somebody who is not in proxy_protocol",
  proxy_header: "a connection without the header of the PROXY protocol",
  tls: "the TLS handshake failed: see the log",
  panic: "a fault of the gateway: its log has the stack; please report it",
}));

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

const kindChips = new Map([["failed", "bad"], ["refused", "warn"], ["client", ""]]);

// drawFailures has them in the gateway's order: what is worst of late first.
function drawFailures(state) {
  keyedTable(byId("failure-table"), "Failures by class, reason and place", failureColumns, state.failures, "Nothing has failed and nothing was refused since the gateway started.",
    (f) => [f.kind, f.upstream, f.queue, f.listener, f.class, f.reason, f.status].join("\n"), (tr, f) => {
      if (f.class) label1(tr.cells[0], state.classes, f.class);
      else say(tr.cells[0], none);
      tr.cells[1].firstChild ?? tr.cells[1].append(el("span", { className: `chip ${kindChips.get(f.kind) ?? ""}`.trim(), textContent: f.kind }));
      say(tr.cells[2], placeOf(f));
      tr.cells[3].firstChild ?? tr.cells[3].append(f.reason ? el("code", { textContent: f.reason }) : "by the app");
      [f.status ? String(f.status) : none, count(f.minute), count(f.recent), count(f.total)].forEach((text, i) => say(tr.cells[4 + i], text));
      tr.cells[5].classList.toggle("bad", f.kind === "failed" && f.minute > 0);
      say(tr.cells[8], meaningOf(f));
    });
}

function placeOf({ upstream, queue, listener }) {
  if (queue && upstream) return `queue ${queue}, delivery to ${upstream}`;
  if (queue) return `queue ${queue}`;
  if (upstream) return `upstream ${upstream}`;
  return listener ? `listener ${listener}` : "destinations that no route names";
}

function meaningOf({ reason = "", status, kind, queue, upstream }) {
  if (!reason) return "the app's own answer: see its log";
  if (reason === "queue_full" && queue && !upstream) return "its lane, or the store of its state, had no room: overtake queue show has the bounds";
  if (reason === "upstream_failed" && status && status < 500) return "the app broke off in the middle of its answer: see its log";
  if (reason === "deadline" && kind === "failed") return "the deadline passed while the app worked on it";
  if (reason === "draining" && kind === "failed") return "the gateway was shutting down, and cut it off";
  return reasonMeans.get(`${reason} ${status}`) ?? reasonMeans.get(reason) ?? "";
}

// label1 puts a class's label into a cell, once for each class that it shows.
function label1(cell, classes, name) {
  const key = `${classIndex(classes, name)} ${name}`;
  if (cell.dataset.class === key) return;
  cell.dataset.class = key;
  cell.replaceChildren(classLabel(classes, name));
}

const ruleColumns = [{ head: "rule" }, { head: "class" }, { head: "matches", wide: true }, { head: "share of hits" }, { head: "hits", number: true }, { head: "dry hits", number: true }];
const builtinMatch = new Map([
  ["default", "what no rule took"], ["trusted", "the class that a trusted peer named"], ["provenance", "the class of the request that caused it"],
]);

function drawRules(state) {
  const all = state.rules.reduce((sum, r) => sum + r.hits, 0);
  keyedTable(byId("rule-table"), "Rules in their order", ruleColumns, state.rules, "No rule has been asked yet, and none is configured: add some under rules: in the configuration.",
    (r) => `${r.builtin} ${r.name}`, (tr, r) => {
      drawRuleName(tr.cells[0], r);
      if (r.class) label1(tr.cells[1], state.classes, r.class);
      say(tr.cells[2], r.match || (r.builtin ? builtinMatch.get(r.name) ?? "" : "everything"));
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
