import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** tcp_set_ca_state() */
export function setCaState(cx: TcpContext, sk: TcpSock, state: number): void {
  if (cx.env.tracing) cx.env.trace('tcp_cong_state_set', undefined, { sk: sk.id, from: sk.caState, to: state });
  sk.cc.setState?.(cx, sk, state);
  sk.caState = state;
}
