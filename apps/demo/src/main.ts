import { createServer } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { Demo } from './demo.ts';

process.title = 'skbus-demo';
// As the layers do (libs/nest-kit/src/v8.ts): what it receives and sends is not a reason to look through the whole heap.
setFlagsFromString('--heap-growing-percent=300');
const demo = new Demo({ log: (line) => process.stdout.write(`${line}\n`) });
demo.start();
// For container health checks: 200 while the page is served.
const healthPort = Number(process.env.SKBUS_HEALTH_PORT ?? 0);
if (healthPort > 0) {
  createServer((_req, res) => res.writeHead(demo.serving.has('http 80') ? 200 : 503).end()).listen(
    healthPort,
    '127.0.0.1',
  );
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    demo.stop();
    process.exit(0);
  });
}
