export * from './sys.ts';
export * from './target.ts';
