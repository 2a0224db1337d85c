export * from './rule.ts';
export * from './filter/filter.ts';
export * from './netem/netem.ts';
