import { credentialsFor, MemoryHub, NatsBus } from '@skbus/bus';
import { buckets } from '@skbus/contracts';
import { readConfig, startLayer, type LayerDefinition } from '@skbus/nest-kit';
import { WARM_UP_AS } from './spare-process.ts';

const PATIENCE_MS = 5_000;

/**
 * Does once, without consequence, what a layer does when it starts: code that has run is compiled, and half of the CPU time of
 * becoming a layer was compiling. Whatever fails here will be told by the layer.
 */
export async function warmUp(definitions: Iterable<LayerDefinition>, natsUrl: string, stack: string): Promise<void> {
  try {
    const config = readConfig({ SKBUS_NETNS: 'warm', SKBUS_LOG_LEVEL: 'silent' });
    for (const definition of definitions) {
      const bus = new MemoryHub({ onError: () => {} }).bus();
      const running = await startLayer(definition, bus, config);
      await running.close();
      await bus.close();
    }
    const { SKBUS_NATS_CREDS: creds, SKBUS_NATS_CA: caFile } = process.env;
    const bus = await NatsBus.connect({
      url: natsUrl,
      credentials: creds === undefined ? undefined : credentialsFor(creds, stack, WARM_UP_AS),
      caFile,
      name: `spare.${stack}`,
      connectTimeoutMs: PATIENCE_MS,
      onError: () => {},
    });
    await (await bus.kv(buckets.sysctl(stack))).entries();
    await bus.close();
  } catch {
    // Then it is as cold as it was.
  }
}
