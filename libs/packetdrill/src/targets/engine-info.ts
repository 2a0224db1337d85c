import type { TcpSockInfo } from '@skbus/tcp';
import { encodeTcpInfo } from '../run/tcp-info.ts';

const TCPI_OPT_TIMESTAMPS = 1;
const TCPI_OPT_SACK = 2;
const TCPI_OPT_WSCALE = 4;

const usecs = (ms: number): number => ms * 1000;
/** Linux says 2^31 − 1 where there is no threshold yet. */
const SSTHRESH_INFINITE = 0x7fff_ffff;

/** The engine's view of a socket as struct tcp_info (net/ipv4/tcp.c:tcp_get_info), times in microseconds. */
export function tcpInfoOf(i: TcpSockInfo): Uint8Array {
  const options =
    (i.timestamps ? TCPI_OPT_TIMESTAMPS : 0) | (i.sack ? TCPI_OPT_SACK : 0) | (i.wscale ? TCPI_OPT_WSCALE : 0);
  return encodeTcpInfo({
    ...snakeCase(i),
    options,
    ca_state: i.caState,
    wscale: i.sndWscale | (i.rcvWscale << 4),
    rto: usecs(i.rto),
    ato: usecs(i.ato),
    rtt: usecs(i.rtt),
    rttvar: usecs(i.rttvar),
    min_rtt: usecs(i.minRtt),
    rcv_rtt: usecs(i.rcvRtt),
    snd_ssthresh: Math.min(i.sndSsthresh, SSTHRESH_INFINITE),
  });
}

/** Every number of the row by its name in the struct; what the engine learns to tell later is taken along. */
function snakeCase(i: TcpSockInfo): Record<string, number> {
  const out: Record<string, number> = {};
  for (const [name, value] of Object.entries(i)) {
    if (typeof value === 'number' && Number.isFinite(value))
      out[name.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)] = value;
  }
  return out;
}
