/** A UDP socket as the control API shows it. */
export interface UdpRow {
  sk: number;
  state: number;
  laddr: string;
  lport: number;
  raddr: string;
  rport: number;
  rqueue: number;
  wqueue: number;
}

/** A TCP socket: struct inet_diag_msg and struct tcp_info, times in ms. */
export interface TcpRow extends UdpRow {
  timer: number;
  expires: number;
  retransmits: number;
  probes: number;
  backoff: number;
  timestamps: boolean;
  sack: boolean;
  wscale: boolean;
  sndWscale: number;
  rcvWscale: number;
  rto: number;
  ato: number;
  rtt: number;
  rttvar: number;
  minRtt: number;
  rcvRtt: number;
  sndMss: number;
  rcvMss: number;
  advmss: number;
  pmtu: number;
  sndCwnd: number;
  sndSsthresh: number;
  congestion: string;
  unacked: number;
  sacked: number;
  lost: number;
  retrans: number;
  totalRetrans: number;
  reordering: number;
  sndWnd: number;
  rcvSsthresh: number;
  rcvSpace: number;
  notsentBytes: number;
  bytesSent: number;
  bytesRetrans: number;
  bytesAcked: number;
  bytesReceived: number;
  segsOut: number;
  segsIn: number;
  dataSegsOut: number;
  dataSegsIn: number;
  delivered: number;
  dsackDups: number;
  lastDataSent: number;
  lastDataRecv: number;
  lastAckRecv: number;
}

const TIMERS = ['off', 'on', 'keepalive', 'timewait', 'persist'];
const INFINITE_SSTHRESH = 0x7fff_ffff;
const LISTEN = 10;

/** ` timer:(on,204ms,0)`, misc/ss.c:tcp_timer_print */
export function timerOf(r: TcpRow): string {
  if (r.timer === 0) return '';
  const count = r.timer === 1 ? r.retransmits : r.timer === 4 ? r.probes : 0;
  return ` timer:(${TIMERS[r.timer] ?? r.timer},${ago(r.expires)},${count})`;
}

/** The second line of `ss -i`, in the order of misc/ss.c:tcp_stats_print; what is 0 is left out. */
export function infoOf(r: TcpRow): string {
  if (r.state === LISTEN || r.sk === 0) return '';
  const w: string[] = [];
  const add = (name: string, n: number): void => {
    if (n) w.push(`${name}:${n}`);
  };
  if (r.timestamps) w.push('ts');
  if (r.sack) w.push('sack');
  if (r.congestion) w.push(r.congestion);
  if (r.wscale) w.push(`wscale:${r.sndWscale},${r.rcvWscale}`);
  if (r.rto) w.push(`rto:${places(r.rto)}`);
  add('backoff', r.backoff);
  if (r.rtt) w.push(`rtt:${places(r.rtt)}/${places(r.rttvar)}`);
  if (r.ato) w.push(`ato:${places(r.ato)}`);
  add('mss', r.sndMss);
  add('pmtu', r.pmtu);
  add('rcvmss', r.rcvMss);
  add('advmss', r.advmss);
  add('cwnd', r.sndCwnd);
  if (r.sndSsthresh > 0 && r.sndSsthresh < INFINITE_SSTHRESH) add('ssthresh', r.sndSsthresh);
  add('bytes_sent', r.bytesSent);
  add('bytes_retrans', r.bytesRetrans);
  add('bytes_acked', r.bytesAcked);
  add('bytes_received', r.bytesReceived);
  add('segs_out', r.segsOut);
  add('segs_in', r.segsIn);
  add('data_segs_out', r.dataSegsOut);
  add('data_segs_in', r.dataSegsIn);
  if (r.rtt > 0 && r.sndMss) w.push(`send ${Math.round((r.sndCwnd * r.sndMss * 8000) / r.rtt)}bps`);
  if (r.lastDataSent) w.push(`lastsnd:${Math.round(r.lastDataSent)}`);
  if (r.lastDataRecv) w.push(`lastrcv:${Math.round(r.lastDataRecv)}`);
  if (r.lastAckRecv) w.push(`lastack:${Math.round(r.lastAckRecv)}`);
  add('delivered', r.delivered);
  add('unacked', r.unacked);
  if (r.retrans || r.totalRetrans) w.push(`retrans:${r.retrans}/${r.totalRetrans}`);
  add('lost', r.lost);
  add('sacked', r.sacked);
  add('dsack_dups', r.dsackDups);
  if (r.reordering !== 3) add('reordering', r.reordering);
  if (r.rcvRtt) w.push(`rcv_rtt:${places(r.rcvRtt)}`);
  add('rcv_space', r.rcvSpace);
  add('rcv_ssthresh', r.rcvSsthresh);
  add('notsent', r.notsentBytes);
  if (r.minRtt) w.push(`minrtt:${places(r.minRtt)}`);
  add('snd_wnd', r.sndWnd);
  return w.join(' ');
}

/** %g of milliseconds with microseconds in them. */
const places = (ms: number): string => String(+ms.toFixed(3));

/** misc/ss.c:print_ms_timer */
function ago(ms: number): string {
  const total = Math.round(ms);
  const minutes = Math.floor(total / 60_000);
  const seconds = Math.floor((total % 60_000) / 1000);
  const rest = total % 1000;
  let text = minutes > 0 ? `${minutes}min` : '';
  if (seconds > 0) text += minutes > 9 ? '' : `${seconds}${minutes === 0 && seconds <= 9 && rest > 0 ? '.' : 'sec'}`;
  if (minutes === 0 && seconds <= 9) text += seconds > 0 && rest === 0 ? '' : `${String(rest).padStart(3, '0')}ms`;
  return text;
}
