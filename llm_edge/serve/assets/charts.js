// Lines over time, drawn by uPlot in the page's own colours.

import { h, card, text } from "./dom.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const charts = new Set();

export function chart(title, lines, say, height = 156) {
  const legend = h("div", { class: "keys" });
  const values = lines.map((line, at) => {
    const value = h("b", {}, "–");
    legend.append(h("span", {}, h("i", { class: `c${line.colour}` }), line.name, value));
    return value;
  });
  const place = h("div", { class: "chart" });
  const made = card(title, place);
  made.head.append(legend);
  let plot = null;
  let data = null;

  function show(at) {
    lines.forEach((line, number) => {
      const column = data[number + 1];
      const value = at === null ? column.findLast((each) => each !== null) : column[at];
      text(values[number], value === null || value === undefined ? "–" : say(value));
    });
  }

  function draw() {
    const width = Math.max(place.clientWidth - 16, 120);
    if (plot) plot.destroy();
    const axis = { stroke: colour("--faint"), font: "11px system-ui, sans-serif", ticks: { show: false } };
    plot = new uPlot({
      width, height, legend: { show: false }, padding: [10, 8, 0, 0],
      cursor: { sync: { key: "all" }, y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.12 : 1] } },
      axes: [
        { ...axis, size: 26, grid: { show: false }, values: (_, marks) => marks.map((mark) => new Date(mark * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })), space: 70 },
        { ...axis, grid: { stroke: colour("--hair"), width: 1 }, values: (_, marks) => marks.map(say), size: 62, space: 26 },
      ],
      series: [{}, ...lines.map((line) => ({
        label: line.name, stroke: colour(`--${["one", "two", "three", "four"][line.colour - 1]}`), width: 1.6, points: { show: false },
        fill: line.fill ? `${colour(`--${["one", "two", "three", "four"][line.colour - 1]}`)}1f` : undefined, spanGaps: true,
      }))],
      hooks: { setCursor: [(self) => show(self.cursor.idx ?? null)] },
    }, data, place);
  }

  const one = {
    element: made.element,
    set(columns) {
      data = columns;
      if (plot) plot.setData(columns); else if (place.clientWidth) draw();
      if (!plot || plot.cursor.idx === null || plot.cursor.idx === undefined) show(null);
    },
    redraw() { if (data && place.clientWidth) draw(); },
  };
  charts.add(one);
  new ResizeObserver(() => { if (data && (!plot || Math.abs(plot.width - (place.clientWidth - 16)) > 2)) one.redraw(); }).observe(place);
  return one;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((one) => one.redraw()));
