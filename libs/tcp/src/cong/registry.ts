import type { TcpSysctl } from '../sysctl.ts';
import type { CongestionControl } from './cong.ts';
import { cubic } from './cubic.ts';
import { dctcp } from './dctcp.ts';
import { reno } from './reno.ts';

/** tcp_cong_list; reno is first, it is what there is when all else fails. */
const registered = new Map<string, CongestionControl>([reno, cubic, dctcp].map((cc) => [cc.name, cc]));

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
