import { parseCidr, parseIpv4, parseMac } from '@skbus/skb';
import { Api, ApiError } from '../api-client.ts';
import { CliError, UsageError } from '../errors.ts';
import {
  addrJson,
  addrText,
  linkJson,
  linkText,
  neighJson,
  neighText,
  routeGetJson,
  routeGetText,
  routeJson,
  routeText,
  type AddrRow,
  type LinkRow,
  type NeighRow,
  type RouteGetRow,
  type RouteRow,
} from '../format/ip-format.ts';
import { NUD, PROTOCOLS, SCOPES, TABLES, TYPES, valueOf } from '../format/rtnl.ts';
import { intOption } from '../options.ts';
import { print, printJson } from '../output.ts';
import { Words } from '../words.ts';

interface Look {
  json: boolean;
  pretty: boolean;
  brief: boolean;
  stats: boolean;
  oneline: boolean;
  stack: string | undefined;
}

const HELP = `Usage: skbus ip [ -j | -p | -br | -s | -o ] OBJECT [ COMMAND … ]
  ip addr  [ show [ dev DEV ] | add PREFIX [ brd ADDR ] [ scope SCOPE ] [ label NAME ] dev DEV | del PREFIX dev DEV | flush dev DEV ]
  ip link  [ show [ DEV ] | set DEV { up | down | mtu N | address MAC } ]
  ip route [ show [ table T ] | get ADDR [ from ADDR ] [ oif DEV ] | { add | replace | append | del } [ TYPE ] PREFIX
             [ via ADDR ] [ dev DEV ] [ src ADDR ] [ table T ] [ proto P ] [ scope S ] [ metric N ] [ mtu N ] ]
  ip neigh [ show [ dev DEV ] | { add | replace } ADDR lladdr MAC dev DEV [ nud STATE ] | del ADDR dev DEV | flush dev DEV ]
Words may be shortened as with iproute2: ip a, ip r g 10.77.0.1.`;

/** iproute2's grammar, as far as the stack has what it names. */
export async function ip(argv: readonly string[], stack: string | undefined): Promise<void> {
  const { look, words } = options(argv, stack);
  const object = words.command(['address', 'link', 'route', 'neighbour', 'neighbor', 'help'], 'OBJECT', undefined);
  if (object === 'help') {
    print(HELP);
    return;
  }
  const run = { address: addr, link, route, neighbour: neigh, neighbor: neigh }[object as 'address']!;
  try {
    await run(words, look);
  } catch (e) {
    if (e instanceof ApiError && e.errno !== 0)
      throw new CliError(`RTNETLINK answers: ${e.strerror}${e.message === e.strerror ? '' : ` (${e.message})`}`);
    throw e;
  }
}

function options(argv: readonly string[], stack: string | undefined): { look: Look; words: Words } {
  const look: Look = { json: false, pretty: false, brief: false, stats: false, oneline: false, stack };
  let i = 0;
  for (; i < argv.length && argv[i]!.startsWith('-'); i++) {
    const o = argv[i]!.replace(/^--?/, '');
    if (/^j(son)?$/.test(o)) look.json = true;
    else if (/^p(retty)?$/.test(o)) look.pretty = true;
    else if (/^br(ief)?$/.test(o)) look.brief = true;
    else if (/^s(tat(istic)?s?)?$/.test(o)) look.stats = true;
    else if (/^o(neline)?$/.test(o)) look.oneline = true;
    else if (/^(4|d(etails)?|c(olor)?|n|N|family|inet)$/.test(o)) continue;
    else if (o === 'stack') look.stack = argv[++i];
    else if (/^h(elp)?$/.test(o)) return { look, words: new Words(['help']) };
    else throw new UsageError(`ip: option "${argv[i]!}" is unknown, try "skbus ip help"`);
  }
  const rest = argv.slice(i);
  // Ours may stand at the end as well: `skbus ip addr --json`.
  while (/^(-j|--json)$/.test(rest.at(-1) ?? '')) {
    rest.pop();
    look.json = true;
  }
  return { look, words: new Words(rest) };
}

/** JSON, or lines. */
function out<T>(
  look: Look,
  rows: readonly T[],
  json: (row: T) => unknown,
  text: (row: T) => readonly string[] | string,
): void {
  if (look.json) printJson(rows.map(json), look.pretty);
  else for (const r of rows) for (const line of [text(r)].flat()) print(line);
}

async function addr(w: Words, look: Look): Promise<void> {
  const cmd = w.command(['add', 'replace', 'change', 'delete', 'show', 'list', 'lst', 'flush'], 'ip address', 'show');
  const api = new Api(look.stack);
  if (cmd === 'show' || cmd === 'list' || cmd === 'lst') {
    const dev = w.deviceFilter();
    const [links, addrs] = await Promise.all([api.get<LinkRow[]>('/link'), api.get<AddrRow[]>('/addr')]);
    const of = (l: LinkRow): AddrRow[] => addrs.filter((a) => a.ifindex === l.ifindex);
    out(
      look,
      chosen(links, dev),
      (l) => addrJson(l, of(l), look),
      (l) => addrText(l, of(l), look),
    );
    return;
  }
  if (cmd === 'flush') {
    await api.send('POST', '/addr/flush', { dev: w.deviceFilter() ?? w.missing('dev') });
    return;
  }
  const body: Record<string, unknown> = {};
  for (let word = w.next(); word !== undefined; word = w.next()) {
    if (word === 'dev') body.dev = w.value('dev');
    else if (/^b(rd|roadcast)$/.test(word)) body.broadcast = broadcast(w.value('brd'), body.address as string);
    else if (word === 'scope') body.scope = named(SCOPES, 'scope', w.value('scope'));
    else if (word === 'label') body.label = w.value('label');
    else if (/^(local|peer|valid_lft|preferred_lft)$/.test(word) && word !== 'local')
      throw new UsageError(`ip address: "${word}" is not available here`);
    else {
      const text = word === 'local' ? w.value('local') : word;
      if (!parseCidr(text)) throw new UsageError(`any valid prefix is expected rather than "${text}".`);
      body.address = text;
    }
  }
  if (body.address === undefined) throw new UsageError('Not enough information: an address is required.');
  if (body.dev === undefined) w.missing('dev');
  if (cmd === 'delete') await api.send('DELETE', '/addr', body);
  else await api.send('POST', '/addr', { ...body, ...(cmd === 'add' ? {} : { replace: true }) });
}

/** `brd +` sets the host bits. */
function broadcast(text: string, prefixText: string | undefined): string {
  const p = prefixText === undefined ? undefined : parseCidr(prefixText);
  if (text === '+' && p) {
    const host = p.len === 32 ? 0 : 0xffff_ffff >>> p.len;
    const all = (p.addr | host) >>> 0;
    return [24, 16, 8, 0].map((s) => (all >>> s) & 255).join('.');
  }
  return ipv4(text);
}

async function link(w: Words, look: Look): Promise<void> {
  const cmd = w.command(['set', 'show', 'list', 'lst'], 'ip link', 'show');
  const api = new Api(look.stack);
  if (cmd !== 'set') {
    const dev = w.deviceFilter();
    const o = { ...look, mode: true };
    out(
      look,
      chosen(await api.get<LinkRow[]>('/link'), dev),
      (l) => linkJson(l, o),
      (l) => linkText(l, o),
    );
    return;
  }
  const body: Record<string, unknown> = {};
  let dev: string | undefined;
  for (let word = w.next(); word !== undefined; word = w.next()) {
    if (word === 'up' || word === 'down') body.up = word === 'up';
    else if (word === 'mtu') body.mtu = intOption('mtu', w.value('mtu'), 68, 65_535);
    else if (word === 'address') body.address = mac(w.value('address'));
    else if (word === 'dev') dev = w.value('dev');
    else if (dev === undefined) dev = word;
    else throw new UsageError(`Error: either "dev" is duplicate, or "${word}" is a garbage.`);
  }
  if (dev === undefined) w.missing('dev');
  if (Object.keys(body).length > 0) await api.send('PATCH', `/link/${encodeURIComponent(dev!)}`, body);
}

async function route(w: Words, look: Look): Promise<void> {
  const cmd = w.command(
    ['add', 'append', 'replace', 'change', 'delete', 'get', 'show', 'list', 'lst'],
    'ip route',
    'show',
  );
  if (cmd === 'get') return routeGet(w, look);
  if (cmd === 'show' || cmd === 'list' || cmd === 'lst') return routeShow(w, look);
  const body: Record<string, unknown> = {};
  for (let word = w.next(); word !== undefined; word = w.next()) {
    if (word === 'via') body.via = ipv4(w.value('via'));
    else if (word === 'dev') body.dev = w.value('dev');
    else if (word === 'src') body.src = ipv4(w.value('src'));
    else if (word === 'table') body.table = named(TABLES, 'table', w.value('table'));
    else if (/^proto(col)?$/.test(word)) body.protocol = named(PROTOCOLS, 'proto', w.value('proto'));
    else if (word === 'scope') body.scope = named(SCOPES, 'scope', w.value('scope'));
    else if (/^(metric|preference|priority)$/.test(word))
      body.metric = intOption('metric', w.value('metric'), 0, 0xffff_ffff);
    else if (/^(tos|dsfield)$/.test(word)) body.tos = Number(w.value('tos'));
    else if (word === 'mtu') body.mtu = intOption('mtu', w.value('mtu'), 68, 65_535);
    else if (TYPES.some(([, name]) => name === word) && body.dst === undefined) body.type = valueOf(TYPES, word);
    else if (body.dst === undefined) body.dst = destination(word === 'to' ? w.value('to') : word);
    else throw new UsageError(`Error: either "to" is duplicate, or "${word}" is a garbage.`);
  }
  if (body.dst === undefined) throw new UsageError('Not enough information: a destination is required.');
  const api = new Api(look.stack);
  if (cmd === 'delete') await api.send('DELETE', '/route', body);
  else await api.send('POST', '/route', { ...body, op: cmd === 'change' ? 'replace' : cmd });
}

async function routeShow(w: Words, look: Look): Promise<void> {
  let table = 254;
  let dev: string | undefined;
  let dst: string | undefined;
  for (let word = w.next(); word !== undefined; word = w.next()) {
    if (word === 'table') table = named(TABLES, 'table', w.value('table'));
    else if (word === 'dev') dev = w.value('dev');
    else dst = destination(word === 'to' || word === 'exact' ? w.value(word) : word);
  }
  const want = dst === undefined ? undefined : dst === 'default' ? { dst: '0.0.0.0', dstLen: 0 } : cidr(dst);
  const all = await new Api(look.stack).get<RouteRow[]>(`/route?table=${table}`);
  const rows = all.filter(
    (r) => (!dev || r.dev === dev) && (!want || (r.dst === want.dst && r.dstLen === want.dstLen)),
  );
  out(
    look,
    rows,
    (r) => routeJson(r, table === 0),
    (r) => routeText(r, table === 0),
  );
}

async function routeGet(w: Words, look: Look): Promise<void> {
  const q = new URLSearchParams();
  for (let word = w.next(); word !== undefined; word = w.next()) {
    if (word === 'from') q.set('from', ipv4(w.value('from')));
    else if (word === 'oif' || word === 'dev') q.set('oif', w.value(word));
    else if (word === 'tos') q.set('tos', w.value('tos'));
    else q.set('to', ipv4((word === 'to' ? w.value('to') : word).replace(/\/32$/, '')));
  }
  if (!q.has('to')) throw new UsageError('need at least a destination address');
  const r = await new Api(look.stack).get<RouteGetRow>(`/route/get?${q.toString()}`);
  const uid = process.getuid?.() ?? 0;
  out(
    look,
    [r],
    (x) => routeGetJson(x, uid),
    (x) => routeGetText(x, uid),
  );
}

async function neigh(w: Words, look: Look): Promise<void> {
  const cmd = w.command(['add', 'change', 'replace', 'delete', 'show', 'list', 'lst', 'flush'], 'ip neigh', 'show');
  const api = new Api(look.stack);
  if (cmd === 'flush') {
    await api.send('POST', '/neigh/flush', { dev: w.deviceFilter() ?? w.missing('dev') });
    return;
  }
  const body: Record<string, unknown> = {};
  for (let word = w.next(); word !== undefined; word = w.next()) {
    if (word === 'dev') body.dev = w.value('dev');
    else if (word === 'lladdr') body.lladdr = mac(w.value('lladdr'));
    else if (word === 'nud' || word === 'state') body.state = nud(w.value('nud'));
    else body.address = ipv4(word === 'to' ? w.value('to') : word);
  }
  if (cmd === 'show' || cmd === 'list' || cmd === 'lst') {
    const rows = (await api.get<NeighRow[]>('/neigh')).filter(
      (n) =>
        (!body.dev || n.dev === body.dev) &&
        (!body.address || n.addr === body.address) &&
        (body.state === undefined ? n.state !== 0x40 : body.state === -1 || n.state === body.state),
    );
    out(
      look,
      rows,
      (n) => neighJson(n, look.stats),
      (n) => neighText(n, look.stats),
    );
    return;
  }
  if (body.address === undefined || body.dev === undefined)
    throw new UsageError('Device and destination are required arguments.');
  if (cmd === 'delete') await api.send('DELETE', '/neigh', body);
  else await api.send('POST', '/neigh', { ...body, ...(cmd === 'add' ? {} : { replace: true }) });
}

function chosen(links: readonly LinkRow[], dev: string | undefined): readonly LinkRow[] {
  if (dev === undefined) return links;
  const hit = links.filter((l) => l.name === dev);
  if (hit.length === 0) throw new CliError(`Device "${dev}" does not exist.`);
  return hit;
}

function ipv4(text: string): string {
  if (parseIpv4(text) === undefined) throw new UsageError(`any valid address is expected rather than "${text}".`);
  return text;
}

function mac(text: string): string {
  if (parseMac(text) === undefined) throw new UsageError(`"${text}" is invalid lladdr.`);
  return text;
}

function destination(text: string): string {
  if (text !== 'default' && !parseCidr(text))
    throw new UsageError(`any valid prefix is expected rather than "${text}".`);
  return text;
}

function cidr(text: string): { dst: string; dstLen: number } {
  const slash = text.indexOf('/');
  return slash < 0 ? { dst: text, dstLen: 32 } : { dst: text.slice(0, slash), dstLen: Number(text.slice(slash + 1)) };
}

const nud = (text: string): number => (text === 'all' ? -1 : named(NUD, 'nud', text));

function named(names: Parameters<typeof valueOf>[0], what: string, word: string): number {
  const n = valueOf(names, word);
  if (n === undefined) throw new UsageError(`argument "${word}" is wrong: invalid "${what}" value`);
  return n;
}
