import 'reflect-metadata';
import { closeSync } from 'node:fs';
import { LAYERS, type Layer } from '@skbus/contracts';
import { redirectOutput } from '@skbus/libc';
import { runLayer, type LayerDefinition, type Standby } from '@skbus/nest-kit';
import { loadLayer } from './load-layer.ts';
import { warmUp } from './warm-up.ts';
import { TAP_FD, type Become, type Go } from './spare-process.ts';

// `node spare.js APPS_DIR STACK NATS_URL tap|none`: a process that has loaded every layer and is none yet. The orchestrator tells it by
// the IPC channel which one to become; without an orchestrator it has no use.

const [appsDir, stack, natsUrl, tap] = process.argv.slice(2) as [string, string, string, string];
process.title = `skbus-spare[${stack}]`;

const useless = (): void => process.exit(0);
process.once('disconnect', useless);
process.on('SIGINT', () => {});
let told: Become | undefined;
const asked = new Promise<Become>((resolve) => {
  process.once('message', (b: Become) => {
    told = b;
    resolve(b);
  });
});

const definitions = new Map<Layer, LayerDefinition>();
for (const layer of LAYERS) {
  // Needed before it is ready: only what it will be.
  if (told !== undefined) break;
  definitions.set(layer, await loadLayer(appsDir, layer));
}
if (told === undefined) await warmUp(definitions.values(), natsUrl, stack);
process.send!('ready');

const { layer, env, logFile, beside } = await asked;
process.removeAllListeners('SIGINT');
if (!beside) leave();
redirectOutput(logFile);
if (tap === 'tap' && layer !== 'nic') closeSync(TAP_FD);
await runLayer(definitions.get(layer) ?? (await loadLayer(appsDir, layer)), env, beside ? standby() : undefined);

/** From here on it lives without an orchestrator, too. */
function leave(): void {
  process.off('disconnect', useless);
  process.disconnect();
}

function standby(): Standby {
  const go = new Promise<Uint8Array>((resolve) => {
    process.once('message', ({ retired }: Go) => {
      leave();
      resolve(Buffer.from(retired, 'base64'));
    });
  });
  return { ready: () => void process.send!('standby'), go };
}
