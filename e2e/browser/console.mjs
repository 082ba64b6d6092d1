// Opens the console in Chromium, as a desktop and as a phone, light and dark, while the
// gateway works, uses it with the keyboard alone, and prints what there was to see as
// JSON. PREFIX-desktop-light.png and so on are whole pages. With "trace" as its last
// argument it prints the hops of the slowest request that Jaeger has; with "odd" what the
// page makes of equal entries, and of a clock that is set back.
//
//   npm ci --ignore-scripts   (once, in this folder)
//   node console.mjs /usr/bin/chromium http://127.0.0.1:9901 PREFIX [trace|odd]
import { audit, desktop, live, open, patience, phone, withBrowser } from "./console-page.mjs";

const [executablePath, admin, prefix, mode] = process.argv.slice(2);
const evilPath = "/<img src=x onerror=alert(1)>";

// figures runs in the page: the numbers that must grow, as they stand there.
function figures() {
  const number = (text) => Number(text.replaceAll(",", ""));
  const rows = [...document.querySelectorAll("#rule-table tbody tr")];
  const lane = [...document.querySelectorAll("#upstreams .lane")].find((l) => l.textContent.startsWith("interactive"));
  return {
    hits: Object.fromEntries(rows.map((r) => [r.cells[0].firstChild.textContent.trim(), number(r.cells[4].textContent)])),
    overtakes: lane ? number(lane.querySelector("dl div:nth-child(5) dd").textContent) : 0,
  };
}

// look runs in the page: what is there to see.
function look() {
  const lines = (selector) => [...document.querySelectorAll(selector)].map((n) => n.textContent.replace(/\s+/g, " ").trim());
  return {
    link: document.getElementById("link").textContent,
    ready: document.getElementById("ready").textContent,
    failures: [...document.querySelectorAll("#failure-table tbody tr")].map((r) => [...r.cells].map((c) => c.textContent.trim())),
    failing: lines("#failing:not([hidden])"),
    cards: lines("#cards .what"),
    apps: lines("#upstreams .app"),
    limits: [...document.querySelectorAll("#upstreams .spark:last-child path.line")].map((p) => p.getAttribute("d").split(/[HL]/).length - 1),
    slowest: [...document.querySelectorAll("#slow-table .toggle")].map((n) => n.textContent),
    rules: lines("#rule-table tbody tr"),
    queues: lines("#brokers .lane"),
    drawn: Object.fromEntries([...document.querySelectorAll(".plot")].map((p) => [p.id,
      [...p.querySelectorAll("path.p99")].reduce((n, path) => n + path.getAttribute("d").split("L").length - 1, 0) + p.querySelectorAll("svg > rect").length])),
    images: document.images.length,
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    colours: getComputedStyle(document.body).backgroundColor,
  };
}

// tabTo presses Tab until the selector matches what has the focus, and reports the
// elements on the way whose focus can't be seen.
async function tabTo(page, selector, unseen) {
  for (let i = 0; i < 300; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate((wanted) => {
      const node = document.activeElement, style = getComputedStyle(node);
      const seen = node === document.body || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0);
      return { found: node.matches(wanted), unseen: seen ? "" : node.outerHTML.slice(0, 100) };
    }, selector);
    if (at.unseen) unseen.push(at.unseen);
    if (at.found) return;
  }
  throw new Error(`Tab never comes to ${selector}`);
}

async function fill(page, text) {
  await page.keyboard.press("Control+A");
  await page.keyboard.type(text);
}

// walk goes through the page as somebody without a mouse does.
async function walk(page) {
  const unseen = [], seen = {};
  await page.keyboard.press("Tab");
  seen.first = await page.evaluate(() => document.activeElement.textContent);
  // What changes while one walks is for another test.
  await tabTo(page, "#pause", unseen);
  await page.keyboard.press("Enter");
  seen.paused = await page.locator("#link").textContent();
  await tabTo(page, "#legend button", unseen);
  const curves = () => page.locator("#plot-wait path.p99").count();
  seen.legend = [await curves()];
  for (let i = 0; i < 2; i++) {
    await page.keyboard.press("Enter");
    seen.legend.push(await page.evaluate(() => document.activeElement.getAttribute("aria-pressed")), await curves());
  }
  await tabTo(page, '.chart button[aria-label^="Wait"]', unseen);
  await page.keyboard.press("Enter");
  seen.table = await page.locator(".chart tbody tr").count();
  await page.keyboard.press("Enter");
  await tabTo(page, "#plot-wait", unseen);
  for (const key of ["End", "ArrowLeft"]) await page.keyboard.press(key);
  seen.reading = await page.locator("#plot-wait").getAttribute("aria-valuetext");
  seen.tip = await page.locator("#plot-wait .tip").isVisible();
  // One that was served: what was refused has a hop less.
  await tabTo(page, "#slow-table tr:not(:has(td:nth-child(5) code)) .toggle", unseen);
  await page.keyboard.press("Enter");
  seen.expanded = await page.evaluate(() => document.activeElement.getAttribute("aria-expanded"));
  seen.hops = await page.locator("tr.detail .hops li").evaluateAll((all) => all.map((n) => n.textContent));
  await tabTo(page, "tr.detail button:nth-of-type(2)", unseen);
  await page.keyboard.press("Enter");
  await page.locator("tr.detail .error").waitFor(patience);
  seen.trace = await page.locator("tr.detail .error").textContent();
  await explain(page, unseen, seen);
  return { unseen, ...seen };
}

// explain asks the form three times: what is refused, what is hostile, and a report.
async function explain(page, unseen, seen) {
  await tabTo(page, "#explain-method", unseen);
  await tabTo(page, "#explain-url", unseen);
  await fill(page, "/work?for=report");
  await tabTo(page, "#explain-source", unseen);
  await fill(page, "nowhere");
  await page.keyboard.press("Enter");
  await page.locator("#explain-error:not([hidden])").waitFor(patience);
  seen.refused = await page.locator("#explain-error").textContent();
  await fill(page, "127.0.0.1");
  await page.keyboard.press("Shift+Tab");
  const ask = async (url) => {
    await fill(page, url);
    await page.evaluate(() => document.getElementById("explain-result").replaceChildren());
    await page.keyboard.press("Enter");
    await page.locator("#explain-result .verdict").waitFor(patience);
    return page.locator("#explain-result").evaluate((n) => ({
      answer: n.querySelector(".answer").textContent,
      trials: [...n.querySelectorAll("tbody tr")].map((r) => [...r.cells].map((c) => c.textContent.trim())),
    }));
  };
  seen.hostile = await ask(evilPath);
  await tabTo(page, "#explain-headers", unseen);
  await fill(page, `X-Evil: ${evilPath}`);
  for (let i = 0; i < 3; i++) await page.keyboard.press("Shift+Tab");
  seen.explained = await ask("/work?for=report");
}

// theme switches to the other theme, and looks whether that outlives a reload.
async function theme(page) {
  const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const colours = [await colour()];
  await page.locator("#theme").click();
  colours.push(await colour());
  await page.reload();
  colours.push(await colour());
  await page.locator("#theme").click();
  return colours;
}

// grown waits until the figures have grown without a reload, and returns them.
async function grown(page, before) {
  for (let end = Date.now() + patience.timeout; ;) {
    const now = await page.evaluate(figures);
    if (now.hits.pages > before.hits.pages && now.hits.reports > before.hits.reports && now.overtakes > before.overtakes) return now;
    if (Date.now() > end) throw new Error(`still ${JSON.stringify(now)}`);
    await page.waitForTimeout(200);
  }
}

async function view(browser, screen, colorScheme) {
  const seen = { name: `${screen.name}-${colorScheme}`, errors: [], requests: [] };
  const page = await open(browser, admin, screen, colorScheme, seen);
  const before = await page.evaluate(figures);
  const after = await grown(page, before);
  await page.waitForFunction(() => document.querySelectorAll("#plot-shed svg > rect").length > 1
    && /L/.test(document.querySelector("#plot-wait path.p99")?.getAttribute("d")), null, patience);
  seen.grown = [before, after];
  const plain = await audit(page);
  seen.walk = await walk(page);
  Object.assign(seen, await page.evaluate(look));
  seen.audit = [...plain, ...(await audit(page))];
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  await page.screenshot({ path: `${prefix}-${seen.name}.png`, fullPage: true });
  seen.themes = await theme(page);
  await page.context().close();
  return seen;
}

// trace asks for the hops that Jaeger has of the slowest request.
async function trace(browser) {
  const seen = { errors: [], requests: [] };
  const page = await open(browser, admin, desktop, "light", seen);
  await page.locator("#slow-table .toggle").first().click(patience);
  await page.getByRole("button", { name: "Hops in Jaeger" }).click(patience);
  const hops = page.getByRole("list", { name: "Hops in Jaeger" }).locator("li");
  await hops.first().waitFor(patience);
  const link = page.getByRole("link", { name: "Open the trace at Jaeger" });
  console.log(JSON.stringify({ ...seen, hops: await hops.allTextContents(), audit: await audit(page), link: await link.getAttribute("href"), rel: await link.getAttribute("rel") }));
}

// odd opens a slow request, waits for the state after the clock was set back, and then
// for another with one entry of everything, and prints what is there each time.
async function odd(browser) {
  const seen = { errors: [], requests: [] };
  const page = await open(browser, admin, desktop, "light", seen);
  const there = async () => page.evaluate(() => Object.fromEntries(Object.entries({
    slow: "#slow-table .toggle", details: "#slow-table tr.detail", failures: "#failure-table tbody tr", rules: "#rule-table tbody tr", servers: ".servers li",
    times: '.chart:has(#plot-rate) tbody th',
  }).map(([name, selector]) => [name, document.querySelectorAll(selector).length])));
  await page.locator('.chart:has(#plot-rate) button').click(patience);
  await page.locator("#slow-table .toggle").nth(1).click(patience);
  seen.first = await there();
  seen.lanes = await page.locator("#brokers .lane .who .class").evaluateAll((all) => all.map((n) => n.textContent));
  seen.means = await page.locator("#failure-table tbody tr td:last-child").allTextContents();
  seen.cards = await page.locator("#cards .what").evaluateAll((all) => all.map((n) => `${n.textContent} (${n.querySelector(".met")?.className ?? ""})`));
  seen.failing = await page.locator("#failing").textContent();
  const comes = (version) => page.waitForFunction((v) => document.getElementById("facts").textContent.startsWith(`Version ${v} `), version, patience);
  console.log("ready");
  await comes("back");
  await live(page);
  seen.back = await there();
  console.log("set back");
  await comes("few");
  seen.few = await there();
  console.log(JSON.stringify(seen));
}

await withBrowser(executablePath, async (browser) => {
  if (mode === "trace") return trace(browser);
  if (mode === "odd") return odd(browser);
  const views = [];
  for (const screen of [desktop, phone]) for (const colorScheme of ["light", "dark"]) views.push(await view(browser, screen, colorScheme));
  console.log(JSON.stringify(views));
});
