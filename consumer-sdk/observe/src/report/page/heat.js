// The heat map: its cells from the counts of events, what it says under the mouse, and labels that have room.

/** Text for the markup that charts have. */
const asText = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** At most so many characters, without the middle. */
function shortened(text, most) {
  const all = Array.from(text);
  if (all.length <= most) return text;
  const end = Math.ceil((most - 1) / 2);
  return all.slice(0, most - 1 - end).join("") + "…" + all.slice(all.length - end).join("");
}

/** Which labels have room, the most important first. Each is {at, size, weight}. */
function fitting(labels) {
  const chosen = [];
  for (const label of [...labels].sort((a, b) => b.weight - a.weight)) {
    if (chosen.every((other) => Math.abs(other.at - label.at) >= (other.size + label.size) / 2)) chosen.push(label);
  }
  return chosen;
}

const grouped = (number) => Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",");

function inBytes(number) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (number >= 1024 && unit + 1 < units.length) {
    number /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(number) || number >= 100 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
}

class HeatMap {
  constructor(data) {
    this.data = data;
    // A negative number in a row stands for so many zeros.
    const spread = (row) => {
      const cells = [];
      for (const value of row) {
        if (value < 0) for (let i = 0; i < -value; i += 1) cells.push(0);
        else cells.push(value);
      }
      while (cells.length < data.epochs.length) cells.push(0);
      return cells;
    };
    this.cells = data.cells.map((rows) => rows.map(spread));
    this.kinds = [0, 1, 2];
  }

  events(kind, row, column) {
    return this.cells[kind].length ? this.cells[kind][row][column] : 0;
  }

  /** Share of the row's touched pages that were touched in an average epoch of the column. */
  share(kinds, row, column) {
    const told = this.data.told_by[column];
    const events = kinds.reduce((sum, kind) => sum + this.events(kind, row, told), 0);
    const most = this.data.rows[row][2] * Math.max(1, this.data.epochs[told]);
    return most > 0 ? Math.min(1, events / most) : 0;
  }

  /** The colours: 1 to 100 by the share's root, and null where there is no event. */
  levels() {
    return this.data.steps.map((step) =>
      this.data.epochs.map((_, column) => {
        const share = step < 0 ? 0 : this.share(this.kinds, step, column);
        return share > 0 ? Math.max(1, Math.round(Math.sqrt(share) * 100)) : null;
      })
    );
  }

  bandOf(row) {
    return this.data.bands.find(([first, rows]) => row >= first && row < first + rows);
  }

  /** What is told of a cell. */
  describe(step, column, marks) {
    const { data } = this;
    // Where an epoch lasted over several columns, of all of them.
    const told = data.told_by[column];
    const from = data.start + told * data.width;
    const to = data.start + (data.told_by.lastIndexOf(told) + 1) * data.width;
    const digits = Math.min(6, Math.max(0, Math.ceil(1 - Math.log10(data.width))));
    const time = `${from.toFixed(digits)} to ${to.toFixed(digits)} ${data.unit}`;
    const row = data.steps[step];
    if (row < 0) return `${inBytes(data.folds[step])} of addresses are left out here: nothing touched them.`;
    const [start, end, pages] = data.rows[row];
    const band = this.bandOf(row);
    const lines = [band ? band[2] : "no mapping is known here", `0x${start.toString(16)} to 0x${end.toString(16)}`, time];
    const said = marks.filter((mark) => mark.time >= from && mark.time < to);
    if (said.length) lines.push(`marks: ${said.slice(0, 5).map((mark) => mark.name).join(", ")}${said.length > 5 ? " …" : ""}`);
    const [write, read, kernel] = [0, 1, 2].map((kind) => this.events(kind, row, told));
    const watched = data.loads ? `${grouped(read)} read, ` : "";
    const epochs = data.epochs[told];
    lines.push(`events: ${grouped(write)} write, ${watched}${grouped(kernel)} kernel, in ${epochs === 1 ? "1 epoch" : `${grouped(epochs)} epochs`}`);
    const share = this.share(this.kinds, row, column) * 100;
    const shown = share > 0 && share < 0.1 ? "less than 0.1" : share.toFixed(share < 10 ? 1 : 0);
    const of = pages === 1 ? "the 1 page" : `the ${grouped(pages)} pages`;
    lines.push(share > 0 ? `${shown} % of ${of} ever touched here, in an average epoch` : `${of} ever touched here: no event at that time`);
    return lines.join("\n");
  }

  /** Labels of the axes for what is visible now. `height` in pixels. */
  ticks(range, height, narrow) {
    const { edges, bands, steps, rows } = this.data;
    const [low, high] = [Math.min(...range), Math.max(...range)];
    const pixels = height / (high - low);
    const stepOf = new Map(steps.map((row, step) => [row, step]));
    const visible = [];
    for (const [first, count, name] of bands) {
      const bottom = Math.max(low, edges[stepOf.get(first)]);
      const top = Math.min(high, edges[stepOf.get(first + count - 1) + 1]);
      if (top > bottom) visible.push({ value: (bottom + top) / 2, at: ((bottom + top) / 2) * pixels, size: 15, weight: top - bottom, name, first, bottom });
    }
    const names = fitting(visible).sort((a, b) => a.at - b.at);
    const starts = visible.map((band) => ({ ...band, value: band.bottom, at: band.bottom * pixels, address: this.addressAt(band.bottom) }));
    const addresses = narrow ? [] : fitting(starts).sort((a, b) => a.at - b.at);
    return {
      "yaxis.tickvals": names.map((label) => label.value),
      "yaxis.ticktext": names.map((label) => asText(shortened(label.name, narrow ? 14 : 30))),
      "yaxis2.tickvals": addresses.map((label) => label.value),
      "yaxis2.ticktext": addresses.map((label) => "0x" + label.address.toString(16)),
    };
  }

  /** The address at a height, to the page. */
  addressAt(height) {
    const { edges, steps, rows } = this.data;
    let step = 0;
    while (step + 1 < steps.length && edges[step + 1] <= height + 1e-6) step += 1;
    if (steps[step] < 0) step += 1;
    const [start, end] = rows[steps[step]];
    const part = Math.max(0, (height - edges[step]) / (edges[step + 1] - edges[step]));
    return start + Math.floor((part * (end - start)) / 4096) * 4096;
  }
}
