import type { DriverEnv, NicConfig, NicDriver } from './driver.ts';
import { TapDriver } from './tap.ts';
import { UdpDriver } from './udp.ts';
import { WireDriver, type WireLink } from './wire.ts';

/** The driver that the configuration names. Throws with a sentence for a person. */
export async function createDriver(
  config: NicConfig,
  env: DriverEnv,
  link: (cable: string) => WireLink,
): Promise<NicDriver> {
  if (config.backend === 'udp') return new UdpDriver(config, env);
  if (config.backend === 'wire') return new WireDriver(config, link(config.cable ?? 'lan'));
  return new TapDriver(config, env);
}
