import type { ServerResponse } from 'node:http';

/** A reader that does not keep up loses lines, and is told how many; it never slows the stack. */
const BACKLOG_MAX_BYTES = 4 * 1024 * 1024;

/** An endless answer: one JSON object per line. */
export function ndjson(res: ServerResponse): (row: unknown) => void {
  res.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8', 'cache-control': 'no-store' });
  res.flushHeaders();
  let lost = 0;
  return (row) => {
    if (res.destroyed) return;
    if (res.writableLength > BACKLOG_MAX_BYTES) {
      lost++;
      return;
    }
    if (lost > 0) res.write(`${JSON.stringify({ lost })}\n`);
    lost = 0;
    res.write(`${JSON.stringify(row)}\n`);
  };
}
