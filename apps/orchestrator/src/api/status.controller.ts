import { Body, Controller, Get, HttpCode, HttpException, Inject, Post } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import { SpawnError } from '../load-layer.ts';
import { StackError } from '../stack.ts';
import { Ctl } from './ctl.ts';
import { upgradeBody, type UpgradeBody } from './schemas.ts';
import { mibOf, statsOf, statusOf } from './stack-status.ts';
import { openApi, ZodPipe } from './zod-pipe.ts';

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

  @Post('upgrade')
  @HttpCode(200)
  @ApiOperation({ summary: 'Replace a layer by a process of the build as it is now, beside which the old one retires' })
  @ApiBody({ schema: openApi(upgradeBody) })
  async upgrade(@Body(new ZodPipe(upgradeBody)) b: UpgradeBody): Promise<unknown> {
    try {
      return await this.ctl.stack.upgrade(b.layer);
    } catch (e) {
      if (e instanceof StackError || e instanceof SpawnError)
        throw new HttpException({ statusCode: 409, message: e.message }, 409);
      throw e;
    }
  }

  @Post('shutdown')
  @HttpCode(202)
  @ApiOperation({ summary: 'Stop everything that this orchestrator started' })
  stop(): { ok: true } {
    setImmediate(this.shutdown);
    return { ok: true };
  }
}
