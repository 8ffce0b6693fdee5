// The item explorer of a trial's report. Items, prompts and responses are untrusted text: they
// reach the page only as text nodes and attribute values, never as markup.
"use strict";

(() => {
  const PAGE = 50;
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [form, list, detail] = [byId("filters"), byId("list"), byId("detail")];
  const taskNames = { open_book: "open book", closed_book: "closed book" };

  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children.filter((child) => child !== null));
    return made;
  };

  // ---- The filters: each has a name, a label, its options and what it lets through.

  const distinct = (values) => [...new Set(values)].map((value) => [value, value]);
  const outcomes = Object.keys(data.outcomes).map((name) => [name, name]);
  const pairs = [
    ["em", "exact match"],
    ["false_answer_rate", "false answer"],
    ["abstain_rate", "abstention"],
  ].flatMap(([metric, name]) => [
    [`${metric}:only_control`, `${name}: only control`],
    [`${metric}:only_treatment`, `${name}: only treatment`],
  ]);
  const METRIC_INDEX = { em: 0, f1: 1, abstain_rate: 2, false_answer_rate: 3 };

  const arm = (item, condition) => item.arms[state.temp]?.[condition];
  const outcome = (item, condition) => arm(item, condition)?.outcome ?? "failed";
  const score = (item, condition, metric) => arm(item, condition)?.scores?.[METRIC_INDEX[metric]];
  const change = (metric) => (item) =>
    (score(item, state.treatment, metric) ?? 0) - (score(item, data.control, metric) ?? 0);

  // As McNemar's test counts: the majority of an item's samples; split ones stay out.
  const inPair = (item, pair) => {
    const [metric, side] = pair.split(":");
    const before = score(item, data.control, metric);
    const after = score(item, state.treatment, metric);
    if (before == null || after == null || before === 0.5 || after === 0.5) return false;
    return side === "only_control" ? before > 0.5 && after < 0.5 : before < 0.5 && after > 0.5;
  };

  const FILTERS = {
    task: {
      label: "Task",
      options: distinct(data.items.map((item) => item.task)).map(([task]) => [task, taskNames[task]]),
      test: (item, value) => item.task === value,
    },
    dataset: {
      label: "Data set",
      options: distinct(data.items.map((item) => item.dataset)),
      test: (item, value) => item.dataset === value,
    },
    answerable: {
      label: "Answerable",
      options: [["yes", "yes"], ["no", "no"]],
      test: (item, value) => item.unanswerable === (value === "no"),
    },
    before: {
      label: "Control",
      options: outcomes,
      test: (item, value) => outcome(item, data.control) === value,
    },
    after: {
      label: "Treatment",
      options: outcomes,
      test: (item, value) => outcome(item, state.treatment) === value,
    },
    pair: {
      label: "Discordant",
      options: [["changed", "outcome differs"], ...pairs],
      test: (item, value) =>
        value === "changed"
          ? outcome(item, data.control) !== outcome(item, state.treatment)
          : inPair(item, value),
    },
  };

  const SORTS = {
    data: ["as in the data", null],
    em: ["exact match: losses first", change("em")],
    emGain: ["exact match: gains first", (item) => -change("em")(item)],
    f1: ["F1: losses first", change("f1")],
    f1Gain: ["F1: gains first", (item) => -change("f1")(item)],
    false: ["false answers: new ones first", (item) => -change("false_answer_rate")(item)],
  };

  const state = {
    search: "", temp: data.temps[0], treatment: data.treatments[0], sort: "data", current: null,
    ...Object.fromEntries(Object.keys(FILTERS).map((name) => [name, ""])),
  };
  let shown = [];
  let page = 0;

  const select = (name, label, options, everything) => {
    const control = element("select", { name });
    if (everything) control.append(element("option", { value: "" }, "all"));
    for (const [value, text] of options) control.append(element("option", { value }, text));
    form.append(element("label", {}, label, control));
  };
  if (data.temps.length > 1) select("temp", "Temperature", distinct(data.temps));
  if (data.treatments.length > 1) {
    select("treatment", "Compared arm", data.treatments.map((name) => [name, data.names[name]]));
  }
  for (const [name, filter] of Object.entries(FILTERS)) {
    select(name, filter.label, filter.options, true);
  }
  select("sort", "Sort", Object.entries(SORTS).map(([name, [label]]) => [name, label]));

  // ---- The list.

  const idOf = (item) => `${item.task}:${item.key}`;
  const searchText = new Map(
    data.items.map((item) => [
      item,
      [
        item.key, item.question, ...item.answers,
        ...Object.values(item.arms).flatMap((arms) =>
          Object.values(arms).flatMap((each) => each.samples.map((sample) => sample[1]))),
      ].join("\n").toLowerCase(),
    ]),
  );

  const apply = () => {
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    const active = Object.entries(FILTERS).filter(([name]) => state[name]);
    shown = data.items.filter(
      (item) =>
        item.arms[state.temp] &&
        active.every(([name, filter]) => filter.test(item, state[name])) &&
        words.every((word) => searchText.get(item).includes(word)),
    );
    const by = SORTS[state.sort][1];
    if (by) shown = shown.map((item) => [by(item), item]).sort((a, b) => a[0] - b[0]).map(([, item]) => item);
    page = 0;
    byId("shown").textContent = `${shown.length.toLocaleString("en")} of ${data.items.length.toLocaleString("en")} items`;
    if (!shown.includes(state.current)) state.current = shown[0] ?? null;
    draw();
  };

  const badge = (name, text = name) =>
    element("span", { className: `badge ${name}` }, `${data.outcomes[name][0]} ${text}`);

  const drawList = () => {
    const position = shown.indexOf(state.current);
    if (position >= 0) page = Math.floor(position / PAGE);
    drawPage();
  };

  const drawPage = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    list.start = page * PAGE + 1;
    list.replaceChildren(
      ...shown.slice(page * PAGE, (page + 1) * PAGE).map((item) => {
        const button = element(
          "button",
          { type: "button", onclick: () => open(item, true) },
          element("span", { className: "question" }, item.question),
          element("span", { className: "badges" },
            badge(outcome(item, data.control)), " → ", badge(outcome(item, state.treatment))),
        );
        if (item === state.current) button.setAttribute("aria-current", "true");
        return element("li", {}, button);
      }),
    );
    if (!shown.length) list.append(element("li", { className: "nothing" }, "No item matches."));
    byId("page").textContent = `${page + 1} / ${pages}`;
    byId("page-back").disabled = page === 0;
    byId("page-on").disabled = page === pages - 1;
    const current = list.querySelector("[aria-current]");
    if (current) {
      const [box, row] = [list.getBoundingClientRect(), current.getBoundingClientRect()];
      if (row.top < box.top || row.bottom > box.bottom) list.scrollTop += row.top - box.top - 40;
    }
  };

  // ---- One item.

  const percent = (value) => (value == null ? "–" : (100 * value).toFixed(1));

  const sampleView = (sample, numbered) => {
    if (sample.length === 2) {
      return element("div", { className: "sample" },
        element("pre", { className: "response failed" }, sample[1]));
    }
    const [index, text, finish, promptTokens, completionTokens] = sample;
    return element("div", { className: "sample" },
      element("pre", { className: "response" }, text.trim() ? text : "(blank)"),
      element("p", { className: "small" },
        [
          numbered ? `sample ${index}` : "",
          `finish: ${finish}`,
          promptTokens == null ? "" : `${promptTokens} prompt tokens`,
          completionTokens == null ? "" : `${completionTokens} completion tokens`,
        ].filter(Boolean).join(" · ")));
  };

  const armView = (item, condition) => {
    const given = arm(item, condition);
    const role = condition === data.control ? "Control" : "Treatment";
    const right = item.unanswerable && outcome(item, condition) === "abstained";
    const column = element("section", { className: "arm" },
      element("h4", {}, `${role} ${data.names[condition]} `,
        badge(outcome(item, condition), right ? "abstained, rightly" : undefined)));
    if (!given) {
      column.append(element("p", {}, "Not asked or not answered."));
      return column;
    }
    column.append(...given.samples.map((sample) => sampleView(sample, given.samples.length > 1)));
    if (given.scores) {
      column.append(element("dl", { className: "scores" },
        ...given.scores.flatMap((value, i) =>
          value == null ? [] : [element("div", {}, element("dt", {}, data.scores[i]), element("dd", {}, percent(value)))])));
    }
    return column;
  };

  const drawDetail = () => {
    const item = state.current;
    if (!item) {
      detail.replaceChildren(element("p", {}, "Choose an item."));
      return;
    }
    const position = shown.indexOf(item);
    const go = (step, label, key) => element("button", {
      type: "button", className: "quiet", onclick: () => move(step),
      disabled: !shown[position + step], ariaKeyShortcuts: key,
    }, label);
    detail.replaceChildren(
      element("div", { className: "detail-bar" },
        go(-1, "← Previous", "k ArrowLeft"),
        element("span", { className: "small" }, `${position + 1} of ${shown.length}`),
        go(1, "Next →", "j ArrowRight")),
      element("p", { className: "eyebrow" }, `${taskNames[item.task]} · ${item.dataset} · `,
        element("a", { href: address(item), className: "id" }, item.key)),
      element("h3", { className: "question" }, item.question),
      element("p", { className: "gold" },
        element("strong", {}, "Gold: "),
        item.unanswerable ? "none, the question cannot be answered" : item.answers.join(" / ")),
      item.context === null ? null : element("details", { className: "passage", open: true },
        element("summary", {}, "Passage"), element("p", {}, data.contexts[item.context])),
      element("div", { className: "arms" },
        armView(item, data.control), armView(item, state.treatment)));
  };

  const draw = () => {
    drawList();
    drawDetail();
  };

  // ---- Moving about: links, keys, buttons.

  const address = (item) => {
    const parts = new URLSearchParams({ item: idOf(item) });
    if (data.temps.length > 1) parts.set("temp", state.temp);
    if (data.treatments.length > 1) parts.set("treatment", state.treatment);
    return `#${parts}`;
  };

  const open = (item, chosen) => {
    state.current = item;
    history.replaceState(null, "", address(item));
    draw();
    if (chosen && getComputedStyle(list.closest(".panes")).display !== "grid") {
      detail.scrollIntoView({ block: "start" }); // one column: the item lies below the list
    }
  };

  const move = (step) => {
    const next = shown[shown.indexOf(state.current) + step];
    if (next) open(next, false);
  };

  const showFilters = () => {
    for (const control of form.elements) if (control.name in state) control.value = state[control.name];
  };

  const clear = () => {
    for (const name of ["search", ...Object.keys(FILTERS)]) state[name] = "";
    state.sort = "data";
  };

  const followLink = () => {
    const parts = new URLSearchParams(location.hash.slice(1));
    if (!parts.has("item")) return;
    const item = data.items.find((each) => idOf(each) === parts.get("item"));
    clear();
    if (data.temps.includes(parts.get("temp"))) state.temp = parts.get("temp");
    if (data.treatments.includes(parts.get("treatment"))) state.treatment = parts.get("treatment");
    state.current = item ?? null;
    showFilters();
    apply();
    byId("items").scrollIntoView();
    if (item && getComputedStyle(list.closest(".panes")).display !== "grid") detail.scrollIntoView();
    if (!item) byId("shown").textContent = `This report has no item ${parts.get("item")}.`;
  };

  for (const control of form.elements) {
    control.addEventListener(control.name === "search" ? "input" : "change", () => {
      state[control.name] = control.value;
      apply();
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => {
    clear();
    showFilters();
    apply();
  });
  byId("page-back").addEventListener("click", () => { page -= 1; drawPage(); });
  byId("page-on").addEventListener("click", () => { page += 1; drawPage(); });

  for (const button of document.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => {
      clear();
      Object.assign(state, JSON.parse(button.dataset.show));
      showFilters();
      apply();
      byId("items").scrollIntoView();
      detail.focus({ preventScroll: true });
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, .scroll")) return;
    const step = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[event.key];
    if (step) move(step);
    else if (event.key === "/") form.elements.search.focus();
    else return;
    event.preventDefault();
  });

  addEventListener("hashchange", followLink);
  byId("explorer").hidden = false;
  showFilters();
  apply();
  followLink();
})();
