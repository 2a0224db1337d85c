import { CONGESTION_CONTROLS, type CongestionControlName } from '@skbus/skb';
import type { TcpSysctl } from '../sysctl.ts';
import type { CongestionControl } from './cong.ts';
import { bbr } from './bbr.ts';
import { cubic } from './cubic.ts';
import { dctcp } from './dctcp.ts';
import { reno } from './reno.ts';

const BUILT_IN: Readonly<Record<CongestionControlName, CongestionControl>> = { reno, cubic, dctcp, bbr };

/** tcp_cong_list */
const registered = new Map<string, CongestionControl>(CONGESTION_CONTROLS.map((name) => [name, BUILT_IN[name]]));

/** tcp_register_congestion_control() */
export function registerCongestionControl(cc: CongestionControl): void {
  registered.set(cc.name, cc);
}

export const findCongestionControl = (name: string): CongestionControl | undefined => registered.get(name);

/** net.ipv4.tcp_available_congestion_control */
export const availableCongestionControls = (): string[] => [...registered.keys()];

/** What a new connection starts with: net.ipv4.tcp_congestion_control (tcp_assign_congestion_control). */
export const defaultCongestionControl = (sysctl: TcpSysctl): CongestionControl =>
  registered.get(sysctl.tcpCongestionControl) ?? reno;
