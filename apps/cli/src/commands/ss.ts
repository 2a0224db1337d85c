import { Api } from '../api-client.ts';
import { print, printJson } from '../output.ts';
import { infoOf, timerOf, type TcpRow, type UdpRow } from '../format/ss-format.ts';

interface Options {
  stack?: string;
  json?: boolean;
  tcp?: boolean;
  udp?: boolean;
  listening?: boolean;
  all?: boolean;
  info?: boolean;
  header?: boolean;
  summary?: boolean;
}

const LISTEN = 10;
const CLOSE = 7;
const TIME_WAIT = 6;
/** misc/ss.c:sstate_name */
const STATES = [
  'UNKNOWN',
  'ESTAB',
  'SYN-SENT',
  'SYN-RECV',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'TIME-WAIT',
  'UNCONN',
  'CLOSE-WAIT',
  'LAST-ACK',
  'LISTEN',
  'CLOSING',
  'SYN-RECV',
];

interface Line {
  netid: 'tcp' | 'udp';
  row: TcpRow | UdpRow;
}

export async function ss(o: Options): Promise<void> {
  const { tcp, udp } = await new Api(o.stack).get<{ tcp: TcpRow[]; udp: UdpRow[] }>('/ss');
  if (o.summary) {
    summary(tcp, udp, o.json === true);
    return;
  }
  const both = !o.tcp && !o.udp;
  const lines: Line[] = [];
  if (o.udp || both) for (const row of udp) lines.push({ netid: 'udp', row });
  if (o.tcp || both) for (const row of tcp) lines.push({ netid: 'tcp', row });
  const shown = lines.filter((l) => isShown(l, o));
  if (o.json)
    printJson(shown.map(({ netid, row }) => ({ netid, ...row, state: STATES[row.state] ?? String(row.state) })));
  else render(shown, both, o);
}

/** As misc/ss.c:print_summary counts them. */
function summary(tcp: readonly TcpRow[], udp: readonly UdpRow[], json: boolean): void {
  const states = (...which: number[]): number => tcp.filter((r) => which.includes(r.state)).length;
  const [estab, closed, timewait] = [states(1), states(CLOSE, TIME_WAIT), states(TIME_WAIT)];
  if (json) {
    printJson({ total: tcp.length + udp.length, tcp: { total: tcp.length, estab, closed, timewait }, udp: udp.length });
    return;
  }
  const line = (name: string, ...n: number[]): string =>
    `${name.padEnd(10)}${n.map((x) => String(x).padEnd(10)).join('')}`.trimEnd();
  print(`Total: ${tcp.length + udp.length}`);
  print(`TCP:   ${tcp.length} (estab ${estab}, closed ${closed}, timewait ${timewait})\n`);
  print('Transport Total     IP        IPv6');
  const live = tcp.length - closed;
  print(line('UDP', udp.length, udp.length, 0));
  print(line('TCP', live, live, 0));
  print(line('INET', live + udp.length, live + udp.length, 0));
}

/** By default sockets that talk to somebody; -l those that wait, -a all. */
function isShown({ netid, row }: Line, o: Options): boolean {
  if (o.all) return true;
  const waits = row.state === LISTEN || (netid === 'udp' && row.state === CLOSE);
  if (o.listening) return waits;
  return !waits && row.state !== CLOSE && row.state !== TIME_WAIT && row.state !== 3 && row.state !== 12;
}

function render(lines: readonly Line[], netid: boolean, o: Options): void {
  const cells = lines.map(({ netid: id, row: r }) => [
    ...(netid ? [id] : []),
    STATES[r.state] ?? String(r.state),
    String(r.rqueue),
    String(r.wqueue),
    `${r.laddr}:${r.lport || '*'}`,
    `${r.raddr}:${r.rport || '*'}`,
  ]);
  const head = [...(netid ? ['Netid'] : []), 'State', 'Recv-Q', 'Send-Q', 'Local Address:Port', 'Peer Address:Port'];
  const widths = head.map((h, i) => Math.max(h.length, ...cells.map((c) => c[i]!.length)));
  const right = head.length - 2;
  const lay = (c: readonly string[]): string =>
    c.map((x, i) => (i >= right ? x.padStart(widths[i]!) : x.padEnd(widths[i]!))).join(' ');
  if (o.header !== false) print(`${lay(head)} Process`);
  for (const [i, c] of cells.entries()) {
    const { netid: id, row } = lines[i]!;
    print(`${lay(c)}${id === 'tcp' && o.info ? timerOf(row as TcpRow) : ''}`.trimEnd());
    const info = id === 'tcp' && o.info ? infoOf(row as TcpRow) : '';
    if (info !== '') print(`\t ${info}`);
  }
}
