export * from './sys.ts';
export * from './target.ts';
export { LinuxTarget, whyNoLinux } from './targets/linux/linux-target.ts';
export { ServicesTarget, type ServicesTargetOptions } from './targets/services/services-target.ts';
