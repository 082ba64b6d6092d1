// Draws the plots of the report from the JSON in the page.
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const guide = JSON.parse(document.getElementById("guide").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // One line for each class in each condition: colour by class, dash by
  // condition; the last condition is solid.
  const names = [...new Set(guide.lines.map((l) => l.class))];
  const conditions = [...new Set(report.runs.map((run) => run.condition))];
  const dashes = ["dashed", "dotted", [10, 4, 2, 4]];
  const dashOf = (line) => (line.condition === conditions.length - 1 ? "solid" : dashes[line.condition % dashes.length]);
  const lines = guide.lines.map((l) => ({
    ...l,
    run: report.runs[l.run],
    result: report.runs[l.run].classes.find((c) => c.name === l.class),
    conditionName: conditions[l.condition],
    color: names.indexOf(l.class),
    label: conditions.length > 1 ? `${l.class}, ${conditions[l.condition]}` : l.class,
  }));
  const plots = reportPlots(report, lines);
  const hidden = { classes: new Set(), conditions: new Set() };

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colorOf = (index) => { const set = dark.matches ? guide.palette.dark : guide.palette.light; return set[index % set.length]; };

  // Names come from the user: the tooltip is built of nodes, never of markup.
  function tooltip(plot, drawn, params) {
    const valueOf = (p) => p.value[plot.rows ? 0 : 1];
    const items = [params].flat().filter((p) => valueOf(p) !== null && valueOf(p) !== undefined);
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
      const dash = dashOf(line), kind = of.thin || of.name;
      add("i", "", { borderColor: colorOf(line.color), borderTopStyle: typeof dash === "string" ? dash : "dashed", borderTopWidth: of.thin ? "1px" : "3px" });
      add("span", kind ? `${line.label}: ${kind}` : line.label);
      add("span", plot.value(valueOf(p))).className = "value";
    }
    return box;
  }

  function axis(given, soft, rule) {
    return {
      ...given,
      axisLabel: { color: soft, fontSize: 12, hideOverlap: true, ...given.axisLabel },
      axisLine: { lineStyle: { color: rule } },
      axisTick: { show: false },
      splitLine: { lineStyle: { color: rule } },
    };
  }

  // Answers go on coming after the last request: say where the load ended.
  const loadEnd = Math.max(...report.runs.map((run) => run.duration_seconds));
  const endMark = (soft) => ({
    silent: true,
    symbol: "none",
    animation: false,
    data: [{ xAxis: loadEnd }],
    lineStyle: { color: soft, type: "solid", width: 1 },
    label: { formatter: "end of load", color: soft, fontSize: 11, position: "end", distance: 4, align: "right" },
  });
  // Phases are bands behind the lines: every second one is shaded.
  const phases = report.runs.find((run) => (run.phases || []).length > 1)?.phases || [];
  const bands = (soft) => ({
    silent: true,
    animation: false,
    label: { color: soft, fontSize: 11, position: "insideTop" },
    data: phases.map((p, i) => [
      { name: p.name, xAxis: p.start_seconds, itemStyle: { color: soft, opacity: i % 2 ? 0.12 : 0.03 } },
      { xAxis: p.end_seconds },
    ]),
  });

  function seriesOf(plot, { line, of }, first, soft) {
    const color = colorOf(line.color), last = line.condition === conditions.length - 1;
    const width = of.thin ? 1 : last ? 2.5 : 2;
    return {
      type: of.type || "line",
      data: of.data,
      stack: of.stack,
      showSymbol: false,
      symbolSize: of.size || 7,
      smooth: plot.area ? 0.35 : false,
      smoothMonotone: "x",
      triggerLineEvent: true,
      color,
      itemStyle: { color, opacity: of.pale ? 0.35 : 1 },
      barWidth: "60%",
      barGap: "-100%", // each row has one bar, of the series of its line
      lineStyle: { width, type: dashOf(line), opacity: of.thin ? 0.8 : 1 },
      areaStyle: plot.area ? { opacity: last ? 0.18 : 0.06 } : undefined,
      emphasis: { focus: "series" },
      markLine: plot.overTime && first ? endMark(soft) : undefined,
      markArea: plot.overTime && first && phases.length ? bands(soft) : undefined,
    };
  }

  function option(plot, narrow) {
    const soft = css("--soft"), rule = css("--line");
    const shown = lines.filter((l) => !hidden.classes.has(l.class) && !hidden.conditions.has(l.condition));
    const drawn = shown.flatMap((line, i) => plot.series(line, i).map((of) => ({ line, of })));
    const x = axis(plot.x, soft, rule), y = axis(plot.rows ? plot.rows(shown) : plot.y, soft, rule);
    x.splitLine.show = Boolean(plot.rule || plot.rows);
    if (plot.rows) Object.assign(y.axisLabel, { interval: 0, hideOverlap: false, fontSize: narrow ? 11 : 12, lineHeight: 15, formatter: (label) => label.replace(", ", ",\n") });
    return {
      animation: !still.matches,
      animationDuration: 300,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 8, right: plot.rule || plot.rows ? 36 : 20, top: plot.overTime ? 24 : 12, bottom: 4, containLabel: true },
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
      series: drawn.map((d, i) => seriesOf(plot, d, i === 0, soft)),
    };
  }

  const positive = (plot) => (point) => point[plot.rows ? 0 : 1] > 0;
  const charts = Object.entries(plots).flatMap(([id, plot]) => {
    const node = document.getElementById(`plot-${id}`);
    if (!node) return [];
    const any = lines.some((l, i) => plot.series(l, i).some((s) => s.data.some(positive(plot))));
    if (!any) {
      node.className = "canvas none";
      node.removeAttribute("role");
      node.textContent = plot.empty || "No request was answered.";
      return [];
    }
    if (plot.rows) node.style.height = `${Math.max(8, 3.2 * lines.length + 3)}rem`;
    return [{ plot, node, chart: echarts.init(node, null, { renderer: "canvas" }) }];
  });
  const draw = () => charts.forEach(({ plot, node, chart }) => chart.setOption(option(plot, node.clientWidth < 480), { notMerge: true }));

  function legend() {
    const box = document.getElementById("legend");
    const recolors = [];
    const button = (text, mark, set, key) => {
      const node = document.createElement("button");
      node.type = "button";
      node.setAttribute("aria-pressed", "true");
      node.append(mark, text);
      node.addEventListener("click", () => {
        const show = set.delete(key);
        if (!show) set.add(key);
        node.setAttribute("aria-pressed", String(show));
        draw();
      });
      box.append(node);
    };
    names.forEach((name, i) => {
      const mark = document.createElement("span");
      mark.className = "swatch";
      recolors.push(() => { mark.style.background = colorOf(i); });
      button(name, mark, hidden.classes, name);
    });
    if (conditions.length > 1) {
      const gap = document.createElement("span");
      gap.className = "gap";
      box.append(gap);
      conditions.forEach((name, condition) => {
        const mark = document.createElement("span");
        mark.className = "stroke";
        const dash = dashOf({ condition });
        mark.style.borderTopStyle = typeof dash === "string" ? dash : "dashed";
        button(name, mark, hidden.conditions, condition);
      });
    }
    box.hidden = false;
    return () => recolors.forEach((recolor) => recolor());
  }

  const recolor = legend();
  const redraw = () => { recolor(); draw(); };
  redraw();
  dark.addEventListener("change", redraw);
  const sizes = new ResizeObserver(() => charts.forEach(({ chart }) => chart.resize()));
  charts.forEach(({ node }) => sizes.observe(node));
})();
