import type { Millis } from '@skbus/skb';

/** What tcp_ack() is told by its caller and finds out about the ACK (FLAG_* of net/ipv4/tcp_input.c). */
export const FLAG_DATA = 0x01;
export const FLAG_WIN_UPDATE = 0x02;
export const FLAG_DATA_ACKED = 0x04;
/** Some of what is acknowledged was retransmitted. */
export const FLAG_RETRANS_DATA_ACKED = 0x08;
export const FLAG_SYN_ACKED = 0x10;
/** New SACK. */
export const FLAG_DATA_SACKED = 0x20;
export const FLAG_ECE = 0x40;
/** RACK found a retransmission lost. */
export const FLAG_LOST_RETRANS = 0x80;
/** Header prediction has not settled the window. */
export const FLAG_SLOWPATH = 0x100;
/** Something below highSeq that was sent only once was (s)acknowledged. */
export const FLAG_ORIG_SACK_ACKED = 0x200;
export const FLAG_SND_UNA_ADVANCED = 0x400;
export const FLAG_DSACKING_ACK = 0x800;
/** The TLP or RTO timer is to be set. */
export const FLAG_SET_XMIT_TIMER = 0x1000;
/** sndUna stands at a segment that was SACKed. */
export const FLAG_SACK_RENEGING = 0x2000;
export const FLAG_UPDATE_TS_RECENT = 0x4000;
export const FLAG_NO_CHALLENGE_ACK = 0x8000;
export const FLAG_ACK_MAYBE_DELAYED = 0x10000;
/** The DSACK is for a tail loss probe. */
export const FLAG_DSACK_TLP = 0x20000;

/** The ACK's timestamp is newer than those before it. */
export const FLAG_TS_PROGRESS = 0x40000;

export const FLAG_ACKED = FLAG_DATA_ACKED | FLAG_SYN_ACKED;
export const FLAG_NOT_DUP = FLAG_DATA | FLAG_WIN_UPDATE | FLAG_ACKED;
export const FLAG_CA_ALERT = FLAG_DATA_SACKED | FLAG_ECE | FLAG_DSACKING_ACK;
export const FLAG_FORWARD_PROGRESS = FLAG_ACKED | FLAG_DATA_SACKED;

/** What is sent at the end of an ACK's processing (REXMIT_*). */
export const REXMIT_NONE = 0;
export const REXMIT_LOST = 1;
/** New data first, for F-RTO. */
export const REXMIT_NEW = 2;

/** The ACK being processed (struct tcp_sacktag_state and tcp_ack's locals). One object is used for all. */
export class AckState {
  flag = 0;
  rexmit = REXMIT_NONE;
  priorUna = 0;
  priorFack = 0;
  priorDelivered = 0;
  priorLost = 0;
  priorInFlight = 0;
  /** Its echoed timestamp; 0: none. */
  tsEcr = 0;
  /** Segments cumulatively acknowledged. */
  acked = 0;
  /** Segments newly SACKed, and those that arrived twice. */
  sackDelivered = 0;
  /** Bytes newly acknowledged or SACKed, and segments newly known to have been marked (AccECN). */
  deliveredBytes = 0;
  ceDelivered = 0;
  /** When the first and the last of the segments newly SACKed were sent, of those sent only once; -1: none was. */
  firstSackMs: Millis = -1;
  lastSackMs: Millis = -1;
  /** The lowest position that arrived after what was sent later, sndNxt: none. */
  reord = 0;
  /** RTT of the newest segment (s)acknowledged that was sent once, for congestion control; -1: none. */
  caRttMs: Millis = -1;
  /** What had been delivered when the newest segment (s)acknowledged was sent; -1: none was (rs->prior_delivered). */
  priorTxDelivered = -1;
  private newestMs: Millis = 0;
  private newestEnd = 0;

  reset(flag: number): void {
    this.flag = flag;
    this.rexmit = REXMIT_NONE;
    this.tsEcr = 0;
    this.acked = 0;
    this.sackDelivered = 0;
    this.deliveredBytes = 0;
    this.ceDelivered = 0;
    this.firstSackMs = -1;
    this.lastSackMs = -1;
    this.caRttMs = -1;
    this.priorTxDelivered = -1;
  }

  /** Something of this ACK was sent then and had `delivered` before it; true: it is the newest so far. */
  isNewest(sentMs: Millis, end: number, delivered: number): boolean {
    if (this.priorTxDelivered >= 0 && !sentAfter(sentMs, end, this.newestMs, this.newestEnd)) return false;
    this.priorTxDelivered = delivered;
    this.newestMs = sentMs;
    this.newestEnd = end;
    return true;
  }
}

/** tcp_skb_sent_after(): of two sent at the same time the one further on is the later one. */
export const sentAfter = (aMs: Millis, aEnd: number, bMs: Millis, bEnd: number): boolean =>
  aMs > bMs || (aMs === bMs && aEnd > bEnd);
