// Draws plots on a page, with buttons that hide and show lines, light or dark as the
// system is. A chart is a plot (see plots.js) with the lines that are in it; a line has
// a label, the index of its colour, a dash, and the keys of the buttons that hide it.
"use strict";
const reportCharts = ({ palette, charts: given, buttons }) => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const hidden = new Set();
  const shownOf = (lines) => lines.filter((l) => !l.keys.some((key) => hidden.has(key)));

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colorOf = (index) => { const set = dark.matches ? palette.dark : palette.light; return set[index % set.length]; };
  const border = (dash) => (typeof dash === "string" ? dash : "dashed");

  // Names come from the user: the tooltip is built of nodes, never of markup.
  function tooltip(plot, drawn, params) {
    const valueOf = (p) => p.value[plot.rows ? 0 : 1];
    const items = [params].flat().filter((p) => !drawn[p.seriesIndex].of.quiet && valueOf(p) !== null && valueOf(p) !== undefined);
    if (items.length === 0) return "";
    const box = document.createElement("div");
    box.className = "tip";
    const add = (tag, text, style) => {
      const node = document.createElement(tag);
      if (text) node.textContent = text;
      Object.assign(node.style, style);
      box.append(node);
      return node;
    };
    if (plot.title) add("b", plot.title(items[0].value[0]));
    for (const p of items.sort((a, b) => valueOf(b) - valueOf(a))) {
      const { line, of } = drawn[p.seriesIndex];
      const kind = of.thin || of.name;
      add("i", "", { borderColor: colorOf(line.color), borderTopStyle: border(line.dash), borderTopWidth: of.thin ? "1px" : "3px" });
      add("span", kind ? `${line.label}: ${kind}` : line.label);
      add("span", plot.value(valueOf(p), p.value)).className = "value";
    }
    return box;
  }

  function axis(given, soft, rule) {
    return {
      ...given,
      axisLabel: { color: soft, fontSize: 12, hideOverlap: true, ...given.axisLabel },
      axisLine: { lineStyle: { color: rule }, ...given.axisLine },
      axisTick: { show: false, ...given.axisTick },
      splitLine: { lineStyle: { color: rule }, ...given.splitLine },
    };
  }

  function seriesOf(plot, { line, of }, marks) {
    const color = colorOf(line.color);
    const width = of.band ? 0 : of.thin ? 1 : line.strong ? 2.5 : 2;
    return {
      type: of.type || "line",
      data: of.data,
      encode: of.encode,
      id: of.id,
      stack: of.stack,
      silent: of.quiet,
      showSymbol: Boolean(of.symbol),
      symbol: of.symbol,
      symbolSize: of.size || 7,
      z: of.z,
      smooth: plot.area ? 0.35 : false,
      smoothMonotone: "x",
      triggerLineEvent: true,
      color,
      // What is hollow has the colour of the page inside.
      itemStyle: of.hollow ? { color: css("--card"), borderColor: color, borderWidth: 2 } : { color, opacity: of.pale ? 0.35 : 1 },
      barWidth: "60%",
      barGap: "-100%", // each row has one bar, of the series of its line
      lineStyle: { width, type: line.dash, opacity: of.thin ? 0.8 : 1 },
      areaStyle: of.band === "upper" ? { opacity: 0.2 } : plot.area ? { opacity: line.strong ? 0.18 : 0.06 } : undefined,
      emphasis: { focus: "series" },
      ...marks,
    };
  }

  function option({ plot, lines }, narrow) {
    const soft = css("--soft"), rule = css("--line"), ink = css("--ink");
    const shown = shownOf(lines);
    const drawn = shown.flatMap((line, i) => plot.series(line, i, shown).map((of) => ({ line, of })));
    const x = axis(plot.x, soft, rule);
    const y = [plot.rows ? plot.rows(shown, { narrow, soft, ink }) : plot.y].flat().map((given) => axis(given, soft, rule));
    x.splitLine.show = Boolean(plot.rule || plot.rows);
    if (plot.rows) y.forEach((a) => Object.assign(a.axisLabel, { interval: 0, hideOverlap: false, fontSize: narrow ? 11 : 12, lineHeight: 15 }));
    return {
      animation: !still.matches,
      animationDuration: 300,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: plot.rows ? 16 : 8, right: plot.rule || plot.rows ? 36 : 20, top: plot.overTime ? 24 : 12, bottom: 4, containLabel: true, ...plot.grid },
      tooltip: {
        trigger: plot.trigger || "axis",
        confine: true,
        backgroundColor: css("--card"),
        borderColor: rule,
        textStyle: { color: css("--ink"), fontSize: 13 },
        axisPointer: { lineStyle: { color: soft } },
        formatter: (params) => tooltip(plot, drawn, params),
      },
      xAxis: x,
      yAxis: y,
      series: drawn.map((d, i) => seriesOf(plot, d, i === 0 && plot.marks ? plot.marks(soft, shown) : {})),
    };
  }

  const positive = (plot) => (point) => point[plot.rows ? 0 : 1] > 0;
  const charts = given.flatMap(({ id, plot, lines }) => {
    const node = document.getElementById(`plot-${id}`);
    if (!node) return [];
    const any = plot.always || lines.some((l, i) => plot.series(l, i, lines).some((s) => s.data.some(positive(plot))));
    if (!any) {
      node.className = "canvas none";
      node.removeAttribute("role");
      node.textContent = plot.empty || "No request was answered.";
      return [];
    }
    if (plot.height) node.style.height = `${plot.height(lines)}rem`;
    return [{ plot, lines, node, chart: echarts.init(node, null, { renderer: "canvas" }) }];
  });
  const draw = () => charts.forEach((c) => c.chart.setOption(option(c, c.node.clientWidth < 480), { notMerge: true }));

  // The buttons, in groups; each has a mark that is made for its colour.
  function legend() {
    const box = document.getElementById("legend");
    const recolors = [];
    buttons.forEach((group, i) => {
      if (i > 0) {
        const gap = document.createElement("span");
        gap.className = "gap";
        box.append(gap);
      }
      for (const { key, mark, parts, color } of group) {
        const node = document.createElement("button");
        node.type = "button";
        node.setAttribute("aria-pressed", "true");
        node.append(mark, ...parts);
        node.addEventListener("click", () => {
          const show = hidden.delete(key);
          if (!show) hidden.add(key);
          node.setAttribute("aria-pressed", String(show));
          draw();
        });
        box.append(node);
        if (color !== undefined) recolors.push(() => { mark.style.color = colorOf(color); });
      }
    });
    box.hidden = false;
    return () => recolors.forEach((recolor) => recolor());
  }

  const recolor = legend();
  const redraw = () => { recolor(); draw(); };
  redraw();
  dark.addEventListener("change", redraw);
  const sizes = new ResizeObserver(() => charts.forEach(({ chart }) => chart.resize()));
  charts.forEach(({ node }) => sizes.observe(node));
};

// A mark of a button: a dot, or a line with a dash.
const reportMark = (className, dash) => {
  const node = document.createElement("span");
  node.className = className;
  if (dash) node.style.borderTopStyle = typeof dash === "string" ? dash : "dashed";
  return node;
};
