import { Controller, Get, HttpCode, HttpException, Inject, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Ctl } from './ctl.ts';
import { mibOf, statsOf, statusOf } from './stack-status.ts';

/** Called to end the orchestrator. */
export const SHUTDOWN = Symbol('shutdown');

@ApiTags('stack')
@Controller()
export class StatusController {
  constructor(
    @Inject(Ctl) private readonly ctl: Ctl,
    @Inject(SHUTDOWN) private readonly shutdown: () => void,
  ) {}

  @Get('health')
  @ApiOperation({ summary: '200 when the stack is up, 503 before' })
  health(): { state: string } {
    const { state } = this.ctl.stack;
    if (state !== 'running') throw new HttpException({ statusCode: 503, state, message: `the stack is ${state}` }, 503);
    return { state };
  }

  @Get('status')
  @ApiOperation({ summary: 'The stack, its services and where its skbs went' })
  async status(): Promise<unknown> {
    return statusOf(this.ctl.stack, await statsOf(this.ctl.stack));
  }

  @Get('stats')
  @ApiOperation({ summary: 'Everything each service counts' })
  stats(): Promise<unknown> {
    return statsOf(this.ctl.stack);
  }

  @Get('nstat')
  @ApiOperation({ summary: 'SNMP counters of all services together, under the names of nstat' })
  async nstat(): Promise<unknown> {
    return mibOf(await statsOf(this.ctl.stack));
  }

  @Get('boot')
  @ApiOperation({ summary: 'The boot call by call, with times and trace points' })
  boot(): unknown {
    const { machine } = this.ctl.stack.boot;
    return { state: machine.state, failure: machine.failure, calls: machine.results, trace: this.ctl.stack.bootTrace };
  }

  @Post('shutdown')
  @HttpCode(202)
  @ApiOperation({ summary: 'Stop everything that this orchestrator started' })
  stop(): { ok: true } {
    setImmediate(this.shutdown);
    return { ok: true };
  }
}
