// The item explorer of a trial's report. Items, prompts and responses are untrusted text: they
// reach the page only as text nodes and attribute values, never as markup.
"use strict";

(() => {
  const PAGE = 50;
  const LONGEST_COMPARED = 4e6; // cells of a word diff's table: two responses of 2,000 words
  const byId = (id) => document.getElementById(id);
  const [explorer, form, list, detail] = ["explorer", "filters", "list", "detail"].map(byId);

  const element = (tag, properties = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name === "role" || name.startsWith("aria-")) made.setAttribute(name, value);
      else made[name] = value;
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  };

  // ---- Unpacking: nothing of it before the page is on the screen.

  const unpack = async (id) => {
    if (!("DecompressionStream" in window)) {
      throw new Error(
        "this browser cannot unpack them. Chrome and Edge from 80, Firefox from 113 and Safari " +
        "from 16.4 can.");
    }
    const packed = byId(id)?.textContent ?? "";
    const bytes = Uint8Array.fromBase64
      ? Uint8Array.fromBase64(packed)
      : Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    try {
      return await new Response(unpacked).json();
    } catch {
      throw new Error("this file is damaged or was cut off. Make or copy the report again.");
    }
  };

  const event = (target, name) =>
    new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

  const idle = () =>
    new Promise((resolve) =>
      "requestIdleCallback" in window
        ? requestIdleCallback(resolve, { timeout: 500 })
        : setTimeout(resolve, 50));

  // Items of a table may be asked for before they are unpacked: the last wish is kept.
  let wish = null;
  let show = (filters) => { wish = filters; };

  document.addEventListener("click", (click) => {
    const button = click.target.closest("[data-show]");
    if (!button) return;
    show(JSON.parse(button.dataset.show));
    byId("items").scrollIntoView();
    detail.focus({ preventScroll: true });
  });

  explorer.hidden = false;
  (async () => {
    if (document.readyState !== "complete") await event(window, "load");
    await idle();
    try {
      explore(await unpack("items-data"));
    } catch (error) {
      byId("shown").textContent = `The items cannot be shown: ${error.message}`;
      list.replaceChildren();
    }
  })();

  // ---- Texts side by side.

  const segmenter = "Segmenter" in Intl ? new Intl.Segmenter("en", { granularity: "word" }) : null;

  const words = (text) =>
    segmenter
      ? Array.from(segmenter.segment(text), (each) => each.segment)
      : text.match(/[\p{L}\p{N}\p{M}]+|\s+|[^]/gu) ?? [];

  // Which pieces of two texts are no part of the longest common subsequence of their words, white
  // space going with the words round it; null where that would take too long, or where they have
  // no word in common and marks would say nothing.
  const differences = (...texts) => {
    const places = texts.map((text) => text.flatMap((piece, i) => (piece.trim() ? [i] : [])));
    const [before, after] = texts.map((text) => text.filter((piece) => piece.trim()));
    let start = 0;
    while (start < before.length && before[start] === after[start]) start += 1;
    let [n, m] = [before.length, after.length];
    while (n > start && m > start && before[n - 1] === after[m - 1]) [n, m] = [n - 1, m - 1];
    const [rows, columns] = [n - start, m - start];
    if (rows * columns > LONGEST_COMPARED) return null;
    const width = columns + 1;
    const longest = new Uint16Array((rows + 1) * width);
    for (let i = rows - 1; i >= 0; i -= 1) {
      for (let j = columns - 1; j >= 0; j -= 1) {
        longest[i * width + j] = before[start + i] === after[start + j]
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
      }
    }
    const changed = texts.map((text) => text.map(() => false));
    const common = [...before.slice(0, start), ...before.slice(n)];
    for (let i = 0, j = 0; i < rows || j < columns;) {
      if (i < rows && j < columns && before[start + i] === after[start + j]) {
        common.push(before[start + i]);
        [i, j] = [i + 1, j + 1];
      } else if (j === columns ||
          (i < rows && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
        changed[0][places[0][start + i]] = true;
        i += 1;
      } else {
        changed[1][places[1][start + j]] = true;
        j += 1;
      }
    }
    texts.forEach((text, side) => text.forEach((piece, i) => {
      if (!piece.trim()) changed[side][i] = Boolean(changed[side][i - 1] && changed[side][i + 1]);
    }));
    return common.some((word) => /[\p{L}\p{N}]/u.test(word)) ? changed : null;
  };

  // Text nodes, and elements of this tag round runs of changed words.
  const marked = (tag, texts, changed) => {
    const made = [];
    for (let i = 0, end; i < texts.length; i = end) {
      for (end = i + 1; end < texts.length && changed[end] === changed[i];) end += 1;
      const text = texts.slice(i, end).join("");
      made.push(changed[i] ? element(tag, {}, text) : text);
    }
    return made;
  };

  // Where a text occurs in another: as whole words, or else (in scripts without spaces) anywhere.
  const occurrences = (text, sought) => {
    const parts = sought.trim().split(/\s+/).filter(Boolean);
    if (!parts.length) return [];
    const pattern = parts.map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("\\s+");
    const find = (expression) =>
      Array.from(text.matchAll(new RegExp(expression, "giu")),
        (match) => [match.index, match.index + match[0].length]);
    const whole = find(`(?<![\\p{L}\\p{N}])${pattern}(?![\\p{L}\\p{N}])`);
    return whole.length ? whole : find(pattern);
  };

  const quotes = (response) => [
    response.replace(/^[\s\p{P}]+|[\s\p{P}]+$/gu, ""),
    ...Array.from(response.matchAll(/["“„«]([^"“”„«»]+)["”“»]/gu), (match) => match[1]),
  ].filter((text) => text.length > 1);

  // A text with spans of several kinds, which may overlap; kinds name classes.
  const highlighted = (text, spansOfKinds) => {
    const bounds = new Set([0, text.length]);
    for (const [, spans] of spansOfKinds) for (const span of spans) span.forEach((at) => bounds.add(at));
    const ordered = [...bounds].sort((a, b) => a - b);
    return ordered.slice(0, -1).map((from, i) => {
      const piece = text.slice(from, ordered[i + 1]);
      const kinds = spansOfKinds
        .filter(([, spans]) => spans.some(([low, high]) => low <= from && from < high))
        .map(([kind]) => kind);
      return kinds.length ? element("mark", { className: kinds.join(" ") }, piece) : piece;
    });
  };

  // JSON in which characters are seen that a page does not show or that turn the text round.
  const INVISIBLE = /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
  const json = (value) =>
    JSON.stringify(value, null, 2).replace(INVISIBLE,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const unseen = (text) => (text.match(INVISIBLE) ?? []).length +
    (text.match(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g) ?? []).length;

  // ---- The explorer, once there is something to explore.

  const explore = (data) => {
    let requests = null; // promised when somebody first asks for them
    const places = new Map(data.items.map((item, i) => [item, i]));
    const capital = (text) => text[0].toUpperCase() + text.slice(1);
    const metricNames = data.metrics.map((metric) => metric.name);

    // -- The filters: each has a name, a label, its options and what it lets through.

    const distinct = (values) => [...new Set(values)].map((value) => [value, value]);
    const pairs = data.metrics.filter((metric) => metric.binary).flatMap(({ name, label }) => [
      [`${name}:only_control`, `${capital(label)}: only control`],
      [`${name}:only_treatment`, `${capital(label)}: only treatment`],
    ]);

    const arm = (item, condition) => item.arms[state.temp]?.[condition];
    const outcome = (item, condition) => arm(item, condition)?.outcome ?? "failed";
    const score = (item, condition, name) =>
      arm(item, condition)?.scores?.[metricNames.indexOf(name)];
    const change = (name) => (item) =>
      (score(item, state.treatment, name) ?? 0) - (score(item, data.control, name) ?? 0);
    const largest = (of) => (item) =>
      -Math.max(0, ...[data.control, state.treatment].flatMap((condition) =>
        (arm(item, condition)?.samples ?? []).map((sample) => of(sample) ?? 0)));

    // As McNemar's test counts: the majority of an item's samples; split ones stay out.
    const inPair = (item, pair) => {
      const [name, side] = pair.split(":");
      const before = score(item, data.control, name);
      const after = score(item, state.treatment, name);
      if (before == null || after == null || before === 0.5 || after === 0.5) return false;
      return side === "only_control" ? before > 0.5 && after < 0.5 : before < 0.5 && after > 0.5;
    };

    const occurring = new Set(
      data.items.flatMap((item) =>
        Object.values(item.arms).flatMap((arms) =>
          ["failed", ...Object.values(arms).map((each) => each.outcome)])));
    const outcomeName = (name) => name.replace("_", " ");
    const outcomes = Object.keys(data.outcomes)
      .filter((name) => occurring.has(name)).map((name) => [name, outcomeName(name)]);

    // What may have happened to any sample of either arm.
    const HAPPENED = {
      truncated: ["cut off at the token limit", (sample) => sample[2] === "length"],
      refused: ["refused by model or provider", (sample) => sample[2]?.startsWith("refused")],
      failed: ["no answer", (sample) => sample.length === 2],
      empty: ["blank", (sample) => sample.length > 2 && !sample[1].trim()],
    };

    const FILTERS = {
      task: {
        label: "Task",
        options: distinct(data.items.map((item) => item.task))
          .map(([task]) => [task, data.tasks[task].label.toLowerCase()]),
        test: (item, value) => item.task === value,
      },
      dataset: {
        label: "Data set",
        options: distinct(data.items.map((item) => item.dataset)),
        test: (item, value) => item.dataset === value,
      },
      subgroup: {
        label: "Subgroup",
        options: distinct(data.items.flatMap((item) => item.subgroups).sort()),
        test: (item, value) => item.subgroups.includes(value),
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
      either: {
        label: "In either arm",
        options: Object.entries(HAPPENED).map(([name, [label]]) => [name, label]),
        test: (item, value) =>
          [data.control, state.treatment].some((condition) =>
            outcome(item, condition) === value ||
            arm(item, condition)?.samples.some(HAPPENED[value][1])),
      },
    };

    // By each metric of which one direction is better: first what got worse, or what got better.
    const sorts = data.metrics.filter(({ better }) => better !== "neither")
      .flatMap(({ name, label, better }) => {
        const [falls, rises] = [change(name), (item) => -change(name)(item)];
        const [worse, gain] = better === "higher"
          ? [["losses", falls], ["gains", rises]] : [["rises", rises], ["falls", falls]];
        return [[name, worse], [`${name}Gain`, gain]]
          .map(([key, [first, by]]) => [key, [`${label}: ${first} first`, by]]);
      });

    const SORTS = {
      data: ["as in the data", null],
      ...Object.fromEntries(sorts),
      tokens: ["longest answer first", largest((sample) => sample[4])],
      latency: ["slowest answer first", largest((sample) => sample[5])],
    };

    const defaults = {
      search: "", temp: data.temps[0], treatment: data.treatments[0], sort: "data",
      ...Object.fromEntries(Object.keys(FILTERS).map((name) => [name, ""])),
    };
    const state = { ...defaults, current: null };
    let shown = [];
    let position = -1; // of the current item among those shown
    let page = 0;
    let marks = true; // whether differences between responses are marked
    let passageOpen = true;
    let foundOpen = true;

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
      if (filter.options.length) select(name, filter.label, filter.options, true);
    }
    select("sort", "Sort", Object.entries(SORTS).map(([name, [label]]) => [name, label]));

    // Only what the form can show: links and buttons cannot set anything else.
    const set = (values) => {
      for (const [name, value] of Object.entries(values)) {
        const control = form.elements.namedItem(name);
        if (!control || !(name in defaults)) continue;
        control.value = value;
        if (control.value === value) state[name] = value;
        else control.value = state[name];
      }
    };

    const clear = () => {
      const { temp, treatment, ...others } = defaults;
      Object.assign(state, others);
      set(state);
    };

    // -- The list.

    const idOf = (item) => `${item.task}:${item.key}`;

    const searchTexts = [];
    const searchText = (i) => {
      const item = data.items[i];
      searchTexts[i] ??= [
        item.key, item.question, ...item.answers,
        ...Object.values(item.arms).flatMap((arms) =>
          Object.values(arms).flatMap((each) => each.samples.map((sample) => sample[1]))),
      ].join("\n").toLowerCase();
      return searchTexts[i];
    };
    const prepareSearch = async (from = 0) => {
      for (let i = from; i < data.items.length; i += 1) {
        if (i % 1000 === 0) await idle();
        searchText(i);
      }
    };

    const apply = () => {
      const sought = state.search.toLowerCase().split(/\s+/).filter(Boolean);
      const active = Object.entries(FILTERS).filter(([name]) => state[name]);
      shown = data.items.filter(
        (item, i) =>
          item.arms[state.temp] &&
          active.every(([name, filter]) => filter.test(item, state[name])) &&
          sought.every((word) => searchText(i).includes(word)),
      );
      const by = SORTS[state.sort][1];
      if (by) {
        shown = shown.map((item) => [by(item), item]).sort((a, b) => a[0] - b[0]).map(([, item]) => item);
      }
      byId("shown").textContent =
        `${shown.length.toLocaleString("en")} of ${data.items.length.toLocaleString("en")} items`;
      position = shown.indexOf(state.current);
      if (position < 0) position = shown.length ? 0 : -1;
      draw();
    };

    const draw = () => {
      state.current = shown[position] ?? null;
      page = Math.max(0, Math.floor(position / PAGE));
      drawList();
      drawDetail();
    };

    const badge = (name) =>
      element("span", { className: `badge ${name}` },
        `${data.outcomes[name][0]} ${outcomeName(name)}`);

    const drawList = () => {
      const pages = Math.max(1, Math.ceil(shown.length / PAGE));
      list.start = page * PAGE + 1;
      list.replaceChildren(
        ...shown.slice(page * PAGE, (page + 1) * PAGE).map((item, i) =>
          element("li", {},
            element("button", { type: "button", onclick: () => open(page * PAGE + i, true) },
              element("span", { className: "question", dir: "auto" }, item.question),
              element("span", { className: "badges" },
                badge(outcome(item, data.control)), " → ", badge(outcome(item, state.treatment)))))),
      );
      if (!shown.length) list.append(element("li", { className: "nothing" }, "No item matches."));
      byId("page").textContent = `Page ${page + 1} / ${pages}`;
      byId("page-back").disabled = page === 0;
      byId("page-on").disabled = page === pages - 1;
      markCurrent();
    };

    // The rows stay as they are, and with them the focus.
    const markCurrent = () => {
      list.querySelector("[aria-current]")?.removeAttribute("aria-current");
      if (position < 0 || Math.floor(position / PAGE) !== page) return;
      const row = list.children[position % PAGE].firstElementChild;
      row.setAttribute("aria-current", "true");
      const [box, at] = [list.getBoundingClientRect(), row.getBoundingClientRect()];
      if (at.top < box.top || at.bottom > box.bottom) list.scrollTop += at.top - box.top - 40;
    };

    const turn = (step) => {
      page += step;
      drawList();
      list.scrollTop = 0;
    };

    // -- One item.

    const scoreText = (value, { unit }) => (unit === null
      ? (100 * value).toFixed(1) : `${Number(value.toPrecision(3)).toLocaleString("en")} ${unit}`);
    const duration = (seconds) => (seconds < 1
      ? `${Number((1000 * seconds).toPrecision(3))} ms` : `${Number(seconds.toPrecision(3))} s`);
    const role = (condition) => (condition === data.control ? "Control" : "Treatment");

    const messageView = (item, [speaker, pieces]) => {
      const own = (number) => (number > 1 ? data.passages[number - 2][3]
        : number ? item.question : data.contexts[item.context]);
      return [
        element("h5", {}, `${speaker} message`),
        element("pre", { dir: "auto", className: "message" },
          pieces.map((piece) => (typeof piece === "number" ? own(piece) : piece)).join("")),
      ];
    };

    const requestView = async (item, condition, number) => {
      requests ??= unpack("requests-data");
      const { chats, decodings, prompts, items } = await requests;
      const [chat, decoding, seed, rest] =
        items[places.get(item)][state.temp][condition][number];
      const sample = arm(item, condition).samples[number];
      const meta = {
        dataset: item.dataset,
        item_id: item.key.slice(item.dataset.length + 1),
        prompt: prompts[condition],
        temp: state.temp,
        sample_index: sample[0],
        type: item.task,
      };
      const line = {
        custom_id: [meta.dataset, meta.item_id, meta.prompt, meta.temp, meta.sample_index, meta.type].join("|"),
        ...meta,
        ...(sample.length > 2 ? { response_text: sample[1], finish_reason: sample[2] } : {}),
        ...rest,
      };
      const asked = chat === null
        ? [element("p", { className: "small" },
          "What was asked is not known: the answer comes from a file.")]
        : [
          ...chats[chat].flatMap((message) => messageView(item, message)),
          element("h5", {}, "Decoding parameters"),
          element("pre", { className: "raw" }, json({ ...decodings[decoding], seed })),
        ];
      return [
        ...asked,
        element("h5", {}, "Raw response line"),
        element("pre", { className: "raw" }, json(line)),
      ];
    };

    const requestDetails = (item, condition, number) => {
      const details = element("details", { className: "request" },
        element("summary", {}, "Request and raw response"));
      details.addEventListener("toggle", async () => {
        if (!details.open || details.children.length > 1) return;
        const waiting = element("p", { className: "small" }, "Unpacking…");
        details.append(waiting);
        try {
          waiting.replaceWith(...await requestView(item, condition, number));
        } catch (error) {
          waiting.textContent = `The requests cannot be shown: ${error.message}`;
        }
      });
      return details;
    };

    // An answer's fields beside the expected ones; what differs is marked, in words as well.
    const fieldsView = (fields, condition) => {
      const cell = (text, tag) => element("td", { dir: "auto" },
        text === null ? "–" : tag ? element(tag, {}, text) : text);
      return element("div", { className: "scroll", tabIndex: 0, role: "region",
        "aria-label": `Fields of the ${role(condition).toLowerCase()}’s response` },
      element("table", { className: "fields" },
        element("thead", {}, element("tr", {},
          ...["Field", data.tasks[state.current.task].answers, "Given", ""].map((title) =>
            element("th", { scope: "col" }, title)))),
        element("tbody", {}, ...fields.map(([place, expected, given, mark]) => {
          const differs = mark !== "right" && mark !== "ignored";
          return element("tr", {},
            element("th", { scope: "row", dir: "auto" }, place),
            cell(expected, differs ? "strong" : null), cell(given, differs ? "strong" : null),
            element("td", {}, differs ? element("span", { className: "badge wrong" }, mark) : mark));
        }))));
    };

    const sampleView = (item, condition, number, shownText) => {
      const given = arm(item, condition);
      const [index, text, finish, promptTokens, completionTokens, latency, answer, fields] = given.samples[number];
      const numbered = given.samples.length > 1;
      const made = element("div", { className: "sample" });
      const response = element("pre", {
        className: "response", dir: "auto", tabIndex: 0, role: "group",
        "aria-label": `${role(condition)}’s response${numbered ? `, sample ${index}` : ""}`,
      });
      made.append(response);
      if (finish === undefined) { // failed: the text is the error
        response.classList.add("failed");
        response.append(text);
      } else {
        response.append(...(text.trim() ? shownText : ["(blank)"]));
        if (!text.trim()) response.classList.add("blank");
        const invisible = unseen(text);
        const tokens = [[promptTokens, "in"], [completionTokens, "out"]]
          .filter(([count]) => count != null)
          .map(([count, way]) => `${count.toLocaleString("en")} ${way}`).join(", ");
        made.append(element("p", { className: "small" },
          [
            numbered ? `sample ${index}` : "",
            `finish: ${finish}`,
            tokens && `tokens: ${tokens}`,
            latency == null ? "" : duration(latency),
            invisible ? `${invisible} characters that are not seen; the raw response shows them` : "",
          ].filter(Boolean).join(" · ")));
      }
      if (answer != null) {
        made.append(element("p", { className: "small", dir: "auto" },
          `Scored as the final answer: ${answer.trim() || "(none)"}`));
      }
      if (fields) made.append(fieldsView(fields, condition));
      made.append(requestDetails(item, condition, number));
      return made;
    };

    // The responses of both arms to one sample, cut into text nodes and marks.
    const responsesView = (item, number) => {
      const texts = [data.control, state.treatment].map((condition) => {
        const sample = arm(item, condition)?.samples[number];
        return sample?.length > 2 ? sample[1] : null;
      });
      const plain = texts.map((text) => [text]);
      if (!marks || texts.includes(null) || texts[0] === texts[1]) return plain;
      const [before, after] = texts.map(words);
      const changed = differences(before, after);
      if (!changed) return plain;
      return [marked("del", before, changed[0]), marked("ins", after, changed[1])];
    };

    // The passages that an arm found, best first; which are gold and cited is said in words too.
    const foundView = (item, condition) => {
      const { passages, samples } = arm(item, condition);
      if (!passages) return null;
      const cited = new Set(samples.flatMap((sample) => sample[8] ?? []));
      const numbers = new Set(passages.found.map(([, number]) => number));
      const unknown = [...cited].filter((number) => !numbers.has(number));
      const left = passages.found.filter(([, number]) => number === null).length;
      const sign = (kind, text) => [" ", element("span", { className: `badge ${kind}` }, text)];
      return element("details", { className: "found", open: foundOpen, ontoggle: (toggle) => {
        foundOpen = toggle.target.open;
      } },
      element("summary", {}, `Passages: ${passages.found.length - left} given` +
        (left ? `, ${left} left out` : "")),
      passages.query ? element("p", { className: "small" },
        passages.query[1] ? `Searched for the question (${passages.query[1]}): ` : "Searched for: ",
        element("bdi", {}, passages.query[0])) : null,
      element("ol", {}, ...passages.found.map(([index, number, gold]) => {
        const [path, first, last, text] = data.passages[index];
        return element("li", { className: gold ? "gold" : "" },
          element("p", { className: "small" },
            element("strong", {}, number === null ? "–" : `[${number}]`), " ",
            element("bdi", {}, path), first === last ? `, line ${first}` : `, lines ${first}–${last}`,
            ...(gold ? sign("correct", "gold") : []),
            ...(cited.has(number) ? sign("cited", "cited") : []),
            ...(number === null ? sign("empty", "left out") : [])),
          element("pre", { dir: "auto", tabIndex: 0, role: "group", className: "text",
            "aria-label": `Passage ${path}` }, text));
      })),
      unknown.length ? element("p", { className: "small" }, "Cited, but no passage has this number: ",
        unknown.map((number) => `[${number}]`).join(", ")) : null,
      passages.missing.length ? element("p", { className: "small" }, "Gold, but not found: ",
        ...passages.missing.flatMap((name, i) => [i ? ", " : "", element("bdi", {}, name)])) : null);
    };

    const armView = (item, condition, responses, side) => {
      const given = arm(item, condition);
      const column = element("section", { className: "arm" },
        element("h4", {}, `${role(condition)} ${data.names[condition]} `,
          badge(outcome(item, condition))));
      if (!given) {
        column.append(element("p", {}, "Not asked or not answered."));
        return column;
      }
      column.append(...[
        ...given.samples.map((_, number) =>
          sampleView(item, condition, number, responses[number]?.[side])),
        foundView(item, condition),
      ].filter(Boolean));
      if (given.scores) {
        column.append(element("dl", { className: "scores" },
          ...given.scores.flatMap((value, i) =>
            value == null ? [] : [element("div", {},
              element("dt", {}, capital(data.metrics[i].label)),
              element("dd", {}, scoreText(value, data.metrics[i])))])));
      }
      return column;
    };

    const passageView = (item) => {
      if (item.context === null) return null;
      const text = data.contexts[item.context];
      const texts = data.tasks[item.task];
      const quotedBy = (condition) =>
        (arm(item, condition)?.samples ?? []).filter((sample) => sample.length > 2)
          .flatMap((sample) => quotes(sample[6] ?? sample[1])).flatMap((quote) => occurrences(text, quote));
      const kinds = [
        ["gold", `${texts.answers.toLowerCase()} answer`, item.answers.flatMap((answer) => occurrences(text, answer))],
        ["by-control", "quoted by control", quotedBy(data.control)],
        ["by-treatment", "quoted by treatment", quotedBy(state.treatment)],
      ].filter(([, , spans]) => spans.length);
      const passage = element("details", { className: "passage", open: passageOpen },
        element("summary", {}, texts.context),
        element("p", { dir: "auto", tabIndex: 0, role: "group", "aria-label": texts.context, className: "text" },
          ...highlighted(text, kinds.map(([kind, , spans]) => [kind, spans]))));
      if (kinds.length) {
        passage.append(element("p", { className: "small passage-key" },
          ...kinds.flatMap(([kind, label]) => [element("mark", { className: kind }, label), " "])));
      }
      passage.addEventListener("toggle", () => { passageOpen = passage.open; });
      return passage;
    };

    const drawDetail = () => {
      const item = state.current;
      byId("previous").disabled = position <= 0;
      byId("next").disabled = position < 0 || position >= shown.length - 1;
      byId("copy-link").disabled = !item;
      byId("copied").replaceChildren();
      if (!item) {
        byId("position").textContent = "no item";
        byId("item").replaceChildren();
        return;
      }
      const texts = data.tasks[item.task];
      byId("position").textContent =
        `${(position + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
      const samples = Math.max(
        ...[data.control, state.treatment].map((each) => arm(item, each)?.samples.length ?? 0));
      const responses = Array.from({ length: samples }, (_, number) => responsesView(item, number));
      const differ = responses.some((sides) => sides.some((side) => side.length > 1));
      const toggle = element("input", {
        type: "checkbox", checked: marks,
        onchange: () => { marks = !marks; drawDetail(); byId("marks").focus(); },
        id: "marks",
      });
      byId("item").replaceChildren(...[
        element("p", { className: "eyebrow" }, `${texts.label.toLowerCase()} · ${item.dataset} · `,
          element("a", { href: address(false), className: "id" }, element("bdi", {}, item.key))),
        element("h3", { className: "question", dir: "auto" }, item.question),
        element("p", { className: "gold-answers" },
          element("strong", {}, `${texts.answers}: `),
          ...(item.answers.length
            ? item.answers.flatMap((answer, i) => [i ? " / " : "", element("bdi", {}, answer)])
            : [texts.noAnswers])),
        passageView(item),
        differ || !marks
          ? element("p", { className: "small" }, element("label", {}, toggle, " mark what differs: "),
            element("del", {}, "only in control"), " ", element("ins", {}, "only in treatment"))
          : null,
        element("div", { className: "arms" },
          armView(item, data.control, responses, 0), armView(item, state.treatment, responses, 1)),
      ].filter(Boolean));
      detail.scrollTop = 0;
    };

    // -- Moving about: links, keys, buttons.

    // The link to this item; with the filters, what the address bar has.
    const address = (withFilters) => {
      const parts = new URLSearchParams();
      if (state.current) parts.set("item", idOf(state.current));
      if (data.temps.length > 1) parts.set("temp", state.temp);
      if (data.treatments.length > 1) parts.set("treatment", state.treatment);
      if (withFilters) {
        for (const name of ["search", ...Object.keys(FILTERS), "sort"]) {
          if (state[name] !== defaults[name]) parts.set(name, state[name]);
        }
      }
      return `#${parts}`;
    };

    // Browsers bear only so many changes of the address a minute: a held key makes few.
    let written = 0;
    let waiting = null;
    const writeAddress = () => {
      clearTimeout(waiting);
      const wait = written + 250 - Date.now();
      if (wait > 0) {
        waiting = setTimeout(writeAddress, wait);
        return;
      }
      written = Date.now();
      history.replaceState(null, "", address(true));
    };

    const inOneColumn = () => getComputedStyle(explorer.querySelector(".panes")).display !== "grid";

    const open = (index, chosen) => {
      position = index;
      state.current = shown[position];
      if (Math.floor(position / PAGE) === page) markCurrent();
      else {
        page = Math.floor(position / PAGE);
        drawList();
      }
      drawDetail();
      writeAddress();
      if (chosen && inOneColumn()) { // the item lies below the list
        detail.scrollIntoView({ block: "start" });
        detail.focus({ preventScroll: true });
      }
    };

    const move = (step) => {
      if (shown[position + step]) open(position + step, false);
    };

    const filtered = () => {
      apply();
      writeAddress();
    };

    const followLink = () => {
      const parts = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
      if (!Object.keys(parts).some((name) => name === "item" || name in defaults)) return;
      const item = data.items.find((each) => idOf(each) === parts.item) ?? null;
      clear();
      set(parts);
      state.current = item;
      apply();
      if (item && state.current !== item) { // the filters of the link hide its item
        clear();
        set({ temp: parts.temp ?? state.temp, treatment: parts.treatment ?? state.treatment });
        state.current = item;
        apply();
      }
      byId("items").scrollIntoView();
      if (item && inOneColumn()) detail.scrollIntoView();
      detail.focus({ preventScroll: true });
      if (!item && parts.item) {
        byId("shown").textContent = `This report has no item ${parts.item}. All items are below.`;
      }
    };

    for (const control of form.elements) {
      control.addEventListener(control.name === "search" ? "input" : "change", () => {
        state[control.name] = control.value;
        if (control.name === "sort") state.current = null; // what comes first is to be seen
        filtered();
      });
    }
    form.addEventListener("submit", (submit) => submit.preventDefault());
    byId("reset").addEventListener("click", () => {
      clear();
      filtered();
    });
    byId("page-back").addEventListener("click", () => turn(-1));
    byId("page-on").addEventListener("click", () => turn(1));
    byId("previous").addEventListener("click", () => move(-1));
    byId("next").addEventListener("click", () => move(1));
    byId("copy-link").addEventListener("click", async () => {
      const link = location.href.split("#")[0] + address(false);
      try {
        await navigator.clipboard.writeText(link);
        byId("copied").replaceChildren("Copied.");
      } catch { // no permission: offer the link to be copied by hand
        const field = element("input", { value: link, readOnly: true, "aria-label": "Link to this item" });
        byId("copied").replaceChildren(field);
        field.select();
      }
    });

    // Letters are shortcuts only while the focus is in the explorer, so that they do not get in
    // the way of those who speak or who use the letters for something else.
    explorer.addEventListener("keydown", (press) => {
      if (press.ctrlKey || press.metaKey || press.altKey) return;
      if (press.target.closest("input, select")) return;
      const row = press.target.closest("#list li");
      const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[press.key];
      const step = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[press.key];
      if (next) next.firstElementChild?.focus();
      else if (step) move(step);
      else if (press.key === "/") form.elements.search.focus();
      else return;
      press.preventDefault();
    });

    show = (filters) => {
      history.pushState(null, "", location.href); // Back returns to the table
      clear();
      set(filters);
      state.current = null;
      filtered();
    };

    addEventListener("hashchange", followLink);
    state.search = form.elements.search.value; // typed while the items were unpacked
    set(state);
    apply();
    if (wish) show(wish);
    else followLink();
    explorer.dataset.ready = "";
    prepareSearch();
  };
})();
