import { below, SeededRng } from '@skbus/skb';
import type { FaultTools } from '../inject/tools.ts';

/** Filters and netems as small as the injector's own tests need them: `len > N`; `delay MS`, `loss P`, `duplicate`, `corrupt BIT`. */
export const fakeTools: FaultTools = {
  filter(text) {
    const m = /^len > (\d+)$/.exec(text);
    if (m === null) return { error: { column: 0, length: text.length, message: `"${text}" is no filter` } };
    return { filter: { text, matches: ({ skb }) => (skb?.len ?? 0) > Number(m[1]) } };
  },
  netem(spec, seed) {
    const rng = new SeededRng(seed);
    const [word, value = '0'] = spec.split(' ');
    const n = Number.parseFloat(value);
    const copy = (
      atMs: number,
      corruptBit = -1,
    ): { atMs: number; ahead: boolean; corruptBit: number; markCe: boolean } => ({
      atMs,
      ahead: false,
      corruptBit,
      markCe: false,
    });
    let queued = 0;
    const netem = {
      enqueue: (_bytes: number, now: number) => {
        queued++;
        if (word === 'loss' && below(rng, 100) < n) return { copies: [], overlimit: false };
        if (word === 'duplicate') return { copies: [copy(now), copy(now)], overlimit: false };
        if (word === 'corrupt') return { copies: [copy(now, n)], overlimit: false };
        if (word === 'limit') return { copies: [copy(now + 1000)], overlimit: queued > n };
        return { copies: [copy(now + (word === 'delay' ? n : 0))], overlimit: false };
      },
      left: () => void queued--,
    };
    return { netem };
  },
  checkFields: (fields) =>
    Object.keys(fields)
      .find((f) => f !== 'first')
      ?.concat(' is no field'),
  setFields(skb, _starts, fields) {
    skb.buf[skb.data] = Number(fields.first);
    return true;
  },
};
