"""The style of the HTML report: CSS alone, for light and dark pages, wide and narrow windows."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f7f9; --line: #e1e4e9; --ink: #1b1f24; --soft: #5b6470; --grid: #dfe3e8;
  --accent: #c2410c; --butterfly: #d5efe6; --butterfly-ink: #0b5a43; --dense: #e9ecf1; --dense-ink: #3d4651;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --panel: #1c2026; --line: #2e343c; --ink: #e8eaed; --soft: #a2abb7; --grid: #30363e;
    --accent: #ff9166; --butterfly: #12402f; --butterfly-ink: #a4ebcf; --dense: #2a3038; --dense-ink: #c3cad3;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1180px; margin: 0 auto; padding: 40px 28px 64px; }
h1 {
  font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 20px; overflow-wrap: anywhere;
}
h2 { font-size: 1.2rem; letter-spacing: -0.005em; margin: 48px 0 4px; }
p { margin: 0 0 12px; max-width: 76ch; }
.about { color: var(--soft); }
.facts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 14px 24px; margin: 0;
  padding: 18px 20px; background: var(--panel); border: 1px solid var(--line); border-radius: 10px;
}
.facts dt { color: var(--soft); font-size: 0.82rem; }
.facts dd { margin: 0; font-weight: 550; overflow-wrap: anywhere; }
h3 { font-size: 1.02rem; margin: 30px 0 2px; }
figure { margin: 12px 0 0; height: var(--height, 460px); }
figure > div { height: 100%; }
nav { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 18px 0 0; font-size: 0.92rem; }
nav a { color: var(--soft); text-underline-offset: 3px; text-decoration-color: var(--line); }
nav a:hover, nav a:focus-visible { color: var(--ink); text-decoration-color: currentcolor; }
.report section { scroll-margin-top: 12px; border-top: 1px solid var(--line); margin-top: 56px; }
.report section > h2 { margin-top: 32px; font-size: 1.35rem; }
.columns { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px 32px; }
.columns h3 { margin-top: 20px; }
.wide { overflow-x: auto; }
.wide figure { min-width: 860px; }
.choose { display: flex; flex-wrap: wrap; align-items: end; gap: 10px 18px; margin-top: 12px; font-size: 0.92rem; }
.choose label { color: var(--soft); }
.choose input[type="number"] { width: 6.5em; }
.choose input[type="number"], select {
  font: inherit; padding: 5px 8px; color: var(--ink); background: var(--page); border: 1px solid var(--line);
  border-radius: 8px;
}
.choose span { margin-left: auto; color: var(--soft); }
fieldset { border: 0; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; }
legend { float: left; padding: 0; color: var(--soft); }
.choose fieldset { padding-bottom: 6px; }
button {
  font: inherit; font-size: 0.92em; padding: 4px 12px; border-radius: 8px; border: 1px solid var(--line);
  background: var(--page); color: var(--ink); cursor: pointer;
}
button:hover:enabled { border-color: var(--accent); }
button:disabled { color: var(--soft); opacity: 0.6; cursor: default; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table button { border: 0; padding: 0; background: none; font: inherit; font-weight: 600; color: inherit; }
tbody button { text-decoration: underline; text-decoration-color: var(--soft); text-underline-offset: 3px; }
th[aria-sort] { color: var(--ink); }
th[aria-sort="ascending"] button::after { content: " ↑"; }
th[aria-sort="descending"] button::after { content: " ↓"; }
.tall { max-height: 480px; overflow: auto; }
.tall table { font-size: 0.84rem; }
.tall th, .tall td { padding: 5px 12px; }
.tall thead th { position: sticky; top: 0; z-index: 2; }
.tall tbody th { font-weight: 400; }
.tall td:first-child { position: sticky; left: 0; background: var(--page); }
.tall td:nth-child(n + 4) { text-align: right; font-variant-numeric: tabular-nums; }
#facts td { white-space: normal; overflow-wrap: anywhere; }
#facts tbody th { color: var(--soft); font-weight: 400; }
summary { cursor: pointer; font-weight: 600; }
details { margin: 16px 0 12px; }
.yaml { position: relative; }
.yaml button { position: absolute; top: 10px; right: 10px; }
pre {
  margin: 10px 0 0; padding: 14px 16px; overflow-x: auto; background: var(--panel); border: 1px solid var(--line);
  border-radius: 10px; font: 0.84rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
[hidden] { display: none !important; }
.scroll { overflow-x: auto; margin-top: 12px; border: 1px solid var(--line); border-radius: 10px; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 8px 14px; text-align: left; vertical-align: top; white-space: nowrap; }
thead th {
  background: var(--panel); color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line);
}
tbody tr + tr > * { border-top: 1px solid var(--line); }
tbody th { font-weight: 600; }
th:first-child { position: sticky; left: 0; background: var(--page); z-index: 1; }
thead th:first-child { background: var(--panel); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.failed { color: var(--soft); }
tbody .reason td { border-top: 0; padding-top: 0; color: var(--accent); }
.reason div { white-space: normal; overflow-wrap: anywhere; width: max-content; max-width: min(76ch, 74vw); }
code { font: 0.86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.stages {
  display: flex; flex-wrap: wrap; gap: 4px; list-style: none; margin: 0; padding: 0; min-width: 220px;
}
.stages code { padding: 1px 6px; border-radius: 5px; background: var(--dense); color: var(--dense-ink); }
.stages .butterfly { background: var(--butterfly); color: var(--butterfly-ink); }
.key { display: inline-flex; vertical-align: middle; min-width: 0; }
/* The figures come in greys that read on any page; here the page's own colours are known. */
.js-plotly-plot .xtick text, .js-plotly-plot .ytick text, .js-plotly-plot .legendtext,
figure:not(.front) .x2tick text, figure:not(.front) .y2tick text,
.js-plotly-plot .xtitle, .js-plotly-plot .ytitle,
.js-plotly-plot .colorbar text { fill: var(--soft) !important; }
.js-plotly-plot .annotation-text { fill: var(--ink) !important; }
.front .layer-above > .shapelayer path { stroke: var(--ink) !important; }
.shape-label text { fill: var(--ink) !important; }
.parcoords text { fill: var(--soft) !important; text-shadow: 0 0 3px var(--page), 0 0 3px var(--page) !important; }
.shape-label text, .tracereference-names text, .tracecurve-names text {
  paint-order: stroke; stroke: var(--page); stroke-opacity: 0.75; stroke-width: 3px; stroke-linejoin: round;
}
.js-plotly-plot .gridlayer path { stroke: var(--grid) !important; stroke-opacity: 1 !important; }
@media (max-width: 860px) { .columns { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 600px) {
  main { padding: 24px 16px 48px; }
  h1 { font-size: 1.5rem; }
  figure.front { height: 640px; }
  .tracereference-names, .tracecurve-names { display: none; }
  .tall tbody th, .tall td:first-child { white-space: normal; min-width: 8.5em; }
  .facts { grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); padding: 14px; }
  th, td { padding: 7px 10px; }
}
@media print {
  .scroll { overflow: visible; max-height: none; }
  table, .tall table { font-size: 0.7rem; }
  th, td, .tall th, .tall td { padding: 4px; white-space: normal; }
  th:first-child, .tall thead th, .tall td:first-child { position: static; }
  td.number { white-space: nowrap; }
  .stages { min-width: 0; }
  #all { font-size: 0.5rem; }
  #all th, #all td { padding: 2px; }
  #all td:nth-last-child(-n + 2) { overflow-wrap: anywhere; }
  pre { white-space: pre-wrap; }
  figure, tr { break-inside: avoid; }
  h2, h3, h2 + p, h3 + p { break-after: avoid; }
}
"""
