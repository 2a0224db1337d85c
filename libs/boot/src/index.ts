export { parseCmdline, splitWords, type Cmdline, type CmdlineWord } from './cmdline.ts';
export { CmdlineError } from './cmdline-error.ts';
export { parseIpParam, type IpParam } from './ip-param.ts';
export { formatDmesg, KernelLog, type LogRecord } from './kernel-log.ts';
export {
  BootMachine,
  type BootAnswer,
  type BootFailure,
  type BootOptions,
  type BootRequest,
  type BootResult,
  type BootState,
} from './machine.ts';
export {
  BOOT_OWNERS,
  BOOT_TABLE,
  bootOrder,
  INITCALL_LEVELS,
  registersWith,
  replayFor,
  type BootEntry,
  type BootLayer,
  type BootOwner,
  type InitcallLevel,
} from './table.ts';
