export { withScript, type Step } from './script.ts';
export type { ServedRequest } from './exchange.ts';
export { startScriptedModel, type ScriptedModel, type ScriptedModelOptions } from './server.ts';
export type { SentUsage } from './usage.ts';
