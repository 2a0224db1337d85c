import { readFileSync } from 'node:fs';
import { Api } from '../api-client.ts';
import { CliError } from '../errors.ts';
import { findAnywhere } from '../stacks.ts';
import { paint, print, printJson, say, table } from '../output.ts';

interface Common {
  stack?: string;
  json?: boolean;
}

interface RuleView {
  id: string;
  text: string;
  seed: number;
  matched: number;
  hits: number;
  waiting: number;
  held: number;
  problem?: string;
}

interface HeldView {
  serial: number;
  rule: string;
  layer: string;
  func: string;
  skb: number;
  bytes: string;
  tuple: string;
}

interface Decision {
  lost?: number;
  rule: string;
  layer: string;
  dir: string;
  func: string;
  ordinal: number;
  skb: number;
  timeMs: number;
  what: string;
}

/** `skbus fault add at tcp rx match 'tcp.flags.syn == 1' drop first 2` */
export async function add(words: string[], o: Common & { id?: string }): Promise<void> {
  const text = words.map(quoted).join(' ');
  if (onContainers(text)) await needed(o.stack);
  const r = await new Api(o.stack).send<RuleView>('POST', '/faults', {
    text,
    ...(o.id === undefined ? {} : { id: o.id }),
  });
  if (o.json) printJson(r);
  else print(`${r.id}: ${r.text}`);
}

const onContainers = (text: string): boolean => /\bservice (kill|hang|restart|cut)\b/.test(text);

/** Of layers that are containers only somebody outside can get hold. */
async function needed(stack: string | undefined): Promise<void> {
  if (process.env.SKBUS_API) return;
  const s = findAnywhere(stack);
  if ('container' in s) await (await import('../compose/hands-process.ts')).needHands(s);
}

/** Acts on the containers of a stack as its rules say, until it is gone or Ctrl-C. */
export async function hands(o: Common): Promise<void> {
  const s = findAnywhere(o.stack);
  if (!('container' in s))
    throw new CliError(`stack ${s.stack} runs as processes: its orchestrator acts on them itself`);
  const stop = new AbortController();
  for (const sig of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(sig, () => stop.abort());
  const { actAsHands } = await import('../compose/hands.ts');
  await actAsHands(s.stack, (line) => print(`${new Date().toISOString()} ${line}`), stop.signal);
}

/** The shell has taken the quotes of a filter away: what holds a blank or a quote gets them back. */
export function quoted(word: string): string {
  if (!/[\s'"]/.test(word)) return word;
  // The whole rule as one word is what it is.
  if (/^(at|service|match|id|seed) /.test(word)) return word;
  return word.includes("'") ? `"${word.replaceAll('"', '\\"')}"` : `'${word}'`;
}

export async function list(o: Common): Promise<void> {
  const rules = await new Api(o.stack).get<RuleView[]>('/faults');
  if (o.json) return printJson(rules);
  if (rules.length === 0) return say('no fault rules: skbus fault add at LAYER …');
  const rows = rules.map((r) => [
    r.id,
    String(r.matched),
    String(r.hits),
    String(r.waiting + r.held),
    r.problem === undefined ? r.text : `${r.text}   ${paint('red', r.problem)}`,
  ]);
  for (const line of table([['ID', 'MATCHED', 'HITS', 'WAITING', 'RULE'], ...rows])) print(line);
}

export async function rm(ids: string[], o: Common): Promise<void> {
  const api = new Api(o.stack);
  for (const id of ids) await api.send('DELETE', `/faults/${encodeURIComponent(id)}`);
}

export async function clear(o: Common): Promise<void> {
  await new Api(o.stack).send('DELETE', '/faults');
}

/** One rule per line; `# …` is talk. */
export async function apply(file: string, o: Common): Promise<void> {
  const rules = read(file)
    .split('\n')
    .map((l) => l.trim())
    .filter((l) => l !== '' && !l.startsWith('#'))
    .map((text) => ({ text }));
  if (rules.some(({ text }) => onContainers(text))) await needed(o.stack);
  const now = await new Api(o.stack).send<RuleView[]>('PUT', '/faults', { rules });
  if (o.json) printJson(now);
  else for (const r of now) print(`${r.id}: ${r.text}`);
}

export async function log(o: Common & { follow?: boolean }): Promise<void> {
  const api = new Api(o.stack);
  const show = (d: Decision): void => {
    if (o.json) return printJson(d);
    if (d.lost !== undefined) return say(`(${d.lost} decisions lost)`);
    // what happens inside a layer goes neither way
    const inside = d.func === '' || d.func.startsWith(':');
    const where = inside ? d.layer + d.func : `${d.layer}.${d.func} ${d.dir}`;
    const skb = d.skb === 0 ? '' : ` skb ${d.skb}`;
    print(`${(d.timeMs / 1000).toFixed(6)} ${d.rule} #${d.ordinal} ${where}${skb}: ${d.what}`);
  };
  if (o.follow) return api.lines('/faults/log?follow=1', (row) => show(row as Decision));
  const all = await api.get<{ rules: unknown[]; decisions: Decision[] }>('/faults/log');
  if (o.json) printJson(all);
  else for (const d of all.decisions) show(d);
}

/** A log as `skbus fault log --json` writes it. */
export async function replay(file: string, o: Common): Promise<void> {
  let body: unknown;
  try {
    body = JSON.parse(read(file));
  } catch (e) {
    if (e instanceof CliError) throw e;
    throw new CliError(`${file} is no log: write one with "skbus fault log --json"`);
  }
  const rules = await new Api(o.stack).send<RuleView[]>('POST', '/faults/replay', body);
  if (o.json) printJson(rules);
  else for (const r of rules) print(`${r.id}: ${r.text}`);
}

export async function held(o: Common): Promise<void> {
  const all = await new Api(o.stack).get<HeldView[]>('/faults/held');
  if (o.json) return printJson(all);
  if (all.length === 0) return say('nothing is held');
  const rows = all.map((h) => [
    `${h.layer}/${h.serial}`,
    h.rule,
    h.func,
    h.skb === 0 ? '-' : String(h.skb),
    h.tuple || '-',
    h.bytes.slice(0, 80),
  ]);
  for (const line of table([['NUMBER', 'RULE', 'AT', 'SKB', 'WHAT', 'BYTES'], ...rows])) print(line);
}

export async function letGo(how: 'step' | 'release', id: string, o: Common): Promise<void> {
  const r = await new Api(o.stack).send<{ released: number }>('POST', `/faults/${encodeURIComponent(id)}/${how}`);
  if (o.json) printJson(r);
  else print(`${r.released} let go`);
}

/** `skbus fault edit tcp/3 tcp.window=0` */
export async function edit(number: string, words: string[], o: Common & { csum?: string }): Promise<void> {
  const [layer, serial] = number.split('/');
  if (!layer || !serial)
    throw new CliError(`"${number}" is no held packet: "skbus fault held" shows them as LAYER/NUMBER`);
  const fields: Record<string, string> = {};
  for (const w of words) {
    const cut = w.indexOf('=');
    if (cut < 1) throw new CliError(`"${w}" is no field=value, such as ip.ttl=1`);
    fields[w.slice(0, cut)] = w.slice(cut + 1);
  }
  const path = `/faults/held/${encodeURIComponent(layer)}/${encodeURIComponent(serial)}`;
  await new Api(o.stack).send('PATCH', path, { fields, ...(o.csum === undefined ? {} : { csum: o.csum }) });
}

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (e) {
    throw new CliError(`cannot read ${file}: ${e instanceof Error ? e.message : String(e)}`);
  }
}
