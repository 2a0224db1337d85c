import { LAYERS } from '@skbus/contracts';
import { parseCidr, parseIpv4, parseMac } from '@skbus/skb';
import { z } from 'zod';

const ipv4 = z.string().refine((s) => parseIpv4(s) !== undefined, 'is not an IPv4 address');
const cidr = z.string().refine((s) => parseCidr(s) !== undefined, 'is not an IPv4 prefix such as 10.1.0.0/16');
const mac = z.string().refine((s) => parseMac(s) !== undefined, 'is not an Ethernet address such as 02:00:0a:4d:00:02');
const dev = z.string().regex(/^[\w.-]{1,15}$/, 'is not a device name');
const u8 = z.number().int().min(0).max(255);
const u32 = z.number().int().min(0).max(0xffff_ffff);
const port = z.number().int().min(1).max(65535);
/** Query strings are text. */
const u32Text = z.coerce.number('is not a number').int().min(0).max(0xffff_ffff);

export const addrBody = z.strictObject({
  address: cidr,
  dev,
  broadcast: ipv4.optional(),
  scope: u8.optional(),
  label: z.string().max(15).optional(),
  replace: z.boolean().optional(),
});
export type AddrBody = z.infer<typeof addrBody>;

export const linkBody = z.strictObject({
  up: z.boolean().optional(),
  mtu: z.number().int().min(68).max(65535).optional(),
  address: mac.optional(),
});
export type LinkBody = z.infer<typeof linkBody>;

export const routeBody = z.strictObject({
  dst: z.union([z.literal('default'), cidr], 'is neither default nor an IPv4 prefix such as 10.1.0.0/16'),
  via: ipv4.optional(),
  dev: dev.optional(),
  src: ipv4.optional(),
  /** RT_TABLE_* */
  table: u32.optional(),
  /** RTN_* */
  type: u8.optional(),
  scope: u8.optional(),
  protocol: u8.optional(),
  metric: u32.optional(),
  tos: u8.optional(),
  mtu: z.number().int().min(68).max(65535).optional(),
  op: z.enum(['add', 'replace', 'append']).optional(),
});
export type RouteBody = z.infer<typeof routeBody>;

export const routeGetQuery = z.object({
  to: ipv4,
  from: ipv4.optional(),
  oif: dev.optional(),
  tos: u32Text.optional(),
});
export type RouteGetQuery = z.infer<typeof routeGetQuery>;

export const neighBody = z.strictObject({
  address: ipv4,
  lladdr: mac.optional(),
  dev,
  /** NUD_* */
  state: u8.optional(),
  replace: z.boolean().optional(),
});
export type NeighBody = z.infer<typeof neighBody>;

export const flushBody = z.strictObject({ dev });
export type FlushBody = z.infer<typeof flushBody>;

export const exposeBody = z.strictObject({
  port,
  host: z.string().min(1).max(253),
  targetPort: port,
});
export type ExposeBody = z.infer<typeof exposeBody>;

export const pingBody = z.strictObject({
  address: ipv4,
  id: z.number().int().min(0).max(0xffff).default(0),
  seq: z.number().int().min(0).max(0xffff).default(1),
  size: z.number().int().min(0).max(65_507).default(56),
  ttl: z.number().int().min(1).max(255).default(64),
  timeoutMs: z.number().int().min(1).max(60_000).default(1000),
});
export type PingBody = z.infer<typeof pingBody>;

export const upgradeBody = z.strictObject({ layer: z.enum(LAYERS) });
export type UpgradeBody = z.infer<typeof upgradeBody>;

export const sysctlBody = z.strictObject({
  name: z.string().regex(/^[\w./-]{1,128}$/, 'is not the name of a sysctl'),
  value: z.string().min(1).max(256),
});
export type SysctlBody = z.infer<typeof sysctlBody>;

export const dmesgQuery = z.object({
  since: u32Text.default(0),
  follow: z.enum(['0', '1', 'true', 'false']).optional(),
});
export type DmesgQuery = z.infer<typeof dmesgQuery>;

export const traceQuery = z.object({ follow: u32Text.default(0) });
export type TraceQuery = z.infer<typeof traceQuery>;

export const routeListQuery = z.object({ table: u32Text.default(0) });
export type RouteListQuery = z.infer<typeof routeListQuery>;

export const sysctlQuery = z.object({ name: z.string().max(128).default('') });
export type SysctlQuery = z.infer<typeof sysctlQuery>;

/** Its words are checked by who reads it, with the column. */
const ruleText = z.string().min(1).max(65_536);
const ruleId = z.string().min(1).max(64);

export const faultBody = z.strictObject({ text: ruleText, id: ruleId.optional() });
export type FaultBody = z.infer<typeof faultBody>;

export const faultsBody = z.strictObject({ rules: z.array(faultBody).max(1_000) });
export type FaultsBody = z.infer<typeof faultsBody>;

export const faultLogQuery = z.object({ follow: z.enum(['0', '1', 'true', 'false']).optional() });
export type FaultLogQuery = z.infer<typeof faultLogQuery>;

export const faultLogBody = z.object({
  rules: z.array(z.object({ id: ruleId, text: ruleText })).max(1_000),
  decisions: z
    .array(
      z.object({
        rule: ruleId,
        layer: z.string(),
        dir: z.string().default(''),
        func: z.string().default(''),
        ordinal: z.number().int().min(1),
        skb: z.number().int().default(0),
        what: z.string().max(4_096),
      }),
    )
    .max(100_000),
});
export type FaultLogBody = z.infer<typeof faultLogBody>;

export const faultEditBody = z.strictObject({
  fields: z.record(z.string(), z.string()),
  csum: z.enum(['fix', 'keep']).default('fix'),
});
export type FaultEditBody = z.infer<typeof faultEditBody>;
