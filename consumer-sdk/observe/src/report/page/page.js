// Draws the charts one after the other, so that the page can be read meanwhile.

const touchscreen = window.matchMedia("(pointer: coarse)").matches;
const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
document.body.append(tip);

function showTip(text, event) {
  tip.textContent = text;
  tip.hidden = false;
  const point = event.touches ? event.touches[0] || event.changedTouches[0] : event;
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const left = point.clientX + 16 + width > window.innerWidth ? point.clientX - width - 12 : point.clientX + 16;
  const top = point.clientY + 16 + height > window.innerHeight ? point.clientY - height - 12 : point.clientY + 16;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

/** Lines across the chart that have a name are marks of the program. */
const marksOf = (layout) => (layout.shapes || []).filter((shape) => shape.name).map((shape) => ({ time: shape.x0, name: shape.name }));

/** Names of marks, as far as they have room side by side above the chart. */
function markNames(plot) {
  const { range, _length: width } = plot._fullLayout.xaxis;
  const narrow = plot.clientWidth < 640;
  const labels = marksOf(plot.layout)
    .filter((mark) => mark.time >= range[0] && mark.time <= range[1])
    .map((mark, index) => {
      const text = shortened(mark.name, narrow ? 12 : 22);
      const size = Array.from(text).length * 7 + 10;
      const left = ((mark.time - range[0]) / (range[1] - range[0])) * width;
      // A name that would leave the chart on the right stands on the other side of its line.
      const turned = left + size > width;
      return { mark, text, size, turned, at: turned ? left - size / 2 : left + size / 2, weight: -index };
    })
    .filter((label) => !label.turned || label.at - label.size / 2 > 0);
  return fitting(labels).map((label) => ({
    x: label.mark.time, y: 1, yref: "paper", xanchor: label.turned ? "right" : "left", yanchor: "bottom", showarrow: false,
    text: asText(label.text), font: { size: 11, color: "#a34700" }, name: "mark",
  }));
}

/** Brings labels in line with what is visible, unless they are. */
function relabel(plot, heat) {
  const others = (plot.layout.annotations || []).filter((annotation) => annotation.name !== "mark");
  const wanted = { annotations: [...others, ...markNames(plot)] };
  if (heat) {
    const axis = plot._fullLayout.yaxis;
    Object.assign(wanted, heat.ticks(axis.range, axis._length, plot.clientWidth < 640));
  }
  const state = JSON.stringify(wanted);
  if (plot.dataset.labels === state) return;
  plot.dataset.labels = state;
  Plotly.relayout(plot, wanted);
}

function drawHeat(plot, heat, chart) {
  const marks = marksOf(plot.layout);
  plot.on("plotly_hover", ({ points, event }) => {
    const point = points.find((each) => Array.isArray(each.pointNumber));
    if (point) showTip(heat.describe(point.pointNumber[0], point.pointNumber[1], marks), event);
  });
  plot.on("plotly_unhover", () => (tip.hidden = true));
  for (const button of document.querySelectorAll(`.kinds[data-of="${chart.id}"] button`)) {
    button.addEventListener("click", () => {
      heat.kinds = button.dataset.kinds.split(" ").map(Number);
      for (const other of button.parentElement.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
      Plotly.restyle(plot, { z: [heat.levels()] }, [0]);
    });
  }
}

function draw(chart) {
  const plot = chart.querySelector(".plot");
  const { data, layout, config } = JSON.parse(chart.querySelector("script.data").textContent);
  const cells = document.querySelector(`script.cells[data-of="${chart.id}"]`);
  const heat = cells ? new HeatMap({ ...JSON.parse(cells.textContent), edges: data[0].y }) : null;
  if (heat) data[0].z = heat.levels();
  // Where fingers scroll the page, they shall not draw frames; the buttons zoom as well.
  if (touchscreen) {
    layout.dragmode = false;
    config.displayModeBar = Boolean(heat);
    if (heat) layout.margin = { ...layout.margin, t: layout.margin.t + 28 };
  }
  if (plot.clientWidth < 640) layout.margin = { ...layout.margin, l: 44, r: 10 };
  for (const axis of [layout.xaxis, layout.yaxis]) if (axis.title) axis.title.standoff = 12;
  Plotly.newPlot(plot, data, layout, config);
  if (heat) drawHeat(plot, heat, chart);
  relabel(plot, heat);
  plot.on("plotly_relayout", () => relabel(plot, heat));
}

function drawAll() {
  const waiting = [...document.querySelectorAll(".chart")];
  const next = () => {
    const chart = waiting.shift();
    if (!chart) {
      document.documentElement.dataset.charts = "drawn";
      return;
    }
    try {
      draw(chart);
    } catch (cause) {
      chart.insertAdjacentElement("beforeend", Object.assign(document.createElement("p"), { className: "failed", textContent: `This chart could not be drawn: ${cause}` }));
      console.error(cause);
    }
    setTimeout(next, 0);
  };
  next();
}

/** A click on the head of a column sorts by it. */
function makeSortable(table) {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numeric;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value || row.cells[column].textContent;
      const order = (a, b) => (numeric ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b)));
      const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -order(a, b) : order(a, b)));
      table.tBodies[0].append(...rows);
    });
  });
}

/** On paper, charts have its width. */
const printedWidth = 680;
window.addEventListener("beforeprint", () => {
  for (const plot of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(plot, { width: printedWidth, autosize: false });
});
window.addEventListener("afterprint", () => {
  for (const plot of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(plot, { width: null, autosize: true });
});

document.querySelectorAll("table.sortable").forEach(makeSortable);
drawAll();
