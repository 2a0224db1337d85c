// The requirement ledger: docs/conformance.json says for each MUST, SHOULD and MAY of TCP's RFCs whether we meet it and which
// tests show it; docs/CONFORMANCE.md is the same as a page.
//   node tools/conformance.mjs                 check the ledger and write the page
//   node tools/conformance.mjs --check         exit 1 if the ledger is wrong or the page out of date
//   node tools/conformance.mjs --ran FILE…     exit 1 if a named test did not run and pass; FILE: what `jest --json` wrote
//   --ledger FILE                              another ledger than docs/conformance.json
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from '@swc/core';

const root = fileURLToPath(new URL('..', import.meta.url));
const LEDGER = 'docs/conformance.json';
const PAGE = 'docs/CONFORMANCE.md';
const SCRIPTS = 'test/packetdrill/scripts/';
const STATUSES = ['met', 'deviates', 'not-applicable', 'open'];
const LEVELS = ['MUST', 'MUST NOT', 'SHOULD', 'SHOULD NOT', 'MAY'];

/** In the page's order. */
const RFCS = new Map([
  [9293, 'Transmission Control Protocol'],
  [1122, 'Requirements for Internet Hosts: its TCP part, by the table in 4.2.5'],
  [7323, 'TCP Extensions for High Performance'],
  [6298, "Computing TCP's Retransmission Timer"],
  [5681, 'TCP Congestion Control'],
  [6675, 'A Conservative Loss Recovery Algorithm Based on SACK'],
  [8985, 'The RACK-TLP Loss Detection Algorithm'],
  [5961, "Improving TCP's Robustness to Blind In-Window Attacks"],
  [9438, 'CUBIC for Fast and Long-Distance Networks'],
]);

/**
 * @typedef {{ file: string, name: string }} TestRef
 * @typedef {{ id: string, rfc: number, section: string, level: string, text: string, status: string, why?: string, tests: TestRef[] }} Row
 * @typedef {{ path: string[], off: boolean }} Declared
 */

const args = process.argv.slice(2);
const other = args.indexOf('--ledger');
/** @type {Row[]} */
const rows = JSON.parse(readFileSync(other < 0 ? root + LEDGER : args.splice(other, 2)[1], 'utf8'));
const wrong = args[0] === '--ran' ? didNotPass(rows, args.slice(1)) : check(rows);
if (args.length === 0 && wrong.length === 0) writeFileSync(root + PAGE, render(rows));
if (args[0] === '--check' && wrong.length === 0 && readFileSync(root + PAGE, 'utf8') !== render(rows))
  wrong.push(`${PAGE} is out of date: run node tools/conformance.mjs`);
for (const w of wrong) process.stderr.write(`${w}\n`);
process.exitCode = wrong.length > 0 ? 1 : 0;

/** What is wrong with the ledger itself: its form, and tests that are named but do not stand in the sources. */
function check(all) {
  const bad = [];
  const ids = new Set();
  for (const r of all) {
    if (ids.has(r.id)) bad.push(`${r.id}: twice`);
    ids.add(r.id);
    if (!RFCS.has(r.rfc)) bad.push(`${r.id}: unknown RFC ${r.rfc}`);
    if (!/^(?:\d+(?:\.\d+)*|A\.\d+)$/.test(r.section)) bad.push(`${r.id}: section ${r.section}`);
    if (!LEVELS.includes(r.level)) bad.push(`${r.id}: level ${r.level}`);
    if (!STATUSES.includes(r.status)) bad.push(`${r.id}: status ${r.status}`);
    if (!r.text) bad.push(`${r.id}: no text`);
    if (r.status === 'met' && r.tests.length === 0) bad.push(`${r.id}: met, and no test shows it`);
    if (r.status !== 'met' && !r.why) bad.push(`${r.id}: ${r.status}, and not why`);
    bad.push(...r.tests.flatMap((t) => missing(t).map((m) => `${r.id}: ${m}`)));
  }
  return bad;
}

/** Why a named test cannot be found, or nothing. */
function missing(test) {
  if (!existsSync(root + test.file)) return [`${test.file} does not exist`];
  if (isScript(test)) return test.file.endsWith(`/${test.name}`) ? [] : [`${test.file} is not ${test.name}`];
  const found = declared(test.file).filter((d) => titleOf(d.path, test.name));
  if (found.length === 0) return [`${test.file} has no test '${test.name}'`];
  if (found.length > 1) return [`${test.file} has ${found.length} tests '${test.name}': name it 'describe › test'`];
  return found[0].off ? [`${test.file}: '${test.name}' is skipped`] : [];
}

/** A packetdrill script is a test of its own; its name is its path below the scripts. */
function isScript(test) {
  return test.file.startsWith(SCRIPTS);
}

/** `name` is the test's title, or as many of the titles around it as make it unique: `describe › test`. */
function titleOf(path, name) {
  const want = name.split(' › ');
  return want.every((w, i) => w === path.at(i - want.length));
}

/** The tests of a file as they stand in its source: titles from the outermost describe inwards. */
function declared(file) {
  declared.cache ??= new Map();
  let found = declared.cache.get(file);
  if (found === undefined) {
    found = [];
    walk(parseSync(readFileSync(root + file, 'utf8'), { syntax: 'typescript', target: 'es2022' }), [], false, found);
    declared.cache.set(file, found);
  }
  return found;
}

/** @param {Declared[]} found */
function walk(node, path, off, found) {
  if (Array.isArray(node)) {
    for (const n of node) walk(n, path, off, found);
    return;
  }
  if (node === null || typeof node !== 'object') return;
  const call = node.type === 'CallExpression' ? testCall(node) : undefined;
  if (call === undefined) {
    for (const v of Object.values(node)) walk(v, path, off, found);
    return;
  }
  const here = [...path, call.title];
  if (call.kind === 'describe') walk(node.arguments, here, off || call.off, found);
  else found.push({ path: here, off: off || call.off });
}

/** `test('title', …)`, `test.each(table)('title', …)`, `describe.skip('title', …)`: what it is and its title. */
function testCall(node) {
  const words = [];
  let callee = node.callee;
  for (;;) {
    if (callee.type === 'MemberExpression') {
      words.push(callee.property.value);
      callee = callee.object;
    } else if (callee.type === 'CallExpression') callee = callee.callee;
    else if (callee.type === 'TaggedTemplateExpression') callee = callee.tag;
    else break;
  }
  if (callee.type !== 'Identifier' || !['test', 'it', 'describe'].includes(callee.value)) return undefined;
  if (words.includes('each') && node.callee.type === 'MemberExpression') return undefined;
  const title = literal(node.arguments[0]?.expression);
  if (title === undefined) return undefined;
  return { kind: callee.value, title, off: words.includes('skip') || words.includes('todo') };
}

/** A title as the ledger writes it: what is filled in when it runs stays as `${…}`. */
function literal(e) {
  if (e?.type === 'StringLiteral') return e.value;
  if (e?.type !== 'TemplateLiteral') return undefined;
  return e.quasis.map((q) => q.cooked).join('${…}');
}

/** Named tests that the run did not pass. A table's rows must all pass. */
function didNotPass(all, files) {
  const results = files.flatMap((f) => JSON.parse(readFileSync(f, 'utf8')).testResults);
  const byFile = new Map(results.map((r) => [relative(root, r.name), r.assertionResults]));
  const bad = [];
  for (const r of all) {
    for (const t of r.tests) {
      const runs = isScript(t) ? scriptRuns(results, t) : (byFile.get(t.file) ?? []).filter((a) => ranAs(a, t.name));
      if (runs.length === 0) bad.push(`${r.id}: ${t.file}: '${t.name}' did not run`);
      else if (!runs.every((a) => a.status === 'passed')) bad.push(`${r.id}: ${t.file}: '${t.name}' did not pass`);
    }
  }
  return bad;
}

function ranAs(run, name) {
  const path = [...run.ancestorTitles, run.title];
  const want = name.split(' › ');
  return want.every((w, i) => pattern(w).test(path.at(i - want.length) ?? ''));
}

function scriptRuns(results, test) {
  return results
    .flatMap((r) => r.assertionResults)
    .filter((a) => a.title.split(/\s/).some((w) => test.file.endsWith(w) && w.endsWith(test.name)));
}

/** A title with Jest's placeholders, as a pattern for the titles it becomes. */
function pattern(title) {
  const parts = title.split(/%[psdifjoO#$]|\$\{…\}|\$[A-Za-z#][\w.]*/);
  return new RegExp(
    `^${parts.map((p) => p.replaceAll('%%', '%').replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('.*')}$`,
    's',
  );
}

function render(all) {
  const lines = [
    '# Conformance: the requirements of TCP’s RFCs',
    '',
    'One row for each MUST, SHOULD and MAY. The ledger is [conformance.json](conformance.json); this page is made from it by',
    '`node tools/conformance.mjs`. Every test named here must exist ([a test](../test/architecture/conformance.spec.ts) checks',
    'that) and must have passed when the whole suite has run (`npm test` checks that at its end).',
    '',
    '**met**: we do it, and a test shows it. **deviates**: we do otherwise, and why. **not applicable**: it asks nothing of us, and',
    'why. **open**: not built, and what is missing.',
    '',
    '| RFC | | rows | met | deviates | not applicable | open |',
    '|---|---|---|---|---|---|---|',
  ];
  const count = (of) => STATUSES.map((s) => of.filter((r) => r.status === s).length).join(' | ');
  for (const [rfc, title] of RFCS) {
    const of = all.filter((r) => r.rfc === rfc);
    lines.push(`| [${rfc}](#rfc-${rfc}) | ${title} | ${of.length} | ${count(of)} |`);
  }
  lines.push(`| | **all** | ${all.length} | ${count(all)} |`);
  for (const [rfc, title] of RFCS) {
    lines.push('', `## RFC ${rfc}`, '', `[${title}](https://www.rfc-editor.org/rfc/rfc${rfc}).`, '');
    lines.push('| id | section | level | requirement | status | tests |', '|---|---|---|---|---|---|');
    for (const r of all.filter((x) => x.rfc === rfc)) lines.push(line(r));
  }
  return `${lines.join('\n')}\n`;
}

function line(r) {
  const status = `${r.status === 'met' ? '' : '**'}${r.status.replace('-', ' ')}${r.status === 'met' ? '' : '**'}`;
  const why = r.why ? `: ${cell(r.why)}` : '';
  const tests = r.tests.map((t) => `[${cell(t.name)}](../${t.file})`).join('<br>');
  const at = `[${r.section}](https://www.rfc-editor.org/rfc/rfc${r.rfc}#${anchor(r.section)})`;
  return `| ${r.id} | ${at} | ${r.level} | ${cell(r.text)} | ${status}${why} | ${tests || '–'} |`;
}

function anchor(section) {
  return section.startsWith('A.') ? 'appendix-A' : `section-${section}`;
}

function cell(text) {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
