import {
  type ArgumentsHost,
  Body,
  Catch,
  Controller,
  Delete,
  type ExceptionFilter,
  Get,
  HttpCode,
  HttpException,
  Inject,
  Module,
  Param,
  Patch,
  Post,
  Res,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError } from './errors.ts';
import { ProxyCollection } from './collection.ts';

/** The version of Toxiproxy whose API this is. */
const API_VERSION = '2.12.0';
const BODY_MAX = '1mb';

const COLLECTION = Symbol('ProxyCollection');

/** Toxiproxy's API, route by route (Shopify/toxiproxy, api.go). */
@Controller()
class ToxiproxyController {
  constructor(@Inject(COLLECTION) private readonly c: ProxyCollection) {}

  @Get('version')
  version(): unknown {
    return { version: API_VERSION };
  }

  @Post('reset')
  @HttpCode(204)
  reset(): Promise<void> {
    return this.c.reset();
  }

  @Post('populate')
  async populate(@Body() body: unknown, @Res() res: ServerResponse): Promise<void> {
    const { proxies, failed } = await this.c.populate(body);
    if (failed === undefined) json(res, 201, { proxies });
    else json(res, failed.status, { error: failed.message, status: failed.status, proxies });
  }

  @Get('proxies')
  all(): unknown {
    return this.c.all();
  }

  @Post('proxies')
  create(@Body() body: unknown): Promise<unknown> {
    return this.c.create(body);
  }

  @Get('proxies/:proxy')
  get(@Param('proxy') proxy: string): unknown {
    return this.c.get(proxy).view();
  }

  @Post('proxies/:proxy')
  @HttpCode(200)
  change(@Param('proxy') proxy: string, @Body() body: unknown): Promise<unknown> {
    return this.c.change(proxy, body);
  }

  @Patch('proxies/:proxy')
  patch(@Param('proxy') proxy: string, @Body() body: unknown): Promise<unknown> {
    return this.c.change(proxy, body);
  }

  @Delete('proxies/:proxy')
  @HttpCode(204)
  remove(@Param('proxy') proxy: string): Promise<void> {
    return this.c.remove(proxy);
  }

  @Get('proxies/:proxy/toxics')
  toxics(@Param('proxy') proxy: string): unknown {
    return this.c.toxics(proxy);
  }

  @Post('proxies/:proxy/toxics')
  @HttpCode(200)
  addToxic(@Param('proxy') proxy: string, @Body() body: unknown): Promise<unknown> {
    return this.c.addToxic(proxy, body);
  }

  @Get('proxies/:proxy/toxics/:toxic')
  toxic(@Param('proxy') proxy: string, @Param('toxic') toxic: string): unknown {
    return this.c.toxic(proxy, toxic);
  }

  @Post('proxies/:proxy/toxics/:toxic')
  @HttpCode(200)
  changeToxic(@Param('proxy') proxy: string, @Param('toxic') toxic: string, @Body() body: unknown): Promise<unknown> {
    return this.c.changeToxic(proxy, toxic, body);
  }

  @Patch('proxies/:proxy/toxics/:toxic')
  patchToxic(@Param('proxy') proxy: string, @Param('toxic') toxic: string, @Body() body: unknown): Promise<unknown> {
    return this.c.changeToxic(proxy, toxic, body);
  }

  @Delete('proxies/:proxy/toxics/:toxic')
  @HttpCode(204)
  removeToxic(@Param('proxy') proxy: string, @Param('toxic') toxic: string): Promise<void> {
    return this.c.removeToxic(proxy, toxic);
  }
}

@Catch()
class ErrorsAsToxiproxy implements ExceptionFilter {
  catch(e: unknown, host: ArgumentsHost): void {
    const res = host.switchToHttp().getResponse<ServerResponse>();
    const status = e instanceof ApiError ? e.status : e instanceof HttpException ? e.getStatus() : 500;
    const text = e instanceof Error ? e.message : String(e);
    const error = e instanceof HttpException && status === 400 ? `bad request body: ${text}` : text;
    json(res, status, { error, status });
  }
}

function json(res: ServerResponse, status: number, body: unknown): void {
  res.statusCode = status;
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify(body));
}

@Module({})
class ToxiproxyModule {}

export interface ToxiproxyServer {
  url: string;
  close(): Promise<void>;
}

/** Serves the API; `close` ends the proxies, too. Rejects with the error of listen(). */
export async function serveToxiproxy(c: ProxyCollection, port: number, host: string): Promise<ToxiproxyServer> {
  const app = await NestFactory.create<NestExpressApplication>(
    {
      module: ToxiproxyModule,
      controllers: [ToxiproxyController],
      providers: [{ provide: COLLECTION, useValue: c }],
    },
    { logger: false, bodyParser: false, abortOnError: false },
  );
  app.use((req: IncomingMessage, res: ServerResponse, next: () => void) => {
    // Browsers are kept out, as a page of anybody's could reach a port of this machine.
    if (req.headers['user-agent']?.startsWith('Mozilla/') === true)
      json(res, 403, { error: 'User agent not allowed', status: 403 });
    else next();
  });
  app.useBodyParser('json', { type: () => true, limit: BODY_MAX, strict: false });
  app.useGlobalFilters(new ErrorsAsToxiproxy());
  await app.listen(port, host);
  return {
    url: (await app.getUrl()).replace('[::1]', 'localhost'),
    close: async () => {
      await c.close();
      await app.close();
    },
  };
}
