/** How the status page looks: of one file, without anything from outside, light and dark. @module */

/** Colours are chosen for a contrast of at least 4.5 to 1 in both schemes. */
export const STYLE = `
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1a1d21; --soft: #525a63;
  --line: #d5dae0; --good: #17692f; --warn: #8a4b00; --bad: #b3161f; --bar: #3a6ea8; --focus: #1b5fc1; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --card: #1d2125; --text: #e8eaed;
  --soft: #a8b0b9; --line: #3a4149; --good: #6fd08c; --warn: #f0b35a; --bad: #ff8f8f; --bar: #7fb0e6; --focus: #8ab8ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 1rem/1.45 system-ui, sans-serif; }
header, main, footer { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.25rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.125rem; margin: 1.75rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .35rem 0; overflow-wrap: anywhere; }
a { color: inherit; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.verdict { background: var(--card); border: 1px solid var(--line); border-left: .5rem solid; border-radius: .4rem; padding: 1rem; }
.verdict.good { border-left-color: var(--good); } .verdict.warn { border-left-color: var(--warn); } .verdict.bad { border-left-color: var(--bad); }
.good h1, b.good, .good.state { color: var(--good); } .warn h1, b.warn, .warn.state { color: var(--warn); } .bad h1, b.bad, .bad.state { color: var(--bad); }
.soft { color: var(--soft); }
label { display: block; margin-top: .75rem; color: var(--soft); }
input { width: 100%; font: .875rem/1.4 ui-monospace, monospace; color: var(--text); background: var(--back); border: 1px solid var(--soft); border-radius: .3rem; padding: .5rem; }
.cards { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .75rem 1rem; min-width: 0; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .2rem .75rem; margin: .5rem 0 0; font-size: .9375rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
dd b { font-weight: 600; } dd span { display: block; }
figure { margin: .5rem 0 0; } figcaption { color: var(--soft); font-size: .8125rem; }
svg { display: block; width: 100%; height: 3rem; margin-top: .25rem; } svg.strip { height: .9rem; } svg.progress { height: .5rem; }
.axis { stroke: var(--line); vector-effect: non-scaling-stroke; }
.bars { fill: var(--bar); } .failed { fill: var(--bad); }
.p50, .p99 { fill: none; stroke: var(--bar); stroke-width: 2; vector-effect: non-scaling-stroke; } .p99 { stroke-dasharray: 4 3; stroke: var(--soft); }
.is-good { fill: var(--good); } .is-warn { fill: var(--warn); } .is-bad { fill: var(--bad); } .is-none { fill: var(--line); }
ol { list-style: none; margin: 0; padding: 0; } li + li { border-top: 1px solid var(--line); margin-top: .6rem; padding-top: .6rem; }
footer { padding-top: 1.5rem; padding-bottom: 2rem; color: var(--soft); font-size: .875rem; } nav a { margin-right: 1rem; }
`
