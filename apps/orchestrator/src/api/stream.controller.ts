import { Controller, Get, Inject, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Ctl } from './ctl.ts';
import { ndjson } from './ndjson.ts';
import { dmesgQuery, traceQuery, type DmesgQuery, type TraceQuery } from './schemas.ts';
import { ZodPipe } from './zod-pipe.ts';

/** Endless answers: one JSON object per line. */
@ApiTags('streams')
@Controller()
export class StreamController {
  constructor(@Inject(Ctl) private readonly ctl: Ctl) {}

  @Get('dmesg')
  @ApiOperation({ summary: 'Kernel log records from seq `since` on; with follow=1 without end, one per line' })
  dmesg(@Query(new ZodPipe(dmesgQuery)) q: DmesgQuery, @Req() req: IncomingMessage, @Res() res: ServerResponse): void {
    const { log } = this.ctl.stack;
    if (q.follow !== '1' && q.follow !== 'true') {
      res.setHeader('content-type', 'application/json; charset=utf-8');
      res.end(JSON.stringify(log.since(q.since)));
      return;
    }
    const out = ndjson(res);
    for (const r of log.since(q.since)) out(r);
    const off = log.follow(out);
    req.once('close', off);
    res.once('close', off);
  }

  @Get('trace')
  @ApiOperation({ summary: 'Trace points as they are passed, one per line; `follow` names one skb' })
  @ApiProduces('application/x-ndjson')
  trace(@Query(new ZodPipe(traceQuery)) q: TraceQuery, @Res() res: ServerResponse): void {
    const out = ndjson(res);
    const off = this.ctl.stack.trace.add(q.follow, (list) => {
      if (list.lost > 0) out({ lost: list.lost });
      for (const e of list.events) out({ ...e });
    });
    res.once('close', off);
  }
}
