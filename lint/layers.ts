import { dirname, join, relative, sep } from 'node:path';

/** From top to bottom: a file imports from its own layer and from those below. A layer is a folder of src/, one in it that is named here, or a file right in src/. */
const LAYERS = [
  'cli',
  'dev',
  'cli/output',
  'index',
  'client',
  'worker',
  'temporal',
  'gateway',
  'config',
  'workflows',
  'activities',
  'session',
  'workspace',
  'keys',
  'credentials',
  'billing',
  'gateways',
  'proxy',
  'sandboxes',
  'agents',
  'in-sandbox',
  'store',
  'telemetry',
  'outbound',
  'system',
  'secrets',
  'contract',
];

/** The adapters' interfaces: anyone may name their types, only the layers above may use what implements them. */
const CONTRACTS = new Set(['gateways/gateway.ts', 'sandboxes/sandbox.ts', 'agents/agent.ts']);
const TEMPORAL_FREE = new Set(['session', 'workspace', 'billing', 'gateways', 'proxy', 'keys', 'sandboxes', 'agents', 'store', 'secrets']);
const WORKFLOW_PACKAGES = new Set(['@temporalio/workflow', '@temporalio/common']);
const SRC = join(import.meta.dirname, '..', 'src');

interface Importing {
  type: string;
  importKind?: string;
  exportKind?: string;
  source: { type: string; value?: unknown } | null;
}

interface Context {
  filename: string;
  report(problem: { node: unknown; message: string }): void;
}

/** Why a file of src/ may not have this import; undefined where it may. `file` is relative to src/. */
function objection(file: string, specifier: string, typeOnly: boolean): string | undefined {
  const layer = layerOf(file);
  if (!LAYERS.includes(layer)) return `src/${layer} is not a layer: give it a place in lint/layers.ts`;
  return specifier.startsWith('.')
    ? objectionToFile(file, join(dirname(file), specifier).split(sep).join('/'), typeOnly)
    : objectionToPackage(file, specifier);
}

function objectionToFile(file: string, target: string, typeOnly: boolean): string | undefined {
  const [from, to] = [layerOf(file), layerOf(target)];
  if (target.startsWith('../')) return 'src/ imports nothing from outside itself';
  if (isDecision(file) && !typeOnly && to !== 'contract' && !isDecision(target)) {
    return 'a decision is pure: it imports contract/, other decisions and types';
  }
  if (from === 'workflows' && to === 'activities') return typeOnly ? undefined : 'workflows import activities as types only';
  if (from === 'workflows' && to !== 'workflows' && to !== 'contract' && !isDecision(target)) {
    return 'workflows import contract/, decisions and the types of activities, nothing else';
  }
  if (LAYERS.indexOf(to) >= LAYERS.indexOf(from) || (typeOnly && CONTRACTS.has(target))) return undefined;
  return `${from} may not import ${to}: imports go down the list in lint/layers.ts`;
}

function objectionToPackage(file: string, specifier: string): string | undefined {
  const layer = layerOf(file);
  if (layer === 'workflows' && !WORKFLOW_PACKAGES.has(specifier)) {
    return 'workflows import no package but @temporalio/workflow and @temporalio/common';
  }
  if ((layer === 'contract' || isDecision(file)) && specifier.startsWith('node:')) {
    return 'this file is bundled into workflows, where Node is not';
  }
  if (TEMPORAL_FREE.has(layer) && specifier.startsWith('@temporalio/')) return `${layer} knows nothing of Temporal`;
  return undefined;
}

const layerOf = (file: string): string =>
  LAYERS.find((layer) => file.startsWith(`${layer}/`) && layer.includes('/')) ?? file.split('/')[0]?.replace(/\.ts$/, '') ?? '';
const isDecision = (file: string): boolean => /(^|\/)decide-[^/]+$/.test(file);

const order = {
  create(context: Context) {
    const file = relative(SRC, context.filename).split(sep).join('/');
    if (file.startsWith('../')) return {};
    const check = (node: Importing): void => {
      const specifier = node.source?.value;
      if (typeof specifier !== 'string') return;
      const typeOnly = node.type === 'TSImportType' || node.importKind === 'type' || node.exportKind === 'type';
      const message = objection(file, specifier, typeOnly);
      if (message !== undefined) context.report({ node: node.source, message });
    };
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
      TSImportType: check,
    };
  },
};

/** A plugin for oxlint: the order of the layers of src/, on paths as they resolve. */
export default { meta: { name: 'layers' }, rules: { order } };
