import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer as createHttp } from 'node:http';
import { connect, createServer } from 'node:net';
import type { Workload } from '../plan.ts';
import { demoBytes } from './bytes.ts';
import { runClient, type Datagrams, type World } from './client.ts';

/** What this process is to do: be a client, or the servers of the peer's side. */
export type PeerTask = { be: 'client'; w: Workload; to: string } | { be: 'server'; address: string };

const say = (row: unknown): void => void process.stdout.write(`${JSON.stringify(row)}\n`);

/** The kernel's sockets. */
const world: World = {
  connect: (host, port) => connect({ host, port }),
  datagrams: (host, port) =>
    new Promise((resolve, reject) => {
      const s = createSocket('udp4');
      s.once('error', reject);
      s.connect(port, host, () => {
        s.removeListener('error', reject);
        resolve(s as unknown as Datagrams);
      });
    }),
};

const task = JSON.parse(process.argv[2] ?? '{}') as PeerTask;
// whoever started this has gone
process.stdin.on('end', () => process.exit(0)).resume();
if (task.be === 'client') {
  await runClient(task.w, task.to, world, say);
  process.exit(0);
} else await servers(task.address);

async function servers(address: string): Promise<void> {
  const http = createHttp((req, res) => {
    const size = /^\/bytes\/(\d+)$/.exec(req.url ?? '');
    if (size !== null) {
      const total = Number(size[1]);
      res.writeHead(200, { 'content-length': total });
      let sent = 0;
      const more = (): void => {
        while (sent < total) {
          const piece = demoBytes(sent, total);
          sent += piece.length;
          if (!res.write(piece)) return void res.once('drain', more);
        }
        res.end();
      };
      more();
      return;
    }
    const hash = createHash('sha256');
    let bytes = 0;
    req.on('data', (d: Buffer) => {
      bytes += d.length;
      hash.update(d);
    });
    req.on('end', () => res.end(JSON.stringify({ bytes, sha256: hash.digest('hex') })));
  });
  const echo = createServer((c) => void c.on('error', () => {}).pipe(c));
  const udp = createSocket('udp4');
  udp.on('message', (m, from) => udp.send(m, from.port, from.address));
  await Promise.all([
    new Promise<void>((r) => http.listen(80, address, r)),
    new Promise<void>((r) => echo.listen(7, address, r)),
    new Promise<void>((r) => void udp.bind(7, address, r)),
  ]);
  say({ kind: 'ready' });
}
