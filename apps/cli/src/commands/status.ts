import { Api } from '../api-client.ts';
import { paint, print, printJson, table } from '../output.ts';

interface Ledger {
  received: number;
  created: number;
  passed: number;
  consumed: number;
  queued: number;
  dropped: Record<string, number>;
  imbalance: number;
}

interface Service {
  name: string;
  pid?: number;
  state: string;
  restarts: number;
  uptimeMs: number;
  lastExit?: string;
  rssBytes?: number;
  ledger?: Ledger;
}

export interface Status {
  stack: string;
  state: string;
  backend: string;
  address: string;
  peer: string;
  peerNetns: string;
  api: string;
  nats: string;
  runDir: string;
  socksPort: number;
  services: Service[];
  skbs: Ledger;
}

export async function status(o: { stack?: string; json?: boolean }): Promise<void> {
  const s = await new Api(o.stack).get<Status>('/status');
  if (o.json) {
    printJson(s);
    return;
  }
  print(
    `${paint('bold', `stack ${s.stack}`)}  ${s.state}  nic ${s.backend}  ${s.address}${s.peer && s.backend === 'tap' ? ` ⇄ ${s.peer}${s.peerNetns ? ` in ${s.peerNetns}` : ''}` : ''}`,
  );
  print(
    `api ${s.api}  nats ${s.nats || 'none (in one process)'}  socks5 ${s.socksPort ? `127.0.0.1:${s.socksPort}` : 'off'}  run folder ${s.runDir}`,
  );
  const head = [
    'SERVICE',
    'PID',
    'STATE',
    'RESTARTS',
    'UPTIME',
    'RSS',
    'SKBS IN',
    'OUT',
    'QUEUED',
    'DROPPED',
    'MISSING',
  ];
  for (const line of table([head, ...s.services.map(row)])) print(line);
  const drops = Object.entries(s.skbs.dropped).filter(([, n]) => n > 0);
  if (drops.length > 0) print(`dropped: ${drops.map(([reason, n]) => `${reason} ${n}`).join(', ')}`);
}

function row(s: Service): string[] {
  const l = s.ledger;
  const skbs = l
    ? [
        l.received + l.created,
        l.passed + l.consumed,
        l.queued,
        Object.values(l.dropped).reduce((a, b) => a + b, 0),
        l.imbalance,
      ].map(String)
    : ['-', '-', '-', '-', '-'];
  const mib = s.rssBytes ? `${Math.round(s.rssBytes / 1048576)}M` : '-';
  return [s.name, s.pid ? String(s.pid) : '-', s.state, String(s.restarts), duration(s.uptimeMs), mib, ...skbs];
}

function duration(ms: number): string {
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${s % 60}s`;
  return `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m`;
}
