/** net.ipv4.tcp_* under camelCase names, with Linux 6.12's defaults and units (seconds unless the name says ms). */
export interface TcpSysctl {
  tcpSynRetries: number;
  /** How many of the SYN's timeouts do not double. */
  tcpSynLinearTimeouts: number;
  tcpSynackRetries: number;
  tcpRetries1: number;
  tcpRetries2: number;
  /** 0: as Linux, 8, or none when the path is surely dead. */
  tcpOrphanRetries: number;
  tcpKeepaliveTime: number;
  tcpKeepaliveIntvl: number;
  tcpKeepaliveProbes: number;
  tcpFinTimeout: number;
  tcpTimestamps: boolean;
  tcpSack: boolean;
  tcpDsack: boolean;
  tcpWindowScaling: boolean;
  /**
   * RFC 3168: 0 off, 1 ask and answer, 2 answer only. AccECN is answered as well, and RFC 3168 to who asks for that: 3 ask
   * for AccECN, 4 ask for RFC 3168, 5 do not ask.
   */
  tcpEcn: number;
  /** A SYN that asked for ECN and was lost goes again without asking. */
  tcpEcnFallback: boolean;
  /** AccECN's option: 0 never, 1 when there is news, 2 with every segment. */
  tcpEcnOption: number;
  /** With 1, also so many times per round trip. */
  tcpEcnOptionBeacon: number;
  tcpReordering: number;
  tcpMaxReordering: number;
  /** Bits: 1 RACK, 2 a reordering window that does not adapt, 4 no duplicate threshold beside it. */
  tcpRecovery: number;
  /** 3 or 4: tail loss probes. */
  tcpEarlyRetrans: number;
  /** F-RTO; 0: off. */
  tcpFrto: number;
  tcpThinLinearTimeouts: boolean;
  tcpRetransCollapse: boolean;
  /** How long a least RTT is believed, in seconds. */
  tcpMinRttWlen: number;
  tcpRtoMinUs: number;
  tcpMaxSynBacklog: number;
  /** When the queue of requests is full: 0 drop SYNs, 1 answer with SYN cookies, 2 always do. */
  tcpSyncookies: number;
  tcpAbortOnOverflow: boolean;
  tcpMaxTwBuckets: number;
  /** min, default, max in bytes of buffer; half of it is window (tcp_adv_win_scale 1). */
  tcpRmem: readonly [number, number, number];
  tcpWmem: readonly [number, number, number];
  tcpModerateRcvbuf: boolean;
  /** The right edge of the window may move back (RFC 7323 2.4). */
  tcpShrinkWindow: boolean;
  /** Without a window scale never more than 32767: for peers that take the field as signed. */
  tcpWorkaroundSignedWindows: boolean;
  /** Most that ACKs for the same hole wait for each other, how many may, and the timer's slack. */
  tcpCompSackDelayNs: number;
  tcpCompSackNr: number;
  /** How many answers in time make a dialogue. */
  tcpPingpongThresh: number;
  /** The urgent pointer as RFC 1122 has it (after the byte) rather than as BSD has (at the byte after). */
  tcpStdurg: boolean;
  /** ms between two replies to out-of-window segments of one connection. */
  tcpInvalidRatelimit: number;
  /** Challenge ACKs per second over all connections (RFC 5961 7). */
  tcpChallengeAckLimit: number;
  tcpSlowStartAfterIdle: boolean;
  tcpRfc1337: boolean;
  /** TFO_* of fastopen.ts. */
  tcpFastopen: number;
  /** Four words in hex, with a comma between two keys; empty: one is made. */
  tcpFastopenKey: string;
  /** For how long Fast Open is not tried where it seems to be swallowed, 0: always tried. */
  tcpFastopenBlackholeTimeoutSec: number;
  /** connect() may take the port of a TIME-WAIT: 0 never, 1 always, 2 between loopback addresses. */
  tcpTwReuse: number;
  /** Connections nobody owns any more; beyond them, the next one is reset. */
  tcpMaxOrphans: number;
  tcpMinSndMss: number;
  /** 0: path MTU discovery; others: not by default (net.ipv4.ip_no_pmtu_disc). */
  ipNoPmtuDisc: number;
  /** The least path MTU that is believed (net.ipv4.route.min_pmtu). */
  minPmtu: number;
  /** Path MTU discovery without ICMP (RFC 4821): 0 off, 1 when a black hole is suspected, 2 always. */
  tcpMtuProbing: number;
  /** Where its search begins, the least it falls back to, and how close its ends come. */
  tcpBaseMss: number;
  tcpMtuProbeFloor: number;
  tcpProbeThreshold: number;
  /** Seconds until it looks again. */
  tcpProbeInterval: number;
  /** Percent of the window per round trip: in slow start, after it. */
  tcpPacingSsRatio: number;
  tcpPacingCaRatio: number;
  /** Least segments of a GSO skb. */
  tcpMinTsoSegs: number;
  /** Defer a GSO skb unless this part of the window can go. */
  tcpTsoWinDivisor: number;
  /** The budget for a GSO skb halves with each 2^this µs of RTT. */
  tcpTsoRttLog: number;
  /** Most bytes of a connection that are below TCP and have not left yet. */
  tcpLimitOutputBytes: number;
  /** Small writes wait for each other while others of the connection have not left yet. */
  tcpAutocorking: boolean;
  /** Bytes not sent yet beyond which a socket is not writable. */
  tcpNotsentLowat: number;
  tcpCongestionControl: string;
  /** Those that a program without CAP_NET_ADMIN may choose besides the default. */
  tcpAllowedCongestionControl: readonly string[];
  // parameters of tcp_cubic
  cubicFastConvergence: boolean;
  /** In 1/1024. */
  cubicBeta: number;
  cubicInitialSsthresh: number;
  cubicTcpFriendliness: boolean;
  /** How slow start ends: 0 at a loss only, 1 Linux's HyStart, 2 HyStart++ (RFC 9406). */
  cubicHystart: number;
  /** HyStart: 1 ACK trains, 2 delay, 3 both. */
  cubicHystartDetect: number;
  cubicHystartLowWindow: number;
  cubicHystartAckDeltaUs: number;
  /** HyStart++: L, 0: none. */
  cubicHystartLimit: number;
  somaxconn: number;
  ipLocalPortRange: readonly [number, number];
  /** Ports that are only taken by who asks for them; ranges, both ends included. */
  ipLocalReservedPorts: readonly (readonly [number, number])[];
}

export const TCP_SYSCTL_DEFAULTS: TcpSysctl = {
  tcpSynRetries: 6,
  tcpSynLinearTimeouts: 4,
  tcpSynackRetries: 5,
  tcpRetries1: 3,
  tcpRetries2: 15,
  tcpOrphanRetries: 0,
  tcpKeepaliveTime: 7200,
  tcpKeepaliveIntvl: 75,
  tcpKeepaliveProbes: 9,
  tcpFinTimeout: 60,
  tcpTimestamps: true,
  tcpSack: true,
  tcpDsack: true,
  tcpWindowScaling: true,
  tcpEcn: 5,
  tcpEcnFallback: true,
  tcpEcnOption: 2,
  tcpEcnOptionBeacon: 3,
  tcpReordering: 3,
  tcpMaxReordering: 300,
  tcpRecovery: 1,
  tcpEarlyRetrans: 3,
  tcpFrto: 2,
  tcpThinLinearTimeouts: false,
  tcpRetransCollapse: true,
  tcpMinRttWlen: 300,
  tcpRtoMinUs: 200_000,
  tcpMaxSynBacklog: 1024,
  tcpSyncookies: 1,
  tcpAbortOnOverflow: false,
  tcpMaxTwBuckets: 65_536,
  tcpRmem: [4096, 131_072, 6_291_456],
  tcpWmem: [4096, 16_384, 4_194_304],
  tcpModerateRcvbuf: true,
  tcpShrinkWindow: false,
  tcpWorkaroundSignedWindows: false,
  tcpCompSackDelayNs: 1_000_000,
  tcpCompSackNr: 44,
  tcpPingpongThresh: 1,
  tcpStdurg: false,
  tcpInvalidRatelimit: 500,
  tcpChallengeAckLimit: 2_147_483_647,
  tcpSlowStartAfterIdle: true,
  tcpRfc1337: false,
  tcpFastopen: 1,
  tcpFastopenKey: '',
  tcpFastopenBlackholeTimeoutSec: 0,
  tcpTwReuse: 2,
  tcpMaxOrphans: 65_536,
  tcpMinSndMss: 48,
  ipNoPmtuDisc: 0,
  minPmtu: 552,
  tcpMtuProbing: 0,
  tcpBaseMss: 1024,
  tcpMtuProbeFloor: 48,
  tcpProbeThreshold: 8,
  tcpProbeInterval: 600,
  tcpPacingSsRatio: 200,
  tcpPacingCaRatio: 120,
  tcpMinTsoSegs: 2,
  tcpTsoWinDivisor: 3,
  tcpTsoRttLog: 9,
  tcpLimitOutputBytes: 1_048_576,
  tcpAutocorking: true,
  tcpNotsentLowat: 4_294_967_295,
  tcpCongestionControl: 'cubic',
  tcpAllowedCongestionControl: ['reno', 'cubic'],
  cubicFastConvergence: true,
  cubicBeta: 717,
  cubicInitialSsthresh: 0,
  cubicTcpFriendliness: true,
  cubicHystart: 2,
  cubicHystartDetect: 3,
  cubicHystartLowWindow: 16,
  cubicHystartAckDeltaUs: 2000,
  cubicHystartLimit: 0,
  somaxconn: 4096,
  ipLocalPortRange: [32_768, 60_999],
  ipLocalReservedPorts: [],
};

// tcp_recovery
export const RACK_LOSS_DETECTION = 1;
export const RACK_STATIC_REO_WND = 2;
export const RACK_NO_DUPTHRESH = 4;

/** tcp_is_rack() */
export const isRack = (s: TcpSysctl): boolean => (s.tcpRecovery & RACK_LOSS_DETECTION) !== 0;

// include/net/tcp.h
/** How many slots the perturbation of the port search has (INET_TABLE_PERTURB_SIZE). */
export const TABLE_PERTURB_SIZE = 1 << 16;
/** TCP small queues: a 1024th of what is sent in a second may be below (sk_pacing_shift). */
export const SK_PACING_SHIFT = 10;
export const TCP_INIT_CWND = 10;
export const TCP_TIMEOUT_INIT_MS = 1000;
/** RFC 6298 5.7: the RTO when the handshake gave no sample. */
export const TCP_TIMEOUT_FALLBACK_MS = 3000;
export const TCP_RTO_MIN_MS = 200;
export const TCP_RTO_MAX_MS = 120_000;
/** The least a timer of loss recovery waits (TCP_TIMEOUT_MIN_US). */
export const TCP_TIMEOUT_MIN_MS = 2;
/** How long a peer that seems to have dropped SACKed data has to show that it has not. */
export const TCP_SACK_RENEG_MIN_MS = 10;
/** A connection with this few segments in flight gets no third duplicate ACK (tcp_stream_is_thin). */
export const TCP_THIN_PACKETS = 4;
export const TCP_THIN_LINEAR_RETRIES = 6;
export const TCP_DELACK_MIN_MS = 40;
export const TCP_DELACK_MAX_MS = 200;
export const TCP_ATO_MIN_MS = 40;
export const TCP_TIMEWAIT_LEN_MS = 60_000;
export const TCP_MAX_QUICKACKS = 16;
export const TCP_FASTRETRANS_THRESH = 3;
export const TCP_RESOURCE_PROBE_MS = 500;
/** How long a timestamp is worth something: 24 days (RFC 7323 5.5). */
export const TCP_PAWS_24DAYS_MS = 24 * 24 * 3600 * 1000;
/** How much older than the newest a timestamp may be (include/net/tcp.h:TCP_PAWS_WINDOW). */
export const TCP_PAWS_WINDOW = 1;
export const TCP_MAX_WSCALE = 14;
export const TCP_MSS_DEFAULT = 536;
export const TCP_MIN_MSS = 88;
/** sk_gso_max_size of a device without limits of its own. */
export const GSO_MAX_SIZE = 65_536;
/** The largest GSO payload: what an IPv4 total length of 65535 leaves after the longest headers. */
export const GSO_PAYLOAD_MAX = 65_535 - 60 - 20;
