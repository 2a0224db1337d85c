/** struct tcp_info (include/uapi/linux/tcp.h, 6.18): the name of each field behind `tcpi_`, and its size in bytes. */
const FIELDS: readonly (readonly [string, 1 | 2 | 4 | 8])[] = [
  ...['state', 'ca_state', 'retransmits', 'probes', 'backoff', 'options', 'wscale', 'app_limited'].map(
    (n) => [n, 1] as const,
  ),
  ...[
    ...['rto', 'ato', 'snd_mss', 'rcv_mss', 'unacked', 'sacked', 'lost', 'retrans', 'fackets', 'last_data_sent'],
    ...['last_ack_sent', 'last_data_recv', 'last_ack_recv', 'pmtu', 'rcv_ssthresh', 'rtt', 'rttvar', 'snd_ssthresh'],
    ...['snd_cwnd', 'advmss', 'reordering', 'rcv_rtt', 'rcv_space', 'total_retrans'],
  ].map((n) => [n, 4] as const),
  ...['pacing_rate', 'max_pacing_rate', 'bytes_acked', 'bytes_received'].map((n) => [n, 8] as const),
  ...['segs_out', 'segs_in', 'notsent_bytes', 'min_rtt', 'data_segs_in', 'data_segs_out'].map((n) => [n, 4] as const),
  ...['delivery_rate', 'busy_time', 'rwnd_limited', 'sndbuf_limited'].map((n) => [n, 8] as const),
  ...['delivered', 'delivered_ce'].map((n) => [n, 4] as const),
  ...['bytes_sent', 'bytes_retrans'].map((n) => [n, 8] as const),
  ...['dsack_dups', 'reord_seen', 'rcv_ooopack', 'snd_wnd', 'rcv_wnd', 'rehash'].map((n) => [n, 4] as const),
  ['total_rto', 2],
  ['total_rto_recoveries', 2],
  ...['total_rto_time', 'received_ce'].map((n) => [n, 4] as const),
  ...['delivered_e1', 'delivered_e0', 'delivered_ce'].map((n) => [`${n}_bytes`, 4] as const),
  ...['received_e1', 'received_e0', 'received_ce'].map((n) => [`${n}_bytes`, 4] as const),
];

/** `tcpi_snd_cwnd` … of what getsockopt(TCP_INFO) gave; an older kernel's struct is shorter. */
export function decodeTcpInfo(b: Uint8Array): Map<string, number> {
  const view = new DataView(b.buffer, b.byteOffset, b.byteLength);
  const info = new Map<string, number>();
  let at = 0;
  for (const [name, size] of FIELDS) {
    if (at + size > b.length) break;
    const v =
      size === 1
        ? b[at]!
        : size === 2
          ? view.getUint16(at, true)
          : size === 4
            ? view.getUint32(at, true)
            : Number(view.getBigUint64(at, true));
    info.set(`tcpi_${name}`, v);
    at += size;
  }
  const wscale = info.get('tcpi_wscale') ?? 0;
  info.set('tcpi_snd_wscale', wscale & 15);
  info.set('tcpi_rcv_wscale', wscale >>> 4);
  const bits = info.get('tcpi_app_limited') ?? 0;
  info.set('tcpi_delivery_rate_app_limited', bits & 1);
  info.set('tcpi_fastopen_client_fail', (bits >>> 1) & 3);
  return info;
}
