import { ERRNO, ICMP_ERR_CONVERT, type LayerEnv, type MibName } from '@skbus/skb';
import {
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_PARAMETERPROB,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  ICMP_TIME_EXCEEDED,
  ICMP_TIMESTAMP,
  ICMP_TIMESTAMPREPLY,
} from '@skbus/wire';

/** The highest type RFC 1122 3.2.2 knows of; anything above is discarded in silence. */
export const NR_ICMP_TYPES = 18;
/** The highest code of a destination unreachable. */
export const NR_ICMP_UNREACH = 15;

/** The types that are not errors (icmp_pointers[].error); one nobody knows counts as an error. */
const QUERIES: ReadonlySet<number> = new Set([ICMP_ECHOREPLY, ICMP_ECHO, 13, 14, 15, 16, 17, 18]);
export const isIcmpError = (type: number): boolean => !QUERIES.has(type);

type Stem =
  | 'EchoReps'
  | 'DestUnreachs'
  | 'SrcQuenchs'
  | 'Redirects'
  | 'Echos'
  | 'TimeExcds'
  | 'ParmProbs'
  | 'Timestamps'
  | 'TimestampReps'
  | 'AddrMasks'
  | 'AddrMaskReps';
const STEMS: Readonly<Record<number, Stem>> = {
  [ICMP_ECHOREPLY]: 'EchoReps',
  [ICMP_DEST_UNREACH]: 'DestUnreachs',
  [ICMP_SOURCE_QUENCH]: 'SrcQuenchs',
  [ICMP_REDIRECT]: 'Redirects',
  [ICMP_ECHO]: 'Echos',
  [ICMP_TIME_EXCEEDED]: 'TimeExcds',
  [ICMP_PARAMETERPROB]: 'ParmProbs',
  [ICMP_TIMESTAMP]: 'Timestamps',
  [ICMP_TIMESTAMPREPLY]: 'TimestampReps',
  17: 'AddrMasks',
  18: 'AddrMaskReps',
};

/** ICMPMSGIN_INC_STATS, and the row of /proc/net/snmp that the kernel computes from it. */
export function countIn(env: LayerEnv, type: number): void {
  env.mib.inc(`IcmpMsgInType${type}`);
  const stem = STEMS[type];
  if (stem !== undefined) env.mib.inc(`IcmpIn${stem}` satisfies MibName);
}

/** net/ipv4/icmp.c:icmp_out_count */
export function countOut(env: LayerEnv, type: number): void {
  env.mib.inc('IcmpOutMsgs');
  env.mib.inc(`IcmpMsgOutType${type}`);
  const stem = STEMS[type];
  if (stem !== undefined) env.mib.inc(`IcmpOut${stem}` satisfies MibName);
}

/** The errno of an ICMP error. */
export function icmpErrno(type: number, code: number): number {
  if (type === ICMP_DEST_UNREACH) return ICMP_ERR_CONVERT[code]?.[0] ?? ERRNO.EHOSTUNREACH;
  if (type === ICMP_PARAMETERPROB) return ERRNO.EPROTO;
  return ERRNO.EHOSTUNREACH;
}

/** The destination unreachable code that says the same as a routing error. */
export function unreachCode(errno: number): number {
  if (errno === ERRNO.EHOSTUNREACH) return 1;
  return errno === ERRNO.EACCES ? 13 : 0;
}
