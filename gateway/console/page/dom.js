// Small helpers for nodes. Everything from the gateway becomes text, never markup.
// Properties of nodes that end in _ are ours.

// el makes an element: el("p", { className: "soft" }, "text", node).
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

// say sets a node's text, and leaves the node alone where nothing changed.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function attribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// reconcile makes the children of parent those of items, in their order. A child
// stays as long as its key does, so that focus and what is open survive; of items with
// one key, the first, the second and so on.
function reconcile(parent, items, keyOf, make, update) {
  const before = parent.children_ ?? new Map(), keys = distinct(items.map(keyOf)), wanted = new Set(keys);
  // What goes is removed first: a node that is moved loses the focus.
  for (const [key, node] of before) if (!wanted.has(key)) node.remove();
  if (!parent.children_) parent.replaceChildren();
  const after = new Map();
  let next = parent.firstChild;
  items.forEach((item, i) => {
    const node = before.get(keys[i]) ?? make(item);
    after.set(keys[i], node);
    update(node, item);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  });
  parent.children_ = after;
}

// distinct tells equal keys apart by which of them each is.
function distinct(keys) {
  const seen = new Map();
  return keys.map((key) => {
    const nth = seen.get(key) ?? 0;
    seen.set(key, nth + 1);
    return `${key}\n${nth}`;
  });
}

// facts makes a list of names and values; its update takes the values.
function facts(names) {
  const values = names.map(() => el("dd"));
  const node = el("dl", {}, ...names.map((name, i) => el("div", {}, el("dt", { textContent: name }), values[i])));
  return { node, update: (texts) => texts.forEach((text, i) => say(values[i], text)) };
}

// table makes a table that scrolls inside itself, or becomes cards on a phone.
// Columns are { head, number, wide }; the first one heads its rows.
function table(label, columns, stacked) {
  const heads = columns.map((c) => el("th", { scope: "col", textContent: c.head, className: c.number ? "number" : "" }));
  const body = el("tbody");
  const inner = el("table", { className: stacked ? "stack" : "" }, el("caption", { className: "unseen", textContent: label }), el("thead", {}, el("tr", {}, ...heads)), body);
  return { node: el("div", { className: "scroll", role: "region", "aria-label": label, tabIndex: 0 }, inner), body };
}

// row makes a row of empty cells for table.
function row(columns) {
  return el("tr", {}, ...columns.map((c, i) => el(i === 0 ? "th" : "td", {
    className: [c.number ? "number" : "", c.wide ? "wide" : ""].join(" ").trim(), ...(i === 0 ? { scope: "row" } : { "data-head": c.head }),
  })));
}

// markers are shapes in a box of 12 by 12, one for each class: colour alone tells
// nothing to who can't see it.
const markers = [
  "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1z", "M1.5 1.5h9v9h-9z", "M6 .5 11.5 11H.5z", "M6 0l6 6-6 6-6-6z",
  "M4 1h4v3h3v4H8v3H4V8H1V4h3z", "M.5 1h11L6 11.5z", "M6 .5 12 5 9.700 11.500H2.300L0 5z", "M0 3h12v6H0z",
];

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// marker is a class's sign; index is the class's place in the order of urgency.
function marker(index) {
  return svg("svg", { class: `marker c${index % markers.length}`, viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("path", { d: markers[index % markers.length] }));
}

// classLabel is a class's sign and name.
function classLabel(classes, name) {
  const index = classIndex(classes, name);
  return el("span", { className: "class" }, marker(index), el("span", { textContent: name }));
}

// classIndex is the place of a class; one that is not known, after a reload, comes last.
function classIndex(classes, name) {
  const index = classes.findIndex((c) => c.name === name);
  return index < 0 ? classes.length : index;
}
