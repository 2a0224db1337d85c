import { BadRequestException, type PipeTransform } from '@nestjs/common';
import type { ApiBody } from '@nestjs/swagger';
import { z } from 'zod';

/** Checks a body or a query; 400 names the field. */
export class ZodPipe<T> implements PipeTransform<unknown, T> {
  private readonly schema: z.ZodType<T>;

  constructor(schema: z.ZodType<T>) {
    this.schema = schema;
  }

  transform(value: unknown): T {
    const r = this.schema.safeParse(value ?? {});
    if (r.success) return r.data;
    const { path, message, ...issue } = r.error.issues[0]!;
    const extra = issue.code === 'unrecognized_keys' ? (issue as { keys?: string[] }).keys?.[0] : undefined;
    const field = [...path.map(String), ...(extra === undefined ? [] : [extra])].join('.') || 'body';
    throw new BadRequestException({ statusCode: 400, error: 'Bad Request', field, message: `${field}: ${message}` });
  }
}

type Schema = Extract<Parameters<typeof ApiBody>[0], { schema: unknown }>['schema'];

/** The same schema for the OpenAPI document. */
export const openApi = (schema: z.ZodType): Schema =>
  z.toJSONSchema(schema, { target: 'openapi-3.0', unrepresentable: 'any', io: 'input' }) as Schema;
