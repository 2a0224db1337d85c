import { flagNames, isLoopback, nameOf, NUD, operstate, PROTOCOLS, SCOPES, TABLES, TYPES } from './rtnl.ts';

// What the control API says, and how iproute2 shows it: the same words, the same keys, in the same order.

export interface LinkRow {
  ifindex: number;
  name: string;
  mac: string;
  mtu: number;
  flags: number;
  stats: Record<string, number>;
}

export interface AddrRow {
  ifindex: number;
  dev: string;
  local: string;
  prefixLen: number;
  broadcast: string;
  scope: number;
  label: string;
}

export interface RouteRow {
  dst: string;
  dstLen: number;
  gateway: string;
  dev: string;
  prefsrc: string;
  table: number;
  type: number;
  scope: number;
  protocol: number;
  metric: number;
  tos: number;
  mtu: number;
}

export interface RouteGetRow {
  dst: string;
  from: string;
  gateway: string;
  dev: string;
  prefsrc: string;
  mtu: number;
  type: number;
}

export interface NeighRow {
  dev: string;
  addr: string;
  lladdr: string;
  state: number;
  probes: number;
  usedAgoMs: number;
  confirmedAgoMs: number;
  updatedAgoMs: number;
}

type Json = Record<string, unknown>;
const FOREVER = 4_294_967_295;

const brd = (l: LinkRow): string => (isLoopback(l.flags) ? '00:00:00:00:00:00' : 'ff:ff:ff:ff:ff:ff');
const linkType = (l: LinkRow): string => (isLoopback(l.flags) ? 'loopback' : 'ether');

export function linkJson(l: LinkRow, o: { stats: boolean; brief: boolean; mode: boolean }): Json {
  if (o.brief) return { ifname: l.name, operstate: operstate(l.flags), address: l.mac, flags: flagNames(l.flags) };
  const j: Json = {
    ifindex: l.ifindex,
    ifname: l.name,
    flags: flagNames(l.flags),
    mtu: l.mtu,
    qdisc: 'noqueue',
    operstate: operstate(l.flags),
    ...(o.mode ? { linkmode: 'DEFAULT' } : {}),
    group: 'default',
    txqlen: 1000,
    link_type: linkType(l),
    address: l.mac,
    broadcast: brd(l),
  };
  if (o.stats) j.stats64 = stats64(l);
  return j;
}

function stats64(l: LinkRow): Json {
  const n = (key: string): number => l.stats[key] ?? 0;
  const both = (dir: 'rx' | 'tx'): Json => ({
    bytes: n(`${dir}_bytes`),
    packets: n(`${dir}_packets`),
    errors: n(`${dir}_errors`),
    dropped: n(`${dir}_dropped`),
  });
  return {
    rx: { ...both('rx'), over_errors: n('rx_over_errors'), multicast: n('rx_multicast') },
    tx: { ...both('tx'), carrier_errors: n('tx_carrier_errors'), collisions: n('tx_collisions') },
  };
}

export function linkText(l: LinkRow, o: { stats: boolean; brief: boolean; mode: boolean }): string[] {
  if (o.brief)
    return [`${l.name.padEnd(16)} ${operstate(l.flags).padEnd(14)} ${l.mac} <${flagNames(l.flags).join(',')}> `];
  const mode = o.mode ? ' mode DEFAULT' : '';
  const lines = [
    `${l.ifindex}: ${l.name}: <${flagNames(l.flags).join(',')}> mtu ${l.mtu} qdisc noqueue state ${operstate(l.flags)}${mode} group default qlen 1000`,
    `    link/${linkType(l)} ${l.mac} brd ${brd(l)}`,
  ];
  return o.stats ? [...lines, ...statsText(l)] : lines;
}

function statsText(l: LinkRow): string[] {
  const n = (key: string): string => String(l.stats[key] ?? 0);
  const rx = [
    n('rx_bytes'),
    n('rx_packets'),
    n('rx_errors'),
    n('rx_dropped'),
    n('rx_missed_errors'),
    n('rx_multicast'),
  ];
  const tx = [
    n('tx_bytes'),
    n('tx_packets'),
    n('tx_errors'),
    n('tx_dropped'),
    n('tx_carrier_errors'),
    n('tx_collisions'),
  ];
  // ip/ipaddress.c:size_columns
  const least = [6, 7, 6, 7, 7, 7];
  const width = (i: number): number => Math.max(least[i]!, rx[i]!.length, tx[i]!.length);
  const line = (cells: readonly string[]): string => cells.map((c, i) => c.padStart(width(i))).join(' ');
  return [
    `    RX: ${line(['bytes', 'packets', 'errors', 'dropped', 'missed', 'mcast'])}`,
    `        ${line(rx)}`,
    `    TX: ${line(['bytes', 'packets', 'errors', 'dropped', 'carrier', 'collsns'])}`,
    `        ${line(tx)}`,
  ];
}

export function addrJson(l: LinkRow, addrs: readonly AddrRow[], o: { stats: boolean; brief: boolean }): Json {
  if (o.brief) {
    return {
      ifname: l.name,
      operstate: operstate(l.flags),
      addr_info: addrs.map((a) => ({ local: a.local, prefixlen: a.prefixLen })),
    };
  }
  const { stats64, ...head } = linkJson(l, { stats: o.stats, brief: false, mode: false });
  const addr_info = addrs.map((a) => ({
    family: 'inet',
    local: a.local,
    prefixlen: a.prefixLen,
    ...(a.broadcast ? { broadcast: a.broadcast } : {}),
    scope: nameOf(SCOPES, a.scope),
    label: a.label || l.name,
    valid_life_time: FOREVER,
    preferred_life_time: FOREVER,
  }));
  return { ...head, addr_info, ...(stats64 ? { stats64 } : {}) };
}

export function addrText(
  l: LinkRow,
  addrs: readonly AddrRow[],
  o: { stats: boolean; brief: boolean; oneline: boolean },
): string[] {
  if (o.brief)
    return [
      `${l.name.padEnd(16)} ${operstate(l.flags).padEnd(14)} ${addrs.map((a) => `${a.local}/${a.prefixLen} `).join('')}`,
    ];
  const inet = (a: AddrRow): string =>
    `inet ${a.local}/${a.prefixLen}${a.broadcast ? ` brd ${a.broadcast}` : ''} scope ${nameOf(SCOPES, a.scope)} ${a.label || l.name}`;
  const life = '       valid_lft forever preferred_lft forever';
  if (o.oneline) return addrs.map((a) => `${l.ifindex}: ${l.name}    ${inet(a)}\\${life}`);
  return [...linkText(l, { ...o, mode: false }), ...addrs.flatMap((a) => [`    ${inet(a)}`, life])];
}

const prefix = (r: RouteRow): string =>
  r.dstLen === 0 && r.dst === '0.0.0.0' ? 'default' : r.dstLen === 32 ? r.dst : `${r.dst}/${r.dstLen}`;

/** `all`: several tables are shown, so each row names its own unless it is main. */
export function routeJson(r: RouteRow, all: boolean): Json {
  return {
    ...(r.type !== 1 ? { type: nameOf(TYPES, r.type) } : {}),
    dst: prefix(r),
    ...(r.tos ? { tos: `0x${r.tos.toString(16)}` } : {}),
    ...(r.gateway ? { gateway: r.gateway } : {}),
    ...(r.dev ? { dev: r.dev } : {}),
    ...(all && r.table !== 254 ? { table: nameOf(TABLES, r.table) } : {}),
    ...(r.protocol !== 3 ? { protocol: nameOf(PROTOCOLS, r.protocol) } : {}),
    ...(r.scope !== 0 && r.type !== 6 ? { scope: nameOf(SCOPES, r.scope) } : {}),
    ...(r.prefsrc ? { prefsrc: r.prefsrc } : {}),
    ...(r.metric ? { metric: r.metric } : {}),
    flags: [],
    ...(r.mtu ? { metrics: [{ mtu: r.mtu }] } : {}),
  };
}

/** With the blank at the end that iproute2 has. */
export function routeText(r: RouteRow, all: boolean): string {
  const j = routeJson(r, all);
  const words = [
    ...only(j.type),
    ...only(j.dst),
    ...pair('tos', j.tos),
    ...pair('via', j.gateway),
    ...pair('dev', j.dev),
    ...pair('table', j.table),
  ];
  words.push(
    ...pair('proto', j.protocol),
    ...pair('scope', j.scope),
    ...pair('src', j.prefsrc),
    ...pair('metric', j.metric),
  );
  if (r.mtu) words.push('mtu', String(r.mtu));
  return `${words.join(' ')} `;
}

export function routeGetJson(r: RouteGetRow, uid: number): Json {
  return {
    ...(r.type !== 1 ? { type: nameOf(TYPES, r.type) } : {}),
    dst: r.dst,
    ...(r.from ? { from: r.from } : {}),
    ...(r.gateway ? { gateway: r.gateway } : {}),
    ...(r.dev ? { dev: r.dev } : {}),
    ...(r.from ? {} : { prefsrc: r.prefsrc }),
    flags: [],
    uid,
    cache: r.type === 2 ? ['local'] : r.type === 3 ? ['local', 'brd'] : [],
  };
}

export function routeGetText(r: RouteGetRow, uid: number): string[] {
  const j = routeGetJson(r, uid);
  const words = [
    ...only(j.type),
    ...only(j.dst),
    ...pair('from', j.from),
    ...pair('via', j.gateway),
    ...pair('dev', j.dev),
    ...pair('src', j.prefsrc),
    'uid',
    String(uid),
  ];
  const cache = j.cache as string[];
  const flags = cache.length > 0 ? `<${cache.join(',')}> ` : '';
  return [`${words.join(' ')} `, `    cache ${flags}`];
}

export function neighJson(n: NeighRow, stats: boolean): Json {
  const s = (ms: number): number => Math.floor(ms / 1000);
  return {
    dst: n.addr,
    dev: n.dev,
    ...(n.lladdr ? { lladdr: n.lladdr } : {}),
    ...(stats
      ? { used: s(n.usedAgoMs), confirmed: s(n.confirmedAgoMs), updated: s(n.updatedAgoMs), probes: n.probes }
      : {}),
    state: [nameOf(NUD, n.state)],
  };
}

export function neighText(n: NeighRow, stats: boolean): string {
  const j = neighJson(n, true);
  const used = stats ? ` used ${String(j.used)}/${String(j.confirmed)}/${String(j.updated)}probes ${n.probes}` : '';
  return `${n.addr} dev ${n.dev} ${n.lladdr ? `lladdr ${n.lladdr} ` : ''}${used ? `${used} ` : ''}${nameOf(NUD, n.state)} `;
}

const only = (value: unknown): string[] => (value === undefined ? [] : [value as string]);
const pair = (word: string, value: unknown): string[] =>
  value === undefined ? [] : [word, String(value as string | number)];
