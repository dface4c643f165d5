// What the report does when a candidate is chosen. All texts are set as text, never as HTML.
"use strict";
const $ = (id) => document.getElementById(id);
const whole = (number) => (number === null ? "" : number.toLocaleString("en"));
const exact = (value) => (value === null ? "" : String(value));

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Columns as rows: of candidates, of the curve of each, of the bars of each.
function candidatesOf(data) {
  const rows = (data.rows.number ?? []).map((_, at) => ({ outcome: data.outcomes[at],
    ...Object.fromEntries(Object.keys(data.columns).map((name) => [name, data.rows[name]?.[at] ?? null])) }));
  const found = new Map(rows.map((row) => [row.number, { row, curve: [], bars: null, yaml: "" }]));
  data.curves.number.forEach((number, at) => found.get(number)?.curve.push({
    number, epoch: data.curves.epoch[at], accuracy: data.curves.accuracy[at], loss: data.curves.train_loss[at],
  }));
  let first = 0;
  data.bars.numbers.forEach((number, at) => {
    const places = Array.from({ length: data.bars.counts[at] }, (_, bar) => first + bar);
    first += places.length;
    const candidate = found.get(number);
    if (!candidate) return;
    candidate.bars = () => places.map((place) => ({
      slot: data.bars.slot[place], layer: data.bars.layers[data.bars.layer[place]], kind: data.kinds[data.bars.kind[place]],
      text: data.bars.text[place], inputs: data.bars.inputs[place], outputs: data.bars.outputs[place],
      size: data.bars.size[place], kernel: data.bars.kernel[place], macs: data.bars.macs[place],
    }));
    candidate.yaml = data.yaml.of[at].map((line) => data.yaml.lines[line]).join("\n") + "\n";
  });
  return found;
}

// As the figures of bft_nas.dashboard.network draw them; a test holds one against the other.
function strips(data, sides) {
  const widths = new Map();
  for (const bar of sides.flat())
    widths.set(bar.slot, Math.max(widths.get(bar.slot) ?? 0, Math.sqrt(bar.outputs)));
  const gap = data.strip.gap * [...widths.values()].reduce((sum, width) => sum + width, 0);
  const [middles, starts, stages] = [new Map(), [], []];
  let edge = 0, last = null;
  for (const slot of [...widths.keys()].sort((a, b) => a - b)) {
    const stage = Math.floor(slot / 10000);
    if (stage !== last) {
      starts.push(edge - gap / 2);
      stages.push(stage === 0 ? "" : stage === data.strip.head ? "head" : String(stage));
    }
    middles.set(slot, edge + widths.get(slot) / 2);
    edge += widths.get(slot) + gap;
    last = stage;
  }
  const groups = sides.flatMap((bars) => data.kinds.map((kind) => bars.filter((bar) => bar.kind === kind)));
  const has = (kind) => sides.some((bars) => bars.some((bar) => bar.kind === kind));
  const each = (value) => groups.map((bars) => bars.map(value));
  const tops = sides.map((bars) => (data.strip.room * Math.max(...bars.map((bar) => bar.macs))) / 1e6);
  const layout = { "xaxis.range": [0, edge], "xaxis.tickvals": starts, "xaxis.ticktext": stages };
  if (tops.length === 1) layout["yaxis.range"] = [0, tops[0]];
  else {
    const { least } = data.strip;
    const lower = Math.min(Math.max(tops[1] / (tops[0] + tops[1]), least), 1 - least);
    const all = Math.max(tops[0] / (1 - lower), tops[1] / lower);
    Object.assign(layout, {
      "yaxis.domain": [lower, 1], "yaxis.range": [0, all * (1 - lower)],
      "yaxis2.domain": [0, lower], "yaxis2.range": [all * lower, 0],
      "yaxis.nticks": Math.max(3, Math.round(10 * (1 - lower))), "yaxis2.nticks": Math.max(3, Math.round(10 * lower)),
    });
  }
  const traces = {
    x: each((bar) => middles.get(bar.slot)), y: each((bar) => bar.macs / 1e6),
    width: each((bar) => Math.sqrt(bar.outputs)), text: each((bar) => bar.text),
    customdata: each((bar) => [bar.layer, bar.inputs, bar.outputs, bar.size, bar.kernel, bar.macs]),
    showlegend: groups.map((_, at) => at < data.kinds.length && has(data.kinds[at])),
  };
  return [traces, layout];
}

function barText(bar) {
  const kernel = bar.kernel === "1x1" ? "" : `, ${bar.kernel}`;
  return `${bar.inputs} to ${bar.outputs}, ${`${bar.kind} ${bar.text}`.trim()}${kernel}, ${bar.size}`;
}

function differences(a, b) {
  const sides = [a, b].map((bars) => new Map(bars.map((bar) => [bar.slot, bar])));
  const slots = [...new Set(sides.flatMap((side) => [...side.keys()]))].sort((x, y) => x - y);
  return slots.map((slot) => sides.map((side) => side.get(slot)))
    .map((bars) => [bars.find(Boolean).layer, ...bars.map((bar) => (bar ? barText(bar) : "")),
      ...bars.map((bar) => bar?.macs ?? 0)])
    .filter((row) => row[1] !== row[2])
    .map((row) => [...row.slice(0, 3), whole(row[3]), whole(row[4]),
      `${row[4] > row[3] ? "+" : ""}${whole(row[4] - row[3])}`]);
}

// A cell of a column of results: its text, and all its digits when pointed at.
function cellOf({ format, unit }, value) {
  return unit && value !== null ? { text: shown(value, format), title: exactly(value, unit) } : { text: shown(value, format) };
}

function factsOf(data, rows) {
  const { accuracy } = data.columns;
  const fact = (name, row) => {
    const cell = cellOf(data.columns[name], row[name]);
    // As bft_nas.record.columns.Column.cell writes it.
    const error = name === "confirmed" ? shown(row.confirmed_error, "percent").replace("%", "") : "";
    return error ? { ...cell, text: `${cell.text} ± ${error}` } : cell;
  };
  return [
    [accuracy.heading, ...rows.map((row) => (row.state === "failed" ? "failed" : shown(row.accuracy, accuracy.format)))],
    ["outcome", ...rows.map((row) => row.outcome)],
    ...data.views.card.map((name) => [{ text: data.columns[name].heading, title: data.columns[name].hover },
      ...rows.map((row) => fact(name, row))]),
  ];
}

// Cells are texts, or texts with a title.
function fill(table, headings, rows) {
  const head = element("tr");
  headings.forEach((heading) => head.append(element("th", heading, { scope: "col" })));
  const lines = rows.map((cells) => {
    const line = element("tr");
    cells.forEach((cell, at) => {
      const { text, ...title } = cell.text === undefined ? { text: cell } : cell;
      line.append(element(at ? "td" : "th", text, { ...title, ...(at ? {} : { scope: "row" }) }));
    });
    return line;
  });
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...lines);
}

async function ring(data, rows) {
  const rings = rows.map((row) => ({
    ...data.ring, xanchor: row.macs / 1e6, yanchor: 100 * row.accuracy,
    label: { ...data.ring.label, text: `#${row.number}` },
  }));
  const budgets = ($("front").layout.shapes ?? []).filter(({ type }) => type === "line");
  await Plotly.relayout("front", { shapes: [...budgets, ...rings] });
}

async function show(data, candidates, chosen) {
  const numbers = chosen.filter((number) => number !== null);
  const found = numbers.map((number) => candidates.get(number));
  const names = numbers.map((number) => `#${number}`);
  $("candidate").value = chosen[0] ?? "";
  $("beside").value = chosen[1] ?? "";
  fill($("facts"), ["", ...names], factsOf(data, found.map(({ row }) => row)));
  $("yaml").textContent = found[0].yaml || "Its architecture is not on disk.";
  $("export").textContent = data.exports[numbers[0]] ?? data.unexported;
  const placed = found.filter(({ row }) => row.accuracy !== null && row.state !== "failed").map(({ row }) => row);
  if (data.figures.front.data.length) await ring(data, placed);
  const pack = data.figures.curves.data;
  if (pack.length) await Plotly.react("curves", [...pack, ...found.map(({ curve }, at) => ({
    x: curve.map((row) => row.epoch), y: curve.map((row) => 100 * row.accuracy),
    customdata: curve.map((row) => [row.number, row.loss]), name: names[at], mode: "lines+markers", type: "scatter",
    line: { width: 3, ...data.lines[at] }, marker: { size: 7 }, hovertemplate: data.hover,
  }))], $("curves").layout);
  $("network").hidden = !found[0].bars;
  if (found[0].bars && data.figures.strip.data.length) {
    await Plotly.update("strip", ...strips(data, [found[0].bars()]));
    Plotly.Plots.resize("strip");
    $("strip").parentElement.setAttribute("aria-label", `The network of ${names[0]}, layer by layer`);
  }
  const both = Boolean($("both")) && found.length > 1 && found.every(({ bars }) => bars);
  if ($("both")) {
    $("alone").hidden = both;
    $("both").hidden = !both;
  }
  if (both && data.figures.comparison.data.length) {
    const sides = found.map(({ bars }) => bars());
    const [traces, layout] = strips(data, sides);
    const different = differences(...sides);
    names.forEach((name, at) => { layout[`annotations[${at}].text`] = name; });
    layout["annotations[2].text"] = different.length ? "" : "The two are the same network.";
    await Plotly.update("comparison", traces, layout);
    $("comparison").parentElement.setAttribute("aria-label", `The networks of ${names.join(" and ")}, layer by layer`);
    Plotly.Plots.resize("comparison");
    fill($("differences"), ["Layer", ...names, ...names.map((name) => `MACs ${name}`), "difference"], different);
  }
}

const SHOWN = 50;

function makeTable(data, candidates, choose) {
  const rows = [...candidates.values()].map(({ row }) => row);
  const order = { key: "number", down: false, page: 0 };
  const fits = {
    status: (row, value) => row.state === value,
    family: (row, value) => row.family === value,
    fusion: (row, value) => (value === "dense" ? row.butterfly_share === 0 : row.butterfly_share > 0),
    within: (row, value) => row.macs <= Number(value),
  };
  const filters = Object.keys(fits).map((name) => $(name));
  const kept = () => rows.filter((row) => filters.every(({ id, value }) => !value || fits[id](row, value)));
  const names = data.views.candidates;

  function draw() {
    const { key, down } = order;
    const sorted = kept().sort((a, b) => {
      if (a[key] === b[key]) return a.number - b.number;
      if (a[key] === null || b[key] === null) return a[key] === null ? 1 : -1;
      return (a[key] < b[key] ? -1 : 1) * (down ? -1 : 1);
    });
    const pages = Math.max(1, Math.ceil(sorted.length / SHOWN));
    order.page = Math.min(order.page, pages - 1);
    const first = order.page * SHOWN;
    const head = element("tr");
    for (const name of names) {
      const { title, hover, best, numeric } = data.columns[name];
      const cell = element("th", undefined, { scope: "col", title: hover });
      const button = element("button", title, { type: "button" });
      button.onclick = () => {
        Object.assign(order, { key: name, down: key === name ? !down : best === "up", page: 0 });
        draw();
        $("all").tHead.querySelectorAll("button")[names.indexOf(name)].focus();
      };
      if (key === name) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      if (numeric) cell.className = "number";
      cell.append(button);
      head.append(cell);
    }
    $("all").tHead.replaceChildren(head);
    $("all").tBodies[0].replaceChildren(...sorted.slice(first, first + SHOWN).map((row) => {
      const line = element("tr", undefined, row.state === "complete" ? {} : { class: "failed" });
      names.forEach((name, at) => {
        const { text, ...title } = cellOf(data.columns[name], row[name]);
        const kind = data.columns[name].numeric ? { class: "number" } : {};
        const cell = element(at ? "td" : "th", at ? text : undefined, { ...title, ...kind });
        if (!at) cell.append(element("button", `#${text}`, { type: "button", "data-candidate": row.number }));
        line.append(cell);
      });
      return line;
    }));
    $("shown").textContent = sorted.length
      ? `${first + 1} to ${Math.min(first + SHOWN, sorted.length)} of ${sorted.length}` : "none of them";
    $("back").disabled = order.page === 0;
    $("on").disabled = order.page === pages - 1;
  }

  function download() {
    const quoted = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const every = Object.keys(data.columns);
    const lines = [every, ...kept().map((row) => every.map((name) => exact(row[name])))];
    const text = lines.map((line) => line.map(quoted).join(",") + "\n").join("");
    const link = element("a", "", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })),
      download: `${data.run}.csv` });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  filters.forEach((filter) => filter.addEventListener("change", () => { order.page = 0; draw(); }));
  $("back").onclick = () => { order.page -= 1; draw(); };
  $("on").onclick = () => { order.page += 1; draw(); };
  $("csv").onclick = download;
  draw();
}

// Those that a choice of a candidate changes; the page can be used as soon as they are there.
const FIRST = ["front", "curves", "strip", "comparison"];

async function draw(data, id) {
  const figure = data.figures[id];
  if (!$(id) || !figure) return;
  try {
    await Plotly.newPlot(id, figure.data, figure.layout, data.config);
  } catch (error) {
    $(id).textContent = `This view cannot be shown (${error}).`;
  }
  // Let the browser show each before the next.
  await new Promise((done) => { setTimeout(done); });
}

// The others, each when it is less than a window away, or when the page is printed.
function drawWhenNear(data, drawn) {
  const left = new Set(Object.keys(data.figures).filter((id) => !FIRST.includes(id) && $(id)));
  let turn = Promise.resolve();
  function take(id) {
    if (!left.delete(id)) return undefined;
    near.unobserve($(id));
    return draw(data, id).then(() => drawn(id));
  }
  const near = new IntersectionObserver((places) => {
    for (const { target, isIntersecting } of places)
      if (isIntersecting) turn = turn.then(() => take(target.id));
  }, { rootMargin: "100% 0px" });
  left.forEach((id) => near.observe($(id)));
  addEventListener("beforeprint", () => [...left].forEach(take));
}

function followLayer() {
  // A click in the legend shows the published results, and Plotly leaves their axis as it is.
  $("front").on("plotly_restyle", () => {
    const shown = $("front").data.some((trace) => trace.yaxis === "y2" && trace.visible === true);
    if (shown !== $("front").layout.yaxis2.visible) Plotly.relayout("front", { "yaxis2.visible": shown });
  });
}

async function begin() {
  const data = await unpacked($("data").textContent);
  for (const id of FIRST) await draw(data, id);
  if ($("front").layout?.yaxis2) followLayer();
  const candidates = candidatesOf(data);
  let chosenBy = () => {};
  try {
    if (candidates.size) chosenBy = await explore(data, candidates);
  } catch (error) {
    // Where one view is missing, the others can still be looked at.
    console.error(error);
  }
  drawWhenNear(data, (id) => { if (["standings", "butterflies", "latency"].includes(id)) chosenBy(id); });
  document.documentElement.dataset.ready = "";
}

async function explore(data, candidates) {
  const chosen = [...data.chosen];
  function choose(number, side) {
    // A number that there is not leaves things as they are.
    if (number === null ? side === 1 : candidates.has(number)) chosen[side] = number;
    return show(data, candidates, chosen);
  }
  const side = (event) => (event?.shiftKey || $("second").checked ? 1 : 0);
  function chosenBy(id) {
    $(id).on("plotly_click", ({ points, event }) => {
      const given = points.map(({ customdata }) => (Array.isArray(customdata) ? customdata[0] : customdata));
      const number = given.find((value) => Number.isInteger(value));
      if (number !== undefined) choose(number, side(event));
    });
  }
  ["front", "curves"].forEach(chosenBy);
  for (const [at, id] of ["candidate", "beside"].entries())
    $(id).addEventListener("change", ({ target }) => choose(target.value === "" ? null : Number(target.value), at));
  addEventListener("click", (event) => {
    const number = event.target.closest?.("[data-candidate]")?.dataset.candidate;
    if (number === undefined) return;
    choose(Number(number), side(event));
    $("one").scrollIntoView({ behavior: "smooth" });
  });
  $("copy").onclick = async () => {
    const text = $("yaml").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages from disk may not be let at the clipboard: then the text is at least selected.
      getSelection().selectAllChildren($("yaml"));
      document.execCommand("copy");
    }
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
  };
  makeTable(data, candidates, choose);
  await show(data, candidates, chosen);
  return chosenBy;
}
addEventListener("load", begin);
