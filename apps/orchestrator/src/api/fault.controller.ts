import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  HttpException,
  Inject,
  Param,
  Patch,
  Post,
  Put,
  Query,
  Res,
} from '@nestjs/common';
import { ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { ServerResponse } from 'node:http';
import { FaultError, type FaultDesk } from '../faults/fault-desk.ts';
import { Ctl } from './ctl.ts';
import {
  faultBody,
  faultEditBody,
  faultLogBody,
  faultLogQuery,
  faultsBody,
  type FaultBody,
  type FaultEditBody,
  type FaultLogBody,
  type FaultLogQuery,
  type FaultsBody,
} from './schemas.ts';
import { ndjson } from './ndjson.ts';
import { openApi, ZodPipe } from './zod-pipe.ts';

/** Fault rules. They are kept as text; the grammar is that of `skbus fault add`. */
@ApiTags('faults')
@Controller('faults')
export class FaultController {
  constructor(@Inject(Ctl) private readonly ctl: Ctl) {}

  @Get()
  @ApiOperation({ summary: 'The rules, with how often each matched and acted' })
  list(): Promise<unknown> {
    return this.ask((d) => d.list());
  }

  @Post()
  @ApiOperation({ summary: 'Add a rule, or replace the one with the same id; it is in force when this answers' })
  @ApiBody({ schema: openApi(faultBody) })
  add(@Body(new ZodPipe(faultBody)) b: FaultBody): Promise<unknown> {
    return this.ask((d) => d.add(b.text, b.id));
  }

  @Put()
  @ApiOperation({ summary: 'Exactly these rules, in this order; nothing changes when one of them is wrong' })
  @ApiBody({ schema: openApi(faultsBody) })
  replace(@Body(new ZodPipe(faultsBody)) b: FaultsBody): Promise<unknown> {
    return this.ask((d) => d.replace(b.rules));
  }

  @Delete()
  @HttpCode(204)
  @ApiOperation({ summary: 'Remove every rule; what they hold goes on' })
  clear(): Promise<void> {
    return this.ask((d) => d.clear());
  }

  @Get('log')
  @ApiOperation({ summary: 'What rules did, and their texts; with follow=1 decisions without end, one per line' })
  async log(@Query(new ZodPipe(faultLogQuery)) q: FaultLogQuery, @Res() res: ServerResponse): Promise<void> {
    const { faults } = this.ctl.stack;
    if (q.follow !== '1' && q.follow !== 'true') {
      res.setHeader('content-type', 'application/json; charset=utf-8');
      res.end(JSON.stringify(faults.log()));
      return;
    }
    const out = ndjson(res);
    for (const d of faults.log().decisions) out(d);
    res.once('close', faults.book.follow(out));
  }

  @Post('replay')
  @HttpCode(200)
  @ApiOperation({ summary: 'In place of all rules: those that do the same as a log to the same packets' })
  @ApiBody({ schema: openApi(faultLogBody) })
  replay(@Body(new ZodPipe(faultLogBody)) b: FaultLogBody): Promise<unknown> {
    return this.ask((d) => d.replay(b));
  }

  @Get('held')
  @ApiOperation({ summary: 'What waits at breakpoints' })
  held(): Promise<unknown> {
    return this.ask((d) => d.held());
  }

  @Get('hands')
  @ApiOperation({
    summary: 'How many act on containers for service rules; with follow=1 one more: what to do, a deed a line',
  })
  hands(@Query(new ZodPipe(faultLogQuery)) q: FaultLogQuery, @Res() res: ServerResponse): void {
    const { services } = this.ctl.stack.faults;
    if (q.follow !== '1' && q.follow !== 'true') {
      res.setHeader('content-type', 'application/json; charset=utf-8');
      res.end(JSON.stringify({ hands: services.handsCount }));
      return;
    }
    res.once('close', services.lend(ndjson(res)));
  }

  @Patch('held/:layer/:serial')
  @ApiOperation({ summary: 'Change header fields of a held packet' })
  @ApiBody({ schema: openApi(faultEditBody) })
  async edit(
    @Param('layer') layer: string,
    @Param('serial') serial: string,
    @Body(new ZodPipe(faultEditBody)) b: FaultEditBody,
  ): Promise<unknown> {
    await this.ask((d) => d.edit(layer, Number(serial), b.fields, b.csum));
    return { ok: true };
  }

  @Get(':id')
  @ApiOperation({ summary: 'One rule' })
  get(@Param('id') id: string): Promise<unknown> {
    return this.ask((d) => d.get(id));
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiOperation({ summary: 'Remove a rule; what it holds goes on' })
  remove(@Param('id') id: string): Promise<void> {
    return this.ask((d) => d.remove(id));
  }

  @Post(':id/step')
  @HttpCode(200)
  @ApiOperation({ summary: 'Let the oldest one go that the rule holds' })
  async step(@Param('id') id: string): Promise<unknown> {
    return { released: await this.ask((d) => d.letGo(id, 'fault_step')) };
  }

  @Post(':id/release')
  @HttpCode(200)
  @ApiOperation({ summary: 'Let all go that the rule holds; the rule stays' })
  async release(@Param('id') id: string): Promise<unknown> {
    return { released: await this.ask((d) => d.letGo(id, 'fault_release')) };
  }

  private async ask<T>(what: (desk: FaultDesk) => Promise<T>): Promise<T> {
    try {
      return await what(this.ctl.stack.faults);
    } catch (e) {
      if (!(e instanceof FaultError)) throw e;
      const { status: statusCode, message, column } = e;
      throw new HttpException({ statusCode, message, ...(column === undefined ? {} : { column }) }, statusCode);
    }
  }
}
