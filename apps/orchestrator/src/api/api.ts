import 'reflect-metadata';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Module, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import type { Stack } from '../stack.ts';
import { Ctl, STACK } from './ctl.ts';
import { FaultController } from './fault.controller.ts';
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

/** The control API of one stack: REST at `/`, OpenAPI at `/api` and `/api-json`. */
export async function serveApi(stack: Stack, host: string, port: number, shutdown: () => void): Promise<Api> {
  const app = await NestFactory.create<NestExpressApplication>(apiModule(stack, shutdown), {
    logger: ['error'],
    abortOnError: false,
  });
  app.disable('x-powered-by');
  app.use(onlyLocal);
  const doc = new DocumentBuilder()
    .setTitle('skbus')
    .setDescription(`Control API of stack ${stack.netns}`)
    .setVersion(stack.opts.version)
    .build();
  SwaggerModule.setup('api', app, () => SwaggerModule.createDocument(app, doc), { jsonDocumentUrl: 'api-json' });
  await app.listen(port, host);
  const server = app.getHttpServer() as Server;
  const bound = (server.address() as { port: number }).port;
  return {
    port: bound,
    url: `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${bound}`,
    close: async () => {
      server.closeAllConnections();
      await app.close();
    },
  };
}

const LOCAL = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]|orchestrator)(:\d+)?$/i;

/**
 * A web page must not reach the API through the browser of somebody who runs a stack: no other host's name (DNS
 * rebinding), and no request that another origin makes.
 */
function onlyLocal(req: IncomingMessage, res: ServerResponse, next: () => void): void {
  const host = req.headers.host ?? '';
  const { origin } = req.headers;
  if (!LOCAL.test(host) || (origin !== undefined && origin !== `http://${host}`)) {
    res.writeHead(403, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ statusCode: 403, message: 'the control API answers on this machine only' }));
    return;
  }
  next();
}
