import { ERRNO } from '@skbus/skb';
import { availableCongestionControls } from './cong/registry.ts';
import { parseFastOpenKeys } from './fastopen.ts';
import type { TcpSysctl } from './sysctl.ts';

interface Row {
  key: keyof TcpSysctl;
  /** How many numbers the kernel's file has; 0: a yes or no. */
  numbers: number;
  /** In place of numbers: the name of a congestion control, or a list of them. */
  names?: 'one' | 'list';
  /** In place of numbers: ports and ranges of ports, `a-b,c`. */
  ports?: true;
  /** In place of numbers: keys of Fast Open, four words in hex each. */
  keys?: true;
  min: number;
  max: number;
}

const flag = (key: keyof TcpSysctl): Row => ({ key, numbers: 0, min: 0, max: 1 });
const count = (key: keyof TcpSysctl, max = 0x7fffffff, min = 0): Row => ({ key, numbers: 1, min, max });
const several = (key: keyof TcpSysctl, numbers: number, min: number, max = 0x7fffffff): Row => ({
  key,
  numbers,
  min,
  max,
});
const names = (key: keyof TcpSysctl, list: boolean): Row => ({
  key,
  numbers: 0,
  names: list ? 'list' : 'one',
  min: 0,
  max: 0,
});

/** The kernel's names of what can be set here. */
const ROWS: Readonly<Record<string, Row>> = {
  'net.core.somaxconn': count('somaxconn', 0x7fffffff),
  'net.ipv4.ip_local_port_range': several('ipLocalPortRange', 2, 1, 65_535),
  'net.ipv4.ip_local_reserved_ports': { key: 'ipLocalReservedPorts', numbers: 0, ports: true, min: 1, max: 65_535 },
  'net.ipv4.ip_no_pmtu_disc': count('ipNoPmtuDisc', 3),
  'net.ipv4.route.min_pmtu': count('minPmtu', 65_535, 68),
  'net.ipv4.tcp_abort_on_overflow': flag('tcpAbortOnOverflow'),
  'net.ipv4.tcp_allowed_congestion_control': names('tcpAllowedCongestionControl', true),
  'net.ipv4.tcp_autocorking': flag('tcpAutocorking'),
  'net.ipv4.tcp_base_mss': count('tcpBaseMss', 65_535, 48),
  'net.ipv4.tcp_challenge_ack_limit': count('tcpChallengeAckLimit'),
  'net.ipv4.tcp_congestion_control': names('tcpCongestionControl', false),
  'net.ipv4.tcp_comp_sack_delay_ns': count('tcpCompSackDelayNs'),
  'net.ipv4.tcp_comp_sack_nr': count('tcpCompSackNr', 255),
  'net.ipv4.tcp_dsack': flag('tcpDsack'),
  'net.ipv4.tcp_early_retrans': count('tcpEarlyRetrans', 4),
  'net.ipv4.tcp_ecn': count('tcpEcn', 5),
  'net.ipv4.tcp_ecn_fallback': flag('tcpEcnFallback'),
  'net.ipv4.tcp_ecn_option': count('tcpEcnOption', 2),
  'net.ipv4.tcp_ecn_option_beacon': count('tcpEcnOptionBeacon', 3),
  'net.ipv4.tcp_fastopen': count('tcpFastopen'),
  'net.ipv4.tcp_fastopen_blackhole_timeout_sec': count('tcpFastopenBlackholeTimeoutSec'),
  'net.ipv4.tcp_fastopen_key': { key: 'tcpFastopenKey', numbers: 0, keys: true, min: 0, max: 0 },
  'net.ipv4.tcp_fin_timeout': count('tcpFinTimeout', 120),
  'net.ipv4.tcp_frto': count('tcpFrto', 255),
  'net.ipv4.tcp_invalid_ratelimit': count('tcpInvalidRatelimit'),
  'net.ipv4.tcp_keepalive_intvl': count('tcpKeepaliveIntvl', 32_767, 1),
  'net.ipv4.tcp_keepalive_probes': count('tcpKeepaliveProbes', 127, 1),
  'net.ipv4.tcp_keepalive_time': count('tcpKeepaliveTime', 32_767, 1),
  'net.ipv4.tcp_limit_output_bytes': count('tcpLimitOutputBytes'),
  'net.ipv4.tcp_max_orphans': count('tcpMaxOrphans'),
  'net.ipv4.tcp_max_reordering': count('tcpMaxReordering'),
  'net.ipv4.tcp_max_syn_backlog': count('tcpMaxSynBacklog'),
  'net.ipv4.tcp_max_tw_buckets': count('tcpMaxTwBuckets'),
  'net.ipv4.tcp_min_rtt_wlen': count('tcpMinRttWlen', 86_400),
  'net.ipv4.tcp_min_snd_mss': count('tcpMinSndMss', 65_535, 48),
  'net.ipv4.tcp_min_tso_segs': count('tcpMinTsoSegs', 65_535, 1),
  'net.ipv4.tcp_moderate_rcvbuf': flag('tcpModerateRcvbuf'),
  'net.ipv4.tcp_notsent_lowat': count('tcpNotsentLowat', 0xffffffff),
  'net.ipv4.tcp_mtu_probe_floor': count('tcpMtuProbeFloor', 65_535, 48),
  'net.ipv4.tcp_mtu_probing': count('tcpMtuProbing', 2),
  'net.ipv4.tcp_orphan_retries': count('tcpOrphanRetries', 255),
  'net.ipv4.tcp_pingpong_thresh': count('tcpPingpongThresh', 255, 1),
  'net.ipv4.tcp_pacing_ca_ratio': count('tcpPacingCaRatio', 1000),
  'net.ipv4.tcp_pacing_ss_ratio': count('tcpPacingSsRatio', 1000),
  'net.ipv4.tcp_probe_interval': count('tcpProbeInterval'),
  'net.ipv4.tcp_probe_threshold': count('tcpProbeThreshold'),
  'net.ipv4.tcp_recovery': count('tcpRecovery', 255),
  'net.ipv4.tcp_reordering': count('tcpReordering', 300, 1),
  'net.ipv4.tcp_retrans_collapse': flag('tcpRetransCollapse'),
  'net.ipv4.tcp_retries1': count('tcpRetries1', 255),
  'net.ipv4.tcp_retries2': count('tcpRetries2', 255),
  'net.ipv4.tcp_rfc1337': flag('tcpRfc1337'),
  'net.ipv4.tcp_rmem': several('tcpRmem', 3, 2304),
  'net.ipv4.tcp_rto_min_us': count('tcpRtoMinUs', 0x7fffffff, 1),
  'net.ipv4.tcp_sack': flag('tcpSack'),
  'net.ipv4.tcp_shrink_window': flag('tcpShrinkWindow'),
  'net.ipv4.tcp_slow_start_after_idle': flag('tcpSlowStartAfterIdle'),
  'net.ipv4.tcp_stdurg': flag('tcpStdurg'),
  'net.ipv4.tcp_syn_linear_timeouts': count('tcpSynLinearTimeouts', 127),
  'net.ipv4.tcp_syn_retries': count('tcpSynRetries', 127, 1),
  'net.ipv4.tcp_synack_retries': count('tcpSynackRetries', 255),
  'net.ipv4.tcp_syncookies': count('tcpSyncookies', 2),
  'net.ipv4.tcp_thin_linear_timeouts': flag('tcpThinLinearTimeouts'),
  'net.ipv4.tcp_timestamps': flag('tcpTimestamps'),
  'net.ipv4.tcp_tw_reuse': count('tcpTwReuse', 2),
  'net.ipv4.tcp_tso_rtt_log': count('tcpTsoRttLog', 255),
  'net.ipv4.tcp_tso_win_divisor': count('tcpTsoWinDivisor'),
  'net.ipv4.tcp_window_scaling': flag('tcpWindowScaling'),
  'net.ipv4.tcp_workaround_signed_windows': flag('tcpWorkaroundSignedWindows'),
  'net.ipv4.tcp_wmem': several('tcpWmem', 3, 4608 / 2),
  // /sys/module/tcp_cubic/parameters, under the names that they have on the kernel's command line
  'tcp_cubic.beta': count('cubicBeta', 1023, 1),
  'tcp_cubic.fast_convergence': flag('cubicFastConvergence'),
  'tcp_cubic.hystart': count('cubicHystart', 2),
  'tcp_cubic.hystart_ack_delta_us': count('cubicHystartAckDeltaUs'),
  'tcp_cubic.hystart_detect': count('cubicHystartDetect', 3),
  'tcp_cubic.hystart_limit': count('cubicHystartLimit'),
  'tcp_cubic.hystart_low_window': count('cubicHystartLowWindow'),
  'tcp_cubic.initial_ssthresh': count('cubicInitialSsthresh'),
  'tcp_cubic.tcp_friendliness': flag('cubicTcpFriendliness'),
};
/** What the kernel shows while no key was set. */
const NO_KEY = '00000000-00000000-00000000-00000000';
/** The list that can only be read. */
const AVAILABLE = 'net.ipv4.tcp_available_congestion_control';

/** What of the engine's switches has a name here. */
export const sysctlKeys = (): string[] => Object.values(ROWS).map((r) => r.key);

export const tcpSysctlNames = (): string[] => [...Object.keys(ROWS), AVAILABLE].toSorted();

/** The value as the kernel's file shows it; `undefined`: no such name. */
export function readTcpSysctl(s: Readonly<TcpSysctl>, name: string): string | undefined {
  if (name === AVAILABLE) return availableCongestionControls().join(' ');
  const row = ROWS[name];
  if (row === undefined) return undefined;
  const value = s[row.key];
  if (row.names !== undefined) return Array.isArray(value) ? value.join(' ') : String(value);
  if (row.keys === true) return s.tcpFastopenKey || NO_KEY;
  if (row.ports === true) return s.ipLocalReservedPorts.map(([a, b]) => (a === b ? a : `${a}-${b}`)).join(',');
  return Array.isArray(value) ? value.join('\t') : String(Number(value));
}

/** Why a text makes no change, and what write() says of it. */
export class SysctlRefusal {
  readonly errno: number;
  readonly message: string;

  constructor(message: string, errno: number = ERRNO.EINVAL) {
    this.message = message;
    this.errno = errno;
  }
}

/** The change a text makes. */
export function parseTcpSysctl(name: string, text: string): Partial<TcpSysctl> | SysctlRefusal {
  if (name === AVAILABLE) return new SysctlRefusal(`${name}: can only be read`, ERRNO.EACCES);
  const row = ROWS[name];
  if (row === undefined) return new SysctlRefusal(`no such key: ${name}`, ERRNO.ENOENT);
  const words = text.trim().split(/\s+/);
  if (row.names !== undefined) return parseNames(name, row, words);
  if (row.keys === true) return parseKeys(name, row, text.trim());
  if (row.ports === true) return parsePorts(name, row, text.trim());
  // as the kernel's strtoul() with base 0
  const numbers = words.map((w) => (/^(?:\d{1,10}|0x[\da-f]{1,8})$/i.test(w) ? Number(w) : Number.NaN));
  const wanted = Math.max(row.numbers, 1);
  if (numbers.length !== wanted || !numbers.every((n) => n >= row.min && n <= row.max)) {
    const what = wanted === 1 ? 'a whole number' : `${wanted} whole numbers`;
    return new SysctlRefusal(`${name}: "${text}" is not ${what} from ${row.min} to ${row.max}`);
  }
  if (numbers.some((n, i) => i > 0 && n < numbers[i - 1]!)) {
    return new SysctlRefusal(`${name}: "${text}" must not go down`);
  }
  if (row.numbers === 0) return { [row.key]: numbers[0] === 1 };
  return { [row.key]: wanted === 1 ? numbers[0] : numbers };
}

function parseKeys(name: string, row: Row, text: string): Partial<TcpSysctl> | SysctlRefusal {
  if (parseFastOpenKeys(text) !== undefined) return { [row.key]: text };
  return new SysctlRefusal(`${name}: "${text}" is not one or two keys of the form 01234567-89abcdef-01234567-89abcdef`);
}

/** proc_do_large_bitmap(): the empty list is an empty text or a lone comma. */
function parsePorts(name: string, row: Row, text: string): Partial<TcpSysctl> | SysctlRefusal {
  const ranges: [number, number][] = [];
  for (const part of text.split(',').filter((p) => p !== '')) {
    const m = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim());
    const [from, to] = [Number(m?.[1]), Number(m?.[2] ?? m?.[1])];
    if (m === null || from < row.min || to > row.max || to < from)
      return new SysctlRefusal(`${name}: "${part}" is no port or range`);
    ranges.push([from, to]);
  }
  return { [row.key]: ranges };
}

/** tcp_set_default_congestion_control(), tcp_set_allowed_congestion_control(): ENOENT for what is not built. */
function parseNames(name: string, row: Row, words: string[]): Partial<TcpSysctl> | SysctlRefusal {
  const known = availableCongestionControls();
  const stranger = words.find((w) => !known.includes(w));
  if (stranger !== undefined) {
    return new SysctlRefusal(`${name}: there is no congestion control "${stranger}"`, ERRNO.ENOENT);
  }
  if (row.names === 'list') return { [row.key]: words };
  return words.length === 1 ? { [row.key]: words[0] } : new SysctlRefusal(`${name}: one name only`);
}
