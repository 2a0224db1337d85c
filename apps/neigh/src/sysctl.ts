import type { NeighSysctl } from '@skbus/neigh';

type Key = keyof NeighSysctl;

/** Kernel name → our field, what one unit of the text is in ours, and the range the kernel takes. */
const TABLE: Record<string, { key: Key; unit: number; min: number; max: number }> = {
  'net.ipv4.neigh.default.base_reachable_time_ms': { key: 'baseReachableTimeMs', unit: 1, min: 1, max: 86_400_000 },
  'net.ipv4.neigh.default.delay_first_probe_time': { key: 'delayProbeTimeMs', unit: 1000, min: 0, max: 86_400 },
  'net.ipv4.neigh.default.retrans_time_ms': { key: 'retransTimeMs', unit: 1, min: 1, max: 86_400_000 },
  'net.ipv4.neigh.default.ucast_solicit': { key: 'ucastSolicit', unit: 1, min: 0, max: 1_000 },
  'net.ipv4.neigh.default.mcast_solicit': { key: 'mcastSolicit', unit: 1, min: 0, max: 1_000 },
  'net.ipv4.neigh.default.mcast_resolicit': { key: 'mcastResolicit', unit: 1, min: 0, max: 1_000 },
  'net.ipv4.neigh.default.gc_stale_time': { key: 'gcStaletimeMs', unit: 1000, min: 0, max: 86_400 },
  'net.ipv4.neigh.default.gc_thresh1': { key: 'gcThresh1', unit: 1, min: 0, max: 1_000_000 },
  'net.ipv4.neigh.default.gc_thresh2': { key: 'gcThresh2', unit: 1, min: 0, max: 1_000_000 },
  'net.ipv4.neigh.default.gc_thresh3': { key: 'gcThresh3', unit: 1, min: 1, max: 1_000_000 },
  'net.ipv4.neigh.default.unres_qlen_bytes': { key: 'queueLenBytes', unit: 1, min: 0, max: 0x7fff_ffff },
  'net.ipv4.neigh.default.locktime': { key: 'locktimeMs', unit: 10, min: 0, max: 360_000 },
  'net.ipv4.conf.all.arp_announce': { key: 'arpAnnounce', unit: 1, min: 0, max: 2 },
  'net.ipv4.conf.all.arp_ignore': { key: 'arpIgnore', unit: 1, min: 0, max: 8 },
  'net.ipv4.conf.all.arp_accept': { key: 'arpAccept', unit: 1, min: 0, max: 1 },
  'net.ipv4.conf.all.arp_notify': { key: 'arpNotify', unit: 1, min: 0, max: 1 },
  'net.ipv4.conf.all.arp_evict_nocarrier': { key: 'arpEvictNocarrier', unit: 1, min: 0, max: 1 },
};

/** Every sysctl of this layer with its value, as the kernel prints it. */
export function sysctlNames(s: Readonly<NeighSysctl>): Record<string, string> {
  const all: Record<string, string> = {};
  for (const [name, { key, unit }] of Object.entries(TABLE)) all[name] = String(Number(s[key]) / unit);
  return all;
}

/** False: not ours, or not a number in the kernel's range. */
export function writeSysctl(s: NeighSysctl, name: string, text: string): boolean {
  const row = TABLE[name];
  const value = /^\d{1,10}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (row === undefined || !(value >= row.min && value <= row.max)) return false;
  const { key } = row;
  if (key === 'arpAccept' || key === 'arpNotify' || key === 'arpEvictNocarrier') s[key] = value === 1;
  else s[key] = value * row.unit;
  return true;
}
