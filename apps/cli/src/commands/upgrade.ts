import { Api } from '../api-client.ts';
import { UsageError } from '../errors.ts';
import { print, printJson } from '../output.ts';

const LAYERS = ['nic', 'neigh', 'ip', 'udp', 'tcp', 'socket'];

export async function upgrade(layer: string, o: { stack?: string; json?: boolean }): Promise<void> {
  if (!LAYERS.includes(layer)) throw new UsageError(`${layer} is no layer: expected one of ${LAYERS.join(', ')}`);
  const r = await new Api(o.stack).send<{ from: number; to: number; blackoutMs: number }>(
    'POST',
    '/upgrade',
    { layer },
    60_000,
  );
  if (o.json) printJson({ layer, ...r });
  else print(`${layer}: process ${r.from} replaced by ${r.to}, ${r.blackoutMs.toFixed(0)} ms between them`);
}
