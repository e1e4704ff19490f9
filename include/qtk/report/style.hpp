#pragma once

#include "qtk/core/abi.hpp"

namespace qtk::inline QTK_ABI::report {

/// The page's style sheet: the reader's own sans-serif, light or dark as the reader has it. The
/// colors of data (fp32, int8, compute, memory) keep apart for color-blind readers too: blue and
/// orange, violet and teal.
inline constexpr const char* page_style = R"(
:root { color-scheme: light dark; --ink: #1b2330; --soft: #5f6c7d; --line: #dfe4ea;
  --faint: #eef1f5;
  --paper: #ffffff; --card: #f8f9fb; --fp32: #2b66c8; --int8: #c85f10; --good: #15774a;
  --bad: #b3261e; --compute: #6d4bb8; --memory: #0b8080; --tint: #eaf5ef; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5eaf1; --soft: #98a5b6; --line: #2c3541;
  --faint: #212934; --paper: #10151c; --card: #171d26; --fp32: #75abff; --int8: #ff9f5e;
  --good: #5fd39a; --bad: #ff8b81; --compute: #b295f5; --memory: #4fc7c7; --tint: #15271f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1188px; padding: 36px 24px 64px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 27px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 40px 0 12px; }
.meta, .key { color: var(--soft); margin: 0 0 20px; } .key { font-size: 13px; margin: 10px 0 0; }
.pick { background: var(--tint); border-left: 4px solid var(--good); border-radius: 0 8px 8px 0;
  padding: 13px 18px; font-size: 17px; margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
  font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; font-size: 12.5px;
  border-bottom: 2px solid var(--line); }
th, td { text-align: right; padding: 6px 9px; white-space: nowrap; }
td { border-bottom: 1px solid var(--faint); }
th.left, td.left { text-align: left; }
tr.pick-row td { background: var(--tint); } tr.on td:first-child { font-weight: 600; }
tr.off td { color: var(--soft); } tr.sum td { font-weight: 600; border-top: 2px solid var(--line); }
td.best { font-weight: 700; color: var(--good); } tr.off td.best { color: var(--good); }
tr td.slow { color: var(--bad); } td.yes { color: var(--good); font-weight: 600; }
.badge { font-size: 11px; font-weight: 600; color: var(--paper); background: var(--good);
  border-radius: 9px; padding: 1px 7px; margin-left: 7px; }
.badge.plain { color: var(--soft); background: none; border: 1px solid var(--line); }
td.cut { max-width: 260px; overflow: hidden; text-overflow: ellipsis; }
td.kernel { color: var(--soft); font-size: 12.5px; }
td.share { min-width: 150px; } .track { display: inline-block; width: 84px; height: 9px;
  background: var(--faint); border-radius: 2px; margin-right: 8px; text-align: left;
  vertical-align: 0; line-height: 0; overflow: hidden; }
.track i { display: inline-block; height: 9px; vertical-align: top; }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
.key .swatch:not(:first-child) { margin-left: 16px; } .round { border-radius: 50%; }
.square-good { background: var(--good); } .square-fp32 { background: var(--fp32); }
.square-int8 { background: var(--int8); } .square-other { background: var(--soft); opacity: .55; }
.square-compute, i.compute { background: var(--compute); }
.square-memory, i.memory { background: var(--memory); }
i.unbound { background: var(--soft); }
.ink-compute { color: var(--compute); } .ink-memory { color: var(--memory); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr));
  gap: 20px; align-items: start; }
.notes { color: var(--soft); font-size: 13.5px; padding-left: 18px; margin: 12px 0 0; }
details { margin-top: 18px; } summary { cursor: pointer; font-weight: 600; padding: 4px 0 8px; }
svg { display: block; width: 100%; height: auto; background: var(--card);
  border: 1px solid var(--faint); border-radius: 10px; }
svg text { font: 11.5px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  fill: var(--ink); }
svg .title { font-size: 14px; font-weight: 600; }
svg .label, svg .tick, svg .faint { fill: var(--soft); } svg .tick { font-size: 11px; }
svg .name { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; }
svg .label { font-size: 12px; } svg .strong { font-weight: 700; }
  svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .minor { stroke: var(--faint); }
svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .leader { stroke: var(--soft); stroke-width: .8; opacity: .7; }
svg .frontier { fill: none; stroke: var(--good); stroke-width: 1.8; opacity: .65;
  stroke-linejoin: round; }
svg .dot { stroke: var(--card); stroke-width: 1.5; } svg .best { fill: var(--good); }
svg .other { fill: var(--soft); opacity: .55; } svg .reference { fill: var(--fp32); }
svg .roof { fill: none; stroke-width: 2; } svg .roof.fp32 { stroke: var(--fp32); }
svg .roof.int8 { stroke: var(--int8); } svg .roof.slope { stroke: var(--soft); }
svg .ink-fp32 { fill: var(--fp32); } svg .ink-int8 { fill: var(--int8); }
svg .ink-slope { fill: var(--soft); }
svg .layer { fill-opacity: .45; stroke-width: 1; } svg .layer.fp32 { fill: var(--fp32);
  stroke: var(--fp32); }
svg .layer.int8 { fill: var(--int8); stroke: var(--int8); }
svg .bar { opacity: .3; } svg rect.compute { fill: var(--compute); }
svg rect.memory { fill: var(--memory); } svg rect.unbound { fill: var(--soft); }
@media print { body { max-width: none; padding: 0; } svg, tr { break-inside: avoid; } }
)";

}  // namespace qtk::inline QTK_ABI::report
