export * from './libc.ts';
export { inNetns } from './netns.ts';
export { redirectOutput } from './redirect.ts';
export { openTun } from './tun-fd.ts';
