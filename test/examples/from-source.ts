// Preloaded into an example: the package that it imports is the source beside it, not a build.
import { registerHooks } from 'node:module';

const source = new URL('../../src/index.ts', import.meta.url).href;
registerHooks({ resolve: (specifier, context, next) => next(specifier === 'valetkey' ? source : specifier, context) });
