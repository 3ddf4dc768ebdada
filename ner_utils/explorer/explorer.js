// The explorer: one module for notebooks (anywidget calls `render`) and for pages (which call `mount`).
// Corpora hold whatever people type, so that all text is set as text, never as HTML.

const PER_PAGE = 20;
const RESAMPLES = 1000;

// ------------------------------------------------------------------------------------------- elements
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const whole = new Intl.NumberFormat("en");
const withSeed = (system) => `${system.label}, seed ${system.seed}`;
const percent = (value) => (Number.isFinite(value) ? (100 * value).toFixed(1) : "–");

// --------------------------------------------------------------------------------------------- facets
// Each facet puts a mention into one of its values; `facets` of view.py lists them for Python. Facets with `outcome`
// depend on what a system predicted: scores leave them out, because among the mentions that a system missed its
// recall is always 0.
function facetsOf(data, a, b) {
  const { mentions, sentences, systems } = data;
  const yes = (name, on, off) => ({ values: [[1, on], [0, off]], of: (m) => mentions[name][m] });
  const length = (m) => Math.min(3, mentions.end[m] - mentions.start[m]);
  // A span that is not in gold may be spurious for one system, and part of an error of another. That error is counted
  // in its gold mention, so that the span has no value (null) for the other system.
  const once = (system, value) => (m) => (mentions.gold[m] || "s.".includes(systems[system].outcome[m]) ? value(m) : null);
  const outcome = (system) => ({
    outcome: true,
    values: Object.entries(data.outcomes),
    of: once(system, (m) => systems[system].outcome[m]),
  });
  const confidence = (system) => ({
    outcome: true,
    values: [[95, "95 % and more"], [80, "80 to 95 %"], [50, "50 to 80 %"], [0, "under 50 %"], [-1, "no prediction"]],
    of: once(system, (m) => [95, 80, 50, 0].find((from) => systems[system].confidence[m] >= from) ?? -1),
  });
  const facets = {
    type: {
      title: "Type",
      values: data.types.map((type) => [type.id, type.name]),
      of: (m) => data.types[mentions.type[m]].id,
    },
    a: { title: `${systems[a].label}: outcome`, ...outcome(a) },
    b: b === null ? null : { title: `${systems[b].label}: outcome`, ...outcome(b) },
    length: { title: "Length of the mention", values: [[1, "1 token"], [2, "2 tokens"], [3, "3 or more"]], of: length },
    seen: { title: "Words in train", ...yes("seen", "seen", "unseen") },
    ambiguous: { title: "Types of these words in train", ...yes("ambiguous", "several", "one or none") },
    repeated: { title: "Words in the sentence", ...yes("repeated", "repeated", "once") },
    a_confidence: systems[a].confidence && { title: `${systems[a].label}: confidence`, ...confidence(a) },
    b_confidence: b !== null && systems[b].confidence && { title: `${systems[b].label}: confidence`, ...confidence(b) },
    words: {
      title: "Length of the sentence",
      values: [[1, "to 10 tokens"], [11, "11 to 20"], [21, "21 to 30"], [31, "over 30"]],
      of: (m) => [31, 21, 11].find((from) => sentences.length[mentions.sentence[m]] >= from) ?? 1,
    },
  };
  return Object.fromEntries(Object.entries(facets).filter(([, facet]) => facet));
}

// Which sentences the search and the document admit.
function admitted(data, state) {
  const { sentences } = data;
  const text = state.text.toLowerCase();
  return sentences.id.map((id, at) =>
    (state.document === "" || data.documents[sentences.document[at]] === state.document)
    && (!text || (sentences.tokens ? sentences.tokens[at].join(" ") : id).toLowerCase().includes(text)));
}

// The mentions that match, and how many of each value of a facet would match if it alone were not chosen.
function select(data, state, facets) {
  const { mentions, systems } = data;
  const names = Object.keys(facets);
  const chosen = names.map((name) => state.chosen[name] ?? new Set());
  const admits = admitted(data, state);
  const shown = [state.a, state.b].filter((system) => system !== null);
  const counts = names.map(() => new Map());
  const matching = [];
  for (let m = 0; m < mentions.sentence.length; m += 1) {
    if (!admits[mentions.sentence[m]]) continue;
    // The predicted half of an error of type or boundary is no mention of its own: its gold half is counted.
    if (!mentions.gold[m] && !shown.some((system) => systems[system].outcome[m] === "s")) continue;
    const values = names.map((name) => facets[name].of(m));
    const failing = names.filter((_, at) => chosen[at].size && !chosen[at].has(String(values[at])));
    if (failing.length === 0) matching.push(m);
    names.forEach((name, at) => {
      if (failing.length === 0 || (failing.length === 1 && failing[0] === name)) {
        counts[at].set(String(values[at]), (counts[at].get(String(values[at])) ?? 0) + 1);
      }
    });
  }
  const within = new Set(matching.map((m) => mentions.sentence[m]));
  const any = chosen.some((set) => set.size);
  const places = admits.flatMap((admit, at) => (admit && (!any || within.has(at)) ? [at] : []));
  return { matching: new Set(matching), places, counts: Object.fromEntries(names.map((name, at) => [name, counts[at]])) };
}

// --------------------------------------------------------------------------------------------- scores
// Strict counts of a system over the mentions that match all facets but those of outcomes: as in the study's
// own tables, a wrong span counts as a false positive with its own type and length.
function tally(data, state, facets, system) {
  const { mentions, systems, sentences } = data;
  const admits = admitted(data, state);
  const fixed = Object.entries(facets).filter(([name, facet]) => !facet.outcome && state.chosen[name]?.size);
  const groups = 1 + Math.max(-1, ...new Set(sentences.group));
  const parts = [new Float64Array(groups), new Float64Array(groups), new Float64Array(groups)];
  for (let m = 0; m < mentions.sentence.length; m += 1) {
    const outcome = systems[system].outcome[m];
    if (outcome === "." || !admits[mentions.sentence[m]]) continue;
    if (fixed.some(([name, facet]) => !state.chosen[name].has(String(facet.of(m))))) continue;
    const part = outcome === "c" ? 0 : mentions.gold[m] ? 2 : 1;
    parts[part][sentences.group[mentions.sentence[m]]] += 1;
  }
  return parts;
}

const total = (values) => values.reduce((sum, value) => sum + value, 0);
const f1 = (right, wrong, missed) => (2 * right) / (2 * right + wrong + missed);

// A 95 % interval of F1: documents, or sentences, are drawn again, as in the study's own intervals.
function interval(parts) {
  const groups = parts[0].length;
  let seed = 1;
  const random = () => {  // mulberry32
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const [right, wrong, missed] = parts;
  const scores = [];
  for (let again = 0; again < RESAMPLES; again += 1) {
    let sums = [0, 0, 0];
    for (let drawn = 0; drawn < groups; drawn += 1) {
      const at = Math.floor(random() * groups);
      sums[0] += right[at]; sums[1] += wrong[at]; sums[2] += missed[at];
    }
    const score = f1(...sums);
    scores.push(Number.isFinite(score) ? score : 0);
  }
  scores.sort((x, y) => x - y);
  return [scores[Math.floor(0.025 * RESAMPLES)], scores[Math.ceil(0.975 * RESAMPLES) - 1]];
}

// ------------------------------------------------------------------------------------------ sentences
function spansOf(data, at, has) {
  const { mentions } = data;
  const first = data.first[at], last = data.first[at + 1];
  const found = [];
  for (let m = first; m < last; m += 1) if (has(m)) found.push(m);
  return found;
}

const words = (data, m) => {
  const { mentions, sentences } = data;
  const range = `${mentions.start[m]}–${mentions.end[m] - 1}`;
  if (!sentences.tokens) return `tokens ${range}`;
  return `“${sentences.tokens[mentions.sentence[m]].slice(mentions.start[m], mentions.end[m]).join(" ")}”`;
};
const typed = (data, m) => `${words(data, m)} (${data.types[data.mentions.type[m]].name})`;

function card(data, state, at, matching) {
  const { mentions, sentences, systems } = data;
  const shown = state.all ? systems.map((_, system) => system) : [state.a, state.b].filter((s) => s !== null);
  const rows = [
    { label: "gold", title: "", spans: spansOf(data, at, (m) => mentions.gold[m]) },
    ...shown.map((system) => ({
      label: systems[system].label,
      title: withSeed(systems[system]),
      spans: spansOf(data, at, (m) => systems[system].outcome[m] === "c"
        || (!mentions.gold[m] && systems[system].outcome[m] !== ".")),
    })),
  ];
  const tokens = sentences.tokens?.[at] ?? Array.from({ length: sentences.length[at] }, (_, place) => String(place));
  const line = make("div", { className: "ner-line", dir: "auto" });
  line.append(make("span", { className: "ner-token ner-names", ariaHidden: "true" }, make("span", {}, "\u00a0"),
    ...rows.map((row) => make("i", { title: row.title }, row.label))));
  tokens.forEach((token, place) => {
    const column = make("span", { className: "ner-token" }, make("bdi", {}, token));
    for (const row of rows) {
      const m = row.spans.find((span) => mentions.start[span] <= place && place < mentions.end[span]);
      const bar = make("i", { ariaHidden: "true" });
      if (m !== undefined) {
        const type = data.types[mentions.type[m]];
        bar.style.background = data.colours[type.id];
        bar.className = mentions.end[m] - 1 === place ? "ner-bar ner-last" : "ner-bar";
        if (mentions.start[m] === place) bar.append(make("b", {}, type.id));
      }
      column.append(bar);
    }
    line.append(column);
  });
  const inside = spansOf(data, at, (m) => matching.has(m));
  const article = make("article", { className: "ner-card" },
    make("header", {}, make("code", {}, sentences.id[at]),
      sentences.document[at] >= 0 ? make("span", {}, ` in ${data.documents[sentences.document[at]]}`) : null),
    line,
    make("ul", {}, ...inside.flatMap((m) => verdicts(data, shown, at, m))));
  for (const system of shown) {
    const answer = systems[system].answers?.[at];
    if (answer) article.append(make("details", {}, make("summary", {}, `Answer of ${systems[system].label}`), make("pre", { dir: "auto" }, answer)));
  }
  return article;
}

// The outcome of a mention for each system, in words.
function verdicts(data, shown, at, m) {
  const { mentions, systems } = data;
  const parts = shown.filter((system) => systems[system].outcome[m] !== "." || mentions.gold[m]).map((system) => {
    const { label, outcome, confidence } = systems[system];
    const confidenceOf = (span) => (confidence && confidence[span] >= 0 ? `, confidence ${confidence[span]} %` : "");
    let text = `${label}: ${data.outcomes[outcome[m]]}`;
    if (!mentions.gold[m] || !"tbx".includes(outcome[m])) text += confidenceOf(m);
    else {
      const instead = spansOf(data, at, (span) => !mentions.gold[span] && "tbx".includes(outcome[span])
        && mentions.start[span] < mentions.end[m] && mentions.start[m] < mentions.end[span]);
      text += `, predicted ${instead.map((span) => typed(data, span) + confidenceOf(span)).join(" and ")}`;
    }
    return make("li", {}, make("bdi", {}, text));
  });
  const kind = mentions.gold[m] ? "gold" : "only predicted";
  return [make("li", {}, make("bdi", {}, `${typed(data, m)}, ${kind}`), make("ul", {}, ...parts))];
}

// ------------------------------------------------------------------------------------------ the whole
export function mount(root, data, { start = {}, ask = null } = {}) {
  const { mentions, sentences, systems } = data;
  // The mentions of a sentence are together: where those of each sentence begin.
  data.first = new Uint32Array(sentences.id.length + 1);
  for (const at of mentions.sentence) data.first[at + 1] += 1;
  for (let at = 0; at < sentences.id.length; at += 1) data.first[at + 1] += data.first[at];
  const place = (id) => systems.findIndex((system) => system.id === id);
  const state = { a: 0, b: systems.length > 1 ? 1 : null, chosen: {}, text: "", document: "", all: false, page: 0 };
  const fields = {};  // the controls that show a, b, text and document

  function apply(wanted) {
    state.chosen = {};
    state.page = 0;
    state.text = "";
    state.document = "";
    for (const [name, values] of Object.entries(wanted)) {
      const list = [values].flat().map(String);
      if (name === "systems") {
        const [a, b] = list.map(place);
        if (a === state.b) state.b = state.a;  // a system is not compared with itself
        if (a >= 0) state.a = a;
        if (b >= 0) state.b = b;
      } else if (name === "text" || name === "document") [state[name]] = list;
      else state.chosen[name] = new Set(list);
    }
    for (const [name, field] of Object.entries(fields)) field.value = String(state[name] ?? "");
    draw();
  }

  function draw() {
    const facets = facetsOf(data, state.a, state.b);
    for (const name of Object.keys(state.chosen)) if (!(name in facets)) delete state.chosen[name];
    const selected = select(data, state, facets);
    const focus = root.contains(document.activeElement) ? document.activeElement?.id : null;
    side.replaceChildren(...Object.entries(facets).map(([name, facet]) => facetBox(name, facet, selected.counts[name])));
    top.replaceChildren(...header(facets, selected));
    const pages = Math.max(1, Math.ceil(selected.places.length / PER_PAGE));
    state.page = Math.min(state.page, pages - 1);
    const from = state.page * PER_PAGE;
    list.replaceChildren(
      ...selected.places.slice(from, from + PER_PAGE).map((at) => card(data, state, at, selected.matching)),
      pager(pages));
    if (focus) document.getElementById(focus)?.focus();
  }

  function facetBox(name, facet, counts) {
    const chosen = state.chosen[name] ?? new Set();
    const values = facet.values.filter(([value]) => counts.get(String(value)) || chosen.has(String(value)));
    return make("fieldset", {}, make("legend", {}, facet.title), ...values.map(([value, label]) => {
      const key = String(value);
      const id = `${prefix}-${name}-${key}`;
      const box = make("input", {
        type: "checkbox", id, checked: chosen.has(key),
        onchange: (event) => {
          const set = new Set(chosen);
          if (event.target.checked) set.add(key); else set.delete(key);
          state.chosen[name] = set;
          state.page = 0;
          draw();
        },
      });
      return make("label", { htmlFor: id }, box, make("bdi", {}, ` ${label} `),
        make("span", { className: "ner-count" }, whole.format(counts.get(key) ?? 0)));
    }));
  }

  function header(facets, selected) {
    const rows = [state.a, state.b].filter((system) => system !== null).map((system) => {
      const parts = tally(data, state, facets, system);
      const sums = parts.map(total);
      const [right, wrong, missed] = sums;
      const some = right + wrong + missed > 0;
      const [low, high] = some ? interval(parts) : [NaN, NaN];
      return make("tr", {}, make("th", { scope: "row", title: withSeed(systems[system]) }, systems[system].label),
        ...[right / (right + wrong), right / (right + missed), f1(...sums)].map((v) => make("td", {}, percent(v))),
        make("td", {}, some ? `${percent(low)} to ${percent(high)}` : "–"),
        ...[right, wrong, missed].map((v) => make("td", {}, whole.format(v))));
    });
    const chosen = Object.entries(state.chosen).filter(([, set]) => set.size);
    const choices = chosen.map(([name, set]) => `${facets[name].title}: ${facets[name].values
      .filter(([value]) => set.has(String(value))).map(([, label]) => label).join(" or ")}`);
    return [
      make("p", { className: "ner-number", role: "status" },
        make("b", {}, `${whole.format(selected.places.length)} sentences`),
        ` with ${whole.format(selected.matching.size)} mentions${choices.length ? `; ${choices.join("; ")}` : ""}`),
      make("table", {}, make("caption", {}, "Scores on mentions with these properties, whatever their outcome (strict, percent)"),
        make("tr", {}, ...["", "precision", "recall", "F1", "95 % interval", "right", "wrong", "missed"]
          .map((title) => make("th", { scope: "col" }, title))), ...rows),
      byType(facets),
    ];
  }

  // From a number to its sentences: each number of this table chooses the facets that it counts.
  function byType(facets) {
    const shown = [["a", state.a], ["b", state.b]].filter(([, system]) => system !== null);
    const kinds = ["c", "t", "b", "x", "p", "m", "s"];
    const counted = shown.map(([, system]) => data.types.map(() => ({})));
    for (let m = 0; m < mentions.sentence.length; m += 1) {
      shown.forEach(([, system], side) => {
        const outcome = systems[system].outcome[m];
        if (mentions.gold[m] ? outcome !== "." : outcome === "s") {
          const row = counted[side][mentions.type[m]];
          row[outcome] = (row[outcome] ?? 0) + 1;
        }
      });
    }
    const cell = (name, type, kind, number) => make("td", {}, number ? make("button", {
      type: "button", className: "ner-link", onclick: () => apply({ type: [type.id], [name]: [kind] }),
      title: `${data.outcomes[kind]}: show these sentences`,
    }, whole.format(number)) : "0");
    return make("details", { open: state.tables ?? false, ontoggle: (event) => { state.tables = event.target.open; } },
      make("summary", {}, "All outcomes by type: each number leads to its sentences"),
      ...shown.map(([name, system], side) => make("table", {}, make("caption", {}, withSeed(systems[system])),
        make("tr", {}, make("th", { scope: "col" }, "type"), ...kinds.map((kind) => make("th", { scope: "col" }, data.outcomes[kind]))),
        ...data.types.map((type, at) => make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, type.name)),
          ...kinds.map((kind) => cell(name, type, kind, counted[side][at][kind] ?? 0)))))));
  }

  function pager(pages) {
    const go = (page) => () => { state.page = page; draw(); root.scrollIntoView({ block: "start" }); };
    return make("nav", { className: "ner-pager" },
      make("button", { type: "button", disabled: state.page === 0, onclick: go(state.page - 1) }, "Previous"),
      ` page ${state.page + 1} of ${whole.format(pages)} `,
      make("button", { type: "button", disabled: state.page >= pages - 1, onclick: go(state.page + 1) }, "Next"));
  }

  function choice(name, label, none) {
    const options = systems.map((system, at) => make("option", { value: String(at) }, withSeed(system)));
    if (none) options.push(make("option", { value: "" }, "none"));
    fields[name] = make("select", {
      id: `${prefix}-system-${name}`,
      onchange: (event) => { state[name] = event.target.value === "" ? null : Number(event.target.value); state.page = 0; draw(); },
    }, ...options);
    return make("label", {}, `${label} `, fields[name]);
  }

  function bar() {
    fields.document = make("input", {
      type: "search", placeholder: "all documents", "aria-label": "Document",
      oninput: (event) => { state.document = event.target.value; state.page = 0; draw(); },
    });
    fields.document.setAttribute("list", `${prefix}-documents`);
    fields.text = make("input", {
      type: "search", placeholder: sentences.tokens ? "text" : "id", "aria-label": "Text of the sentence",
      oninput: (event) => { state.text = event.target.value; state.page = 0; draw(); },
    });
    const differ = make("button", {
      type: "button",
      onclick: () => apply({ a: ["c"], b: ["t", "b", "x", "p", "m"] }),
    }, "first right, second wrong");
    const clear = make("button", { type: "button", onclick: () => apply({}) }, "clear");
    const all = make("input", { type: "checkbox", onchange: (event) => { state.all = event.target.checked; draw(); } });
    return make("div", { className: "ner-controls" }, choice("a", "First system"), choice("b", "second", true), fields.text,
      ...(data.documents.length ? [fields.document, make("datalist", { id: `${prefix}-documents` },
        ...data.documents.slice(0, 1000).map((name) => make("option", { value: name })))] : []),
      differ, clear, make("label", {}, all, " all systems"));
  }

  mount.number = (mount.number ?? 0) + 1;
  const prefix = `ner${mount.number}`;
  const side = make("div", { className: "ner-side" });
  const top = make("div", { className: "ner-top" });
  const list = make("div", { className: "ner-list" });
  const note = sentences.tokens ? null : make("p", { className: "ner-note" },
    "The text of this corpus may not be shown here: sentences are ids, and tokens are their numbers.");
  root.classList.add("ner-explorer");
  root.replaceChildren(...[note, ask ? trial(ask) : null, bar(), make("div", { className: "ner-columns" }, side,
    make("div", { className: "ner-main" }, top, list))].filter(Boolean));
  apply(start);
  return apply;
}

// --------------------------------------------------------------------------------------- own sentences
function trial(ask) {
  const text = make("textarea", { rows: 2, "aria-label": "Own sentence", placeholder: "A sentence of your own" });
  const types = make("input", { type: "text", placeholder: "other types, as: person, ship", "aria-label": "Types" });
  const out = make("div", { role: "status" });
  const button = make("button", {
    type: "button",
    onclick: async () => {
      button.disabled = true;
      out.replaceChildren("computing …");
      const answer = await ask({ text: text.value, types: types.value });
      button.disabled = false;
      if (answer.error) { out.replaceChildren(make("p", { className: "ner-note" }, answer.error)); return; }
      const columns = Object.keys(answer.rows[0] ?? {});
      out.replaceChildren(make("table", {}, make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name))),
        ...answer.rows.map((row) => make("tr", {}, ...columns.map((name) => make("td", {}, make("bdi", {}, String(row[name] ?? "–"))))))));
    },
  }, "Ask the systems");
  return make("details", { className: "ner-trial" }, make("summary", {}, "Try a sentence of your own"),
    make("p", {}, text), make("p", {}, types, " ", button), out);
}

// In notebooks, the data come as a message, and no text of a corpus is saved with the notebook.
function render({ model, el }) {
  const waiting = new Map();
  let number = 0;
  const ask = (question) => new Promise((resolve) => {
    number += 1;
    // Nothing tells that a kernel has died, but then sending fails: while a question waits, it is tried again.
    const send = (message) => {
      try { model.send(message); } catch { finish({ error: "There is no connection to the kernel: run the notebook again." }); }
    };
    const timer = setInterval(send, 2000, { kind: "wait" });
    const finish = (answer) => { clearInterval(timer); resolve(answer); };
    waiting.set(number, finish);
    send({ kind: "ask", number, ...question });
  });
  const receive = (content) => {
    if (content.kind === "data") mount(el, content.data, { start: content.start, ask: content.asks ? ask : null });
    if (content.kind === "answer") { waiting.get(content.number)?.(content); waiting.delete(content.number); }
  };
  model.on("msg:custom", receive);
  el.textContent = "loading …";
  model.send({ kind: "data" });
  return () => model.off("msg:custom", receive);
}
export default { render };
