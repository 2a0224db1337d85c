import type { LayerFault, Millis } from '@skbus/skb';
import type { FaultInjector } from './injector.ts';

/** The clock that a layer is given jumps, and back when it is over. Its shell has the clock: `jump` moves it. */
export const clockJump = (injector: FaultInjector, jump: (byMs: Millis) => void): LayerFault => {
  const both = (byMs: Millis): void => {
    jump(byMs);
    injector.clockJumped(byMs);
  };
  return {
    begin({ params }) {
      const by = params.step!;
      both(by);
      return () => both(-by);
    },
  };
};
