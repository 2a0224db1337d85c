import 'reflect-metadata';
import type { Server } from 'node:http';
import { Module, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { monotonicMs } from '@skbus/nest-kit';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import type { Stack } from '../stack.ts';
import type { Access } from './access.ts';
import { Ctl, STACK } from './ctl.ts';
import { FaultController } from './fault.controller.ts';
import { Guard, LOG_MAX_BYTES } from './guard.ts';
import { NetController } from './net.controller.ts';
import { SockController } from './sock.controller.ts';
import { SHUTDOWN, StatusController } from './status.controller.ts';
import { StreamController } from './stream.controller.ts';

@Module({})
class ApiModule {}

const apiModule = (stack: Stack, shutdown: () => void): DynamicModule => ({
  module: ApiModule,
  providers: [{ provide: STACK, useValue: stack }, { provide: SHUTDOWN, useValue: shutdown }, Ctl],
  controllers: [StatusController, NetController, SockController, StreamController, FaultController],
});

export interface Api {
  url: string;
  port: number;
  close(): Promise<void>;
}

/** Connections at once, each with at most one request under way; a follower of a log or a trace holds one. */
const CONNECTIONS_MAX = 256;
/** For a request to come in. */
const REQUEST_MS = 30_000;
const HEADERS_MS = 10_000;

export interface ApiOptions {
  access: Access;
  port: number;
  ratePerS: number;
  shutdown: () => void;
}

/** The control API of one stack: REST at `/`, OpenAPI at `/api` and `/api-json`. */
export async function serveApi(stack: Stack, { access, port, ratePerS, shutdown }: ApiOptions): Promise<Api> {
  const { host, token, tls } = access;
  const app = await NestFactory.create<NestExpressApplication>(apiModule(stack, shutdown), {
    logger: ['error'],
    abortOnError: false,
    // Set up below, behind the guard.
    bodyParser: false,
    ...(tls === undefined ? {} : { httpsOptions: tls }),
  });
  const guard = new Guard({
    token,
    tls: tls !== undefined,
    ratePerS,
    say: (line) => stack.say(line),
    now: monotonicMs,
  });
  app.disable('x-powered-by');
  app.use(guard.check);
  app.useBodyParser('json', { limit: LOG_MAX_BYTES });
  const doc = new DocumentBuilder()
    .setTitle('skbus')
    .setDescription(`Control API of stack ${stack.netns}`)
    .setVersion(stack.opts.version)
    .build();
  SwaggerModule.setup('api', app, () => SwaggerModule.createDocument(app, doc), { jsonDocumentUrl: 'api-json' });
  const server = app.getHttpServer() as Server;
  server.maxConnections = CONNECTIONS_MAX;
  server.on('drop', (d?: { remoteAddress?: string }) => guard.dropped(d?.remoteAddress, CONNECTIONS_MAX));
  server.headersTimeout = HEADERS_MS;
  server.requestTimeout = REQUEST_MS;
  await app.listen(port, host);
  const bound = (server.address() as { port: number }).port;
  const reached = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  return {
    port: bound,
    url: `${tls === undefined ? 'http' : 'https'}://${reached}:${bound}`,
    close: async () => {
      server.closeAllConnections();
      await app.close();
    },
  };
}
