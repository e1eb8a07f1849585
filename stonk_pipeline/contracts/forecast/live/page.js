"use strict";
// Puts a picture that can be zoomed in the place of each still one. Without scripts, and in print, the still ones stand.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const [CLOSE, LAST, LOW90, LOW80, LOW50, MEDIAN, HIGH50, HIGH80, HIGH90, CAME] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const colour = (role) => getComputedStyle(document.documentElement).getPropertyValue(`--${role}`).trim();
  const HINT = matchMedia("(hover: none)").matches
    ? "Touch the picture to read a day."
    : "Drag across the picture to zoom; double-click to see all.";

  function words(chart, at) {
    if (at === null || at === undefined) return HINT;
    const digits = { minimumFractionDigits: chart.decimals, maximumFractionDigits: chart.decimals };
    const price = (value) => value.toLocaleString("en-US", digits);
    const value = (series) => chart.columns[series][at];
    if (at <= chart.origin) return `${chart.dates[at]}: closed at ${price(value(CLOSE))}`;
    const came = value(CAME) === null ? "" : `; ${price(value(CAME))} came`;
    const band = (low, high) => `${price(value(low))} to ${price(value(high))}`;
    return `${chart.dates[at]}: median ${price(value(MEDIAN))}, 50% ${band(LOW50, HIGH50)}, 90% ${band(LOW90, HIGH90)}${came}`;
  }

  // Where the axis of days is labelled: the last bar, and others in equal steps from it.
  function places(chart, min, max, step) {
    const first = chart.origin - step * Math.floor((chart.origin - min) / step);
    return Array.from({ length: Math.max(0, Math.floor((max - first) / step) + 1) }, (_, place) => first + step * place);
  }

  function options(chart, width, say, seen) {
    const ink = colour("ink"), muted = colour("muted"), rule = colour("rule"), accent = colour("accent");
    const edge = { stroke: accent, width: 0, points: { show: false } };
    const line = (stroke, thick, dash) => ({ stroke, width: thick, dash, points: { show: false } });
    const font = "12.5px system-ui, sans-serif", narrow = width < 600;
    return {
      width, height: narrow ? 250 : 330, padding: [12, narrow ? 24 : 40, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false } },
      scales: { x: { time: false } },
      axes: [
        { stroke: muted, font, grid: { show: false }, ticks: { show: false }, size: 30, space: narrow ? 95 : 130, incrs: [1, 2, 5, 10, 20, 50],
          splits: (_, axis, min, max, step) => places(chart, min, max, step),
          values: (_, splits) => splits.map((at) => chart.dates[at] ?? "") },
        { stroke: muted, font, grid: { stroke: rule, width: 1 }, ticks: { show: false }, size: narrow ? 54 : 64, space: 45 },
      ],
      series: [{}, line(ink, 1.5), line(muted, 1, [3, 3]), edge, edge, edge, line(accent, 2.5), edge, edge, edge,
        { stroke: ink, paths: () => null, points: { show: true, size: 6, fill: ink, stroke: ink } }],
      bands: [[HIGH90, LOW90, "20"], [HIGH80, LOW80, "26"], [HIGH50, LOW50, "3a"]].map(
        ([high, low, alpha]) => ({ series: [high, low], fill: accent + alpha })),
      hooks: { setCursor: [(plot) => say(words(chart, plot.cursor.left < 0 ? null : plot.cursor.idx))],
        setScale: [(plot, axis) => { if (axis === "x") seen(plot.scales.x.min, plot.scales.x.max); }] },
    };
  }

  function place(home, chart) {
    const image = home.querySelector("[role=img]"), views = document.createElement("div"), live = document.createElement("div");
    const said = document.createElement("p"), last = chart.dates.length - 1, buttons = [];
    views.className = "live views";
    live.className = "live";
    said.className = "said";
    said.setAttribute("aria-hidden", "true");
    said.textContent = HINT;
    image.before(views);
    image.append(live);
    home.classList.add("on");
    let plot = null, view = null;
    const ahead = last - chart.origin;
    const starts = [["Forecast", Math.max(0, chart.origin - ahead)], [`${chart.past} closes`, Math.max(0, chart.origin + 1 - chart.past)], ["All", 0]];
    const look = (from, to) => plot.setScale("x", { min: from, max: to });
    const seen = (from, to) => {
      view = [from, to];
      buttons.forEach(([button, start]) => button.setAttribute("aria-pressed", String(from === start && to === last)));
    };
    for (const [name, from] of starts.filter(([, from], at) => at === starts.length - 1 || from > starts[at + 1][1])) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => look(from, last));
      buttons.push([button, from]);
      views.append(button);
    }
    views.append(said);
    const draw = () => {
      const before = view ?? [buttons[Math.min(1, buttons.length - 1)][1], last];
      if (plot) plot.destroy();
      plot = new uPlot(options(chart, live.clientWidth, (text) => { said.textContent = text; }, seen), chart.columns, live);
      look(...before);
    };
    draw();
    let width = live.clientWidth;
    new ResizeObserver(() => {
      if (live.clientWidth && live.clientWidth !== width) {
        width = live.clientWidth;
        draw();
      }
    }).observe(live);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  document.querySelectorAll(".chart").forEach((home, at) => place(home, charts[at]));
})();
