// Takes the pictures of docs/console.md while the gateway works: PREFIX-desktop.png, light,
// down to the charts, and PREFIX-phone.png, dark, four screens beside each other. It waits
// until batch waits. What was wrong with the pages is printed as JSON.
//
//   npm ci --ignore-scripts   (once, in this folder)
//   node console-pictures.mjs /usr/bin/chromium http://127.0.0.1:9901 PREFIX
import { desktop, open, patience, phone, withBrowser } from "./console-page.mjs";

const [executablePath, admin, prefix] = process.argv.slice(2);
const seen = { errors: [], requests: [] };
const gap = 24; // between the screens of the phone, in pixels

// busy waits until there is something to see in the lanes and the charts.
async function busy(page) {
  await page.waitForFunction(() => {
    const lane = [...document.querySelectorAll("#upstreams .lane")].find((l) => l.textContent.startsWith("batch"));
    return Number(lane?.querySelector("dd").textContent.replaceAll(",", "")) >= 50 && document.querySelector("#plot-wait path.p99");
  }, null, { timeout: 2 * patience.timeout });
}

async function takeDesktop(browser) {
  const page = await open(browser, admin, desktop, "light", seen);
  await busy(page);
  const end = await page.locator("#charts").evaluate((n) => n.getBoundingClientRect().bottom + scrollY);
  await page.screenshot({ path: `${prefix}-desktop.png`, fullPage: true, clip: { x: 0, y: 0, width: desktop.viewport.width, height: Math.ceil(end) + 8 } });
  await page.context().close();
}

// takePhone shows the top, and what the links to sections lead to.
async function takePhone(browser) {
  const page = await open(browser, admin, { ...phone, deviceScaleFactor: 1.5 }, "dark", seen);
  await busy(page);
  const screens = [await page.screenshot()];
  for (const section of ["lanes", "charts", "slowest"]) {
    // Not by a finger, which would leave its mark.
    await page.locator(`nav a[href="#${section}"]`).evaluate((link) => link.click());
    if (section === "slowest") await page.locator("#slow-table .toggle").first().evaluate((button) => button.click());
    await page.evaluate(() => document.activeElement.blur());
    screens.push(await page.screenshot());
  }
  await page.context().close();
  await putTogether(browser, screens);
}

// putTogether has the browser draw the screens in a row, on nothing.
async function putTogether(browser, screens) {
  const page = await browser.newPage({ viewport: { width: 3000, height: 1500 } });
  await page.setContent(`<body style="margin:0"><div style="display:inline-flex;gap:${gap}px">${screens.map((png) =>
    `<img style="border:1px solid #888;border-radius:18px" src="data:image/png;base64,${png.toString("base64")}">`).join("")}</div>`, { waitUntil: "load" });
  await page.locator("div").screenshot({ path: `${prefix}-phone.png`, omitBackground: true });
  await page.close();
}

await withBrowser(executablePath, async (browser) => {
  await takeDesktop(browser);
  await takePhone(browser);
  console.log(JSON.stringify(seen));
});
