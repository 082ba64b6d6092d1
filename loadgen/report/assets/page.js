// Draws the plots of the report from the JSON in the page. It computes nothing
// that the report does not already hold.
(() => {
  "use strict";
  const report = JSON.parse(document.getElementById("report").textContent);
  const palette = JSON.parse(document.getElementById("palette").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // One line for each stream in each phase: colour by stream, dash by phase.
  const names = [...new Set(report.runs.flatMap((p) => p.classes.map((s) => s.name)))];
  const lastPhase = report.runs.length - 1;
  const dashes = ["dashed", "dotted", [10, 4, 2, 4]];
  const dashOf = (phase) => (phase === lastPhase ? "solid" : dashes[phase % dashes.length]);
  const lines = report.runs.flatMap((p, phase) =>
    p.classes.map((stream) => ({ stream, phase, phaseName: p.condition, color: names.indexOf(stream.name) })));
  const hidden = { classes: new Set(), phases: new Set() };

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colorOf = (index) => { const set = dark.matches ? palette.dark : palette.light; return set[index % set.length]; };
  const labelOf = (line) => (report.runs.length > 1 ? `${line.stream.name}, ${line.phaseName}` : line.stream.name);

  const number = (v) => (v >= 99.95 ? Math.round(v).toLocaleString("en-US") : v >= 9.995 ? v.toFixed(1) : v.toFixed(2));
  const milliseconds = (v) => `${number(v)} ms`;
  const tick = (v) => (v >= 1000 ? `${v / 1000} s` : v >= 1 ? `${v} ms` : `${v * 1000} µs`);
  const nines = (x) => (!Number.isInteger(x) ? "" : x === 0 ? "0 %" : `${(100 - 10 ** (2 - x)).toFixed(Math.max(0, x - 2))} %`);

  // Percentiles lie on the HDR scale: equal steps for each further nine.
  const hdr = (percentile) => -Math.log10(1 - percentile / 100);
  const bucketMiddle = 10 ** -0.05;
  // The last second of a run is not a whole one: as a rate it would look like a
  // collapse.
  const wholeSeconds = (s) => (s.series || []).slice(0, -1);

  const plots = {
    percentiles: {
      data: (s) => (s.curve || []).map((c) => [hdr(c.percentile), c.ms]),
      x: { type: "value", interval: 1, min: 0, axisLabel: { formatter: nines } },
      y: { type: "log", axisLabel: { formatter: tick } },
      title: (x) => `${(100 - 10 ** (2 - x)).toFixed(x < 2 ? 1 : Math.ceil(x))} %`,
      value: milliseconds,
    },
    distribution: {
      data: (s) => {
        const share = (s.distribution || []).map((b) => [b.up_to_ms * bucketMiddle, (100 * b.count) / s.latency.count]);
        if (share.length === 0) return share;
        const step = 10 ** 0.1;
        return [[share[0][0] / step, 0], ...share, [share.at(-1)[0] * step, 0]];
      },
      x: { type: "log", axisLabel: { formatter: tick } },
      y: { type: "value", min: 0, axisLabel: { formatter: "{value} %" } },
      title: (x) => `about ${milliseconds(x)}`,
      value: (v) => `${v.toFixed(1)} %`,
      area: true,
      trigger: "item",
    },
    p99: {
      data: (s) => (s.series || []).map((t) => [t.second, t.done ? t.p99_ms : null]),
      x: { type: "value", minInterval: 1, axisLabel: { formatter: "{value} s" } },
      y: { type: "log", axisLabel: { formatter: tick } },
      title: (x) => `second ${x}`,
      value: milliseconds,
      overTime: true,
    },
    done: {
      data: (s) => wholeSeconds(s).map((t) => [t.second, t.done]),
      x: { type: "value", minInterval: 1, axisLabel: { formatter: "{value} s" } },
      y: { type: "value", min: 0 },
      title: (x) => `second ${x}`,
      value: (v) => `${v}/s`,
      overTime: true,
    },
    refused: {
      data: (s) => wholeSeconds(s).map((t) => [t.second, t.shed + t.failed]),
      x: { type: "value", minInterval: 1, axisLabel: { formatter: "{value} s" } },
      y: { type: "value", min: 0, minInterval: 1 },
      title: (x) => `second ${x}`,
      value: (v) => `${v}/s`,
      overTime: true,
      empty: "Nothing was shed and nothing failed.",
    },
  };

  // Names come from the user: the tooltip is built of nodes, never of markup.
  function tooltip(plot, shown, params) {
    const box = document.createElement("div");
    box.className = "tip";
    const items = [params].flat().filter((p) => p.value[1] !== null);
    if (items.length === 0) return "";
    const add = (tag, text, style) => {
      const node = document.createElement(tag);
      if (text) node.textContent = text;
      Object.assign(node.style, style);
      box.append(node);
      return node;
    };
    add("b", plot.title(items[0].value[0]));
    for (const p of items.sort((a, b) => b.value[1] - a.value[1])) {
      const line = shown[p.seriesIndex];
      const dash = dashOf(line.phase);
      add("i", "", { borderColor: colorOf(line.color), borderTopStyle: typeof dash === "string" ? dash : "dashed" });
      add("span", labelOf(line));
      add("span", plot.value(p.value[1])).className = "value";
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
  const loadEnd = Math.max(...report.runs.map((p) => p.duration_seconds));
  const endMark = (soft) => ({
    silent: true,
    symbol: "none",
    animation: false,
    data: [{ xAxis: loadEnd }],
    lineStyle: { color: soft, type: "solid", width: 1 },
    label: { formatter: "end of load", color: soft, fontSize: 11, position: "end", distance: 4 },
  });

  function option(plot) {
    const soft = css("--soft"), rule = css("--line");
    const shown = lines.filter((l) => !hidden.classes.has(l.stream.name) && !hidden.phases.has(l.phase));
    const x = axis(plot.x, soft, rule);
    x.splitLine.show = plot === plots.percentiles;
    return {
      animation: !still.matches,
      animationDuration: 300,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 8, right: plot === plots.percentiles ? 32 : 20, top: plot.overTime ? 24 : 12, bottom: 4, containLabel: true },
      tooltip: {
        trigger: plot.trigger || "axis",
        confine: true,
        backgroundColor: css("--card"),
        borderColor: rule,
        textStyle: { color: css("--ink"), fontSize: 13 },
        axisPointer: { lineStyle: { color: soft } },
        formatter: (params) => tooltip(plot, shown, params),
      },
      xAxis: x,
      yAxis: axis(plot.y, soft, rule),
      series: shown.map((line, i) => ({
        type: "line",
        data: plot.data(line.stream),
        showSymbol: false,
        symbolSize: 7,
        smooth: plot.area ? 0.35 : false,
        smoothMonotone: "x",
        triggerLineEvent: true,
        color: colorOf(line.color),
        lineStyle: { width: line.phase === lastPhase ? 2.5 : 2, type: dashOf(line.phase) },
        areaStyle: plot.area ? { opacity: line.phase === lastPhase ? 0.18 : 0.06 } : undefined,
        emphasis: { focus: "series" },
        markLine: plot.overTime && i === 0 ? endMark(soft) : undefined,
      })),
    };
  }

  const charts = Object.entries(plots).flatMap(([id, plot]) => {
    const node = document.getElementById(`plot-${id}`);
    const any = lines.some((l) => plot.data(l.stream).some((point) => point[1] > 0));
    if (!any) {
      node.className = "canvas none";
      node.textContent = plot.empty || "No request was answered.";
      return [];
    }
    return [{ plot, node, chart: echarts.init(node, null, { renderer: "canvas" }) }];
  });
  const draw = () => charts.forEach(({ plot, chart }) => chart.setOption(option(plot), { notMerge: true }));

  function legend() {
    const box = document.getElementById("legend");
    const toggles = [];
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
      toggles.push(() => { mark.style.background = colorOf(i); });
      button(name, mark, hidden.classes, name);
    });
    if (report.runs.length > 1) {
      const gap = document.createElement("span");
      gap.className = "gap";
      box.append(gap);
      report.runs.forEach((p, i) => {
        const mark = document.createElement("span");
        mark.className = "stroke";
        const dash = dashOf(i);
        mark.style.borderTopStyle = typeof dash === "string" ? dash : "dashed";
        button(p.condition, mark, hidden.phases, i);
      });
    }
    box.hidden = false;
    return () => toggles.forEach((recolor) => recolor());
  }

  const recolor = legend();
  const redraw = () => { recolor(); draw(); };
  redraw();
  dark.addEventListener("change", redraw);
  const sizes = new ResizeObserver(() => charts.forEach(({ chart }) => chart.resize()));
  charts.forEach(({ node }) => sizes.observe(node));
})();
