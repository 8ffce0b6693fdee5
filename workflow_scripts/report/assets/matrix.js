// The front page: sorting the table, choosing the metric of the grid, comparing two trials.
"use strict";

// A click on a column's heading sorts the table by it, a second one reverses.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent;

  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // no value: last
    const difference = Number(a) - Number(b);
    return Number.isNaN(difference) ? a.localeCompare(b, "en") : difference;
  };

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const direction = heading.ariaSort === "ascending" ? -1 : 1;
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.ariaSort = direction === 1 ? "ascending" : "descending";
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        return x === "" || y === "" ? compare(x, y) : direction * compare(x, y);
      });
      body.append(...rows);
    });
  });
}

// The grid of models and prompts shows one metric, or all.
const gridForm = document.getElementById("grid-show");
if (gridForm) {
  gridForm.hidden = false;
  gridForm.addEventListener("submit", (event) => event.preventDefault());
  const select = gridForm.elements.metric;
  const show = () => {
    for (const each of document.querySelectorAll(".grid [data-metric]")) {
      each.hidden = select.value !== "" && each.dataset.metric !== select.value;
    }
  };
  select.addEventListener("change", show);
  show();
}

// Two trials against each other; all numbers were computed when the page was made.
const tool = document.getElementById("pairs-tool");
if (tool) {
  const data = JSON.parse(document.getElementById("pairs-data").textContent);
  const form = tool.querySelector("form");
  const { first, second } = form.elements;
  const result = document.getElementById("pairs-result");
  const SIGNS = {
    better: "▲ better", worse: "▼ worse", differs: "■ differs", unclear: "○ no clear difference",
  };

  const element = (name, text = "", className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const points = (value, signed) => {
    if (value === null) return "–";
    const text = Math.abs(value).toFixed(1);
    if (Number(text) === 0) return text;
    return (value < 0 ? "−" : signed ? "+" : "") + text;
  };
  const ratio = (value) => {
    if (value === null) return "–";
    const text = value >= 0.1 ? value.toFixed(2) : String(Number(value.toPrecision(3)));
    return `×${text.replace(/\B(?=(\d{3})+(?=\.))/g, ",")}`;
  };
  const probability = (name, value) =>
    value < 0.001 ? `${name} < 0.001` : `${name} = ${value.toFixed(3)}`;
  const effect = (low, high, none, q, better) => {
    if (low === null || high === null || (low <= none && high >= none)) return "unclear";
    if (q >= data.level) return "unclear";
    if (better === "neither") return "differs";
    return low > none === (better === "higher") ? "better" : "worse";
  };
  const prompt = (trial, arm) => `“${data.arms[trial][arm] ?? arm}”`;

  function difference([one, other, value, low, high, p, q, doubt], metric, flipped) {
    const isShare = metric.kind === "share";
    const turned = (each) => (each === null ? null : isShare ? -each : 1 / each);
    if (flipped) {
      [one, other] = [other, one];
      [value, low, high] = [turned(value), turned(high), turned(low)];
    }
    const change = (each) => (isShare ? points(each, true) : ratio(each));
    const amount = (each) => (each === null ? "–" : String(Number(each.toPrecision(3))));
    const cell = element("td");
    cell.append(
      element("strong", change(value)),
      element("span", low === null ? "no interval" : `${change(low)} to ${change(high)}`, "interval"),
      element("span", `${probability("p", p)}, ${probability("q", q)}`, "interval"),
      element("span", isShare ? `${points(one)} → ${points(other)} %` : `${amount(one)} → ${amount(other)}`, "interval"),
    );
    if (low !== null && doubt) cell.append(element("span", `⚠ may be ${doubt}`, "interval"));
    const kind = effect(low, high, isShare ? 0 : 1, q, metric.better);
    if (low !== null) cell.append(element("span", SIGNS[kind], `effect ${kind}`));
    return cell;
  }

  function table(rows, flipped) {
    const made = element("table", "", "numbers pair-table");
    const head = made.createTHead().insertRow();
    const several = new Set(rows.map((row) => row.temp)).size > 1;
    for (const name of ["Arms", ...data.metrics.map((m) => m.name)]) {
      const heading = element("th", name[0].toUpperCase() + name.slice(1));
      heading.scope = "col";
      head.append(heading);
    }
    const body = made.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      const arms = flipped ? [...row.arms].reverse() : row.arms;
      const named = [prompt(first.value, arms[0]), prompt(second.value, arms[1])];
      const heading = element("th", named[0] === named[1] ? `${named[0]} in both` : `${named[1]} against ${named[0]}`);
      heading.scope = "row";
      const task = data.tasks[row.task] ?? row.task;
      heading.append(
        element("span", several ? `${task}, temperature ${row.temp}` : task, "hint"),
        element("span", `${row.items.toLocaleString("en")} items in ${row.clusters.toLocaleString("en")} clusters`, "hint"),
      );
      line.append(heading);
      if (row.same) {
        const cell = element("td", "The same answers: both trials share this arm.", "text");
        cell.colSpan = data.metrics.length;
        line.append(cell);
      } else {
        row.metrics.forEach((each, i) => line.append(
          each ? difference(each, data.metrics[i], flipped) : element("td", "–")));
      }
    }
    return made;
  }

  function compare() {
    const [one, other] = [Number(first.value), Number(second.value)];
    const rows = data.pairs[`${Math.min(one, other)},${Math.max(one, other)}`];
    result.textContent = "";
    if (one === other) result.append(element("p", "Choose two different trials."));
    else if (!rows) result.append(element("p", "This pair was not compared when the page was made."));
    else if (!rows.length) result.append(element("p", "These trials share no items."));
    else {
      const scroll = element("div", "", "scroll");
      scroll.tabIndex = 0;
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", "Second trial minus first");
      scroll.append(table(rows, one > other));
      result.append(scroll);
    }
  }

  tool.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", compare);
  document.getElementById("pairs-swap").addEventListener("click", () => {
    [first.value, second.value] = [second.value, first.value];
    compare();
  });
  compare();
}
