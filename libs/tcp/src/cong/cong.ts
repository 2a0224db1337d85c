import { reno } from './reno.ts';

/** Congestion avoidance states (include/uapi/linux/tcp.h:tcp_ca_state). */
export const CA_OPEN = 0;
export const CA_DISORDER = 1;
export const CA_CWR = 2;
export const CA_RECOVERY = 3;
export const CA_LOSS = 4;

/** What an algorithm sees and sets of a connection. Windows in segments, like Linux. */
export interface CongestionState {
  cwnd: number;
  ssthresh: number;
  /** Credit towards the next whole segment (snd_cwnd_cnt). */
  cwndCnt: number;
  cwndClamp: number;
  caState: number;
  /** Room for the algorithm's own variables. */
  caPriv: unknown;
}

/** A congestion control algorithm (struct tcp_congestion_ops). One object serves all connections. */
export interface CongestionControl {
  readonly name: string;
  /** Called once, when the connection is established. */
  init?(c: CongestionState, nowMs: number): void;
  /** The slow start threshold after a loss. */
  ssthresh(c: CongestionState): number;
  /** `acked` segments were newly delivered while the window was what limited us. */
  congAvoid(c: CongestionState, acked: number, nowMs: number): void;
  /** An RTT sample in ms and the segments it stands for. */
  pktsAcked?(c: CongestionState, rttMs: number, acked: number, nowMs: number): void;
  /** The state machine moves (CA_*). */
  setState?(c: CongestionState, state: number, nowMs: number): void;
}

const registered = new Map<string, CongestionControl>([[reno.name, reno]]);

/** tcp_register_congestion_control() */
export function registerCongestionControl(cc: CongestionControl): void {
  registered.set(cc.name, cc);
}

export const findCongestionControl = (name: string): CongestionControl | undefined => registered.get(name);
