import type { Millis } from '@skbus/skb';

/** Loss recovery's variables of a connection that has sent data; one that has not does without. */
export class LossState {
  // ---- RACK (RFC 8985 6.2)
  /** When the newest segment that was delivered had been sent, and its end (RACK.xmit_ts, RACK.end_seq). */
  rackMs: Millis = 0;
  rackEnd = 0;
  /** RTT of what was delivered last (RACK.rtt). */
  rackRttMs: Millis = 0;
  /** Something was delivered since the last look for losses. */
  rackAdvanced = false;
  rackDsackSeen = false;
  /** Reordering window in units of min_rtt / 4, and for how many recoveries it stays (RACK.reo_wnd_mult, _persist). */
  reoWndSteps = 1;
  reoWndPersist = 0;
  /** What was delivered when the window last grew. */
  reoWndDelivered = 0;
  /** How often reordering was seen (reord_seen). */
  reordSeen = 0;

  // ---- scoreboard (RFC 6675)
  /** End of the highest segment SACKed; counts only while any is. */
  highestSack = 0;
  /** The SACK blocks of the last ACK as start, end, …, ascending (recv_sack_cache). */
  sackCache: number[] = [];
  /** No segment below waits to be sent again (retransmit_skb_hint). */
  retransHint = 0;
  /** Segments ever found lost. */
  lost = 0;
  /** The peer dropped data it had SACKed (is_sack_reneg). */
  sackReneg = false;

  // ---- undo (RFC 3522, 3708, 4015)
  /** sndUna when the window was reduced, -1: nothing to undo. */
  undoMarker = -1;
  /** Retransmissions since that are not known to have been for nothing; -1: none was sent. */
  undoRetrans = -1;
  /** ssthresh before the reduction; 0: it must not come back. */
  priorSsthresh = 0;

  /** F-RTO is under way (RFC 5682). */
  frto = false;

  // ---- tail loss probe (RFC 8985 7)
  /** sndNxt when the probe was sent, 0: none is out; and whether it was a retransmission. */
  tlpHighSeq = 0;
  tlpRetrans = false;
}
