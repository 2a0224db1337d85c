import { checkFields, setFields } from '../fields-set.ts';
import { compileFilter } from '../filter/filter.ts';
import { compileNetem } from '../netem/netem.ts';
import type { FaultTools } from './tools.ts';

/** What rules are made of in a stack and in a simulation. */
export const faultTools: FaultTools = { filter: compileFilter, netem: compileNetem, checkFields, setFields };
