import type { SkBuff } from '@skbus/skb';
import type { CompiledFilter, FilterError, FilterSubject } from '../filter/filter.ts';
import type { Netem } from '../netem/netem.ts';

/** What rules are made of besides their own grammar. */
export interface FaultTools {
  filter(text: string): CompiledFilter;
  /** The same seed decides the same way. */
  netem(spec: string, seed: number): { netem: Netem; error?: undefined } | { netem?: undefined; error: FilterError };
  /** Whether those fields can be set at all; a sentence: no. */
  checkFields(fields: Readonly<Record<string, string>>): string | undefined;
  /** False: the packet has no such field. */
  setFields(
    skb: SkBuff,
    starts: FilterSubject['starts'],
    fields: Readonly<Record<string, string>>,
    csum: 'fix' | 'keep',
  ): boolean;
}
