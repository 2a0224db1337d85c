export * from './sys.ts';
export * from './target.ts';
export { LinuxTarget, whyNoLinux } from './targets/linux/linux-target.ts';
