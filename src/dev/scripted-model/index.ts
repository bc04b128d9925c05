export { withScript, type Step } from './script.ts';
export { startScriptedModel, type ScriptedModel } from './server.ts';
