// The labelling page. Questions, passages and responses are untrusted text: they reach the page
// only as text nodes, never as markup.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const { name, sample, earlier, responses, passages } = JSON.parse(byId("data").textContent);
  const keyOf = (digest) => `assay-labels:${digest}`;
  const KEY = keyOf(sample);
  const VERDICTS = ["correct", "incorrect", "not_attempted", "unsure"];
  const buttons = [...document.querySelectorAll("[data-verdict]")];
  const [article, annotator, jump] = ["response", "annotator", "jump"].map(byId);

  // ---- What is remembered: verdicts by id, what undo takes back, and where the reader was.

  const state = { annotator: "", at: 0, verdicts: {}, history: [] };

  const warn = (text) => {
    byId("trouble").textContent = text;
    byId("trouble").hidden = false;
  };

  const CANNOT_SAVE =
    "This browser does not keep labels for this page. Export them before you close or reload it.";

  const load = () => {
    try {
      // A larger sample begins with the smaller one that may have been labelled here before.
      const stored = [sample, ...earlier]
        .map((each) => localStorage.getItem(keyOf(each)))
        .find((each) => each !== null);
      const kept = JSON.parse(stored ?? "{}");
      const ids = new Set(responses.map((each) => each.id));
      Object.assign(state, kept);
      state.at = Math.min(Math.max(0, Number(state.at) || 0), responses.length - 1);
      state.verdicts = Object.fromEntries(
        Object.entries(state.verdicts).filter(([id]) => ids.has(id)));
    } catch {
      warn(CANNOT_SAVE);
    }
  };

  const save = () => {
    try {
      localStorage.setItem(KEY, JSON.stringify(state));
    } catch {
      warn(CANNOT_SAVE);
    }
  };

  // ---- Showing.

  const put = (id, text) => { byId(id).textContent = text; };

  const listItem = (text) => {
    const made = document.createElement("li");
    made.textContent = text;
    return made;
  };

  const child = (parent, name, text) => {
    const made = document.createElement(name);
    made.textContent = text;
    made.dir = "auto";
    parent.append(made);
    return made;
  };

  const passage = ([index, cited]) => {
    const [place, text] = passages[index];
    const made = document.createElement("section");
    child(made, "h4", place);
    if (cited.length) child(made, "mark", `cited as ${cited.map((n) => `[${n}]`).join(", ")}`);
    child(made, "pre", text);
    return made;
  };

  const showVerdict = () => {
    const given = state.verdicts[responses[state.at].id]?.verdict;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === given));
    }
    const done = Object.keys(state.verdicts).length;
    put("count", done < responses.length
      ? `${done} of ${responses.length} labelled`
      : `All ${done} labelled: export them below`);
    byId("progress").max = responses.length;
    byId("progress").value = done;
    byId("undo").disabled = state.history.length === 0;
    byId("unlabelled").disabled = done === responses.length;
  };

  const show = () => {
    const shown = responses[state.at];
    put("where", `Response ${state.at + 1} of ${responses.length} · ${shown.dataset}`);
    put("question", shown.question);
    byId("answers").replaceChildren(
      ...(shown.answers.length ? shown.answers : [shown.no_answers]).map(listItem));
    put("text", shown.response.trim() ? shown.response : "(empty)");
    byId("context").hidden = shown.context === null && shown.passages.length === 0;
    byId("context-text").hidden = shown.context === null;
    byId("passages").replaceChildren(...shown.passages.map(passage));
    put("context-label", shown.context_label);
    put("context-text", shown.context ?? "");
    jump.value = String(state.at + 1);
    byId("previous").disabled = state.at === 0;
    byId("next").disabled = state.at === responses.length - 1;
    for (const box of document.querySelectorAll("article pre")) box.scrollTop = 0;
    showVerdict();
  };

  const go = (place) => {
    state.at = Math.min(Math.max(0, place), responses.length - 1);
    show();
    save();
    window.scrollTo(0, 0);
    article.focus({ preventScroll: true });
  };

  // The next one without a label after this one, from the start again behind the last.
  const nextUnlabelled = () => {
    for (let step = 1; step <= responses.length; step += 1) {
      const place = (state.at + step) % responses.length;
      if (!(responses[place].id in state.verdicts)) return place;
    }
    return null;
  };

  // ---- Labelling.

  const label = (verdict) => {
    const { id } = responses[state.at];
    state.history.push([state.at, state.verdicts[id] ?? null]);
    const isNew = !(id in state.verdicts);
    state.verdicts[id] = { verdict, at: new Date().toISOString() };
    const next = nextUnlabelled();
    go(next ?? state.at);
    if (next === null && isNew) byId("export").scrollIntoView({ block: "center" });
  };

  const undo = () => {
    const last = state.history.pop();
    if (!last) return;
    const [place, before] = last;
    const { id } = responses[place];
    if (before) state.verdicts[id] = before;
    else delete state.verdicts[id];
    go(place);
  };

  const goUnlabelled = () => go(nextUnlabelled() ?? state.at);

  // ---- Export.

  const rows = () =>
    responses
      .filter((each) => each.id in state.verdicts)
      .map((each) => ({
        sample,
        id: each.id,
        verdict: state.verdicts[each.id].verdict,
        annotator: state.annotator,
        labelled_at: state.verdicts[each.id].at,
      }));

  const csv = (given) =>
    [Object.keys(given[0]), ...given.map(Object.values)]
      .map((cells) => `${cells.join(",")}\r\n`)
      .join("");

  const download = (text, kind, ending) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind }));
    link.download = `${name}.${state.annotator.replace(/ /g, "-")}.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // Firefox reads it a moment later
  };

  const exportAs = (ending) => {
    const given = rows();
    // Such names need no quotes in CSV, and are legal in file names.
    if (!/^[\p{L}\p{N}][\p{L}\p{N} _-]*$/u.test(state.annotator)) {
      put("exported", "Enter your name or initials first: letters, digits, spaces, _ and -.");
      annotator.focus();
    } else if (given.length === 0) {
      put("exported", "There are no labels yet.");
    } else {
      if (ending === "csv") download(csv(given), "text/csv", ending);
      else download(`${JSON.stringify(given, null, 2)}\n`, "application/json", ending);
      put("exported", `${given.length} labels exported.`);
    }
  };

  // ---- Buttons and keys.

  const on = (id, action) => byId(id).addEventListener("click", action);
  for (const button of buttons) {
    button.addEventListener("click", () => label(button.dataset.verdict));
  }
  on("undo", undo);
  on("previous", () => go(state.at - 1));
  on("next", () => go(state.at + 1));
  on("unlabelled", goUnlabelled);
  on("export-csv", () => exportAs("csv"));
  on("export-json", () => exportAs("json"));
  jump.addEventListener("change", () => {
    const place = Number(jump.value);
    if (Number.isInteger(place) && place > 0) go(place - 1);
    else jump.value = String(state.at + 1);
  });
  annotator.addEventListener("input", () => {
    state.annotator = annotator.value.trim();
    save();
  });

  const KEYS = {
    z: undo,
    u: undo,
    j: () => go(state.at + 1),
    ArrowRight: () => go(state.at + 1),
    k: () => go(state.at - 1),
    ArrowLeft: () => go(state.at - 1),
    n: goUnlabelled,
    g: () => { jump.focus(); jump.select(); },
  };
  VERDICTS.forEach((verdict, place) => { KEYS[String(place + 1)] = () => label(verdict); });

  document.addEventListener("keydown", (pressed) => {
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.repeat) return;
    if (pressed.target.closest("input")) return;
    const action = Object.hasOwn(KEYS, pressed.key) ? KEYS[pressed.key] : null;
    if (!action) return;
    pressed.preventDefault();
    action();
  });

  load();
  annotator.value = state.annotator;
  jump.max = String(responses.length);
  article.hidden = false;
  show();
})();
