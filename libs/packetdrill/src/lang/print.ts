import { TCP_ACK } from '@skbus/wire';
import type { Event, Expr, Field, IpInfo, Packet, Script, TcpFlags, TcpOption, TcpPacket, Us } from './ast.ts';
import { FLAG_BITS } from './parse-packet.ts';

/** The tree as a script again: in messages, and to prove that the parser lost nothing. */

export function printScript(s: Script): string {
  const lines = s.options.map((o) => `--${o.name}${o.value === undefined ? '' : `=${quoteOption(o.value)}`}`);
  if (s.init !== undefined) lines.push(`\`${s.init.text}\``);
  lines.push(...s.events.map(printEvent));
  if (s.cleanup !== undefined) lines.push(`\`${s.cleanup.text}\``);
  return `${lines.join('\n')}\n`;
}

const quoteOption = (v: string): string => (/[\s]/.test(v) && !v.includes('"') && !v.includes('`') ? `"${v}"` : v);

export function printEvent(e: Event): string {
  return `${printWhen(e)} ${printAction(e.action)}`;
}

export function printAction(a: Event['action']): string {
  switch (a.kind) {
    case 'packet':
      return `${a.direction === 'in' ? '<' : '>'} ${printPacket(a.packet)}`;
    case 'command':
      return `\`${a.text}\``;
    case 'code':
      return `%{${a.text}}%`;
    case 'syscall': {
      const errno = a.errno === undefined ? '' : ` ${a.errno}`;
      const note = a.note === undefined ? '' : ` (${a.note})`;
      return `${a.name}(${a.args.map((x) => printExpr(x)).join(', ')}) = ${printExpr(a.result)}${errno}${note}`;
    }
    default:
      return a satisfies never;
  }
}

export function printTime(us: Us): string {
  const sign = us < 0 ? '-' : '';
  const n = Math.abs(Math.round(us));
  const fraction = String(n % 1_000_000).padStart(6, '0');
  const short = fraction.replace(/(?:000|000000)$/, '');
  return `${sign}${Math.floor(n / 1_000_000)}${short === '' ? '' : `.${short}`}`;
}

function printWhen(e: Event): string {
  const { when, endUs } = e;
  if (when.kind === 'any') return '*';
  const plus = when.kind === 'relative' ? '+' : '';
  const range = when.endUs === undefined ? '' : `~${plus}${printTime(when.endUs)}`;
  return `${plus}${printTime(when.us)}${range}${endUs === undefined ? '' : `...${printTime(endUs)}`}`;
}

export function printExpr(e: Expr, outer = false): string {
  switch (e.kind) {
    case 'ellipsis':
      return '...';
    case 'int':
      return e.hex ? `0x${e.value.toString(16)}` : String(e.value);
    case 'word':
      return e.name;
    case 'string':
      return `"${e.value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\0', '\\0')}"`;
    case 'call':
      return `${e.name}(${e.args.map((x) => printExpr(x)).join(', ')})`;
    case 'unary':
      return `${e.op}${printExpr(e.of, true)}`;
    case 'binary': {
      const text = `${printExpr(e.left, true)} ${e.op} ${printExpr(e.right, true)}`;
      return outer ? `(${text})` : text;
    }
    case 'list':
      return `[${e.items.map((x) => printExpr(x)).join(', ')}]`;
    case 'struct':
      return `{${e.fields.map(printField).join(', ')}}`;
    default:
      return e satisfies never;
  }
}

function printField(f: Field): string {
  if (f.name === undefined) return printExpr(f.value);
  return `${f.name}${f.count === undefined ? '' : `(${printExpr(f.count)})`} = ${printExpr(f.value)}`;
}

export function printPacket(p: Packet): string {
  const ip = printIp(p.ip);
  switch (p.proto) {
    case 'tcp':
      return ip + printTcp(p);
    case 'udp':
      return `${ip}udp ${p.ports === undefined ? '' : `${p.ports.src} > ${p.ports.dst} `}(${p.len})`;
    case 'icmp': {
      const code = p.code === undefined ? '' : ` ${p.code}`;
      const mtu = p.mtu === undefined ? '' : ` mtu ${p.mtu}`;
      const id = p.id === undefined ? '' : ` id ${p.id}`;
      return `${ip}icmp ${p.type}${code}${mtu}${id}${printQuoted(p.quoted)}`;
    }
    default:
      return p satisfies never;
  }
}

function printQuoted(q: (Packet & { proto: 'icmp' })['quoted']): string {
  if (q === undefined) return '';
  return q.proto === 'tcp' ? ` [${printSeq(q.seq, q.len)}]` : ` [${q.proto} (${q.len})]`;
}

const printSeq = (seq: number, len: number): string => `${seq}:${(seq + len) >>> 0}(${len})`;

function printTcp(p: TcpPacket): string {
  const parts = [printFlags(p.flags), printSeq(p.seq, p.len)];
  if (p.ports !== undefined) parts.unshift(`${p.ports.src} > ${p.ports.dst}`);
  if (p.ack !== undefined) parts.push(`ack ${p.ack}`);
  if (p.window !== undefined) parts.push(`win ${p.window}`);
  if (p.urgent !== undefined) parts.push(`urg ${p.urgent}`);
  if (p.ipId !== undefined) parts.push(`ip_id ${p.ipId}`);
  if (p.options === 'any') parts.push('<...>');
  else if (p.options.length > 0) parts.push(`<${p.options.map(printOption).join(',')}>`);
  return parts.join(' ');
}

export function printFlags(f: TcpFlags): string {
  if (f.bits === 0) return '-';
  let s = '';
  for (const c of 'SFRPUEWA') {
    if ((f.bits & FLAG_BITS[c]!) !== 0) s += c;
  }
  if (f.ace !== undefined) return `${s}.${f.ace}`;
  return (f.bits & TCP_ACK) === 0 ? s : `${s}.`;
}

const hex = (b: Uint8Array): string => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');

export function printOption(o: TcpOption): string {
  switch (o.kind) {
    case 'mss':
    case 'wscale':
      return `${o.kind} ${o.value}`;
    case 'sack':
      return `sack ${o.blocks.map(([l, r]) => `${l}:${r}`).join(' ')}`;
    case 'ts':
      return `TS val ${o.val} ecr ${o.ecr}`;
    case 'fo':
      return o.data.length === 0 ? 'FO' : `FO ${hex(o.data)}`;
    case 'foexp':
      return o.data.length === 0 ? 'FOEXP' : `FOEXP ${hex(o.data)}`;
    case 'md5':
      return o.data.length === 0 ? 'md5' : `md5 ${hex(o.data)}`;
    case 'ecn':
      return ['ECN', ...o.fields.map((f) => `${f.name} ${f.value}`)].join(' ');
    case 'unknown':
      return `kind-${o.number} ${hex(o.data)}`.trimEnd();
    default:
      return o.kind;
  }
}

function printIp(ip: IpInfo): string {
  const parts: string[] = [];
  if (ip.ecn !== undefined) parts.push(ip.ecn);
  if (ip.tos !== undefined) parts.push(`tos 0x${ip.tos.toString(16)}`);
  if (ip.ttl !== undefined) parts.push(`ttl ${ip.ttl}`);
  if (ip.flowlabel !== undefined) parts.push(`flowlabel 0x${ip.flowlabel.toString(16)}`);
  return parts.length === 0 ? '' : `[${parts.join(', ')}] `;
}
