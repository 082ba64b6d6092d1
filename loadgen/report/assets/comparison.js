// Draws the plots of the comparison from the JSON in the page: for each class that
// the files share, the curves of all of them, and the ratios to the first. A line is
// what one file has of a class. It computes nothing that the comparison does not hold.
(() => {
  const comparison = JSON.parse(document.getElementById("comparison").textContent);
  const guide = JSON.parse(document.getElementById("guide").textContent);
  const { number, milliseconds } = reportFormat;
  const smallest = 0.001; // of the histograms, in ms

  // A file has a shape too: colours alone are not seen by everybody. There are as many
  // shapes as have no divisor with the colours, so that few files share both.
  const shapes = [
    { symbol: "circle", text: "●" }, { symbol: "rect", text: "■" }, { symbol: "triangle", text: "▲" },
    { symbol: "diamond", text: "◆" }, { symbol: "path://M0 0L10 0L5 9Z", text: "▼" },
  ];
  const sides = guide.sides.map((side, i) => ({ ...side, index: i, shape: shapes[i % shapes.length], key: `file ${i}` }));
  const lineOf = (side, own) => ({
    keys: [side.key], color: side.index, strong: true, side, ...own,
    dash: side.no_result ? "dashed" : "solid",
    label: side.no_result ? `${side.label} (${side.no_result})` : side.label,
  });

  // The figures' percentiles are marked: those points are in the table.
  const marked = new Set([50, 90, 99, 99.9]);
  const range = (least, most) => (most > least ? ` (${number(least)}–${number(most)})` : "");
  const curves = {
    ...percentileScale.axes,
    value: (v, [, , least, most]) => milliseconds(v) + range(least, most),
    empty: "No request was answered, or the reports hold no curves.",
    series: ({ side, curve: { points, count } }) => {
      const values = (of) => percentileScale.curve(points, count, of);
      const spread = points.some((p) => p.max_ms > p.min_ms);
      const least = (p) => Math.max(p.min_ms, smallest), most = (p) => Math.max(p.max_ms, smallest);
      // What is first is stacked, so that is the latency.
      const band = (edge, of) => ({
        id: `${edge} ${side.index}`, data: values((p) => [of(p)]).map(([x, y]) => [y, x]), encode: { x: 1, y: 0 },
        band: edge, stack: `band ${side.index}`, quiet: true,
      });
      return [
        // The upper edge is stacked on the lower one, and what is between is filled.
        ...(spread ? [band("lower", least), band("upper", (p) => most(p) - least(p))] : []),
        {
          id: `curve ${side.index}`, symbol: side.shape.symbol, z: 3 + side.index,
          data: values((p) => [percentileScale.above0(p.median_ms), p.min_ms, p.max_ms]).map((v, i) => [...v, marked.has(points[i].percentile) ? 1 : 0]),
          size: (value) => (value[4] ? 9 : 0),
        },
      ];
    },
  };

  // Rows are in groups, one for each figure, with a row for each line.
  const layout = (rows, shown) => {
    const placed = [], groups = [];
    for (const { figure, label, sides: having, texts } of rows) {
      const from = placed.length;
      shown.forEach((line) => {
        const at = having.indexOf(line.side.index);
        if (at >= 0) placed.push({ line, figure, label, text: texts[at], y: placed.length });
      });
      if (placed.length > from) groups.push({ label, from: from - 0.5, to: placed.length - 0.5 });
    }
    return { placed, groups };
  };

  // Round ratios within the scale that have room beside each other, from 1 outwards.
  const roundRatios = (least, most) => {
    const fine = [1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.5, 3, 4, 5];
    const coarse = Array.from({ length: 25 }, (_, i) => i - 12).flatMap((decade) => [1, 2, 5].map((n) => Number(`${n}e${decade}`)));
    const all = most / least > 6 ? coarse : [...fine, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
    const room = Math.log(most / least) / 6;
    const chosen = [1];
    for (const v of all.filter((v) => v >= least && v <= most).sort((a, b) => Math.abs(Math.log(a)) - Math.abs(Math.log(b)))) {
      if (chosen.every((c) => Math.abs(Math.log(v / c)) >= room)) chosen.push(v);
    }
    return chosen.sort((a, b) => a - b);
  };

  const ratios = (figures, rows) => {
    const value = (row) => figures[row.figure].values[row.line.side.index];
    const all = rows.flatMap(({ figure, sides: having }) => having.map((i) => figures[figure].values[i]))
      .flatMap((v) => [v.ratio, v.ratio_low, v.ratio_high]).filter((v) => v > 0);
    const least = Math.min(0.8, ...all.map((v) => v / 1.1)), most = Math.max(1.25, ...all.map((v) => v * 1.1));
    const point = (x, row) => [x, row.y, row.label, row.text, value(row).ratio_low, value(row).ratio_high];
    const told = (v) => (v >= 0.1 ? v.toFixed(2) : String(v));
    const wide = (texts) => 16 + 7 * Math.max(...texts.map((text) => text.length));
    return {
      always: true, // rows without a ratio have a text
      // The labels are not where the scale has its ticks, by which echarts would make room.
      grid: { left: wide(rows.map((r) => r.label)), right: wide(rows.flatMap((r) => r.texts)), top: 24, bottom: 4, containLabel: false },
      trigger: "item",
      // At the top, where it is in sight where many rows must be scrolled.
      x: { position: "top", type: "log", min: least, max: most, axisLine: { onZero: false }, axisTick: { customValues: roundRatios(least, most) }, axisLabel: { customValues: roundRatios(least, most), formatter: (v) => `${v}x` } },
      rows: (shown, { soft, ink }) => {
        const { placed, groups } = layout(rows, shown);
        const scale = { type: "value", min: -0.5, max: Math.max(placed.length, 1) - 0.5, inverse: true };
        const middle = new Map(groups.map((g) => [(g.from + g.to) / 2, g.label]));
        const none = { splitLine: { show: false } };
        return [
          { ...scale, ...none, axisLabel: { customValues: [...middle.keys()], formatter: (y) => middle.get(y) ?? "", color: ink } },
          {
            ...scale, ...none, position: "right",
            axisLabel: {
              customValues: placed.map((row) => row.y),
              formatter: (y) => { const row = placed[y]; return row ? `{${value(row).difference === "real" ? "real" : "other"}|${row.text}}` : ""; },
              rich: { real: { color: ink, fontWeight: "bold" }, other: { color: soft } },
            },
          },
        ];
      },
      series: (line, _, shown) => {
        const placed = layout(rows, shown).placed.filter((row) => row.line === line);
        const dots = (real) => placed.filter((row) => value(row).ratio > 0 && (value(row).difference === "real") === real).map((row) => point(value(row).ratio, row));
        const { index, shape } = line.side;
        return [
          {
            id: `interval ${index}`, symbol: "rect", size: [2, 9], quiet: true,
            data: placed.filter((row) => value(row).ratio_low > 0)
              .flatMap((row) => [point(value(row).ratio_low, row), point(value(row).ratio_high, row), ["-", "-"]]),
          },
          { id: `real ${index}`, type: "scatter", symbol: shape.symbol, size: 13, z: 3, data: dots(true) },
          { id: `noise ${index}`, type: "scatter", symbol: shape.symbol, size: 11, z: 3, hollow: true, data: dots(false) },
        ];
      },
      value: (_, [, , label, text, low, high]) => `${label} ${text}${low > 0 ? ` (${told(low)}–${told(high)})` : ""}`,
      height: (lines) => { const n = layout(rows, lines).placed.length; return n * (n > 8 ? 1.25 : 2) + 3; },
      marks: (soft, shown) => ({
        markLine: {
          silent: true, symbol: "none", animation: false, data: [{ xAxis: 1 }],
          lineStyle: { color: soft, type: "solid", width: 1.5 }, label: { show: false },
        },
        markArea: {
          silent: true, animation: false, itemStyle: { color: soft, opacity: 0.08 },
          data: layout(rows, shown).groups.filter((_, i) => i % 2 === 0).map((g) => [{ yAxis: g.from }, { yAxis: g.to }]),
        },
      }),
    };
  };

  const charts = comparison.classes.flatMap(({ figures, curves: of }, i) => {
    const { shared, ratios: rows } = guide.classes[i];
    if (!shared) return [];
    return [
      { id: `curves-${i}`, plot: curves, lines: sides.map((side) => lineOf(side, { curve: of[side.index] })) },
      { id: `ratios-${i}`, plot: ratios(figures, rows), lines: sides.slice(1).map((side) => lineOf(side)) },
    ];
  });
  const buttons = [sides.map((side) => {
    const mark = reportMark("shape");
    mark.textContent = side.shape.text;
    mark.setAttribute("aria-hidden", "true");
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = name.title = side.label;
    const parts = [name];
    if (side.no_result) {
      const verdict = document.createElement("span");
      verdict.className = "verdict bound";
      verdict.textContent = side.no_result;
      parts.push(verdict);
    }
    return { key: side.key, mark, parts, color: side.index };
  })];
  if (charts.length > 0) reportCharts({ palette: guide.palette, charts, buttons });
})();
