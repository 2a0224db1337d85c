import type { LoggerService } from '@nestjs/common';
import { pino, type Logger } from 'pino';

/** pino behind Nest's logger: JSON lines on stderr (stdout is for data), Nest's start-up chatter at debug. */
export function serviceLogger(layer: string, level: string): LoggerService & { pino: Logger } {
  const log = pino(
    { level, base: { layer }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
  // An Error has nothing that JSON would show.
  const text = (m: unknown): string =>
    typeof m === 'string' ? m : m instanceof Error ? (m.stack ?? m.message) : JSON.stringify(m);
  return {
    pino: log,
    log: (m: unknown) => log.debug(text(m)),
    debug: (m: unknown) => log.debug(text(m)),
    verbose: (m: unknown) => log.trace(text(m)),
    warn: (m: unknown) => log.warn(text(m)),
    error: (m: unknown) => log.error(text(m)),
    fatal: (m: unknown) => log.fatal(text(m)),
  };
}
