import { readFile } from 'node:fs/promises';
import type { Bus } from '@skbus/bus';
import { buckets } from '@skbus/contracts';
import { SECRET_BYTES } from '@skbus/tcp';

const KEY = 'tcp';

/**
 * The secret behind sequence numbers and timestamps, made once per stack. It outlives this process, so that they don't
 * step back when the service is started again (RFC 6528, RFC 7323 5.4), but not the machine's uptime, which is the clock
 * they count by.
 */
export async function loadSecret(bus: Bus, netns: string, random: () => number, boot?: string): Promise<Uint8Array> {
  const kv = await bus.kv(buckets.secret(netns));
  const bootId = new TextEncoder().encode(boot ?? (await readBootId()));
  const stored = await kv.get(KEY);
  if (stored !== undefined && Buffer.from(stored.subarray(SECRET_BYTES)).equals(bootId))
    return stored.slice(0, SECRET_BYTES);
  const made = new Uint8Array(SECRET_BYTES + bootId.length);
  for (let i = 0; i < SECRET_BYTES; i++) made[i] = random();
  made.set(bootId, SECRET_BYTES);
  await kv.put(KEY, made);
  return made.slice(0, SECRET_BYTES);
}

/** Which run of the machine this is; systems without one have one run. */
async function readBootId(): Promise<string> {
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'boot');
}
