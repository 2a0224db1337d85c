import { Api } from '../api-client.ts';
import { paint, print, printJson, table } from '../output.ts';
import { findAnywhere } from '../stacks.ts';

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
  spawn: string;
  socksPort: number;
  services: Service[];
  skbs: Ledger;
}

export async function status(o: { stack?: string; json?: boolean }): Promise<void> {
  const s = await withContainers(await new Api(o.stack).get<Status>('/status'), o.stack);
  if (o.json) {
    printJson(s);
    return;
  }
  print(
    `${paint('bold', `stack ${s.stack}`)}  ${s.state}  nic ${s.backend}  ${s.address}${s.peer && s.backend === 'tap' ? ` ⇄ ${s.peer}${s.peerNetns ? ` in ${s.peerNetns}` : ''}` : ''}`,
  );
  print(
    `api ${s.api}  nats ${s.nats || 'none (in one process)'}  socks5 ${s.socksPort ? `127.0.0.1:${s.socksPort}` : 'off'}${s.runDir ? `  run folder ${s.runDir}` : ''}`,
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

/** Of layers that are containers the engine knows how often they were started, and which are paused. */
async function withContainers(s: Status, stack: string | undefined): Promise<Status> {
  if (process.env.SKBUS_API || s.spawn !== 'none') return s;
  const where = findAnywhere(stack);
  if (!('container' in where)) return s;
  const { containersOf } = await import('../compose/containers.ts');
  const containers = await containersOf(where);
  const services = s.services.map((x) => {
    const c = containers.get(x.name);
    if (c === undefined) return x;
    return { ...x, restarts: c.restarts, uptimeMs: c.uptimeMs, state: c.state === 'running' ? x.state : c.state };
  });
  const others = ['nats', 'orchestrator', 'demo'].flatMap((name) => {
    const c = containers.get(name);
    return c === undefined ? [] : [{ name, ...c }];
  });
  // The orchestrator's own port and folder are those inside of its container.
  return { ...s, api: where.api, runDir: '', services: [...services, ...others] };
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
