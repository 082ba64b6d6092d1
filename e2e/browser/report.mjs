// Opens the page of a report or of a comparison in Chromium, as a desktop and as a
// phone, light and dark, and prints what is there to see as JSON. PREFIX.png is the
// upper part of a page, PREFIX-desktop-light.png and so on are whole pages.
//
//   npm ci --ignore-scripts   (once, in this folder)
//   node report.mjs /usr/bin/chromium PAGE.html PREFIX
import { chromium } from "playwright-core";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const [executablePath, file, prefix] = process.argv.slice(2);
const url = pathToFileURL(resolve(file)).href;
const screens = [
  { name: "desktop", viewport: { width: 1280, height: 900 } },
  { name: "phone", viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
];

// reach runs in the page. It scrolls to each ratio, and to each text of a plot, as a
// reader could, and returns those that are not in sight then: they are cut off, or
// behind something else.
function reach() {
  const scrolls = (style) => ["auto", "scroll"].includes(style);
  const cut = [];
  const hit = (x, y, node) => { const at = document.elementFromPoint(x, y); return at !== null && (node === at || node.contains(at)); };
  const seen = (node, box) => {
    for (let p = node.parentElement; p !== document.body; p = p.parentElement) {
      const { overflowX, overflowY } = getComputedStyle(p);
      if (p.scrollWidth > p.clientWidth && !scrolls(overflowX) || overflowY !== "visible" && p.scrollHeight > p.clientHeight && !scrolls(overflowY)) return false;
    }
    node.scrollIntoView({ block: "center", inline: "center" });
    const { x, y } = node.getBoundingClientRect();
    const middle = y + box.y + box.height / 2;
    return [x + box.x + 1, x + box.x + box.width - 1].every((at) => at >= 0 && at <= innerWidth && hit(at, middle, node));
  };
  for (const node of document.querySelectorAll("td .ratio")) {
    if (!seen(node, { x: 0, y: 0, width: node.offsetWidth, height: node.offsetHeight })) cut.push(`${node.closest("table").id}: ${node.textContent}`);
  }
  for (const plot of document.querySelectorAll('[id^="plot-ratios"]')) {
    const chart = echarts.getInstanceByDom(plot);
    const texts = chart.getZr().storage.getDisplayList().filter((e) => e.type === "tspan" && e.style.text.trim());
    for (const text of texts) {
      const box = text.getBoundingRect().clone();
      if (text.transform) box.applyTransform(text.transform);
      const within = box.x >= 0 && box.y >= 0 && box.x + box.width <= chart.getWidth() && box.y + box.height <= chart.getHeight();
      // A box of the text's size in the plot is scrolled to instead of it.
      const mark = document.createElement("span");
      mark.style.cssText = `position: absolute; left: ${box.x}px; top: ${box.y}px; width: ${box.width}px; height: ${box.height}px`;
      plot.append(mark);
      if (!within || !seen(mark, { x: 0, y: 0, width: box.width, height: box.height })) cut.push(`${plot.id}: ${text.style.text}`);
      mark.remove();
    }
    if (texts.length === 0) cut.push(`${plot.id}: no texts`);
  }
  document.querySelectorAll(".scroll, .rows").forEach((box) => box.scrollTo(0, 0));
  return cut;
}

// look runs in the page.
function look() {
  const plots = [...document.querySelectorAll('[id^="plot-"]')].map((node) => {
    const canvas = node.querySelector("canvas");
    if (!canvas) return { id: node.id, text: node.textContent.trim(), colours: 0, series: [] };
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const count = new Map();
    for (const pixel of new Uint32Array(data.buffer)) count.set(pixel, (count.get(pixel) || 0) + 1);
    // Of #rrggbb, as it is in memory.
    const inked = (color) => count.get(new Uint32Array(Uint8Array.of(...[1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16)), 255).buffer)[0]) || 0;
    const series = echarts.getInstanceByDom(node).getOption().series
      .map((s) => ({ id: s.id, data: s.data, dashed: s.lineStyle.type !== "solid", inked: inked(s.color) }));
    return { id: node.id, text: "", colours: count.size, series };
  });
  const tables = {};
  for (const table of document.querySelectorAll("table[id]")) {
    tables[table.id] = [...table.tBodies[0].rows].map((row) => ({
      run: Number(row.dataset.run || 0),
      class: row.dataset.class || "",
      file: Number(row.dataset.file || 0),
      cells: [...row.cells].map((cell) => cell.textContent.trim()),
    }));
  }
  return {
    plots,
    tables,
    screens: Math.max(0, ...[...document.querySelectorAll("main > section")].map((n) => n.offsetHeight / innerHeight)),
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    // What must not be scrolled sideways.
    hidden: [...document.querySelectorAll("#legend")].map((n) => n.scrollWidth - n.clientWidth).reduce((a, b) => a + b, 0),
    headings: [...document.querySelectorAll("h1, h2, h3")].map((h) => Number(h.tagName[1])),
    unnamed: [...document.querySelectorAll("button, a, [role=img], [role=region]")]
      .filter((n) => !(n.getAttribute("aria-label") || n.textContent).trim()).map((n) => n.outerHTML.slice(0, 100)),
    links: [...document.querySelectorAll("main a[href]")].map((a) => ({ href: a.href, rel: a.rel })),
    buttons: [...document.querySelectorAll("#legend button")].map((n) => n.textContent),
    json: document.getElementById("report")?.textContent ?? "",
  };
}

// toggle hides the first class with the keyboard alone and shows it again, on a
// page that has plots.
async function toggle(page) {
  const button = page.locator("#legend button").first();
  if ((await button.count()) === 0) return [];
  const pressed = [];
  await button.focus();
  for (let i = 0; i < 2; i++) {
    await page.keyboard.press("Enter");
    pressed.push(await button.getAttribute("aria-pressed"));
  }
  return pressed;
}

const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const views = [];
try {
  for (const { name, ...screen } of screens) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ ...screen, colorScheme, reducedMotion: "reduce" });
      const page = await context.newPage();
      const errors = [], requests = [];
      page.on("console", (m) => { if (["error", "warning"].includes(m.type())) errors.push(m.text()); });
      page.on("pageerror", (e) => errors.push(String(e)));
      page.on("request", (r) => { if (r.url() !== url && !r.url().startsWith("data:")) requests.push(r.url()); });
      await page.goto(url, { waitUntil: "load" });
      // The plots are painted in the frame after they are sized.
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      const pressed = await toggle(page);
      const view = { name: `${name}-${colorScheme}`, errors, requests, pressed, ...(await page.evaluate(look)), cut: await page.evaluate(reach) };
      await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
      await page.screenshot({ path: `${prefix}-${view.name}.png`, fullPage: true });
      if (view.name === "desktop-light") {
        await page.screenshot({ path: `${prefix}.png`, fullPage: true, clip: { x: 0, y: 0, width: 1280, height: 1400 } });
      }
      views.push(view);
      await context.close();
    }
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(views));
